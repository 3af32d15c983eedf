//! The one path into a target: sign in, authorise, open, connect, observe, end.
//!
//! Proofs of identity and facts flow in; permits, live sessions and audit events flow out. Rooms
//! (one per protocol) and use cases call this crate; it calls policy, evidence, store and
//! identity, and knows neither SSH packets nor HTTP nor the command line.
//!
//! Architecture invariants:
//! * a [`Permit`] is minted in `authorize.rs` only, after its decision is durable in the log;
//! * an [`Authenticated`] comes out of `sign_in.rs` only;
//! * a live session is asked about again whenever facts change, by the same `decide`.

mod around;
mod attempts;
mod auditor;
mod authorize;
mod chunk_log;
mod clock;
mod codes;
mod confirm;
mod connect;
mod database;
mod end;
mod hasher;
mod live;
mod lookup;
mod passkeys;
mod permit;
mod places;
mod recorder;
mod recording_key;
mod registry;
mod rules;
mod sequence;
mod sign_in;
mod snapshot;
mod strangers;
mod subjects;
mod tls;
mod token;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_domain::Timestamp;
use portcullis_evidence::log::Log;
use portcullis_identity::authority::{SignInAuthority, TargetAuthority, TlsAuthority};
use portcullis_store::{KeyWrap, Store};

pub use around::HOST_SUFFIX;
pub use auditor::{AuditError, Auditor};
pub use chunk_log::{logged_chunk, logged_closing, remains_detail};
pub use clock::{Clock, SystemClock};
pub use confirm::{ConfirmError, Confirming};
pub use connect::{ConnectError, TargetCredential};
pub use database::{DatabaseCredential, ServerTls};
pub use end::EndReason;
pub use hasher::{Hasher, HasherError};
pub use live::{LiveSession, MAX_PERMITTED_ACTIONS, OpenError, SessionView};
pub use passkeys::{PasskeyError, Proof};
pub use permit::{Authenticated, Permit, Refused};
pub use portcullis_store::Carrier;
pub use recorder::{Observation, RECORDING_SUFFIX, RecordError, SessionRecorder};
pub use recording_key::{KEY_DESTROYED, RecordingKey};
pub use registry::SUPERVISOR_TICK;
pub use rules::SignInRules;
pub use sequence::CommonSequence;
pub use sign_in::{Asked, SignInError, SignInFlow};
pub use snapshot::{LEASE, RefreshError, Snapshot};
pub use strangers::{Stranger, Strangers};
pub use subjects::{Subjects, SubjectsError};
pub use tls::{ListenerTls, ListenerTlsError};
pub use token::{Issued, Presence, Presented, SignInFor, SignedIn};

use crate::attempts::Sources;
use crate::chunk_log::ChunkLog;
use crate::places::Places;
use crate::registry::Registry;
use crate::snapshot::Current;

/// A wall clock that was set back further than this closes the gate until it is right again.
pub const MAX_CLOCK_SET_BACK: Duration = Duration::from_secs(60);

/// What a gateway is made of. The binary chooses the parts.
pub struct Parts {
    /// Where resources, grants and credentials are.
    pub store: Store,
    /// The audit log.
    pub log: Log,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Signs certificates for people signing in.
    pub sign_in_authority: SignInAuthority,
    /// Signs certificates for targets.
    pub target_authority: TargetAuthority,
    /// Signs certificates for TLS: of people signing in, and of the gate's listeners.
    pub tls_authority: TlsAuthority,
    /// Where recordings are written.
    pub recordings: PathBuf,
    /// Wraps the key of each recording.
    pub recording_keys: KeyWrap,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// This node's name.
    pub node: String,
    /// Signed-in connections one person may hold on this node at a time, of all rooms together.
    pub connections_per_person: NonZeroUsize,
}

/// [`Parts::connections_per_person`] where nothing else is said.
pub const CONNECTIONS_PER_PERSON: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Handle to the gate; clones are the same gate.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    store: Store,
    auditor: Auditor,
    clock: Arc<dyn Clock>,
    current: Current,
    registry: Registry,
    sign_in_authority: SignInAuthority,
    target_authority: TargetAuthority,
    tls_authority: TlsAuthority,
    sources: Sources,
    places: Arc<Places>,
    recordings: PathBuf,
    recording_keys: KeyWrap,
    hasher: Hasher,
    chunk_log: ChunkLog,
    node: String,
    rules: OnceLock<SignInRules>,
    stopping: AtomicBool,
}

impl Gateway {
    /// Assembles a gate and reads what is in force. It lets nobody in before this returns.
    pub async fn start(parts: Parts) -> Result<Self, RefreshError> {
        let current = Current::load(&parts.store, parts.clock.now()).await?;
        let subjects = Subjects::load(parts.store.clone(), parts.clock.now()).await?;
        subjects.follow(parts.clock.now()).await?;
        let auditor = Auditor::new(parts.log, subjects);
        let chunk_log = ChunkLog::start(auditor.clone(), Arc::clone(&parts.clock));
        Ok(Self(Arc::new(Inner {
            store: parts.store,
            auditor,
            chunk_log,
            clock: parts.clock,
            current,
            registry: Registry::default(),
            sign_in_authority: parts.sign_in_authority,
            target_authority: parts.target_authority,
            tls_authority: parts.tls_authority,
            sources: Sources::default(),
            places: Places::new(parts.connections_per_person),
            recordings: parts.recordings,
            recording_keys: parts.recording_keys,
            hasher: parts.hasher,
            node: parts.node,
            rules: OnceLock::new(),
            stopping: AtomicBool::new(false),
        })))
    }

    /// Sets how people sign in, once, before the first door opens. Without this the rules are the
    /// default ones.
    pub fn set_rules(&self, rules: SignInRules) {
        let _first_ones_stay = self.0.rules.set(rules);
    }

    /// How people sign in.
    pub fn rules(&self) -> &SignInRules {
        self.0.rules.get_or_init(SignInRules::default)
    }

    /// The time decisions are taken at.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// What is in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.current.get()
    }

    /// The way into the audit log.
    pub fn auditor(&self) -> &Auditor {
        &self.0.auditor
    }

    /// Hashes passwords off the serving threads.
    pub fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    /// The store, for use cases; rooms have no business with it.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// This node's name.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Where recordings are.
    pub fn recordings(&self) -> &std::path::Path {
        &self.0.recordings
    }

    /// Wraps the halves of the keys of recordings that stand in their files.
    pub(crate) fn recording_keys(&self) -> &KeyWrap {
        &self.0.recording_keys
    }

    /// The authority whose certificates people sign in with.
    pub fn sign_in_authority(&self) -> &SignInAuthority {
        &self.0.sign_in_authority
    }

    /// The authority targets trust.
    pub fn target_authority(&self) -> &TargetAuthority {
        &self.0.target_authority
    }

    /// The authority of the certificates used over TLS.
    pub fn tls_authority(&self) -> &TlsAuthority {
        &self.0.tls_authority
    }

    /// Lets nobody in any more and ends every session; returns when all have been closed or
    /// `patience` has passed.
    pub async fn stop(&self, patience: Duration) {
        self.0.stopping.store(true, Ordering::Release);
        for session in self.registry().all() {
            session.end(EndReason::NodeStopping);
        }
        let deadline = tokio::time::Instant::now() + patience;
        while !self.registry().all().is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn current(&self) -> &Current {
        &self.0.current
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn chunk_log(&self) -> &ChunkLog {
        &self.0.chunk_log
    }

    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.0.places
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.0.sources
    }
}
