//! `GET /v1/audit/tail`. Entries of the audit log as they are written, one line of JSON each.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::ControlAction;
use serde::Deserialize;

use crate::body::Asked;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::lines::Streams;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/audit/tail",
    summary: "follow the audit log",
    right: Right::Control(ControlAction::ReadAudit),
    weight: Weight::Stream,
    example: Example { target: "/v1/audit/tail?from=0", body: None },
    route: |method| on(method, handle),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TailQuery {
    #[serde(default)]
    from: Option<u64>,
}

async fn handle(
    State(control): State<Control>,
    State(streams): State<Streams>,
    caller: Caller,
    Asked(query): Asked<TailQuery>,
) -> Result<Response, Problem> {
    let stream = streams.open(caller, ControlAction::ReadAudit)?;
    let entries = control.audit_tail(stream.caller().who(), query.from).await?;
    Ok(stream.lines(entries))
}
