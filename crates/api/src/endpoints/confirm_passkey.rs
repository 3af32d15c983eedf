//! `POST /v1/me/passkeys/confirm`. Registers what the browser answered with.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{ConfirmPasskeyBody, FactorView};

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/me/passkeys/confirm",
    summary: "register a passkey or security key",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/me/passkeys/confirm",
        body: Some(
            r#"{"name":"laptop","answer":{"id":"AA","response":{"clientDataJSON":"AA","attestationObject":"AA"}}}"#,
        ),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<ConfirmPasskeyBody>,
) -> Result<(StatusCode, Json<FactorView>), Problem> {
    Ok((
        StatusCode::CREATED,
        Json(control.confirm_passkey(caller.who(), caller.token(), body).await?),
    ))
}
