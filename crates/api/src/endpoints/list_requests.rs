//! `GET /v1/requests`. One's own requests, those one may decide, or all with the right.

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
    path: "/v1/requests",
    summary: "access requests the caller may see",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/requests?open=true", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(query, paging): Listed<AccessQuery>,
) -> Result<Response, Problem> {
    paging.answer(control.requests(caller.who(), query, &paging.asked()).await?)
}
