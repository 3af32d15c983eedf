//! `POST /v1/requests`. Asks for access; others decide.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{RequestBody, RequestView};

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/requests",
    summary: "ask for access to a target",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/requests",
        body: Some(r#"{"target":"web-1","duration":"1h","reason":"restart the service"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<RequestBody>,
) -> Result<(StatusCode, Json<RequestView>), Problem> {
    let made = control.request(caller.who(), body).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
