//! Which parts of an entry are personal, and whose.
//!
//! A person's name is theirs wherever it stands. Everything else that is personal (the source
//! address, free text, what they typed, login names, their client) belongs to the person whose
//! doing the event is. INVARIANT: a detail is personal unless it is listed here as public.

use serde_json::Value;

use crate::name::UserName;

/// Where a source address stands while it is sealed: OCSF takes nothing but addresses in `ip`.
pub const SOURCE_SEALED_AT: &str = "/src_endpoint/name";

/// Details that say nothing about a person: ids, hashes, and words from a fixed list.
pub const PUBLIC_DETAILS: [&str; 45] = [
    "action",
    "actions",
    "cause",
    "change",
    "connection",
    "destination",
    "duration",
    "ends",
    "environment",
    "expected",
    "expires",
    "export",
    "extends",
    "factor",
    "fields",
    "finding",
    "grant",
    "hold",
    "kind",
    "labels",
    "lock",
    "needs",
    "node",
    "object_sha256",
    "operation",
    "policies",
    "presented",
    "recording",
    "request",
    "resource",
    "review",
    "right",
    "scope",
    "session",
    "sha256",
    "state",
    "subject_id",
    "target",
    "targets",
    "version",
    "vkey",
    "what",
    "witness",
    "role",
    "rule",
];

/// A place in an entry that is personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Personal {
    /// JSON pointer (RFC 6901).
    pub place: String,
    /// Whose; `None` where nobody is known, which is the same as a name nobody has.
    pub whose: Option<UserName>,
}

/// Whether a detail must be sealed.
pub(super) fn is_personal(name: &str, value: &Value) -> bool {
    let plain = matches!(value, Value::Null | Value::Bool(_) | Value::Number(_));
    !plain && !PUBLIC_DETAILS.contains(&name)
}
