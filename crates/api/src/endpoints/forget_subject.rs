//! `POST /v1/audit/forget`. Erases a person from the evidence, once a second person asks too.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{ForgetBody, ForgetView};
use portcullis_domain::ControlAction;

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/audit/forget",
    summary: "erase a person from the evidence",
    right: Right::Control(ControlAction::ForgetSubjects),
    weight: Weight::Heavy,
    example: Example {
        target: "/v1/audit/forget",
        body: Some(r#"{"subject":"nobody-at-all","reason":"request 2026-4"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<ForgetBody>,
) -> Result<Json<ForgetView>, Problem> {
    Ok(Json(control.forget(caller.who(), body).await?))
}
