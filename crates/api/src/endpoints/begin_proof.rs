//! `POST /v1/me/challenge`. A challenge for a browser to prove a factor with.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ChallengeView;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/me/challenge",
    summary: "begin to prove a factor with a passkey",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/me/challenge", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<ChallengeView>, Problem> {
    Ok(Json(control.challenge(caller.who(), caller.token()).await?))
}
