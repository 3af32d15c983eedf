//! `GET /metrics`. Metrics of the node.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::endpoint::{Endpoint, Example, Method, Right, Weight};
use crate::measure;
use crate::problem::Problem;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: Method::Get,
    path: "/metrics",
    summary: "the node's metrics in Prometheus' text format",
    right: Right::Anonymous,
    weight: Weight::Light,
    example: Example { target: "/metrics", body: None },
    route: |method| on(method, handle),
};

async fn handle(State(metrics): State<PrometheusHandle>) -> Result<Response, Problem> {
    let rendered = tokio::task::spawn_blocking(move || measure::render(&metrics)).await;
    let text = rendered.map_err(|_| Problem::internal())?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
