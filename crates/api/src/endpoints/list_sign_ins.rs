//! `GET /v1/me/sign-ins`. What the caller is signed in with, newest first.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use portcullis_control::Control;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::pages::{Any, Listed};
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
    Listed(Any {}, paging): Listed<Any>,
) -> Result<Response, Problem> {
    let found = control.sign_ins(caller.who(), caller.presented().sign_in).await?;
    paging.of(found, |sign_in| sign_in.id.to_string())
}
