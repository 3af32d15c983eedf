//! The witness' door: HTTP/1.1, one call, everything bounded before a signature is looked at.
//!
//! Bytes of untrusted peers flow in; status codes and signature lines flow out. It is not one of the
//! API's endpoints: a witness runs without a node, a store or a person.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_evidence::log::witness::MAX_REQUEST_BYTES;
use portcullis_evidence::log::{Answer, Witness};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::context::now;

/// Connections at a time; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 64;
/// Longest time for the head of a request to arrive, and for its body.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest life of a connection, busy or not, so that no peer keeps a place.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);
/// Header fields of a request, and bytes of its head.
const MAX_HEADERS: usize = 32;
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Rest after a failed accept: out of file descriptors is not cured by haste.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How the path of the one call ends, behind any prefix (C2SP `tlog-witness`).
const ADD_CHECKPOINT: &str = "/add-checkpoint";
/// Media type of the size in a conflict.
const SIZE_TYPE: &str = "text/x.tlog.size";

/// Serves until `stop`.
pub(super) async fn serve(
    witness: Arc<Mutex<Witness>>,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let witness = witness.clone();
                tokio::spawn(async move {
                    connection(stream, witness).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, witness: Arc<Mutex<Witness>>) {
    let service = service_fn(move |request| {
        let witness = witness.clone();
        async move { Ok::<_, Infallible>(handle(request, witness).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_LIFE, serving).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection broke"),
    }
}

async fn handle(request: Request<Incoming>, witness: Arc<Mutex<Witness>>) -> Response<Full<Bytes>> {
    if !request.uri().path().ends_with(ADD_CHECKPOINT) {
        return answer(StatusCode::NOT_FOUND, "there is only `add-checkpoint` here\n");
    }
    if request.method() != Method::POST {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "`add-checkpoint` takes POST\n");
    }
    let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return answer(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n"),
        Err(_) => return answer(StatusCode::REQUEST_TIMEOUT, "the body came too slowly\n"),
    };
    // It waits for the disk.
    let answered = tokio::task::spawn_blocking(move || {
        let seconds = u64::try_from(now().as_seconds()).unwrap_or(0);
        let mut witness = witness.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = witness.add_checkpoint(&body, seconds);
        told(&answered, &body);
        answered
    });
    match answered.await {
        Ok(answered) => respond(answered),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, "the witness failed\n"),
    }
}

/// What the operator should know. A fork is proof of misbehaviour: both checkpoints are signed.
fn told(answered: &Answer, body: &[u8]) {
    match answered {
        Answer::Forked(size) => {
            let request = String::from_utf8_lossy(body);
            tracing::error!(size, %request, "a log was forked: keep this checkpoint and the state");
        }
        Answer::Inconsistent => {
            let request = String::from_utf8_lossy(body);
            tracing::error!(%request, "a log does not continue what was cosigned, or proves it wrongly");
        }
        Answer::Unavailable => tracing::error!("the state cannot be written; nothing is cosigned"),
        Answer::Cosigned(_) => tracing::debug!("cosigned"),
        Answer::Malformed(_) | Answer::Unsigned | Answer::UnknownLog | Answer::Conflict(_) => {
            tracing::debug!(?answered, "not cosigned");
        }
    }
}

fn respond(answered: Answer) -> Response<Full<Bytes>> {
    match answered {
        Answer::Cosigned(lines) => answer(StatusCode::OK, lines),
        Answer::Malformed(why) => answer(StatusCode::BAD_REQUEST, format!("{why}\n")),
        Answer::Unsigned => {
            answer(StatusCode::FORBIDDEN, "no known key of the log signed the checkpoint\n")
        }
        Answer::UnknownLog => answer(StatusCode::NOT_FOUND, "the log is not known here\n"),
        Answer::Conflict(size) | Answer::Forked(size) => {
            let mut response = answer(StatusCode::CONFLICT, format!("{size}\n"));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(SIZE_TYPE));
            response
        }
        Answer::Inconsistent => {
            answer(StatusCode::UNPROCESSABLE_ENTITY, "the consistency proof does not hold\n")
        }
        Answer::Unavailable => {
            answer(StatusCode::INTERNAL_SERVER_ERROR, "the state cannot be written\n")
        }
    }
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
