//! `POST /v1/changes/{id}/approve`. Agrees to a change of another person and puts it in force.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::PlanView;
use portcullis_domain::ControlAction;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/changes/{id}/approve",
    summary: "approve a change another person proposed",
    right: Right::Control(ControlAction::ApplyResources),
    weight: Weight::Heavy,
    example: Example {
        target: "/v1/changes/chg-0198f0000000700080000000000000aa/approve",
        body: None,
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<PlanView>, Problem> {
    Ok(Json(control.approve_change(caller.who(), &id).await?))
}
