//! `GET /v1/changes`. Changes that wait for a second person.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ChangesQuery;
use portcullis_domain::ControlAction;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::Listed;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/changes",
    summary: "changes that wait for a second person",
    right: Right::Control(ControlAction::ReadResources),
    weight: Weight::Light,
    example: Example { target: "/v1/changes?all=true", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(query, paging): Listed<ChangesQuery>,
) -> Result<Response, Problem> {
    paging.answer(control.changes(caller.who(), query.all, &paging.asked()).await?)
}
