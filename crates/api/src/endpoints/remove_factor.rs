//! `POST /v1/me/factors/{id}/remove`. Takes one of the caller's factors away.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::ProofBody;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/me/factors/{id}/remove",
    summary: "remove a factor",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/me/factors/fct-0198f0000000700080000000000000aa/remove",
        body: Some(r#"{"password":"correct horse battery staple"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named(id): Named<String>,
    Sent(body): Sent<ProofBody>,
) -> Result<StatusCode, Problem> {
    control.remove_factor(caller.who(), caller.token(), &id, body).await?;
    Ok(StatusCode::NO_CONTENT)
}
