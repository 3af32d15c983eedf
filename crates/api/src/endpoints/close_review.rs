//! `POST /v1/reviews/{id}/close`. Somebody else says what they found; the role is free again.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{FindingsBody, ReviewView};
use portcullis_domain::ControlAction;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/reviews/{id}/close",
    summary: "close the review of another person's use",
    right: Right::Control(ControlAction::ReviewUses),
    weight: Weight::Light,
    example: Example {
        target: "/v1/reviews/rev-0198f0000000700080000000000000aa/close",
        body: Some(r#"{"findings":"restarted the web server, nothing else"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
    Sent(body): Sent<FindingsBody>,
) -> Result<Json<ReviewView>, Problem> {
    Ok(Json(control.close_review(caller.who(), &id, body).await?))
}
