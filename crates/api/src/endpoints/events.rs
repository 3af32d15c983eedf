//! `GET /v1/events`. Which lists have changed, as they do, for pages that are open.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_domain::ControlAction;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::lines::Streams;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/events",
    summary: "which lists have changed, as they do",
    right: Right::SignedIn,
    weight: Weight::Stream,
    example: Example { target: "/v1/events", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    State(streams): State<Streams>,
    caller: Caller,
) -> Result<Response, Problem> {
    let stream = streams.open(caller, None::<ControlAction>)?;
    let events = control.events(stream.caller().who()).await?;
    Ok(stream.lines(events))
}
