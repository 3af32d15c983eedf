//! `POST /v1/requests/{id}/deny`. Denies; whether the caller may is a matter of the approval rule.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{DecidedView, ReasonBody};

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/requests/{id}/deny",
    summary: "deny an access request",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/requests/req-0198f0000000700080000000000000aa/deny",
        body: Some(r#"{"reason":"not during the freeze"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
    Sent(body): Sent<ReasonBody>,
) -> Result<Json<DecidedView>, Problem> {
    Ok(Json(control.deny(caller.who(), &id, body).await?))
}
