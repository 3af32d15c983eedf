//! `POST /v1/changes/{id}/deny`. Refuses a change, or withdraws one's own.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{NotedChangeView, ReasonBody};
use portcullis_domain::ControlAction;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/changes/{id}/deny",
    summary: "refuse a change, or withdraw one's own",
    right: Right::Control(ControlAction::ApplyResources),
    weight: Weight::Light,
    example: Example {
        target: "/v1/changes/chg-0198f0000000700080000000000000aa/deny",
        body: Some(r#"{"reason":"not now"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
    Sent(body): Sent<ReasonBody>,
) -> Result<Json<NotedChangeView>, Problem> {
    Ok(Json(control.deny_change(caller.who(), &id, body).await?))
}
