//! `GET /v1/holds`. Evidence holds in force.

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
    path: "/v1/holds",
    summary: "evidence holds in force",
    right: Right::Control(ControlAction::HoldEvidence),
    weight: Weight::Light,
    example: Example { target: "/v1/holds", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(Any {}, paging): Listed<Any>,
) -> Result<Response, Problem> {
    paging.of(control.evidence_holds(caller.who()).await?, |hold| hold.id.to_string())
}
