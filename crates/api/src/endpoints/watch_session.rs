//! `GET /v1/sessions/{id}/watch`. Frames of a live session as they happen, one line of JSON each.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::ControlAction;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::lines::Streams;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/sessions/{id}/watch",
    summary: "follow a live session",
    right: Right::Control(ControlAction::ReadRecordings),
    weight: Weight::Stream,
    example: Example {
        target: "/v1/sessions/ses-0198f0000000700080000000000000aa/watch",
        body: None,
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    State(streams): State<Streams>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    let stream = streams.open(caller, ControlAction::ReadRecordings)?;
    let frames = control.watch(stream.caller().who(), &id).await?;
    Ok(stream.lines(frames))
}
