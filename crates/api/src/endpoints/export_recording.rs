//! `GET /v1/sessions/{id}/recording`. A recording as frames or asciicast; what was typed only on request.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{RecordingFormat, RecordingWanted};
use portcullis_domain::ControlAction;

use crate::body::{Asked, Named};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::lines::Streams;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/sessions/{id}/recording",
    summary: "the recording of a session",
    right: Right::Control(ControlAction::ReadRecordings),
    weight: Weight::Stream,
    example: Example {
        target: "/v1/sessions/ses-0198f0000000700080000000000000aa/recording?format=asciicast-v2",
        body: None,
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    State(streams): State<Streams>,
    caller: Caller,
    Named(id): Named<String>,
    Asked(query): Asked<RecordingWanted>,
) -> Result<Response, Problem> {
    let stream = streams.open(caller, ControlAction::ReadRecordings)?;
    let who = stream.caller().who();
    let pieces = control.recording(who, &id, query).await?;
    let media = match query.format {
        RecordingFormat::Frames => "application/x-ndjson",
        RecordingFormat::AsciicastV2 | RecordingFormat::AsciicastV3 => "application/x-asciicast",
    };
    Ok(stream.pieces(pieces, media))
}
