//! `POST /v1/environments/{environment}/drop`. Drops the gate of an environment.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ReasonBody;
use portcullis_domain::{ControlAction, Lock};

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/environments/{environment}/drop",
    summary: "drop the gate of an environment: everybody out, nobody in",
    right: Right::Control(ControlAction::Drop),
    weight: Weight::Light,
    example: Example {
        target: "/v1/environments/production/drop",
        body: Some(r#"{"reason":"intruder"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(environment): Named<String>,
    Sent(body): Sent<ReasonBody>,
) -> Result<Json<Lock>, Problem> {
    Ok(Json(control.drop_gate(caller.who(), &environment, body).await?))
}
