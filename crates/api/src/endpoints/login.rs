//! `POST /v1/login`. A password and a code for a token and, for a key, a certificate.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{LoginBody, LoginView};

use crate::body::Sent;
use crate::caller::{Client, Peer};
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/login",
    summary: "sign in with a password and, where one is set up, a second factor",
    right: Right::Anonymous,
    weight: Weight::Light,
    example: Example {
        target: "/v1/login",
        body: Some(r#"{"user":"alice","password":"correct horse battery staple"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    peer: Peer,
    client: Client,
    Sent(body): Sent<LoginBody>,
) -> Result<Json<LoginView>, Problem> {
    Ok(Json(control.login(body, peer.0, client.0).await?))
}
