//! `POST /v1/locks`. Places a lock; sessions it concerns end.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::LockBody;
use portcullis_domain::{ControlAction, Lock};

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/locks",
    summary: "lock a user, target, role or environment",
    right: Right::Control(ControlAction::Lock),
    weight: Weight::Light,
    example: Example {
        target: "/v1/locks",
        body: Some(r#"{"subject":{"kind":"user","name":"bob"},"reason":"laptop stolen"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<LockBody>,
) -> Result<(StatusCode, Json<Lock>), Problem> {
    let made = control.lock(caller.who(), body).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
