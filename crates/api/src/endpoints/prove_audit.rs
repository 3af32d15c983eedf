//! `GET /v1/audit/entries/{id}/proof`. A proof that one entry is in the log.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ProofView;
use portcullis_domain::ControlAction;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/audit/entries/{id}/proof",
    summary: "a proof that an entry, by index or event id, is in the audit log",
    right: Right::Control(ControlAction::ReadAudit),
    weight: Weight::Heavy,
    example: Example {
        target: "/v1/audit/entries/evt-0198f0000000700080000000000000aa/proof",
        body: None,
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<ProofView>, Problem> {
    Ok(Json(control.audit_prove(caller.who(), &id).await?))
}
