//! `POST /v1/confirmations/{code}/refuse`. Says that the client that waits under a code is not the caller's.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/confirmations/{code}/refuse",
    summary: "refuse a client that waits: it is somebody else",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/confirmations/BCDF-GHJK/refuse", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(code): Named<String>,
) -> Result<StatusCode, Problem> {
    control.refuse_confirmation(caller.who(), &code).await?;
    Ok(StatusCode::NO_CONTENT)
}
