//! `POST /v1/me/step-up`. Proves a second factor anew, for acts that need a fresh one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::view::ProofBody;
use portcullis_control::{Carrier, Control};

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/me/step-up",
    summary: "prove a second factor anew",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/me/step-up", body: Some(r#"{"code":"123456"}"#) },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<ProofBody>,
) -> Result<StatusCode, Problem> {
    if caller.carrier() != Carrier::Bearer {
        return Err(Problem::invalid("a browser proves it with `POST /v1/session/factor`"));
    }
    control.step_up(caller.who(), caller.token(), body).await?;
    Ok(StatusCode::NO_CONTENT)
}
