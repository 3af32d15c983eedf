//! `GET /readyz`. Says whether the gate lets people in.

use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;

use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/readyz",
    summary: "whether the gate lets people in, and why not",
    right: Right::Anonymous,
    weight: Weight::Light,
    example: Example { target: "/readyz", body: None },
    route: |method| on(method, handle),
};

async fn handle(State(control): State<Control>) -> Result<&'static str, Problem> {
    let reasons = control.readiness();
    if reasons.is_empty() { Ok("ready\n") } else { Err(Problem::not_ready(&reasons)) }
}
