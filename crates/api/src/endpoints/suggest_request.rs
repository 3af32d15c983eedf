//! `GET /v1/suggestions`. What the caller could ask for, after what they were refused.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::SuggestionView;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/suggestions",
    summary: "the smallest request for what the caller was refused",
    right: Right::SignedIn,
    weight: Weight::Heavy,
    example: Example { target: "/v1/suggestions", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<Vec<SuggestionView>>, Problem> {
    Ok(Json(control.suggest(caller.who()).await?))
}
