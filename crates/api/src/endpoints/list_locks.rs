//! `GET /v1/locks`. Locks in force.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::Lock;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/locks",
    summary: "locks in force",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/locks", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<Vec<Lock>>, Problem> {
    Ok(Json(control.locks(caller.who()).await?))
}
