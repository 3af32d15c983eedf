//! `POST /v1/recordings/verify`. Holds recordings against the audit log: one session's, or all.
//!
//! A line of JSON for each; the last one says that it is the last.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::ControlAction;
use serde::Deserialize;

use crate::body::Asked;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::lines::Streams;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/recordings/verify",
    summary: "hold recordings against the audit log",
    right: Right::Control(ControlAction::ReadRecordings),
    weight: Weight::Stream,
    example: Example { target: "/v1/recordings/verify", body: None },
    route: |method| on(method, handle),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyQuery {
    #[serde(default)]
    session: Option<String>,
}

async fn handle(
    State(control): State<Control>,
    State(streams): State<Streams>,
    caller: Caller,
    Asked(query): Asked<VerifyQuery>,
) -> Result<Response, Problem> {
    let stream = streams.open(caller, ControlAction::ReadRecordings)?;
    let who = stream.caller().who();
    let results = control.verify_recordings(who, query.session.as_deref()).await?;
    Ok(stream.lines(results))
}
