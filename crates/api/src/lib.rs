//! The HTTP API: JSON over HTTP/1.1 on loopback, one file per endpoint.
//!
//! Connections flow in; calls of use cases flow out, one per endpoint, and their results go back as
//! JSON, lines of JSON or problem+json (RFC 9457). What an endpoint is and which right it needs is
//! data ([`ENDPOINTS`]), so that tests can ask every one of them as nobody, with a bad token and as
//! a person without the right.
//!
//! Architecture invariants:
//! * whether a caller may do something is decided in `control`; this crate only finds out who calls;
//! * no call is answered before its caller is known, except where an endpoint says
//!   [`Right::Anonymous`];
//! * nothing a caller sends (bodies, queries, tokens) is logged;
//! * plain HTTP stays on loopback: [`serve`] refuses any other listener.

mod body;
mod caller;
mod console;
mod cookie;
mod door;
mod endpoint;
mod endpoints;
mod guard;
mod host;
mod lines;
mod measure;
mod openapi;
mod origin;
mod pages;
mod problem;
mod router;
mod stall;

use std::io;

use metrics_exporter_prometheus::PrometheusHandle;
use portcullis_control::Control;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use endpoint::{Endpoint, Example, Method, Right, Weight};
pub use endpoints::ENDPOINTS;
pub use measure::{MeasureError, install_recorder};

/// Serves the API until `stop`, then lets what is being answered finish, within a bound.
///
/// Fails at once on a listener that is not on loopback: bearer tokens and passwords travel in the
/// clear here.
pub async fn serve(
    control: Control,
    listener: TcpListener,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "the API speaks plain HTTP and `{address}` is not a loopback address; listen on \
                 127.0.0.1 and reach it through `ssh -L`"
            ),
        ));
    }
    let api = guard::Api::new(control, metrics, stop.clone());
    let upkeep = tokio::spawn(measure::keep_up(api.metrics.clone(), stop.clone()));
    door::open(router::build(&api), listener, &stop).await;
    api.finish().await;
    upkeep.abort();
    Ok(())
}
