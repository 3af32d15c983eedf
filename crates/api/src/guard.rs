//! What every call passes before its handler sees it: who calls, how much may go on at once, how
//! long it may take; and what is noted about it afterwards.
//!
//! A call runs on a task of its own, to its end. A caller who hangs up, and a time limit, end the
//! waiting and not the work: a use case that was cut off between storing a change and having the
//! gate take it in would leave the gate behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRef, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use portcullis_control::Control;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::caller::{Caller, Peer};
use crate::endpoint::{Endpoint, Right, Weight};
use crate::lines::Streams;
use crate::measure;
use crate::origin::{self, Scheme};
use crate::problem::Problem;

/// Most calls at work at a time, including those whose callers have gone.
const MAX_CALLS: u32 = 1024;
/// Most heavy calls at work at a time; further ones wait before their body is read.
const MAX_HEAVY_CALLS: usize = 4;
/// Longest wait for a light answer, or for a stream to begin.
const LIGHT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a heavy answer; less than the command line waits.
const HEAVY_TIMEOUT: Duration = Duration::from_secs(110);
/// Largest body of a light call, in bytes.
const LIGHT_BODY_BYTES: usize = 1024 * 1024;
/// Largest body of a heavy call, in bytes: many files of resources.
const HEAVY_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Longest wait for calls at work when the node stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

impl Weight {
    /// Largest body.
    pub(crate) const fn max_body_bytes(self) -> usize {
        match self {
            Self::Light | Self::Stream => LIGHT_BODY_BYTES,
            Self::Heavy => HEAVY_BODY_BYTES,
        }
    }

    const fn timeout(self) -> Duration {
        match self {
            Self::Light | Self::Stream => LIGHT_TIMEOUT,
            Self::Heavy => HEAVY_TIMEOUT,
        }
    }
}

/// What endpoints work with.
#[derive(Clone)]
pub(crate) struct Api {
    control: Control,
    pub(crate) metrics: PrometheusHandle,
    streams: Streams,
    calls: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(
        control: Control,
        metrics: PrometheusHandle,
        stop: CancellationToken,
    ) -> Self {
        Self {
            streams: Streams::new(control.clone(), stop),
            control,
            metrics,
            calls: Arc::new(Semaphore::new(MAX_CALLS as usize)),
            heavy: Arc::new(Semaphore::new(MAX_HEAVY_CALLS)),
        }
    }

    /// Returns when no call is at work any more, or when it has waited long enough.
    pub(crate) async fn finish(&self) {
        let idle = tokio::time::timeout(FINISH_TIMEOUT, self.calls.acquire_many(MAX_CALLS)).await;
        if idle.is_err() {
            tracing::warn!("calls of the API are still at work; the node stops without them");
        }
    }
}

impl FromRef<Api> for Control {
    fn from_ref(api: &Api) -> Self {
        api.control.clone()
    }
}

impl FromRef<Api> for Streams {
    fn from_ref(api: &Api) -> Self {
        api.streams.clone()
    }
}

impl FromRef<Api> for PrometheusHandle {
    fn from_ref(api: &Api) -> Self {
        api.metrics.clone()
    }
}

/// The guard of one endpoint.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) api: Api,
    pub(crate) endpoint: &'static Endpoint,
}

/// Middleware: the way to a handler.
pub(crate) async fn pass(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let endpoint = guard.endpoint;
    let span = tracing::info_span!(
        "call",
        method = endpoint.method.as_str(),
        path = endpoint.path,
        user = Empty,
        status = Empty
    );
    let started = Instant::now();
    let response = guard.run(request, next, span.clone()).instrument(span.clone()).await;
    let (status, took) = (response.status(), started.elapsed());
    span.record("status", status.as_u16());
    span.in_scope(|| {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if endpoint.right == Right::Anonymous && status.is_success() {
            tracing::debug!(took_ms, "answered");
        } else {
            tracing::info!(took_ms, "answered");
        }
    });
    measure::call(endpoint, status.as_u16(), took);
    response
}

impl Guard {
    async fn run(self, request: Request, next: Next, span: Span) -> Response {
        let Ok(at_work) = self.api.calls.clone().try_acquire_owned() else {
            return Problem::busy().into_response();
        };
        let timeout = self.endpoint.weight.timeout();
        let work = tokio::spawn(
            async move {
                let response = self.admit(request, next).await;
                drop(at_work);
                response.unwrap_or_else(IntoResponse::into_response)
            }
            .instrument(span),
        );
        match tokio::time::timeout(timeout, work).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::error!(%error, "a call broke off");
                Problem::internal().into_response()
            }
            Err(_) => Problem::unfinished().into_response(),
        }
    }

    async fn admit(self, mut request: Request, next: Next) -> Result<Response, Problem> {
        let scheme = *request.extensions().get::<Scheme>().ok_or_else(Problem::internal)?;
        let (method, headers) = (request.method(), request.headers());
        origin::check(method, headers, scheme)?;
        if self.endpoint.right != Right::Anonymous {
            let peer = *request.extensions().get::<Peer>().ok_or_else(Problem::internal)?;
            let from = (peer, scheme);
            let caller = Caller::identify(&self.api.control, method, headers, from).await?;
            Span::current().record("user", tracing::field::display(caller.who().user()));
            request.extensions_mut().insert(caller);
        }
        let _turn = match self.endpoint.weight {
            Weight::Heavy => Some(self.api.heavy.acquire().await.map_err(|_| Problem::busy())?),
            Weight::Light | Weight::Stream => None,
        };
        Ok(next.run(request).await)
    }
}
