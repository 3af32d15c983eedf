//! `GET /v1/openapi.json`. The API, described for programs.

use axum::Json;
use axum::routing::on;
use serde_json::Value;

use crate::endpoint::{Endpoint, Example, Method, Right, Weight};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/v1/openapi.json",
    summary: "this description (OpenAPI 3.1)",
    right: Right::Anonymous,
    weight: Weight::Light,
    example: Example { target: "/v1/openapi.json", body: None },
    route: |method| on(method, handle),
};

async fn handle() -> Json<Value> {
    Json(crate::openapi::openapi())
}
