//! The table of live sessions on this node and the supervisor that keeps asking whether each may
//! still go on.
//!
//! One task serves all sessions: it wakes when the facts change and, whatever the store does, at a
//! steady tick for ends, idle times and longest sessions. A session is asked about with the same
//! `decide` that let it in.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_domain::{Decision, Query, SessionId, Timestamp};
use portcullis_policy::decide;
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::end::{EndReason, reason_for};
use crate::live::{LiveSession, SessionView};
use crate::permit::{Basis, registered};
use crate::snapshot::Snapshot;

/// How often ends and idle times are looked at. Bounds how late a session ends: well under the
/// second that is promised.
pub const SUPERVISOR_TICK: Duration = Duration::from_millis(200);
/// How often the store is asked when it does not tell of a change.
const STORE_POLL: Duration = Duration::from_secs(1);
/// Longest wait for the store before it is asked again.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Live sessions by id.
#[derive(Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<SessionId, LiveSession>>,
}

impl Registry {
    pub(crate) fn insert(&self, session: LiveSession) {
        self.lock().insert(session.id(), session);
        metrics::gauge!("portcullis_live_sessions").increment(1.0);
    }

    pub(crate) fn remove(&self, id: SessionId) {
        if self.lock().remove(&id).is_some() {
            metrics::gauge!("portcullis_live_sessions").decrement(1.0);
        }
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<LiveSession> {
        self.lock().get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<LiveSession> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, LiveSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// Live sessions on this node, oldest first.
    pub fn live_sessions(&self) -> Vec<SessionView> {
        let mut views: Vec<_> = self.registry().all().iter().map(LiveSession::view).collect();
        views.sort_by_key(|view| view.id);
        views
    }

    /// A live session by id, for watching and ending it.
    pub fn live_session(&self, id: SessionId) -> Option<LiveSession> {
        self.registry().get(id)
    }

    /// Reads the store again and ends what is not allowed any more. Every use case that changes
    /// facts calls this before it answers, so that its effect is there when it says so.
    pub async fn refresh(&self) -> Result<(), crate::RefreshError> {
        self.current().refresh(self.store(), self.now()).await?;
        self.recheck_all();
        self.auditor().subjects().follow(self.now()).await?;
        Ok(())
    }

    /// Runs until `stop`: follows the store, ends sessions.
    pub async fn supervise(&self, stop: CancellationToken) {
        // INVARIANT: ends are looked at beside the store, never after it: a store that hangs must
        // not lengthen a grant.
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow_changes() => {}
            () = self.watch_times() => {}
        }
    }

    async fn follow_changes(&self) {
        let mut changes = self.store().changes();
        loop {
            let _ = tokio::time::timeout(STORE_POLL, changes.changed()).await;
            self.follow_store().await;
        }
    }

    async fn watch_times(&self) {
        let mut tick = tokio::time::interval(SUPERVISOR_TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.check_times();
        }
    }

    async fn follow_store(&self) {
        let refresh = self.current().refresh(self.store(), self.now());
        match tokio::time::timeout(STORE_PATIENCE, refresh).await {
            Ok(Ok(true)) => {
                self.recheck_all();
                self.follow_subjects().await;
            }
            Ok(Ok(false)) if self.auditor().subjects().day_is_over(self.now()) => {
                self.follow_subjects().await;
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the store could not be followed"),
            Err(_) => tracing::warn!("the store does not answer"),
        }
    }

    /// Whoever was forgotten on another node is forgotten here within a moment.
    async fn follow_subjects(&self) {
        let followed = self.auditor().subjects().follow(self.now());
        match tokio::time::timeout(Duration::from_secs(2), followed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the keys of people could not be followed"),
            Err(_) => tracing::warn!("the store does not answer"),
        }
    }

    fn recheck_all(&self) {
        let snapshot = self.snapshot();
        let now = self.now();
        for session in self.registry().all() {
            self.recheck(&session, &snapshot, now);
        }
    }

    fn check_times(&self) {
        let now = self.now();
        let lease = self.current().lease_holds(now);
        let audit = self.auditor().healthy();
        let snapshot = self.snapshot();
        for session in self.registry().all() {
            session.flush_if_due();
            if !lease {
                session.end(EndReason::StoreLost);
            } else if !audit {
                session.end(EndReason::AuditFailed("the log failed".into()));
            } else if let Some(reason) = session.out_of_time(now) {
                session.end(reason);
            } else if session.must_recheck(now) {
                self.recheck(&session, &snapshot, now);
            }
        }
    }

    /// Asks again for everything the session was permitted; ends it at the first refusal.
    pub(crate) fn recheck(&self, session: &LiveSession, snapshot: &Snapshot, now: Timestamp) {
        if session.has_ended().is_some() {
            return;
        }
        if let Basis::Key(key) = session.who().basis()
            && !registered(&snapshot.facts, session.who().user(), key)
        {
            session.end(EndReason::PolicyChanged("the key you signed in with was removed".into()));
            return;
        }
        let who = session.who().as_of(session.opened(), now);
        let mut ends: Option<Timestamp> = None;
        for action in session.permitted() {
            let query = Query {
                who: who.authentication().clone(),
                target: session.target().name.clone(),
                login: Some(session.login().clone()),
                action,
            };
            match decide(&snapshot.policies, &snapshot.facts, &query, now) {
                Decision::Allow(terms) if session.can_keep(&terms) => {
                    ends = earlier(ends, terms.good_until());
                }
                refused => {
                    session.end(reason_for(
                        &refused,
                        &snapshot.facts,
                        session.who().user(),
                        session.terms().grant,
                        now,
                    ));
                    return;
                }
            }
        }
        if moved(session, snapshot) {
            session.end(EndReason::PolicyChanged("the target has changed".into()));
            return;
        }
        session.set_next_check(ends);
    }
}

/// A target that now means another place, or belongs to another environment, is another target.
fn moved(session: &LiveSession, snapshot: &Snapshot) -> bool {
    let old = session.target();
    snapshot.facts.targets.get(&old.name).is_none_or(|new| {
        new.environment != old.environment
            || new.protocol.as_str() != old.protocol.as_str()
            || new.host() != old.host()
            || new.port() != old.port()
    })
}

pub(crate) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
