//! `GET /v1/whoami`. The caller's name, roles and rights.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::WhoamiView;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/whoami",
    summary: "who the caller is, and which rights they hold",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/whoami", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<WhoamiView>, Problem> {
    Ok(Json(control.whoami(caller.who()).await?))
}
