//! `GET /v1/people`. Everybody, with groups and roles.

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
    path: "/v1/people",
    summary: "people with their groups and roles",
    right: Right::Control(ControlAction::ReadResources),
    weight: Weight::Light,
    example: Example { target: "/v1/people", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(Any {}, paging): Listed<Any>,
) -> Result<Response, Problem> {
    paging.of(control.people(caller.who()).await?, |one| one.name.to_string())
}
