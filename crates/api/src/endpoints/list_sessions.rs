//! `GET /v1/sessions`. One's own sessions, or everyone's with the right.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{SessionQuery, SessionRow};
use portcullis_domain::ControlAction;

use crate::body::Asked;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/sessions",
    summary: "sessions, live and past",
    right: Right::OwnOr(ControlAction::ListSessions),
    weight: Weight::Light,
    example: Example { target: "/v1/sessions?user=bob", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Asked(query): Asked<SessionQuery>,
) -> Result<Json<Vec<SessionRow>>, Problem> {
    Ok(Json(control.sessions(caller.who(), query).await?))
}
