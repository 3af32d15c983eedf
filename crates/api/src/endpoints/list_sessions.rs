//! `GET /v1/sessions`. One's own sessions, or everyone's with the right.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::SessionQuery;
use portcullis_domain::ControlAction;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::Listed;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/sessions",
    summary: "sessions, live and past",
    right: Right::OwnOr(ControlAction::ListSessions),
    weight: Weight::Light,
    example: Example { target: "/v1/sessions?user=bob", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(query, paging): Listed<SessionQuery>,
) -> Result<Response, Problem> {
    paging.answer(control.sessions(caller.who(), query, &paging.asked()).await?)
}
