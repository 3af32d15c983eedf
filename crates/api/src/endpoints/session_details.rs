//! `GET /v1/sessions/{id}`. All there is to know of one session.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::SessionView;
use portcullis_domain::ControlAction;

use crate::body::Named;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/sessions/{id}",
    summary: "a session: who, grant, terms, channels, chunks and their places in the log",
    right: Right::OwnOr(ControlAction::ListSessions),
    weight: Weight::Light,
    example: Example { target: "/v1/sessions/ses-0198f0000000700080000000000000aa", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<SessionView>, Problem> {
    Ok(Json(control.session_view(caller.who(), &id).await?))
}
