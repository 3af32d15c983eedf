//! `POST /v1/me/totp`. A new secret for one-time codes; it counts once a code of it is confirmed.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{ProofBody, TotpView};

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/me/totp",
    summary: "begin setting up one-time codes",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/me/totp",
        body: Some(r#"{"password":"correct horse battery staple"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<ProofBody>,
) -> Result<Json<TotpView>, Problem> {
    Ok(Json(control.enrol_totp(caller.who(), caller.token(), body).await?))
}
