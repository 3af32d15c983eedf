//! The store: everything Portcullis remembers, in SQLite or PostgreSQL.
//!
//! In: resources, requests, grants, locks, credentials, secrets, sessions. Out: the same, and
//! [`Facts`](portcullis_domain::Facts), the snapshot that decisions are made on. The same code
//! and the same contract tests run on both databases.
//!
//! Every change that a decision may depend on grows one revision in the same transaction;
//! [`Store::changes`] tells of it within a fraction of a second, on every node.
//!
//! Architecture invariant: this is the only crate that names sqlx. It decides nothing: it knows
//! no policy, no protocol, no password algorithm, and reads no clock. A secret leaves it only as
//! `Secret` and rests only sealed under the master key.

mod changes;
mod confirmations;
mod credentials;
mod database;
mod error;
mod grants;
mod holds;
mod keys;
mod locks;
mod master_key;
mod nodes;
mod open;
mod page;
mod passkeys;
mod pending_changes;
mod pulse;
mod requests;
mod resources;
mod retention;
mod reviews;
mod rotation;
mod schema;
mod seal;
mod secrets;
mod sequence;
mod sessions;
mod subjects;
mod tokens;
mod transaction;

use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use crate::database::Database;

pub use confirmations::MAX_WAITING;
pub use credentials::{AttemptScope, CredentialStatus, Totp};
pub use database::UrlError;
pub use error::{Cause, StoreError};
pub use grants::{GrantFilter, Revocation};
pub use holds::{HoldError, MAX_HOLDS};
pub use keys::KeyWrap;
pub use locks::{LiftError, Lifted, Placed, RaiseError, Raised};
pub use master_key::{MasterKey, MasterKeyError, MasterKeyId, MasterKeySource};
pub use nodes::Node;
pub use open::OpenError;
pub use page::{DEFAULT_PAGE, MAX_PAGE, Page};
pub use passkeys::{Counted, MAX_CEREMONIES, MAX_PASSKEYS_PER_USER, Passkey};
pub use pending_changes::MAX_OPEN_CHANGES;
pub use pulse::Pulse;
pub use requests::{
    CreateRequestError, MAX_PENDING_PER_USER, RequestFilter, RequestStateName, Transition,
    TransitionFailure,
};
pub use resources::{ApplyError, Changes, MAX_CHANGES, StoredResource};
pub use retention::{MAX_DUE, RecordingRemoval, RemoveError, evidence_of};
pub use reviews::ReviewFilter;
pub use rotation::Rotated;
pub use secrets::TargetSecret;
pub use sequence::{LogSequence, SequenceBatch};
pub use sessions::{SessionEnd, SessionFilter, SessionRecord};
pub use subjects::{ForgetError, MAX_CLAIMED_PER_DAY, Subject, SubjectState};
pub use tokens::{Carrier, Certificate, SeenToken, Token};

/// An open store. Cloning is cheap; all clones share the connections and the change feed.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    /// The current master key; replaced by a rotation of our own.
    master_key: RwLock<MasterKey>,
    /// The newest revision known here.
    changes: watch::Sender<u64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let revision = *self.inner.changes.borrow();
        f.debug_struct("Store").field("revision", &revision).finish_non_exhaustive()
    }
}
