//! `GET /v1/me/factors`. The caller's factors.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::FactorsView;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/me/factors",
    summary: "the caller's factors",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/me/factors", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<FactorsView>, Problem> {
    Ok(Json(control.own_factors(caller.who()).await?))
}
