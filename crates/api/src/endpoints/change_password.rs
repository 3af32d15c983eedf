//! `POST /v1/me/password`. Changes the caller's own password.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::PasswordBody;

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/me/password",
    summary: "change the caller's password",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/me/password",
        body: Some(r#"{"old":"correct horse battery staple","new":"a different horse entirely"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<PasswordBody>,
) -> Result<StatusCode, Problem> {
    control.change_password(caller.who(), body).await?;
    Ok(StatusCode::NO_CONTENT)
}
