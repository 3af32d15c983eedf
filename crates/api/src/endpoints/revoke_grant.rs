//! `POST /v1/grants/{id}/revoke`. Ends a grant and the sessions under it.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{ReasonBody, RevokeView};
use portcullis_domain::ControlAction;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/grants/{id}/revoke",
    summary: "end a grant early",
    right: Right::OwnOr(ControlAction::RevokeGrants),
    weight: Weight::Light,
    example: Example {
        target: "/v1/grants/grt-0198f0000000700080000000000000aa/revoke",
        body: Some(r#"{"reason":"done"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
    Sent(body): Sent<ReasonBody>,
) -> Result<Json<RevokeView>, Problem> {
    Ok(Json(control.revoke(caller.who(), &id, body).await?))
}
