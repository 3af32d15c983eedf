//! `POST /v1/plan`. What an apply would do.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{PlanBody, PlanView};
use portcullis_domain::ControlAction;

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/plan",
    summary: "what applying these resources would change, also in who reaches what",
    right: Right::Control(ControlAction::ApplyResources),
    weight: Weight::Heavy,
    example: Example { target: "/v1/plan", body: Some(r#"{"files":[]}"#) },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<PlanBody>,
) -> Result<Json<PlanView>, Problem> {
    Ok(Json(control.plan(caller.who(), body).await?))
}
