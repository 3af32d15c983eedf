//! `GET /v1/audit/exports`. How the exports of the audit log stand.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::ControlAction;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::{Any, Listed};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/audit/exports",
    summary: "exports of this node's audit log: cursor, lag, last error",
    right: Right::Control(ControlAction::ReadAudit),
    weight: Weight::Light,
    example: Example { target: "/v1/audit/exports", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(Any {}, paging): Listed<Any>,
) -> Result<Response, Problem> {
    paging.of(control.audit_exports(caller.who()).await?, |export| export.name.clone())
}
