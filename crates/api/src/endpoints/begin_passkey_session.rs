//! `POST /v1/session/passkey`. A password and a code for a cookie: how a browser signs in.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::PasskeySessionBody;
use portcullis_domain::Secret;

use crate::body::Sent;
use crate::caller::{Client, Peer};
use crate::cookie;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::origin::Scheme;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/session/passkey",
    summary: "sign a browser in with a passkey; its token goes into a cookie no script can read",
    right: Right::Anonymous,
    weight: Weight::Light,
    example: Example {
        target: "/v1/session/passkey",
        body: Some(
            r#"{"answer":{"id":"AA","response":{"clientDataJSON":"AA","authenticatorData":"AA","signature":"AA"}}}"#,
        ),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    (peer, scheme, client): (Peer, Scheme, Client),
    headers: HeaderMap,
    Sent(body): Sent<PasskeySessionBody>,
) -> Result<Response, Problem> {
    let held = cookie::read(&headers, scheme);
    let held = held.as_ref().map(Secret::expose).map(String::as_str);
    let begun = control.begin_passkey_session(body, held, peer.0, client.0).await?;
    let mut response = Json(begun.view).into_response();
    cookie::keep(response.headers_mut(), scheme, &begun.token)?;
    Ok(response)
}
