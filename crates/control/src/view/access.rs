//! Requests, grants, locks and gates.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::{
    AccessRequest, ActionKind, Grant, GrantId, Lock, LockSubject, Login, RequestId, Review,
    ReviewId, RoleName, TargetName, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::ReachView;

/// Body of `POST /v1/requests`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestBody {
    /// For which target. One of this, `role`, `labels` and `extends`.
    #[serde(default)]
    pub target: Option<String>,
    /// For all that this role reaches.
    #[serde(default)]
    pub role: Option<String>,
    /// For all targets that carry these labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// To prolong this grant.
    #[serde(default)]
    pub extends: Option<String>,
    /// Only in this environment; needed where a role or labels reach several.
    #[serde(default)]
    pub environment: Option<String>,
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
    /// The ticket it belongs to.
    #[serde(default)]
    pub ticket: Option<String>,
}

/// Body of `POST /v1/break-glass`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassBody {
    /// For which targets, of one environment.
    pub targets: Vec<String>,
    /// By which break-glass role; needed where several would do.
    #[serde(default)]
    pub role: Option<String>,
    /// Why.
    pub reason: String,
    /// For how long, as people write it (`30m`); left out: for as long as the role lets it last.
    #[serde(default)]
    pub duration: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenView {
    /// The review that somebody else closes.
    pub review: ReviewId,
    /// The access.
    pub grant: Grant,
}

/// Query of `GET /v1/reviews`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewsQuery {
    /// Closed ones, too.
    #[serde(default)]
    pub all: bool,
}

/// Body of `POST /v1/reviews/{id}/close`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindingsBody {
    /// What was found.
    pub findings: String,
}

/// A review of a use of a break-glass role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewView {
    /// The review.
    #[serde(flatten)]
    pub review: Review,
    /// Whether the caller is somebody who may close it.
    pub can_close: bool,
    /// What was done, where one is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<HistoryView>,
    /// The access, where one is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
}

/// What someone did with a grant they had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryView {
    /// The grant.
    pub grant: GrantId,
    /// To what.
    pub targets: Vec<TargetName>,
    /// From when.
    pub starts: Timestamp,
    /// Until when it could be used.
    pub ends: Timestamp,
    /// How many sessions there were under it.
    pub sessions: usize,
    /// How many actions they took: commands, files, forwards.
    pub actions: usize,
    /// When the last session began or ended; none: it was never used.
    pub last_used: Option<Timestamp>,
}

/// The smallest request that would have let someone do what they tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuggestionView {
    /// When they tried.
    pub at: Timestamp,
    /// What they tried it on.
    pub target: TargetName,
    /// What they tried.
    pub action: ActionKind,
    /// The smallest of their roles that allows it.
    pub role: Option<RoleName>,
    /// How many pairs of target and action that role reaches.
    pub reach: usize,
    /// What to type; none: a request would not help, or is not needed any more.
    pub command: Option<String>,
    /// Why, for the person.
    pub text: String,
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
    /// Who must agree, while it is pending.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// How many more people that takes at least.
    #[serde(default)]
    pub missing: Option<usize>,
    /// What the requester could do that they cannot do now; of one request, while it is pending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_allow: Vec<ReachView>,
    /// What the requester did with the latest grants; of one request, for who decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryView>,
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
