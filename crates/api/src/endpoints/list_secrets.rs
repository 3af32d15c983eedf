//! `GET /v1/environments/{environment}/secrets`. Names of an environment's secrets, never their values.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::ControlAction;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::{Any, Listed};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/environments/{environment}/secrets",
    summary: "names of the secrets of an environment",
    right: Right::Control(ControlAction::ManageCredentials),
    weight: Weight::Light,
    example: Example { target: "/v1/environments/production/secrets", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(environment): Named<String>,
    Listed(Any {}, paging): Listed<Any>,
) -> Result<Response, Problem> {
    paging.of(control.secret_names(caller.who(), &environment).await?, Clone::clone)
}
