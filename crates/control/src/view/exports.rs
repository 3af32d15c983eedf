//! Exports of the audit log.

use portcullis_domain::Timestamp;
use serde::{Deserialize, Serialize};

/// How an export of this node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportView {
    /// Its name in the configuration.
    pub name: String,
    /// `file`, `syslog`, `webhook` or `s3`.
    pub kind: String,
    /// Where to.
    pub destination: String,
    /// Index of the next entry to deliver; all before it are acknowledged.
    pub cursor: u64,
    /// Entries not delivered yet.
    pub lag: u64,
    /// When the receiver last acknowledged something, since the node started.
    pub delivered_at: Option<Timestamp>,
    /// Since when there has always been something left to deliver.
    pub behind_since: Option<Timestamp>,
    /// Since when it is behind for longer than `alert_after`.
    pub overdue_since: Option<Timestamp>,
    /// What goes wrong now.
    pub failing: Option<ExportFailure>,
}

/// Failures of an export in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFailure {
    /// When the first one was.
    pub since: Timestamp,
    /// How many.
    pub tries: u32,
    /// What the last one was.
    pub why: String,
}
