//! Connections: accepted, bounded, ended.
//!
//! Bytes of untrusted peers flow in; requests with the peer's address flow to the router. How many
//! connections there are, how long a head of a request may take and how large it may be, and how
//! long an answer may go unread are bounded here, before anybody has signed in.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::caller::Peer;
use crate::origin::Scheme;
use crate::stall::Stalling;

/// Most connections at a time; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: u32 = 1024;
/// Longest time for the head of a request to arrive, and longest rest between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Most header fields of a request.
const MAX_HEADERS: usize = 64;
/// Largest head of a request, in bytes, and read buffer of a connection.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Longest time an answer may go unread.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for connections to finish when the node stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Rest after a failed accept: out of file descriptors is not cured by haste.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Accepts until `stop`; returns when all connections have ended.
pub(crate) async fn open(router: Router, listener: TcpListener, stop: &CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::spawn(connection(stream, peer, router.clone(), stop.clone(), slot));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the API could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(listener);
    let finished = slots.acquire_many(MAX_CONNECTIONS);
    if tokio::time::timeout(FINISH_TIMEOUT * 2, finished).await.is_err() {
        tracing::warn!("connections to the API are still open; the node stops without them");
    }
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
    slot: OwnedSemaphorePermit,
) {
    let _slot = slot;
    // Small answers must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let service =
        Door { router: TowerToHyperService::new(router), peer: Peer(peer.ip().to_canonical()) };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(Stalling::new(stream, STALL_TIMEOUT)), service);
    let mut served = pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            match tokio::time::timeout(FINISH_TIMEOUT, served).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the API broke off");
    }
}

/// Tells the router who is at the other end.
struct Door {
    router: TowerToHyperService<Router>,
    peer: Peer,
}

impl Service<Request<Incoming>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = TowerToHyperServiceFuture<Router, Request<Incoming>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(Scheme::Http);
        self.router.call(request)
    }
}
