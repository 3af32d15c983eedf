//! `GET /v1/reviews/{id}`. One review, with what was done.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ReviewView;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/reviews/{id}",
    summary: "a review of a use of a break-glass role",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/reviews/rev-0198f0000000700080000000000000aa", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<ReviewView>, Problem> {
    Ok(Json(control.review(caller.who(), &id).await?))
}
