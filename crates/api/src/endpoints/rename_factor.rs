//! `PUT /v1/me/factors/{id}`. What the caller calls a passkey or security key.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::FactorNameBody;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Put,
    path: "/v1/me/factors/{id}",
    summary: "name a passkey or security key",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/me/factors/fct-0198f0000000700080000000000000aa",
        body: Some(r#"{"name":"laptop"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
    Sent(body): Sent<FactorNameBody>,
) -> Result<StatusCode, Problem> {
    control.rename_factor(caller.who(), &id, body).await?;
    Ok(StatusCode::NO_CONTENT)
}
