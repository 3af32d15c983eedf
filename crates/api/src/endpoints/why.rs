//! `GET /v1/why`. A decision explained.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{WhyQuery, WhyView};
use portcullis_domain::ControlAction;

use crate::body::Asked;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/why",
    summary: "why a person may or may not do something",
    right: Right::OwnOr(ControlAction::ReadResources),
    weight: Weight::Light,
    example: Example { target: "/v1/why?user=bob&action=shell&target=web-1", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Asked(query): Asked<WhyQuery>,
) -> Result<Json<WhyView>, Problem> {
    Ok(Json(control.why(caller.who(), query).await?))
}
