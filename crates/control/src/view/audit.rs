//! The audit log.

use portcullis_domain::{SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// Which audit events to find. All conditions must hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// By this person.
    #[serde(default)]
    pub user: Option<String>,
    /// On this target.
    #[serde(default)]
    pub target: Option<String>,
    /// In this environment.
    #[serde(default)]
    pub environment: Option<String>,
    /// Of this activity, such as `authorize` or `session.open`.
    #[serde(default)]
    pub activity: Option<String>,
    /// Of this action, such as `shell` or `exec`.
    #[serde(default)]
    pub action: Option<String>,
    /// `success`, `refused` or `failed`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Of this session.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// The event of this id.
    #[serde(default)]
    pub event: Option<String>,
    /// Not before.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Before.
    #[serde(default)]
    pub to: Option<Timestamp>,
    /// With this text anywhere.
    #[serde(default)]
    pub text: Option<String>,
    /// Only entries before this one: the first of an answer, for those that come before it. Entries
    /// keep their places, so that nothing is missed or found twice while the log grows.
    #[serde(default)]
    pub before: Option<u64>,
    /// The latest this many (default 100, at most 10,000).
    #[serde(default)]
    pub limit: Option<usize>,
}

/// An entry of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its index in the log.
    pub index: u64,
    /// The OCSF event.
    pub event: serde_json::Value,
}

/// The log's latest signed checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckpointView {
    /// C2SP signed note.
    pub checkpoint: String,
    /// Verifier key, C2SP vkey format.
    pub vkey: String,
    /// Verifier keys of the witnesses, C2SP vkey format.
    #[serde(default)]
    pub witness_keys: Vec<String>,
}

/// What a full verification found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifyView {
    /// How many entries.
    pub size: u64,
    /// Root hash, base64.
    pub root: String,
}

/// A proof of one entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProofView {
    /// The entry's index in the log.
    pub index: u64,
    /// C2SP tlog-proof.
    pub proof: String,
    /// The entry's bytes, base64.
    pub entry: String,
}
