//! `GET /healthz`. Says that the process answers, nothing more.

use axum::routing::on;

use crate::endpoint::{Endpoint, Example, Method, Right, Weight};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/healthz",
    summary: "whether the process is alive",
    right: Right::Anonymous,
    weight: Weight::Light,
    example: Example { target: "/healthz", body: None },
    route: |method| on(method, handle),
};

async fn handle() -> &'static str {
    "alive\n"
}
