//! Requests, grants, locks and gates.

use std::collections::BTreeSet;

use portcullis_domain::{
    AccessRequest, ActionKind, Grant, GrantId, Lock, LockSubject, Login, RequestId,
};
use serde::{Deserialize, Serialize};

/// Body of `POST /v1/requests`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestBody {
    /// For which target.
    pub target: String,
    /// For how long, as people write it (`1h`).
    pub duration: String,
    /// Why.
    pub reason: String,
    /// Only these actions; empty: all that the roles allow.
    #[serde(default)]
    pub actions: BTreeSet<ActionKind>,
    /// Only as this account.
    #[serde(default)]
    pub login: Option<Login>,
}

/// A request with what an approver wants to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestView {
    /// The request.
    #[serde(flatten)]
    pub request: AccessRequest,
    /// Whether the caller may decide it.
    pub can_decide: bool,
    /// The grant, once approved.
    pub grant: Option<Grant>,
}

/// Body with a reason: deny, revoke, kill, drop, raise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// Why.
    pub reason: String,
}

/// Body of `POST /v1/locks`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockBody {
    /// What to lock.
    pub subject: LockSubject,
    /// Why.
    pub reason: String,
    /// For how long, as people write it; absent: until lifted.
    #[serde(default)]
    pub expires_in: Option<String>,
}

/// What raising led to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RaiseView {
    /// Whether the gate is up.
    pub raised: bool,
    /// How many more people must ask.
    pub waiting_for: usize,
    /// The lock.
    pub lock: Lock,
}

/// Which requests or grants to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessQuery {
    /// Only one's own.
    #[serde(default)]
    pub mine: bool,
    /// Only pending requests, or grants in force.
    #[serde(default)]
    pub open: bool,
}

/// The grant that was ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokeView {
    /// Which.
    pub grant: GrantId,
    /// Whether it was still in force.
    pub was_active: bool,
}

/// A decided request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecidedView {
    /// Which.
    pub request: RequestId,
    /// Where it stands now.
    pub state: String,
    /// The grant, if it led to one.
    pub grant: Option<Grant>,
}
