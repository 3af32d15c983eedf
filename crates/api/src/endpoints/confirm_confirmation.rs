//! `POST /v1/confirmations/{code}/confirm`. Proves a factor for the client that waits under a code.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ProofBody;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/confirmations/{code}/confirm",
    summary: "prove a factor for a client that waits",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/confirmations/BCDF-GHJK/confirm",
        body: Some(r#"{"code":"123456"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(code): Named<String>,
    Sent(body): Sent<ProofBody>,
) -> Result<StatusCode, Problem> {
    control.confirm(caller.who(), caller.token(), &code, body).await?;
    Ok(StatusCode::NO_CONTENT)
}
