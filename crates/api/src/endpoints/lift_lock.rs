//! `DELETE /v1/locks/{id}`. Lifts a lock.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::{ControlAction, Lock};

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Delete,
    path: "/v1/locks/{id}",
    summary: "lift a lock",
    right: Right::Control(ControlAction::Lock),
    weight: Weight::Light,
    example: Example { target: "/v1/locks/lck-0198f0000000700080000000000000aa", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<Lock>, Problem> {
    Ok(Json(control.lift(caller.who(), &id).await?))
}
