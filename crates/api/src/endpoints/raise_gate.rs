//! `POST /v1/environments/{environment}/raise`. One voice for raising the gate again.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{RaiseView, ReasonBody};
use portcullis_domain::ControlAction;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/environments/{environment}/raise",
    summary: "take part in raising the gate of an environment",
    right: Right::Control(ControlAction::Drop),
    weight: Weight::Light,
    example: Example {
        target: "/v1/environments/production/raise",
        body: Some(r#"{"reason":"intruder gone"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(environment): Named<String>,
    Sent(body): Sent<ReasonBody>,
) -> Result<Json<RaiseView>, Problem> {
    Ok(Json(control.raise_gate(caller.who(), &environment, body).await?))
}
