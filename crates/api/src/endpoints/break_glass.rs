//! `POST /v1/break-glass`. Access without approval, in an emergency; opens a review.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{BreakGlassBody, BrokenView};

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/break-glass",
    summary: "take a break-glass role out",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/break-glass",
        body: Some(r#"{"targets":["web-1"],"reason":"the site is down","duration":"30m"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<BreakGlassBody>,
) -> Result<(StatusCode, Json<BrokenView>), Problem> {
    let made = control.break_glass(caller.who(), body).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
