//! `GET /v1/who-can`. Everyone who may do something to a target.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::{ActionKind, ControlAction};
use serde::Deserialize;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::Listed;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/who-can",
    summary: "who may do something, and how",
    right: Right::Control(ControlAction::ReadResources),
    weight: Weight::Heavy,
    example: Example { target: "/v1/who-can?action=shell&target=web-1", body: None },
    route: |method| on(method, handle),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhoCanQuery {
    action: ActionKind,
    target: String,
}

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(query, paging): Listed<WhoCanQuery>,
) -> Result<Response, Problem> {
    let found = control.who_can(caller.who(), query.action, &query.target).await?;
    paging.of(found, |can| format!("{} {}", can.user, can.how))
}
