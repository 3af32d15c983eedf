//! Forwarded connections: from the client through the target, from the target's listening ports to
//! the client, and to the client's agent.
//!
//! Bytes flow through unrecorded; they are counted, and the log says how many went where. Every
//! destination is authorised, and one that would go around another target's room is refused first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_domain::Action;
use portcullis_domain::audit::{Activity, Outcome};
use portcullis_gateway::LiveSession;
use russh::{ChannelId, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf};
use russh::{client, server};
use serde_json::Value;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::flow::{Counted, Gauge, Gauges};
use crate::options::{MAX_REMOTE_FORWARDS, TARGET_REPLY_TIMEOUT};
use crate::relay::{Far, Front};

/// Longest host name of a forward, in bytes (RFC 1035 section 2.3.4, with room for a port).
const MAX_HOST_BYTES: usize = 261;

/// A connection somebody made to a forwarded port.
pub(crate) struct Opened {
    pub(crate) address: String,
    pub(crate) port: u32,
    pub(crate) originator: String,
    pub(crate) originator_port: u32,
}

impl Connection {
    /// `direct-tcpip` from the client: authorise, open it on the target, relay.
    pub(crate) fn forward_to(
        self: &Arc<Self>,
        front: Front,
        reply: server::ChannelOpenHandle,
        to: Opened,
    ) {
        let Some(place) = self.forward_place() else {
            self.spawn(async move { reply.reject(ChannelOpenFailure::ResourceShortage).await });
            return;
        };
        let connection = Arc::clone(self);
        self.spawn(async move {
            let _place = place;
            let counted = Counted::new(&connection.gauges, front.id());
            let (live, far, far_gauges) = match connection.open_forward(&to).await {
                Ok(opened) => opened,
                Err(failure) => return reply.reject(failure).await,
            };
            let far_counted = Counted::new(&far_gauges, far.id());
            reply.accept().await;
            let about = vec![
                ("kind", Value::from("local")),
                ("host", to.address.escape_debug().to_string().into()),
                ("port", to.port.into()),
            ];
            relay(&connection, &live, (front, &counted), (far, &far_counted), about).await;
        });
    }

    async fn open_forward(
        self: &Arc<Self>,
        to: &Opened,
    ) -> Result<(LiveSession, Far, Arc<Gauges>), ChannelOpenFailure> {
        let refused = |reason: String| ChannelOpenFailure::Other {
            code: ChannelOpenFailure::AdministrativelyProhibited.code(),
            reason,
        };
        let port = u16::try_from(to.port).ok().filter(|port| *port != 0);
        let (Some(port), true) = (port, to.address.len() <= MAX_HOST_BYTES) else {
            return Err(refused("that is not a destination".into()));
        };
        // Asked before the authorisation where there is a session already, after it otherwise.
        if let Some(open) = self.opened().await {
            goes_elsewhere(&open.live, to, port).await.map_err(refused)?;
        }
        let action = Action::Forward { host: to.address.clone(), port };
        let (open, _allowed) = self.enter(vec![action]).await.map_err(refused)?;
        goes_elsewhere(&open.live, to, port).await.map_err(refused)?;
        let back = open.forwards(self).await.map_err(|error| refused(error.to_string()))?;
        let opening = back.handle.channel_open_direct_tcpip(
            to.address.as_str(),
            to.port,
            to.originator.as_str(),
            to.originator_port,
        );
        match timeout(TARGET_REPLY_TIMEOUT, opening).await {
            Ok(Ok(far)) => Ok((open.live.clone(), far, Arc::clone(&back.gauges))),
            Ok(Err(russh::Error::ChannelOpenFailure(failure))) => Err(failure),
            Ok(Err(_)) | Err(_) => Err(ChannelOpenFailure::ConnectFailed),
        }
    }

    /// `tcpip-forward`: authorise and let the target listen. The port it listens on, if it does.
    pub(crate) async fn listen(self: &Arc<Self>, host: &str, port: u32) -> Option<u32> {
        let bind = u16::try_from(port).ok()?;
        if host.len() > MAX_HOST_BYTES {
            return None;
        }
        let action = Action::RemoteForward { host: host.to_owned(), port: bind };
        let (open, _allowed) = self.enter(vec![action]).await.ok()?;
        let back = &open.back;
        if back.asked.listening() >= MAX_REMOTE_FORWARDS {
            return None;
        }
        // Registered first: somebody may connect before the target's answer is here.
        if port != 0 {
            back.asked.listen(host, port);
        }
        let asking = back.handle.tcpip_forward(host, port);
        let Ok(Ok(chosen)) = timeout(TARGET_REPLY_TIMEOUT, asking).await else {
            back.asked.stop_listening(host, port);
            return None;
        };
        let listened = if port == 0 { chosen } else { port };
        if port == 0 {
            back.asked.listen(host, listened);
        }
        let about = vec![
            ("kind", Value::from("remote")),
            ("host", host.escape_debug().to_string().into()),
            ("port", listened.into()),
        ];
        open.live.audit(Activity::Channel, Outcome::Success, about).await.ok()?;
        Some(listened)
    }

    /// `cancel-tcpip-forward`. Whether there was such a port.
    pub(crate) async fn stop_listening(&self, host: &str, port: u32) -> bool {
        let Some(open) = self.opened().await else { return false };
        if !open.back.asked.stop_listening(host, port) {
            return false;
        }
        let asking = open.back.handle.cancel_tcpip_forward(host, port);
        matches!(timeout(TARGET_REPLY_TIMEOUT, asking).await, Ok(Ok(())))
    }

    /// Somebody connected to a port the target listens on for the client.
    pub(crate) fn forwarded_from_target(
        self: &Arc<Self>,
        live: &LiveSession,
        far_gauges: &Arc<Gauges>,
        far: Far,
        reply: client::ChannelOpenHandle,
        opened: Opened,
    ) {
        let about = vec![
            ("kind", Value::from("remote")),
            ("host", opened.address.escape_debug().to_string().into()),
            ("port", opened.port.into()),
            ("originator", opened.originator.escape_debug().to_string().into()),
        ];
        let connection = Arc::clone(self);
        let opening = async move {
            let front = &connection.front;
            front
                .channel_open_forwarded_tcpip(
                    opened.address,
                    opened.port,
                    opened.originator,
                    opened.originator_port,
                )
                .await
        };
        self.carry_to_client(live, far_gauges, far, reply, opening, about);
    }

    /// The target opened the client's agent. It was allowed when the channel was prepared.
    pub(crate) fn agent_from_target(
        self: &Arc<Self>,
        live: &LiveSession,
        far_gauges: &Arc<Gauges>,
        far: Far,
        reply: client::ChannelOpenHandle,
    ) {
        let connection = Arc::clone(self);
        let opening = async move { connection.front.channel_open_agent().await };
        let about = vec![("kind", Value::from("agent"))];
        self.carry_to_client(live, far_gauges, far, reply, opening, about);
    }

    fn carry_to_client(
        self: &Arc<Self>,
        live: &LiveSession,
        far_gauges: &Arc<Gauges>,
        far: Far,
        reply: client::ChannelOpenHandle,
        opening: impl Future<Output = Result<Front, russh::Error>> + Send + 'static,
        about: Vec<(&'static str, Value)>,
    ) {
        let far_counted = Counted::new(far_gauges, far.id());
        let Some(place) = self.forward_place() else {
            self.spawn(async move { reply.reject(ChannelOpenFailure::ResourceShortage).await });
            return;
        };
        let connection = Arc::clone(self);
        let live = live.clone();
        self.spawn(async move {
            let _place = place;
            let opened = tokio::select! {
                opened = timeout(TARGET_REPLY_TIMEOUT, opening) => opened,
                () = connection.over().cancelled() => return,
            };
            let Ok(Ok(front)) = opened else {
                return reply.reject(ChannelOpenFailure::ConnectFailed).await;
            };
            let counted = Counted::new(&connection.gauges, front.id());
            reply.accept().await;
            relay(&connection, &live, (front, &counted), (far, &far_counted), about).await;
        });
    }
}

/// Refuses a forward to a target that has a room of its own.
async fn goes_elsewhere(live: &LiveSession, to: &Opened, port: u16) -> Result<(), String> {
    let Some(told) = live.forward_goes_around(&to.address, port).await else { return Ok(()) };
    let about = vec![
        ("kind", Value::from("local")),
        ("host", to.address.escape_debug().to_string().into()),
        ("port", to.port.into()),
    ];
    // Refused whether or not the log takes it; a log that does not ends the session.
    let _ = live.audit(Activity::Forward, Outcome::Refused(told.clone()), about).await;
    Err(told)
}

/// Relays until either side closes or the session ends, then audits what went through.
async fn relay(
    connection: &Connection,
    live: &LiveSession,
    (front, front_gauge): (Front, &Gauge),
    (far, far_gauge): (Far, &Gauge),
    mut about: Vec<(&'static str, Value)>,
) {
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    let (front_reader, front_writer) = front.split();
    let (far_reader, far_writer) = far.split();
    {
        let up = carry(live, front_reader, front_gauge, &far_writer, &up);
        let down = carry(live, far_reader, far_gauge, &front_writer, &down);
        tokio::select! {
            () = up => {}
            () = down => {}
            () = connection.over().cancelled() => {}
        }
    }
    let closing = async {
        let _ = far_writer.close().await;
        let _ = front_writer.close().await;
    };
    let _ = timeout(crate::options::FAREWELL, closing).await;
    about.push(("bytes_up", up.into_inner().into()));
    about.push(("bytes_down", down.into_inner().into()));
    // A log that does not take it ends the session by itself.
    let _ = live.audit(Activity::Forward, Outcome::Success, about).await;
}

/// One direction, until its channel is closed. The end of data is passed on and does not end it.
async fn carry<S>(
    live: &LiveSession,
    mut from: ChannelReadHalf,
    gauge: &Gauge,
    to: &ChannelWriteHalf<S>,
    count: &AtomicU64,
) where
    S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    while let Some(message) = from.wait().await {
        let passed = match message {
            ChannelMsg::Data { data } => {
                let bytes = data.len();
                live.touch();
                let passed = to.data_bytes(data).await;
                gauge.went(bytes);
                count.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
                passed
            }
            ChannelMsg::ExtendedData { data, .. } => {
                gauge.went(data.len());
                Ok(())
            }
            ChannelMsg::Eof => to.eof().await,
            ChannelMsg::Close => return,
            _ => Ok(()),
        };
        if passed.is_err() {
            return;
        }
    }
}
