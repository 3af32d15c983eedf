//! Accepting clients. Strangers are few and brief: connections that have not signed in are bounded
//! overall and per source, and have one time limit from the TCP connection on.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway::{Gateway, ListenerTls, ListenerTlsError, Strangers};
use portcullis_sql::Classifier;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cancel::Keys;
use crate::enter;
use crate::front::{self, ALPN, First};
use crate::options::{KEEPALIVE, Options};

/// Pause after a failed accept (out of file descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for sessions to end when the node stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What all connections share.
#[derive(Clone, Default)]
pub(crate) struct Common {
    pub(crate) keys: Keys,
    /// What texts were found to be; it remembers for all sessions.
    pub(crate) classifier: Arc<Classifier>,
}

/// The PostgreSQL room: the gate's door for PostgreSQL clients.
pub struct PostgresRoom {
    gateway: Gateway,
    options: Options,
    tls: Arc<ServerConfig>,
}

impl PostgresRoom {
    /// A room that shows `shown` to clients.
    pub fn new(
        gateway: Gateway,
        options: Options,
        shown: &ListenerTls,
    ) -> Result<Self, ListenerTlsError> {
        let tls = gateway.listener_tls(shown, &[ALPN])?;
        Ok(Self { gateway, options, tls })
    }

    /// Serves clients until `stop`; then every session is told and ended before this returns.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let strangers = Strangers::new(
            self.gateway.clone(),
            self.options.max_half_open,
            self.options.max_half_open_per_source,
        );
        let (common, tasks) = (Common::default(), TaskTracker::new());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let source = peer.ip().to_canonical();
            let Some(stranger) = strangers.enter(source) else {
                metrics::counter!("portcullis_postgres_strangers_refused_total").increment(1);
                continue;
            };
            if let Err(error) = prepare(&stream) {
                tracing::debug!(%error, "a client's socket could not be prepared");
            }
            let (gateway, common) = (self.gateway.clone(), common.clone());
            let (tls, grace) = (Arc::clone(&self.tls), self.options.login_grace);
            let stop = stop.clone();
            tasks.spawn(async move {
                let (known, signed_in) = oneshot::channel();
                let attending = attend(&gateway, &common, stream, tls, source, move || {
                    drop(stranger);
                    let _ = known.send(());
                });
                tokio::pin!(attending);
                tokio::select! {
                    () = &mut attending => return,
                    known = timeout(grace, signed_in) => match known {
                        Ok(Ok(())) => {}
                        // Too slow; or gone, then the first branch is about to be ready.
                        Err(_) => return,
                        Ok(Err(_)) => {}
                    },
                    () = stop.cancelled() => return,
                }
                attending.await;
            });
        }
        drop(listener);
        tasks.close();
        let _ = timeout(STOP_TIMEOUT, tasks.wait()).await;
    }
}

async fn attend(
    gateway: &Gateway,
    common: &Common,
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    source: IpAddr,
    signed_in: impl FnOnce(),
) {
    let served = match front::receive(stream, tls).await {
        Ok(First::Arrived(arrived)) => {
            // Boxed: what waits for a stranger is small.
            Box::pin(enter::serve(gateway, common, *arrived, source, signed_in)).await
        }
        Ok(First::Cancel { process, key }) => {
            if let Some(cancel) = common.keys.find(process, &key) {
                cancel.send().await;
            }
            Ok(())
        }
        Ok(First::Nothing) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a client left");
    }
}

/// No delay for small messages; a dead peer is noticed within a minute or so.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let probes = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    socket2::SockRef::from(stream).set_tcp_keepalive(&probes.with_retries(3))
}
