//! `GET /v1/resources`. Resources in force.

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
    path: "/v1/resources",
    summary: "resources in force, by kind and name",
    right: Right::Control(ControlAction::ReadResources),
    weight: Weight::Light,
    example: Example { target: "/v1/resources?kind=User&name=alice", body: None },
    route: |method| on(method, handle),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceQuery {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(query, paging): Listed<ResourceQuery>,
) -> Result<Response, Problem> {
    let (kind, name) = (query.kind.as_deref(), query.name.as_deref());
    let found = control.resources(caller.who(), kind, name).await?;
    paging.of(found, |resource| format!("{}/{}", resource.kind, resource.name))
}
