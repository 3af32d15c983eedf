//! `DELETE /v1/holds/{id}`. Lifts an evidence hold that somebody else placed.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::{ControlAction, Hold};

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Delete,
    path: "/v1/holds/{id}",
    summary: "lift an evidence hold",
    right: Right::Control(ControlAction::HoldEvidence),
    weight: Weight::Light,
    example: Example { target: "/v1/holds/hld-0198f0000000700080000000000000aa", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<Hold>, Problem> {
    Ok(Json(control.lift_hold(caller.who(), &id).await?))
}
