//! `POST /v1/login/passkey/finish`. What the browser answered, for a token and a certificate.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{FinishPasskeyLoginBody, LoginView};

use crate::body::Sent;
use crate::caller::{Client, Peer};
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/login/passkey/finish",
    summary: "sign in with what a passkey answered",
    right: Right::Anonymous,
    weight: Weight::Light,
    example: Example {
        target: "/v1/login/passkey/finish",
        body: Some(
            r#"{"answer":{"id":"AA","response":{"clientDataJSON":"AA","authenticatorData":"AA","signature":"AA"}}}"#,
        ),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    peer: Peer,
    client: Client,
    Sent(body): Sent<FinishPasskeyLoginBody>,
) -> Result<Json<LoginView>, Problem> {
    Ok(Json(control.finish_passkey_login(body, peer.0, client.0).await?))
}
