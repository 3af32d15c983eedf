//! `GET /v1/me/reach`. What the caller can reach, and what stands between.

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
    path: "/v1/me/reach",
    summary: "targets the caller can reach, or could",
    right: Right::SignedIn,
    weight: Weight::Heavy,
    example: Example { target: "/v1/me/reach", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(Any {}, paging): Listed<Any>,
) -> Result<Response, Problem> {
    paging.of(control.my_reach(caller.who()).await?, |one| one.target.to_string())
}
