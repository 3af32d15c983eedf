//! `GET /v1/audit/export`. A copy of the audit log that verifies alone, as a tar archive.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::{ControlAction, Timestamp};
use serde::Deserialize;

use crate::body::Asked;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::lines::Streams;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/audit/export",
    summary: "a copy of the audit log that verifies alone",
    right: Right::Control(ControlAction::ReadAudit),
    weight: Weight::Stream,
    example: Example { target: "/v1/audit/export?from=2026-11-22T14:00:00Z", body: None },
    route: |method| on(method, handle),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    to: Option<Timestamp>,
}

async fn handle(
    State(control): State<Control>,
    State(streams): State<Streams>,
    caller: Caller,
    Asked(query): Asked<ExportQuery>,
) -> Result<Response, Problem> {
    let stream = streams.open(caller, ControlAction::ReadAudit)?;
    let pieces = control.audit_export(stream.caller().who(), query.from, query.to).await?;
    Ok(stream.pieces(pieces, "application/x-tar"))
}
