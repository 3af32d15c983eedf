//! `GET /v1/users/{user}/factors`. Another person's factors.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::FactorsView;
use portcullis_domain::ControlAction;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/users/{user}/factors",
    summary: "another person's factors",
    right: Right::Control(ControlAction::ManageCredentials),
    weight: Weight::Light,
    example: Example { target: "/v1/users/bob/factors", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(user): Named<String>,
) -> Result<Json<FactorsView>, Problem> {
    Ok(Json(control.factors(caller.who(), &user).await?))
}
