//! `GET /v1/recordings/search`. What was on the screen and what was typed, across sessions.
//!
//! A line of JSON for each line found; the last one says that it is the last.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::TextQuery;
use portcullis_domain::ControlAction;

use crate::body::Asked;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::lines::Streams;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/recordings/search",
    summary: "find text in recordings",
    right: Right::Control(ControlAction::ReadRecordings),
    weight: Weight::Stream,
    example: Example { target: "/v1/recordings/search?text=drop+table&limit=10", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    State(streams): State<Streams>,
    caller: Caller,
    Asked(query): Asked<TextQuery>,
) -> Result<Response, Problem> {
    let stream = streams.open(caller, ControlAction::ReadRecordings)?;
    let found = control.search_recordings(stream.caller().who(), query).await?;
    Ok(stream.lines(found))
}
