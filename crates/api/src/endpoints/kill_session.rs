//! `POST /v1/sessions/{id}/kill`. Ends a live session.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{ReasonBody, SessionRow};
use portcullis_domain::ControlAction;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/sessions/{id}/kill",
    summary: "end a live session",
    right: Right::Control(ControlAction::KillSessions),
    weight: Weight::Light,
    example: Example {
        target: "/v1/sessions/ses-0198f0000000700080000000000000aa/kill",
        body: Some(r#"{"reason":"wrong host"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
    Sent(body): Sent<ReasonBody>,
) -> Result<Json<SessionRow>, Problem> {
    Ok(Json(control.kill(caller.who(), &id, body).await?))
}
