//! `POST /v1/me/passkeys`. A challenge for a browser to register a passkey or security key with.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{ChallengeView, NewPasskeyBody};

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/me/passkeys",
    summary: "begin to register a passkey or security key",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/me/passkeys",
        body: Some(r#"{"kind":"passkey","proof":{"password":"correct horse battery staple"}}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<NewPasskeyBody>,
) -> Result<Json<ChallengeView>, Problem> {
    Ok(Json(control.begin_passkey(caller.who(), caller.token(), body).await?))
}
