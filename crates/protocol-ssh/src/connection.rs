//! A signed-in client connection to one target, and its live session.
//!
//! Actions flow in through [`Connection::enter`], the only way to the target: the first one opens
//! the live session and connects, later ones are authorised inside it. The end flows out: to every
//! channel, then to both peers, within half a second whatever they do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_domain::{Action, Login, TargetName};
use portcullis_gateway::{
    Authenticated, ConnectError, EndReason, Gateway, LiveSession, Permit, Refused,
};
use russh::{Disconnect, server};
use tokio::sync::{Mutex, OnceCell, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::back::Back;
use crate::conversation::Allowed;
use crate::flow::Gauges;
use crate::options::{MAX_FORWARDED_CHANNELS, MAX_SESSION_CHANNELS};

/// Longest wait for the channels to say goodbye and stop.
const CHANNELS_STOP: Duration = Duration::from_millis(300);
/// Longest wait for the client to be told that the connection ends.
const DISCONNECT: Duration = Duration::from_millis(50);

/// Who connects to what: known from sign-in on.
pub(crate) struct Destination {
    pub(crate) who: Authenticated,
    pub(crate) target: TargetName,
    pub(crate) login: Option<Login>,
    /// The client's version string.
    pub(crate) client: String,
}

/// A client connection that may reach one target.
pub(crate) struct Connection {
    gateway: Gateway,
    destination: Destination,
    pub(crate) front: server::Handle,
    pub(crate) gauges: Arc<Gauges>,
    slot: Mutex<Option<Arc<Open>>>,
    live: watch::Sender<Option<LiveSession>>,
    numbers: AtomicU32,
    sessions: Arc<Semaphore>,
    forwards: Arc<Semaphore>,
    over: CancellationToken,
    farewell: OnceLock<String>,
    tasks: TaskTracker,
}

/// An open live session with its connection to the target.
pub(crate) struct Open {
    pub(crate) live: LiveSession,
    pub(crate) back: Back,
    forwards: OnceCell<Back>,
}

/// Whether the connection ended, seen by the task that drives it.
pub(crate) type Over = CancellationToken;

impl Connection {
    pub(crate) fn new(
        gateway: Gateway,
        destination: Destination,
        front: server::Handle,
        gauges: Arc<Gauges>,
    ) -> Arc<Self> {
        Arc::new(Self {
            gateway,
            destination,
            front,
            gauges,
            slot: Mutex::new(None),
            live: watch::Sender::new(None),
            numbers: AtomicU32::new(0),
            sessions: Arc::new(Semaphore::new(MAX_SESSION_CHANNELS)),
            forwards: Arc::new(Semaphore::new(MAX_FORWARDED_CHANNELS)),
            over: CancellationToken::new(),
            farewell: OnceLock::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// The next number of a channel in the recording.
    pub(crate) fn next_number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A place for one more session channel.
    pub(crate) fn session_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sessions).try_acquire_owned().ok()
    }

    /// A place for one more forwarded connection.
    pub(crate) fn forward_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.forwards).try_acquire_owned().ok()
    }

    /// Resolves when the connection ends.
    pub(crate) fn over(&self) -> &Over {
        &self.over
    }

    /// What to tell the person when it has ended by the gate's doing.
    pub(crate) fn farewell(&self) -> Option<&str> {
        self.farewell.get().map(String::as_str)
    }

    /// Runs `work` as a task the end waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Authorises the first of `actions` that is allowed, opening the session if there is none.
    /// The error is what to tell the person.
    ///
    /// Not cancel safe: a caller waits for it to the end (its parts are bounded in time).
    pub(crate) async fn enter(
        self: &Arc<Self>,
        actions: Vec<Action>,
    ) -> Result<(Arc<Open>, Allowed), String> {
        let mut slot = self.slot.lock().await;
        if let Some(open) = slot.as_ref().filter(|open| open.live.has_ended().is_none()) {
            let open = Arc::clone(open);
            drop(slot);
            let mut refused = None;
            for action in actions {
                match open.live.authorize(action).await {
                    Ok(permit) => {
                        let allowed = Allowed::by(&permit);
                        return Ok((open, allowed));
                    }
                    Err(no) => refused = refused.or(Some(no)),
                }
            }
            return Err(told(refused.as_ref()));
        }
        let permit = self.first_permit(actions).await?;
        let allowed = Allowed::by(&permit);
        let opened = self.gateway.open(permit, self.destination.client.clone()).await;
        let live = opened.map_err(|error| error.to_string())?;
        let open = Arc::new(self.reach(live).await?);
        *slot = Some(Arc::clone(&open));
        self.live.send_replace(Some(open.live.clone()));
        // INVARIANT: published first, looked second; whoever ends the connection cancels first and
        // looks at what is published second. One of the two closes the session.
        if self.over.is_cancelled() {
            open.live.end(EndReason::ClientLeft);
            open.back.leave().await;
            open.live.close().await;
            return Err(EndReason::ClientLeft.told());
        }
        Ok((open, allowed))
    }

    async fn first_permit(&self, actions: Vec<Action>) -> Result<Permit, String> {
        let Destination { who, target, login, .. } = &self.destination;
        let mut refused = None;
        for action in actions {
            match self.gateway.authorize(who, target, login.as_ref(), action).await {
                Ok(permit) => return Ok(permit),
                Err(no) => refused = refused.or(Some(no)),
            }
        }
        Err(told(refused.as_ref()))
    }

    /// Connects to the target; on failure the session is closed again.
    async fn reach(self: &Arc<Self>, live: LiveSession) -> Result<Open, String> {
        let connected = tokio::select! {
            connected = Back::connect(&live, Arc::downgrade(self), true) => {
                connected.map_err(|error| error.to_string())
            }
            reason = live.ended() => Err(reason.told()),
            () = self.over.cancelled() => Err(EndReason::ClientLeft.told()),
        };
        match connected {
            Ok(back) => Ok(Open { live, back, forwards: OnceCell::new() }),
            Err(why) => {
                let gone = self.over.is_cancelled();
                let reason = EndReason::ConnectFailed(why.clone());
                live.end(if gone { EndReason::ClientLeft } else { reason });
                live.close().await;
                Err(why)
            }
        }
    }

    /// The open session, if there is one.
    pub(crate) async fn opened(&self) -> Option<Arc<Open>> {
        self.slot.lock().await.clone()
    }

    /// Resolves with the reason when the live session ends; never if none is opened.
    pub(crate) async fn session_ended(&self) -> EndReason {
        let mut published = self.live.subscribe();
        loop {
            let live = published.borrow_and_update().clone();
            let ended = async {
                match &live {
                    Some(live) => live.ended().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                reason = ended => return reason,
                changed = published.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Whether the target has been silent although asked.
    pub(crate) fn target_is_gone(&self, after: Duration) -> bool {
        match self.slot.try_lock() {
            Ok(slot) => {
                slot.as_ref().is_some_and(|open| open.back.gauges.flow().peer_is_gone(after))
            }
            Err(_) => false,
        }
    }

    /// Asks the live session to end, if there is one.
    pub(crate) fn end(&self, reason: EndReason) {
        if let Some(live) = self.live.borrow().as_ref() {
            live.end(reason);
        }
    }

    /// Tells the person on every channel and stops the channels, in bounded time however the peers
    /// behave. A client without further use for the connection then leaves by itself.
    pub(crate) async fn stop_channels(&self, reason: &EndReason) {
        if !matches!(reason, EndReason::ClientLeft) {
            let _ = self.farewell.set(reason.told());
        }
        // INVARIANT: cancelled first, looked at what is published second; see `enter`.
        self.over.cancel();
        self.end(reason.clone());
        self.tasks.close();
        let _ = timeout(CHANNELS_STOP, self.tasks.wait()).await;
    }

    /// Disconnects the client, telling it why.
    pub(crate) async fn disconnect(&self, reason: &EndReason) {
        let goodbye =
            self.front.disconnect(Disconnect::ByApplication, reason.told(), String::new());
        let _ = timeout(DISCONNECT, goodbye).await;
    }

    /// Cuts both peers off and closes the session.
    pub(crate) async fn close(&self) {
        self.gauges.flow().cut();
        if let Ok(slot) = self.slot.try_lock()
            && let Some(open) = slot.as_ref()
        {
            open.back.leave().await;
            if let Some(forwards) = open.forwards.get() {
                forwards.leave().await;
            }
        }
        let live = self.live.borrow().clone();
        if let Some(live) = live {
            live.close().await;
        }
    }
}

impl Open {
    /// The connection forwards go through: a second one, made with the first forward, so that a
    /// forwarded connection nobody reads cannot hold up a terminal (see [`crate::flow`]).
    pub(crate) async fn forwards(
        &self,
        connection: &Arc<Connection>,
    ) -> Result<&Back, ConnectError> {
        self.forwards
            .get_or_try_init(|| Back::connect(&self.live, Arc::downgrade(connection), false))
            .await
    }
}

fn told(refused: Option<&Refused>) -> String {
    refused.map_or_else(|| "access denied".to_owned(), |refused| refused.told().to_owned())
}
