//! `GET /v1/policies`. The policies in force, as Cedar.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::ControlAction;
use serde::Deserialize;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::Listed;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/policies",
    summary: "the policies in force, of one role or all",
    right: Right::Control(ControlAction::ReadResources),
    weight: Weight::Light,
    example: Example { target: "/v1/policies?of=builtin", body: None },
    route: |method| on(method, handle),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoliciesQuery {
    #[serde(default)]
    of: Option<String>,
}

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(query, paging): Listed<PoliciesQuery>,
) -> Result<Response, Problem> {
    let found = control.policies(caller.who(), query.of.as_deref()).await?;
    paging.of(found, |policy| policy.id.to_string())
}
