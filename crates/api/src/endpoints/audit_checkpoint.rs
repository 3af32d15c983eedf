//! `GET /v1/audit/checkpoint`. The latest signed checkpoint; keep it somewhere else.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::CheckpointView;
use portcullis_domain::ControlAction;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/audit/checkpoint",
    summary: "the audit log's latest signed checkpoint",
    right: Right::Control(ControlAction::ReadAudit),
    weight: Weight::Light,
    example: Example { target: "/v1/audit/checkpoint", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<CheckpointView>, Problem> {
    Ok(Json(control.audit_checkpoint(caller.who()).await?))
}
