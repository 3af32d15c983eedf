//! `POST /v1/users/{user}/credentials/reset`. Resets another person's credentials; never one's own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{ResetBody, ResetView};
use portcullis_domain::ControlAction;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/users/{user}/credentials/reset",
    summary: "propose to give another person a temporary password and take their factors away",
    right: Right::Control(ControlAction::ManageCredentials),
    weight: Weight::Light,
    example: Example {
        target: "/v1/users/bob/credentials/reset",
        body: Some(r#"{"password":"a temporary horse battery","reason":"lost phone"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(user): Named<String>,
    Sent(body): Sent<ResetBody>,
) -> Result<(StatusCode, Json<ResetView>), Problem> {
    let proposed = control.reset_credentials(caller.who(), &user, body).await?;
    Ok((StatusCode::ACCEPTED, Json(proposed)))
}
