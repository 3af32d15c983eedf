//! `POST /v1/me/recovery-codes`. New recovery codes, shown this once.

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use portcullis_control::Control;
use portcullis_control::view::{ProofBody, RecoveryCodesView};

use crate::body::Sent;
use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/me/recovery-codes",
    summary: "make new recovery codes in place of the old ones",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example {
        target: "/v1/me/recovery-codes",
        body: Some(r#"{"password":"correct horse battery staple"}"#),
    },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    caller: Caller,
    Sent(body): Sent<ProofBody>,
) -> Result<Json<RecoveryCodesView>, Problem> {
    Ok(Json(control.recovery_codes(caller.who(), caller.token(), body).await?))
}
