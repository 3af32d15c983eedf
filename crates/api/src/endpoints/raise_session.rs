//! `POST /v1/session/factor`. A second factor for a browser that has signed in already; its cookie is
//! replaced.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use portcullis_control::view::ProofBody;
use portcullis_control::{Carrier, Control};

use crate::body::Sent;
use crate::caller::Caller;
use crate::cookie;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::origin::Scheme;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Post,
    path: "/v1/session/factor",
    summary: "prove a second factor now; the cookie is replaced by another",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/session/factor", body: Some(r#"{"code":"000000"}"#) },
    route: |method| on(method, handle),
};

async fn handle(
    State(control): State<Control>,
    scheme: Scheme,
    caller: Caller,
    Sent(body): Sent<ProofBody>,
) -> Result<Response, Problem> {
    if caller.carrier() != Carrier::Cookie {
        return Err(Problem::invalid(
            "this is for browsers; a program signs in again with its code: `portcullis login USER`",
        ));
    }
    let raised = control.raise_web_session(caller.who(), caller.token(), body).await?;
    let mut response = Json(raised.view).into_response();
    cookie::keep(response.headers_mut(), scheme, &raised.token)?;
    Ok(response)
}
