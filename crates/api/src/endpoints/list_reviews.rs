//! `GET /v1/reviews`. Reviews of uses of break-glass roles.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ReviewsQuery;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::Listed;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/reviews",
    summary: "reviews of uses of break-glass roles the caller may see",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/reviews?all=true", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Listed(query, paging): Listed<ReviewsQuery>,
) -> Result<Response, Problem> {
    paging.of(control.reviews(caller.who(), query).await?, |view| view.review.id.to_string())
}
