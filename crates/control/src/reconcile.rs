//! What must happen without anyone asking: expiry, the node's heartbeat, forgetting what is over.
//!
//! Reconcilers have no input and may run as often as they like; running one twice changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_domain::Timestamp;
use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_gateway::{RECORDING_SUFFIX, remains_detail};
use portcullis_store::{MAX_PAGE, Page, SessionEnd, SessionFilter, SessionRecord};
use tokio_util::sync::CancellationToken;

use crate::{Control, ControlError};

/// How often reconcilers run.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often what is over is forgotten.
const PURGE_INTERVAL: Duration = Duration::from_secs(600);
/// A node not seen for this long does not live, as far as sharing out work goes.
const NODE_LIVES: Duration = Duration::from_secs(30);
/// What is said of a session that ended with its node.
const NOT_CLOSED: &str = "the node stopped without closing it";
/// Failed attempts untouched for this long are forgotten.
const ATTEMPTS_KEPT: Duration = Duration::from_secs(24 * 3600);

impl Control {
    /// Runs until `stop`.
    pub async fn reconcile(&self, stop: CancellationToken) {
        let (control, until) = (self.clone(), stop.clone());
        tokio::spawn(async move { control.look_after_recordings(until).await });
        let (control, until) = (self.clone(), stop.clone());
        tokio::spawn(async move { control.keep_index(until).await });
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let started = self.gateway().now();
        let mut orphans = true;
        let mut purged: Option<Timestamp> = None;
        let mut overdue = BTreeSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let now = self.gateway().now();
            self.say("heartbeat", self.heartbeat(now).await);
            if orphans {
                let closed = self.close_orphans(started, now).await;
                orphans = closed.is_err();
                self.say("close orphans", closed);
            }
            self.say("expire requests", self.expire_requests(now).await);
            match self.speaks(now).await {
                Ok(true) => self.say("say which grants are over", self.say_grants_over(now).await),
                other => self.say("see which nodes live", other.map(drop)),
            }
            self.say("overdue exports", self.note_overdue_exports(&mut overdue, now).await);
            if purged.is_none_or(|at| now.since(at) >= PURGE_INTERVAL) {
                purged = Some(now);
                self.say("purge", self.purge(now).await);
            }
        }
    }

    pub(crate) fn say(&self, what: &str, done: Result<(), ControlError>) {
        if let Err(error) = done {
            tracing::warn!(%error, what, "a reconciler did not finish; it is tried again");
        }
    }

    async fn heartbeat(&self, now: Timestamp) -> Result<(), ControlError> {
        self.gateway().store().heartbeat(self.gateway().node(), now).await?;
        Ok(())
    }

    /// Sessions this node had open when it was killed: they ended with it, and nobody else says so.
    /// In the log before in the store, so that a second kill in between repeats and loses nothing.
    async fn close_orphans(&self, started: Timestamp, now: Timestamp) -> Result<(), ControlError> {
        let (store, node) = (self.gateway().store(), self.gateway().node());
        let mut page = Page { before: None, limit: MAX_PAGE };
        loop {
            let filter = SessionFilter { live: Some(true), page, ..SessionFilter::default() };
            let found = store.sessions(&filter).await?;
            let Some(last) = found.last().map(|session| session.id) else { break };
            page.before = Some(last);
            let ours =
                |session: &&SessionRecord| session.node == node && session.started_at < started;
            for session in found.iter().filter(ours) {
                let path =
                    self.gateway().recordings().join(format!("{}.{RECORDING_SUFFIX}", session.id));
                let left = tokio::task::spawn_blocking(move || remains_detail(&path)).await;
                let recording = left.ok().flatten().unwrap_or_default();
                let event = Event::new(Activity::SessionClose, now)
                    .user(&session.user)
                    .target(&session.target)
                    .environment(&session.environment)
                    .session(session.id)
                    .detail("reason", "node_killed")
                    .outcome(Outcome::Failed(NOT_CLOSED.into()));
                // From here on the log vouches for what is left of the recording.
                let event = match recording.is_null() {
                    true => event,
                    false => event.detail("recording", recording.clone()),
                };
                self.audit(event).await?;
                let end = SessionEnd { at: now, reason: NOT_CLOSED.into(), recording };
                store.close_session(session.id, end).await?;
            }
        }
        store.close_orphans(node, started, now).await?;
        Ok(())
    }

    async fn expire_requests(&self, now: Timestamp) -> Result<(), ControlError> {
        for request in self.gateway().store().expire_requests(now).await? {
            let event = Event::new(Activity::RequestExpire, now)
                .user(&request.user)
                .target(&request.target)
                .environment(&request.environment)
                .detail("request", request.id.to_string());
            self.audit(event).await?;
        }
        Ok(())
    }

    /// Sessions under a grant end by themselves; this only writes down that it is over. In the log
    /// before in the store: a kill in between says it twice, never not at all.
    async fn say_grants_over(&self, now: Timestamp) -> Result<(), ControlError> {
        let store = self.gateway().store();
        for grant in store.grants_over(now).await? {
            let event = Event::new(Activity::GrantExpire, grant.ends)
                .user(&grant.user)
                .target(&grant.target)
                .detail("grant", grant.id.to_string());
            self.audit(event).await?;
            store.say_grant_over(grant.id, now).await?;
        }
        Ok(())
    }

    /// Whether this node is the one that says what is nobody's in particular: the first by name
    /// of those that live. Two that both believe it say a thing twice.
    pub(crate) async fn speaks(&self, now: Timestamp) -> Result<bool, ControlError> {
        let nodes = self.gateway().store().nodes().await?;
        let first = nodes.iter().find(|node| now.since(node.seen_at) < NODE_LIVES);
        Ok(first.is_none_or(|node| node.name == self.gateway().node()))
    }

    /// Whether a node has been seen of late.
    pub(crate) async fn lives(&self, name: &str) -> Result<bool, ControlError> {
        let now = self.gateway().now();
        let nodes = self.gateway().store().nodes().await?;
        Ok(nodes.iter().any(|node| node.name == name && now.since(node.seen_at) < NODE_LIVES))
    }

    async fn purge(&self, now: Timestamp) -> Result<(), ControlError> {
        let store = self.gateway().store();
        store.purge_sign_ins(now).await?;
        store.purge_attempts(now.minus(ATTEMPTS_KEPT)).await?;
        Ok(())
    }
}
