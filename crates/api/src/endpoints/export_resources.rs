//! `GET /v1/export`. Every resource in force, as one YAML stream.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::ControlAction;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/export",
    summary: "every resource in force, as YAML that can be applied",
    right: Right::Control(ControlAction::ReadResources),
    weight: Weight::Heavy,
    example: Example { target: "/v1/export", body: None },
    route: |method| on(method, handle),
};

async fn handle(State(control): State<Control>, caller: Caller) -> Result<Response, Problem> {
    let yaml = control.export(caller.who()).await?;
    Ok(([(CONTENT_TYPE, "text/yaml; charset=utf-8")], yaml).into_response())
}
