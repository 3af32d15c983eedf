//! `POST /v1/audit/verify`. Recomputes the audit log.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::VerifyView;
use portcullis_domain::ControlAction;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/audit/verify",
    summary: "recompute the audit log up to its checkpoint",
    right: Right::Control(ControlAction::ReadAudit),
    weight: Weight::Heavy,
    example: Example { target: "/v1/audit/verify", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<VerifyView>, Problem> {
    Ok(Json(control.audit_verify(caller.who()).await?))
}
