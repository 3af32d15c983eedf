//! A live session: one client connection to one target, from the spent permit to the closing
//! entry in the log.
//!
//! It is the only thing through which a room reaches a target, records what passes and learns that
//! it must stop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{
    Action, ActionKind, Login, Recording, SessionId, Target, Terms, Timestamp, UserName,
};
use portcullis_store::{SessionEnd, SessionRecord};
use serde_json::Value;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::auditor::AuditError;
use crate::end::EndReason;
use crate::permit::{Authenticated, Permit, Refused};
use crate::recorder::{Observation, RecordError, SessionRecorder};
use crate::registry::earlier;

/// Most different actions one session may be permitted at a time; the next one is refused.
/// File operations do not count: each is decided anew when it happens.
pub const MAX_PERMITTED_ACTIONS: usize = 256;
/// How many of the latest file operations are asked about again when facts change.
const REMEMBERED_FILE_OPERATIONS: usize = 16;
/// Longest client version kept, in bytes.
const MAX_CLIENT_BYTES: usize = 128;
const NEVER: i64 = i64::MAX;

/// Why a session could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The gate closed, or the right went, while the session was being opened.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The recording could not be created and the terms require one.
    #[error("this session must be recorded and cannot be: {0}; tell your administrator")]
    Recording(#[from] RecordError),
    /// The audit log did not take the opening entry.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The store did not take the session.
    #[error("the store does not take the session; try again, or tell your administrator")]
    Store(#[from] portcullis_store::StoreError),
}

/// What `sessions list` shows of a live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub user: UserName,
    /// Which target.
    pub target: Target,
    /// As which account.
    pub login: Login,
    /// From where.
    pub source: std::net::IpAddr,
    /// Since when.
    pub opened: Timestamp,
    /// Until when at the latest.
    pub ends: Option<Timestamp>,
    /// Whether it is recorded.
    pub recorded: bool,
}

/// Handle to a live session; clones are the same session.
#[derive(Clone)]
pub struct LiveSession(Arc<Inner>);

struct Inner {
    gateway: Gateway,
    id: SessionId,
    who: Authenticated,
    target: Arc<Target>,
    terms: Terms,
    opened: Timestamp,
    last_moved: AtomicI64,
    next_check: AtomicI64,
    permitted: Mutex<VecDeque<Action>>,
    recorder: Option<SessionRecorder>,
    end: OnceLock<EndReason>,
    ended: CancellationToken,
    closed: AtomicBool,
    bytes: AtomicU64,
    max_session_ms: AtomicU64,
    idle_timeout_ms: AtomicU64,
}

impl Gateway {
    /// Spends a permit: creates the recording, writes the opening entry and registers the session.
    ///
    /// `client` is the client's version string; it is cut and escaped here.
    pub async fn open(&self, permit: Permit, client: String) -> Result<LiveSession, OpenError> {
        let Permit { who, target, action, terms } = permit;
        let now = self.now();
        let id = SessionId::generate(now);
        let client: String =
            client.escape_debug().to_string().chars().take(MAX_CLIENT_BYTES).collect();
        let recorder = self.create_recorder(id, &who, &target, &terms).await?;
        let session = LiveSession(Arc::new(Inner {
            gateway: self.clone(),
            id,
            target,
            opened: now,
            last_moved: AtomicI64::new(now.as_millis()),
            next_check: AtomicI64::new(terms.good_until().map_or(NEVER, Timestamp::as_millis)),
            permitted: Mutex::new(VecDeque::from([action])),
            recorder,
            end: OnceLock::new(),
            ended: CancellationToken::new(),
            closed: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            max_session_ms: AtomicU64::new(terms.max_session.map_or(u64::MAX, duration_millis)),
            idle_timeout_ms: AtomicU64::new(terms.idle_timeout.map_or(u64::MAX, duration_millis)),
            who,
            terms,
        }));
        if let Err(error) = session.write_opening(client).await {
            session.end(EndReason::ConnectFailed(error.to_string()));
            session.close().await;
            return Err(error);
        }
        self.registry().insert(session.clone());
        // INVARIANT: registered first, asked once more second. A change of facts is either seen
        // here or finds the session in the table.
        self.recheck(&session, &self.snapshot(), self.now());
        if let Some(reason) = session.has_ended() {
            session.close().await;
            return Err(OpenError::Refused(Refused::bound(&reason.told())));
        }
        Ok(session)
    }

    async fn create_recorder(
        &self,
        id: SessionId,
        who: &Authenticated,
        target: &Target,
        terms: &Terms,
    ) -> Result<Option<SessionRecorder>, RecordError> {
        if terms.recording == Recording::Off {
            return Ok(None);
        }
        match SessionRecorder::create(self, id, who, target, terms).await {
            Ok(recorder) => Ok(Some(recorder)),
            Err(error) if terms.recording == Recording::Required => {
                metrics::counter!("portcullis_recording_failures_total").increment(1);
                let event = Event::new(Activity::Recording, self.now())
                    .user(who.user())
                    .target(&target.name)
                    .environment(&target.environment)
                    .session(id)
                    .outcome(Outcome::Failed(error.to_string()));
                // The session is refused whether or not this entry can be written.
                let _ = self.auditor().write(event).await;
                Err(error)
            }
            Err(error) => {
                tracing::warn!(%error, session = %id, "the session is not recorded");
                Ok(None)
            }
        }
    }
}

impl LiveSession {
    /// Its id.
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// The terms of its first permit.
    pub fn terms(&self) -> &Terms {
        &self.0.terms
    }

    /// The target as it was when the session opened.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// The account on the target.
    pub fn login(&self) -> &Login {
        &self.0.terms.login
    }

    /// Whose session it is.
    pub fn who(&self) -> &Authenticated {
        &self.0.who
    }

    /// Authorises a further channel, request or file operation. Audited like the first, and
    /// remembered, so that it is asked about again when facts change.
    pub async fn authorize(&self, action: Action) -> Result<Permit, Refused> {
        if let Some(reason) = self.has_ended() {
            return Err(Refused::bound(&reason.told()));
        }
        self.remember(&action)?;
        let who = self.0.who.as_of(self.0.opened, self.0.gateway.now());
        let permit = self
            .0
            .gateway
            .decide_and_audit(&who, &self.0.target.name, Some(self.login()), action.clone())
            .await;
        match permit {
            Ok(permit) if !self.can_keep(permit.terms()) => {
                let why = "the terms have become stricter than this session can keep";
                self.end(EndReason::PolicyChanged(why.into()));
                Err(Refused::bound(why))
            }
            Ok(permit) => {
                let current =
                    Some(Timestamp::from_millis(self.0.next_check.load(Ordering::Relaxed)));
                self.set_next_check(earlier(current, permit.terms().good_until()));
                Ok(permit)
            }
            Err(refused) => {
                self.forget(&action);
                Err(refused)
            }
        }
    }

    /// Records what was seen. INVARIANT: awaited before the bytes are forwarded, where the terms
    /// require a recording.
    pub async fn observe(&self, seen: Observation<'_>) -> Result<(), RecordError> {
        self.touch();
        self.0.bytes.fetch_add(seen.bytes(), Ordering::Relaxed);
        let Some(recorder) = &self.0.recorder else { return Ok(()) };
        match recorder.observe(seen).await {
            Ok(()) => Ok(()),
            Err(_) if self.0.terms.recording != Recording::Required => Ok(()),
            Err(error) => {
                metrics::counter!("portcullis_recording_failures_total").increment(1);
                self.end(EndReason::RecordingFailed(error.to_string()));
                Err(error)
            }
        }
    }

    /// Has the recorder write what has waited long enough, without waiting for it.
    pub(crate) fn flush_if_due(&self) {
        if !self.0.recorder.as_ref().is_some_and(SessionRecorder::is_due) {
            return;
        }
        let session = self.clone();
        tokio::spawn(async move {
            let Some(recorder) = &session.0.recorder else { return };
            if let Err(error) = recorder.flush().await
                && session.0.terms.recording == Recording::Required
            {
                metrics::counter!("portcullis_recording_failures_total").increment(1);
                session.end(EndReason::RecordingFailed(error.to_string()));
            }
        });
    }

    /// Writes an audit event of this session; durable when it returns.
    pub async fn audit(
        &self,
        activity: Activity,
        outcome: Outcome,
        details: Vec<(&'static str, Value)>,
    ) -> Result<(), AuditError> {
        let event = details
            .into_iter()
            .fold(self.event(activity), |event, (name, value)| event.detail(name, value))
            .outcome(outcome);
        match self.0.gateway.auditor().write(event).await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.end(EndReason::AuditFailed(error.to_string()));
                Err(error)
            }
        }
    }

    /// Something moved; the idle time begins anew.
    pub fn touch(&self) {
        self.0.last_moved.store(self.0.gateway.now().as_millis(), Ordering::Relaxed);
    }

    /// Resolves when the session must end. Many may wait; cancel safe.
    pub async fn ended(&self) -> EndReason {
        self.0.ended.cancelled().await;
        self.has_ended().unwrap_or(EndReason::ClientLeft)
    }

    /// Why it has ended, if it has.
    pub fn has_ended(&self) -> Option<EndReason> {
        self.0.end.get().cloned()
    }

    /// Asks for the end; the first reason counts.
    pub fn end(&self, reason: EndReason) {
        if self.0.end.set(reason).is_ok() {
            self.0.ended.cancel();
        }
    }

    /// Writes the last frames, the closing entry and the store's row. May be called many times;
    /// the first does the work.
    pub async fn close(&self) {
        self.end(EndReason::ClientLeft);
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let reason = self.has_ended().unwrap_or(EndReason::ClientLeft);
        self.0.gateway.registry().remove(self.0.id);
        let recording = match &self.0.recorder {
            Some(recorder) => recorder.finish(&self.0.gateway, &reason).await,
            None => None,
        };
        let mut event = self
            .event(Activity::SessionClose)
            .detail("reason", reason.as_str())
            .detail("told", reason.told())
            .detail("bytes", self.0.bytes.load(Ordering::Relaxed))
            .detail("duration_ms", duration_millis(self.0.gateway.now().since(self.0.opened)));
        if let Some(recording) = &recording {
            event = event.detail("recording", recording.clone());
        }
        if let EndReason::RecordingFailed(why) | EndReason::ConnectFailed(why) = &reason {
            event = event.outcome(Outcome::Failed(why.clone()));
        }
        if let Err(error) = self.0.gateway.auditor().write(event).await {
            tracing::error!(%error, session = %self.0.id, "the closing entry could not be written");
        }
        let end = SessionEnd {
            at: self.0.gateway.now(),
            reason: reason.as_str().to_owned(),
            recording: recording.unwrap_or_default(),
        };
        let closed = self.0.gateway.store().close_session(self.0.id, end);
        if let Err(error) = closed.await {
            tracing::warn!(%error, session = %self.0.id, "the session's row could not be closed");
        }
    }

    /// What lists show.
    pub fn view(&self) -> SessionView {
        SessionView {
            id: self.0.id,
            user: self.0.who.user().clone(),
            target: self.target().clone(),
            login: self.login().clone(),
            source: self.0.who.source(),
            opened: self.0.opened,
            ends: self.0.terms.ends,
            recorded: self.0.recorder.is_some(),
        }
    }

    /// The recorder, for live watchers.
    pub fn recorder(&self) -> Option<&SessionRecorder> {
        self.0.recorder.as_ref()
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.0.gateway
    }

    /// An event with everything known about this session filled in.
    pub(crate) fn event(&self, activity: Activity) -> Event {
        Event::new(activity, self.0.gateway.now())
            .user(self.0.who.user())
            .source(self.0.who.source())
            .target(&self.0.target.name)
            .environment(&self.0.target.environment)
            .session(self.0.id)
            .detail("login", self.login().as_str())
    }

    pub(crate) fn permitted(&self) -> Vec<Action> {
        self.actions().iter().cloned().collect()
    }

    pub(crate) fn opened(&self) -> Timestamp {
        self.0.opened
    }

    /// Takes over shorter limits; whether the session can go on under these terms at all.
    pub(crate) fn can_keep(&self, terms: &Terms) -> bool {
        let shorter = |kept: &AtomicU64, new: Option<Duration>| {
            kept.fetch_min(new.map_or(u64::MAX, duration_millis), Ordering::Relaxed);
        };
        shorter(&self.0.max_session_ms, terms.max_session);
        shorter(&self.0.idle_timeout_ms, terms.idle_timeout);
        terms.recording != Recording::Required
            || (self.0.recorder.is_some() && self.0.terms.recording == Recording::Required)
    }

    pub(crate) fn must_recheck(&self, now: Timestamp) -> bool {
        now.as_millis() >= self.0.next_check.load(Ordering::Relaxed)
    }

    pub(crate) fn set_next_check(&self, at: Option<Timestamp>) {
        self.0.next_check.store(at.map_or(NEVER, Timestamp::as_millis), Ordering::Relaxed);
    }

    pub(crate) fn out_of_time(&self, now: Timestamp) -> Option<EndReason> {
        let passed = |since: Timestamp, limit: &AtomicU64| {
            duration_millis(now.since(since)) >= limit.load(Ordering::Relaxed)
        };
        if passed(self.0.opened, &self.0.max_session_ms) {
            return Some(EndReason::MaxSession);
        }
        let moved = Timestamp::from_millis(self.0.last_moved.load(Ordering::Relaxed));
        passed(moved, &self.0.idle_timeout_ms).then_some(EndReason::Idle)
    }

    async fn write_opening(&self, client: String) -> Result<(), OpenError> {
        let event = self
            .event(Activity::SessionOpen)
            .detail("client", client.clone())
            .detail("recording", format!("{:?}", self.0.terms.recording).to_lowercase())
            .detail("policies", self.0.terms.reasons.join(" "))
            .detail(
                "factors",
                self.0
                    .who
                    .authentication()
                    .factors
                    .iter()
                    .map(|factor| factor.kind.as_str())
                    .collect::<Vec<_>>()
                    .join(" "),
            );
        let event = match self.0.terms.grant {
            Some(grant) => event.detail("grant", grant.to_string()),
            None => event,
        };
        let opened_entry = self.0.gateway.auditor().write(event).await?;
        let record = SessionRecord {
            id: self.0.id,
            user: self.0.who.user().clone(),
            target: self.0.target.name.clone(),
            environment: self.0.target.environment.clone(),
            login: Some(self.login().clone()),
            protocol: self.target().protocol.as_str().into(),
            source: self.0.who.source().to_string(),
            grant: self.0.terms.grant,
            node: self.0.gateway.node().to_owned(),
            started_at: self.0.opened,
            opened_entry: Some(opened_entry),
            end: None,
            removal: None,
        };
        self.0.gateway.store().open_session(&record).await?;
        Ok(())
    }

    fn remember(&self, action: &Action) -> Result<(), Refused> {
        let mut actions = self.actions();
        if actions.contains(action) {
            return Ok(());
        }
        if is_file(action) {
            let files = actions.iter().filter(|held| is_file(held)).count();
            if files >= REMEMBERED_FILE_OPERATIONS
                && let Some(oldest) = actions.iter().position(is_file)
            {
                actions.remove(oldest);
            }
        } else if actions.iter().filter(|held| !is_file(held)).count() >= MAX_PERMITTED_ACTIONS {
            return Err(Refused::bound(
                "this session has done too many different things; open another one",
            ));
        }
        actions.push_back(action.clone());
        Ok(())
    }

    fn forget(&self, action: &Action) {
        self.actions().retain(|held| held != action);
    }

    fn actions(&self) -> std::sync::MutexGuard<'_, VecDeque<Action>> {
        self.0.permitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_file(action: &Action) -> bool {
    matches!(action.kind(), ActionKind::Upload | ActionKind::Download)
}

fn duration_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
