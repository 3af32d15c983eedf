//! `POST /v1/me/totp/confirm`. Puts a new secret for one-time codes in force.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ConfirmBody;

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/me/totp/confirm",
    summary: "confirm one-time codes with a first one",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/me/totp/confirm", body: Some(r#"{"code":"123456"}"#) },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<ConfirmBody>,
) -> Result<StatusCode, Problem> {
    control.confirm_totp(caller.who(), body).await?;
    Ok(StatusCode::NO_CONTENT)
}
