//! `GET /v1/confirmations/{code}`. The client of the caller's that waits under a code.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ConfirmationView;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/confirmations/{code}",
    summary: "a client that waits for a factor proved elsewhere",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/confirmations/BCDF-GHJK", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(code): Named<String>,
) -> Result<Json<ConfirmationView>, Problem> {
    Ok(Json(control.confirmation(caller.who(), &code).await?))
}
