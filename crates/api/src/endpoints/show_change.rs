//! `GET /v1/changes/{id}`. One of them, with what it would do now.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::NotedChangeView;
use portcullis_domain::ControlAction;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/changes/{id}",
    summary: "a change that waits, with what it would do",
    right: Right::Control(ControlAction::ReadResources),
    weight: Weight::Heavy,
    example: Example { target: "/v1/changes/chg-0198f0000000700080000000000000aa", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<NotedChangeView>, Problem> {
    Ok(Json(control.change(caller.who(), &id).await?))
}
