//! `GET /v1/ssh-config`. Configuration for an OpenSSH client.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::SshConfigView;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/ssh-config",
    summary: "configuration for an unmodified OpenSSH client",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/ssh-config", body: None },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<SshConfigView>, Problem> {
    Ok(Json(control.ssh_config(caller.who())?))
}
