//! `GET /v1/environments`. The map: every environment with its targets.

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
    path: "/v1/environments",
    summary: "environments with what guards them and their targets",
    right: Right::Control(ControlAction::ReadResources),
    weight: Weight::Light,
    example: Example { target: "/v1/environments", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(Any {}, paging): Listed<Any>,
) -> Result<Response, Problem> {
    paging.of(control.environments(caller.who()).await?, |one| one.name.to_string())
}
