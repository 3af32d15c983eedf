//! `DELETE /v1/me/sign-ins/{id}`. Ends one of the caller's sign-ins, with its certificate.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Delete,
    path: "/v1/me/sign-ins/{id}",
    summary: "end one of the caller's sign-ins, and the certificate it came with",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/me/sign-ins/sgn-0198f0000000700080000000000000aa", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    control.end_sign_in(caller.who(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
