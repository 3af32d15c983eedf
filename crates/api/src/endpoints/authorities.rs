//! `GET /v1/authorities`. Public keys targets and clients are to trust.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::AuthoritiesView;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/authorities",
    summary: "public keys of the certificate authorities",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/authorities", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<AuthoritiesView>, Problem> {
    Ok(Json(control.authorities(caller.who())?))
}
