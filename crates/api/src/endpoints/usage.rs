//! `GET /v1/usage`. What was given, what was used of it, and the smaller roles that would have done.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{UsageQuery, UsageView};
use portcullis_domain::ControlAction;

use crate::body::Asked;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/usage",
    summary: "what was given and what was used of it",
    right: Right::Control(ControlAction::ReadAudit),
    weight: Weight::Heavy,
    example: Example { target: "/v1/usage?window_seconds=86400", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Asked(query): Asked<UsageQuery>,
) -> Result<Json<UsageView>, Problem> {
    Ok(Json(control.usage(caller.who(), query).await?))
}
