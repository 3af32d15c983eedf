//! `DELETE /v1/session`. Signs a browser out: its token ends and its cookie is taken back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use portcullis_control::Control;

use crate::caller::Caller;
use crate::cookie;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::origin::Scheme;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Delete,
    path: "/v1/session",
    summary: "sign out",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/session", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    scheme: Scheme,
    caller: Caller,
) -> Result<Response, Problem> {
    control.logout(caller.who(), caller.token()).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    cookie::forget(response.headers_mut(), scheme)?;
    Ok(response)
}
