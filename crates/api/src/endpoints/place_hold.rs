//! `POST /v1/holds`. Places an evidence hold.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::HoldBody;
use portcullis_domain::{ControlAction, Hold};

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/holds",
    summary: "keep the evidence about a person, target, environment or session",
    right: Right::Control(ControlAction::HoldEvidence),
    weight: Weight::Light,
    example: Example {
        target: "/v1/holds",
        body: Some(r#"{"scope":{"kind":"subject","name":"bob"},"reason":"case 2026-17"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<HoldBody>,
) -> Result<(StatusCode, Json<Hold>), Problem> {
    let made = control.place_hold(caller.who(), body).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
