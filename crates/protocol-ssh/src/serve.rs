//! Accepting clients and accompanying each connection from its first byte to its last.
//!
//! In flows a listener, out flow connections to [`crate::front`]. Strangers are few, brief and
//! counted: half-open connections are bounded overall and per source, and sign-in has one time
//! limit from the TCP connection on.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::confirmation::CONFIRMATION_LIFETIME;
use portcullis_gateway::{EndReason, Gateway, Stranger, Strangers};
use russh::keys::PrivateKey;
use russh::{SshId, server};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::algorithms;
use crate::connection::Connection;
use crate::flow::{Flow, Gauges, Rule, Throttled};
use crate::front::{Arrival, Front};
use crate::jump::Jump;
use crate::options::{
    CHANNEL_MESSAGES, CLIENT_WINDOW_BYTES, EVENT_MESSAGES, KEEPALIVE, MAX_AUTH_ATTEMPTS,
    MAX_PACKET_BYTES, Options, PEER_GONE, REJECTION_TIME,
};
use crate::sign_in::{Door, Patience, SignIn, first_methods};

/// Pause after a failed accept (out of file descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for sessions to end when the node stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for a client to leave once its channels are closed.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(100);

/// What all connections share.
pub(crate) struct Room {
    pub(crate) gateway: Gateway,
    pub(crate) tasks: TaskTracker,
    options: Options,
    config: Arc<server::Config>,
    strangers: Strangers,
    stop: CancellationToken,
}

/// The SSH room: the gate's door for SSH clients.
pub struct SshRoom {
    gateway: Gateway,
    options: Options,
    host_key: PrivateKey,
}

impl SshRoom {
    /// A room that presents `host_key` to clients.
    pub fn new(gateway: Gateway, options: Options, host_key: PrivateKey) -> Self {
        Self { gateway, options, host_key }
    }

    /// Serves clients until `stop`; then every session is told and ended before this returns.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let room = Arc::new(Room {
            config: Arc::new(server_config(self.host_key)),
            strangers: Strangers::new(
                self.gateway.clone(),
                self.options.max_half_open,
                self.options.max_half_open_per_source,
            ),
            gateway: self.gateway,
            options: self.options,
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        });
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => room.receive(stream, peer.ip().to_canonical()),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        room.tasks.close();
        let _ = timeout(STOP_TIMEOUT, room.tasks.wait()).await;
    }
}

fn server_config(host_key: PrivateKey) -> server::Config {
    server::Config {
        server_id: SshId::Standard("SSH-2.0-Portcullis".into()),
        methods: first_methods(),
        auth_rejection_time: REJECTION_TIME,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key],
        limits: algorithms::rekeying(),
        window_size: CLIENT_WINDOW_BYTES,
        maximum_packet_size: MAX_PACKET_BYTES,
        channel_buffer_size: CHANNEL_MESSAGES,
        event_buffer_size: EVENT_MESSAGES,
        preferred: algorithms::towards_clients(),
        max_auth_attempts: MAX_AUTH_ATTEMPTS,
        inactivity_timeout: None,
        // russh would also ask during sign-in, where OpenSSH does not expect it: TCP asks instead.
        keepalive_interval: None,
        keepalive_max: 0,
        nodelay: true,
        ..server::Config::default()
    }
}

impl Room {
    fn receive(self: &Arc<Self>, stream: TcpStream, source: IpAddr) {
        let Some(stranger) = self.strangers.enter(source) else {
            metrics::counter!("portcullis_ssh_strangers_refused_total").increment(1);
            return;
        };
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "a client's socket could not be prepared");
        }
        let door = Door::Gate(Box::new(SignIn::new(self.gateway.sign_in(source))));
        let jump = Jump::new(Arc::clone(self));
        let work = attend(Arc::clone(self), stream, door, Some(jump), Some(stranger));
        self.tasks.spawn(work);
    }
}

/// No delay for small packets; a dead peer is noticed within a minute or so.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let probes = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    socket2::SockRef::from(stream).set_tcp_keepalive(&probes.with_retries(3))
}

/// Serves one connection to its end. `stranger` is held until sign-in is complete.
pub(crate) async fn attend<S>(
    room: Arc<Room>,
    stream: S,
    door: Door,
    jump: Option<Jump>,
    stranger: Option<Stranger>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let flow = Flow::new(Rule::Trickle);
    let grace = Instant::now() + room.options.login_grace;
    let patience = door.patience();
    let (told, arrived) = oneshot::channel();
    let gauges = Gauges::new(Arc::clone(&flow));
    let front =
        Front::new(room.gateway.clone(), room.options.banner.clone(), door, jump, gauges, told);
    let stream = Throttled::new(stream, Arc::clone(&flow));
    let starting = Box::pin(server::run_stream(Arc::clone(&room.config), stream, front));
    let started = tokio::select! {
        started = starting => started,
        () = sleep_until(grace) => return,
        () = room.stop.cancelled() => return,
    };
    let mut session = match started {
        Ok(session) => session,
        Err(error) => {
            tracing::debug!(%error, "a client left before the key exchange");
            return;
        }
    };
    let arrival = tokio::select! {
        ended = &mut session => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a client left before it had signed in");
            }
            return;
        }
        arrival = arrived => arrival,
        () = out_of_time(grace, &patience) => return flow.cut(),
        () = room.stop.cancelled() => return flow.cut(),
    };
    drop(stranger);
    match arrival {
        Ok(Arrival::Target(connection)) => {
            Box::pin(accompany(&room, &connection, &mut session)).await;
        }
        Ok(Arrival::Jump) => {
            tokio::select! {
                _ = &mut session => {}
                () = room.stop.cancelled() => {
                    // The sessions inside say goodbye through this connection.
                    let _ = timeout(STOP_TIMEOUT / 2, &mut session).await;
                }
            }
        }
        Err(_) => {}
    }
    flow.cut();
}

/// Returns when signing in has taken too long. Whoever was told to go elsewhere, which takes a first
/// factor, gets as long again as that may take, once.
async fn out_of_time(grace: Instant, patience: &Patience) {
    sleep_until(grace).await;
    if patience.asked() {
        sleep_until(grace + CONFIRMATION_LIFETIME).await;
    }
}

/// Waits for whatever ends a connection first, and ends the rest.
async fn accompany(
    room: &Room,
    connection: &Arc<Connection>,
    session: &mut server::RunningSession<Front>,
) {
    let reason = loop {
        tokio::select! {
            ended = &mut *session => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a client connection ended");
                }
                break EndReason::ClientLeft;
            }
            reason = connection.session_ended() => break reason,
            () = room.stop.cancelled() => break EndReason::NodeStopping,
            () = sleep(KEEPALIVE) => {
                if connection.target_is_gone(PEER_GONE) {
                    connection.end(EndReason::TargetLeft);
                }
            }
        }
    };
    // Boxed: while a session lives, only the waiting above takes room.
    Box::pin(connection.stop_channels(&reason)).await;
    let leaves = !matches!(reason, EndReason::ClientLeft);
    if leaves && timeout(LEAVE_TIMEOUT, &mut *session).await.is_err() {
        Box::pin(connection.disconnect(&reason)).await;
        let _ = timeout(LEAVE_TIMEOUT / 2, &mut *session).await;
    }
    Box::pin(connection.close()).await;
}
