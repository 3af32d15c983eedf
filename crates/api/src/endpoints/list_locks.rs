//! `GET /v1/locks`. Locks in force.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::{Any, Listed};
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
    Listed(Any {}, paging): Listed<Any>,
) -> Result<Response, Problem> {
    paging.of(control.locks(caller.who()).await?, |lock| lock.id.to_string())
}
