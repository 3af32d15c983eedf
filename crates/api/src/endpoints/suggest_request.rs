//! `GET /v1/suggestions`. What the caller could ask for, after what they were refused.

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
    path: "/v1/suggestions",
    summary: "the smallest request for what the caller was refused",
    right: Right::SignedIn,
    weight: Weight::Heavy,
    example: Example { target: "/v1/suggestions", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(Any {}, paging): Listed<Any>,
) -> Result<Response, Problem> {
    paging.of(control.suggest(caller.who()).await?, |suggestion| {
        format!("{} {}", suggestion.target, suggestion.at)
    })
}
