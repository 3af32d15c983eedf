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

async fn handle(State(control): State<Control>) -> Result<String, Problem> {
    let reasons = control.readiness();
    if !reasons.is_empty() {
        return Err(Problem::not_ready(&reasons));
    }
    // Anybody may ask: how many things are wrong with the witnesses, not which.
    Ok(match control.witness_notices().len() {
        0 => "ready\n".into(),
        count => format!("ready\n{count} notices about the log's witnesses; see the log\n"),
    })
}
