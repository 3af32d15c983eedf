//! `GET /v1/requests/{id}`. One access request.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::RequestView;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/requests/{id}",
    summary: "one access request",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/requests/req-0198f0000000700080000000000000aa", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<RequestView>, Problem> {
    Ok(Json(control.get_request(caller.who(), &id).await?))
}
