//! `GET /v1/audit/search`. Entries of the audit log that meet every condition, one line of JSON each.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::AuditQuery;
use portcullis_domain::ControlAction;

use crate::body::Asked;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::lines;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/audit/search",
    summary: "find entries of the audit log",
    right: Right::Control(ControlAction::ReadAudit),
    weight: Weight::Heavy,
    example: Example { target: "/v1/audit/search?user=bob&limit=10", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Asked(query): Asked<AuditQuery>,
) -> Result<Response, Problem> {
    lines::all(&control.audit_search(caller.who(), query).await?)
}
