//! `GET /v1/grants`. One's own grants, or all with the right.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::AccessQuery;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::Listed;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/grants",
    summary: "grants the caller may see",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/grants?mine=true", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(query, paging): Listed<AccessQuery>,
) -> Result<Response, Problem> {
    paging.answer(control.grants(caller.who(), query, &paging.asked()).await?)
}
