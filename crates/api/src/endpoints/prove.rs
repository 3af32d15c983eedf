//! `POST /v1/prove`. The invariants of what is in force, or of what files would make of it.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{InvariantsView, ProveBody};
use portcullis_domain::ControlAction;

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/prove",
    summary: "prove the invariants of what is in force, or of what applying resources would make",
    right: Right::Control(ControlAction::ReadResources),
    weight: Weight::Heavy,
    example: Example { target: "/v1/prove", body: Some("{}") },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<ProveBody>,
) -> Result<Json<InvariantsView>, Problem> {
    Ok(Json(control.prove(caller.who(), body.change).await?))
}
