//! `PUT /v1/environments/{environment}/secrets/{name}`. Stores a secret; there is no call that reads one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::SecretBody;
use portcullis_domain::ControlAction;

use crate::body::{Named, Sent};
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Put,
    path: "/v1/environments/{environment}/secrets/{name}",
    summary: "store a secret of an environment",
    right: Right::Control(ControlAction::ManageCredentials),
    weight: Weight::Light,
    example: Example {
        target: "/v1/environments/production/secrets/web-1",
        body: Some(r#"{"value":"s3cret"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Named((environment, name)): Named<(String, String)>,
    Sent(body): Sent<SecretBody>,
) -> Result<StatusCode, Problem> {
    control.put_secret(caller.who(), &environment, &name, body).await?;
    Ok(StatusCode::NO_CONTENT)
}
