//! `GET /v1/session`. The sign-in this is called with; a page that was reloaded begins here.

use axum::Json;
use axum::routing::on;
use portcullis_control::view::WebSessionView;
use portcullis_control::{Carrier, csrf_of};

use crate::caller::Caller;
use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/session",
    summary: "the sign-in this is called with",
    right: Right::SignedIn,
    weight: Weight::Light,
    example: Example { target: "/v1/session", body: None },
    route: |method| on(method, handle),
};

async fn handle(caller: Caller) -> Result<Json<WebSessionView>, Problem> {
    let presented = caller.presented();
    Ok(Json(WebSessionView {
        user: presented.who.user().clone(),
        sign_in: presented.sign_in,
        expires: presented.expires,
        csrf: match caller.carrier() {
            Carrier::Cookie => csrf_of(caller.token()),
            Carrier::Bearer => None,
        },
    }))
}
