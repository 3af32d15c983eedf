//! `GET /v1/me/sign-ins`. What the caller is signed in with, newest first.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::SignInRow;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/me/sign-ins",
    summary: "programs and browsers the caller is signed in with",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/me/sign-ins", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<Vec<SignInRow>>, Problem> {
    Ok(Json(control.sign_ins(caller.who(), caller.presented().sign_in).await?))
}
