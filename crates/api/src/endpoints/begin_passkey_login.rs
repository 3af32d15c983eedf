//! `POST /v1/login/passkey`. A challenge for a browser to sign in with a passkey.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{ChallengeView, PasskeyLoginBody};

use crate::body::Sent;
use crate::caller::Peer;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/login/passkey",
    summary: "begin to sign in with a passkey, alone or beside a password",
    right: Right::Anonymous,
    weight: Weight::Light,
    example: Example { target: "/v1/login/passkey", body: Some(r#"{}"#) },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    peer: Peer,
    Sent(body): Sent<PasskeyLoginBody>,
) -> Result<Json<ChallengeView>, Problem> {
    Ok(Json(control.begin_passkey_login(body, peer.0).await?))
}
