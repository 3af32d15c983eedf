//! A session between its beginning and its end: both directions, and whatever ends them first.
//!
//! Each direction holds one buffer. A client that does not read stops the server's direction and
//! nothing else; the end of the session cuts both however they behave.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use portcullis_domain::DatabaseAct;
use portcullis_gateway::{EndReason, LiveSession, Observation, RecordError};
use portcullis_sql::{Classifier, Modes};
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::back::Stream;
use crate::conversation::{Running, Tracker};
use crate::options::FAREWELL;
use crate::wire::make::{self, Severity, state};
use crate::{down, up};

/// What both directions share.
pub(crate) struct Shared {
    pub(crate) live: LiveSession,
    pub(crate) database: String,
    /// A replication connection: its commands are not SQL.
    pub(crate) replication: bool,
    pub(crate) permitted: Permitted,
    /// Something was answered.
    pub(crate) answered: Notify,
    /// Whether what was written to the client ends where a message ends.
    pub(crate) whole: AtomicBool,
    tracker: Mutex<Tracker>,
    modes: Mutex<Modes>,
    /// Common to all sessions.
    pub(crate) classifier: Arc<Classifier>,
    statements: AtomicU64,
}

/// Acts this session was permitted already. The gateway asks about them again whenever facts
/// change, and ends the session where one is not allowed any more.
#[derive(Debug, Default)]
pub(crate) struct Permitted(AtomicU32);

impl Permitted {
    pub(crate) fn has(&self, act: DatabaseAct) -> bool {
        self.0.load(Ordering::Acquire) & bit(act) != 0
    }

    pub(crate) fn add(&self, act: DatabaseAct) {
        self.0.fetch_or(bit(act), Ordering::AcqRel);
    }
}

fn bit(act: DatabaseAct) -> u32 {
    1 << act as u32
}

/// Why a direction stopped.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The client closed the connection, or said goodbye.
    ClientLeft,
    /// The server closed the connection.
    ServerLeft,
    /// The client broke the protocol or a bound; what it is told.
    Client(String),
    /// The server broke the protocol.
    Server(&'static str),
    /// The session must not go on; its end is under way.
    Ending,
}

impl Shared {
    pub(crate) fn new(
        live: LiveSession,
        database: String,
        replication: bool,
        modes: Modes,
        classifier: Arc<Classifier>,
    ) -> Self {
        Self {
            live,
            database,
            replication,
            permitted: Permitted::default(),
            answered: Notify::new(),
            whole: AtomicBool::new(true),
            tracker: Mutex::new(Tracker::default()),
            modes: Mutex::new(modes),
            classifier,
            statements: AtomicU64::new(0),
        }
    }

    pub(crate) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn modes(&self) -> MutexGuard<'_, Modes> {
        self.modes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement that begins now.
    pub(crate) fn begin(&self) -> Running {
        let id = self.statements.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Running::new(id, Instant::now())
    }

    /// Puts an event on the session's time line. INVARIANT: awaited before what it is about is
    /// passed on; what could not be recorded is not.
    pub(crate) async fn record(&self, event: &str) -> Result<(), Stopped> {
        let seen = Observation::Event { json: event };
        self.live.observe(seen).await.map_err(|_: RecordError| Stopped::Ending)
    }

    /// Puts the end of a statement on the time line.
    pub(crate) async fn finished(&self, running: &Running) -> Result<(), Stopped> {
        metrics::counter!("portcullis_postgres_statements_total").increment(1);
        let mut result = json!({
            "id": running.id, "rows": running.rows, "bytes": running.bytes,
            "ms": u64::try_from(running.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            "outcome": if running.error.is_some() { "error" } else { "ok" },
        });
        if let (Some((state, text)), Some(map)) = (&running.error, result.as_object_mut()) {
            let text: String = text.chars().take(1024).collect();
            map.insert("state".to_owned(), state.as_str().into());
            map.insert("message".to_owned(), text.into());
        }
        self.record(&json!({ "result": result }).to_string()).await
    }
}

/// Runs a session until it ends; then tells the client, as far as it listens. The reason is set on
/// the live session.
pub(crate) async fn run(shared: &Shared, client: Stream, server: Stream) {
    let (from_client, mut to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let stopped = tokio::select! {
        stopped = up::run(shared, from_client, to_server) => stopped,
        stopped = down::run(shared, from_server, &mut to_client) => stopped,
        _ = shared.live.ended() => Stopped::Ending,
    };
    let (reason, told) = match stopped {
        Stopped::ClientLeft => (EndReason::ClientLeft, None),
        Stopped::ServerLeft => (EndReason::TargetLeft, None),
        Stopped::Client(told) => (EndReason::ClientLeft, Some((state::PROTOCOL, told))),
        Stopped::Server(why) => {
            tracing::warn!(session = %shared.live.id(), why, "a server broke the protocol");
            (EndReason::TargetLeft, Some((state::PROTOCOL, format!("the server sent {why}"))))
        }
        Stopped::Ending => {
            let reason = shared.live.ended().await;
            let told = Some((state::ENDED, reason.told()));
            (reason, told)
        }
    };
    shared.live.end(reason);
    if let Some((state, told)) = told {
        let bytes = make::error(Severity::Fatal, state, &told);
        // In the middle of a message nothing can be said.
        if shared.whole.load(Ordering::Acquire) {
            let _ = timeout(FAREWELL, say(&mut to_client, &bytes)).await;
        }
    }
    let _ = timeout(FAREWELL, to_client.shutdown()).await;
}

async fn say(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}
