//! `POST /v1/logout`. Ends the caller's token; other sign-ins of theirs stay.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/logout",
    summary: "end the token this is called with",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/logout", body: None },
    route: |method| on(method, handle),
};

async fn handle(State(control): State<Control>, caller: Caller) -> Result<StatusCode, Problem> {
    control.logout(caller.who(), caller.token()).await?;
    Ok(StatusCode::NO_CONTENT)
}
