//! Resources, plans, explanations and secrets.

use portcullis_domain::{ActionKind, ChangeId, Login, TargetName, Timestamp, UserName};
use portcullis_proof::{Finding, Report};
use serde::{Deserialize, Serialize};

/// A file of resources.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceFile {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Body of `POST /v1/plan` and `POST /v1/apply`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanBody {
    /// The files.
    pub files: Vec<ResourceFile>,
    /// Remove resources in force that the files do not have.
    #[serde(default)]
    pub prune: bool,
    /// For apply: refuse if the store has moved on from this revision.
    #[serde(default)]
    pub expected_revision: Option<u64>,
}

/// What came of example requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessTestsView {
    /// How many got the answer they must get.
    pub passed: usize,
    /// How many did not.
    pub failed: usize,
    /// Each case, in the order of the files.
    pub cases: Vec<AccessTestView>,
}

/// What came of one example request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessTestView {
    /// The file it is in.
    pub file: String,
    /// The line it begins at, from 1.
    pub line: u32,
    /// The test it belongs to.
    pub test: String,
    /// What it shows.
    pub name: String,
    /// Whether it got the answer it must get.
    pub passed: bool,
    /// That answer: `allow`, `step_up`, `request_access` or `deny`.
    pub expected: String,
    /// The answer it got.
    pub found: String,
    /// That answer in a sentence.
    pub summary: String,
    /// The policies that decided, and how.
    pub decided_by: Vec<String>,
    /// What is not as it must be; empty where it passed.
    pub why: Vec<String>,
}

/// Body of `POST /v1/prove`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveBody {
    /// Of what applying this would make; left out: of what is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<PlanBody>,
}

/// What would change, or has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanView {
    /// The store's revision it was computed at (plan) or made (apply).
    pub revision: u64,
    /// Changes of resources.
    pub changes: Vec<ChangeView>,
    /// Changes of reach.
    pub reach: Vec<ReachView>,
    /// Whether somebody gains something on a target of a production environment.
    #[serde(default)]
    pub gains_in_production: bool,
    /// Who plays several parts that are best separate: requester, approver, policy author, reader of
    /// the log, unlocker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_separated: Vec<String>,
    /// What is odd about policies and invariants in the files: they can fail, never apply, or
    /// select nothing. None of it is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
    /// The invariants, where the change touches what they are about.
    #[serde(default)]
    pub proof: Option<InvariantsView>,
}

/// What became of the invariants.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InvariantsView {
    /// Each invariant with its proof or its counterexamples.
    #[serde(flatten)]
    pub report: Report,
    /// Why a change with this outcome is refused; `None` if it is not.
    pub refused: Option<String>,
}

/// A change that waits, or waited, for a second person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NotedChangeView {
    /// Its id.
    pub id: ChangeId,
    /// Who proposed it.
    pub author: UserName,
    /// Why it takes two people.
    pub why: String,
    /// When it was proposed.
    pub at: Timestamp,
    /// Until when it can be decided.
    pub expires: Timestamp,
    /// `pending`, `approved`, `denied` or `expired`.
    pub state: String,
    /// Who decided it.
    pub decided_by: Option<UserName>,
    /// Whether the caller may approve it.
    pub can_decide: bool,
    /// Of one change: whether it is still what was proposed.
    #[serde(default)]
    pub is_current: bool,
    /// Of one change that waits: what it would do.
    #[serde(default)]
    pub plan: Option<PlanView>,
}

/// Which changes to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangesQuery {
    /// Those that were decided or expired, too.
    #[serde(default)]
    pub all: bool,
}

/// One resource added, changed or removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangeView {
    /// `Kind/name`.
    pub resource: String,
    /// `add`, `change` or `remove`.
    pub change: String,
    /// Changed fields.
    pub fields: Vec<FieldView>,
}

/// One field of a changed resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FieldView {
    /// Dotted path.
    pub path: String,
    /// Before, as JSON.
    pub before: serde_json::Value,
    /// After, as JSON.
    pub after: serde_json::Value,
}

/// Someone gains or loses an action on a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReachView {
    /// Who.
    pub user: UserName,
    /// Where.
    pub target: TargetName,
    /// What.
    pub action: ActionKind,
    /// How it was: `no`, `after approval`, `by breaking the glass`, `standing`.
    pub before: String,
    /// How it will be.
    pub after: String,
    /// As which account on the target, where it is not the same for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// Which commands, paths or destinations before and after, where that changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether anything is possible that was not.
    #[serde(default)]
    pub gains: bool,
}

/// A resource in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceView {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Canonical YAML.
    pub yaml: String,
    /// Who last changed it.
    pub author: UserName,
    /// When.
    pub updated_at: Timestamp,
}

/// Query of `GET /v1/why`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhyQuery {
    /// Who.
    pub user: String,
    /// Which action.
    pub action: ActionKind,
    /// Which target.
    pub target: String,
    /// As which account.
    #[serde(default)]
    pub login: Option<String>,
    /// Command, path or `host:port`.
    #[serde(default)]
    pub object: Option<String>,
    /// Assume a second factor proved just now.
    #[serde(default)]
    pub second_factor: bool,
}

/// A decision explained: for people as text, for programs as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhyView {
    /// `allow`, `step_up`, `request_access` or `deny`.
    pub decision: String,
    /// For people, several lines.
    pub text: String,
    /// Everything, structured.
    pub explanation: serde_json::Value,
}

/// One row of `who-can`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhoCanView {
    /// Who.
    pub user: String,
    /// `now`, `after a second factor`, `after approval` or `by breaking the glass`.
    pub how: String,
    /// As which accounts.
    pub logins: Vec<String>,
    /// By which roles, policies and paths.
    pub via: Vec<String>,
}

/// A policy in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its id, as `why` names it.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// Where it comes from: a role, a raw policy, or built in.
    pub source: String,
    /// What it says, in words.
    pub description: Option<String>,
    /// The Cedar text.
    pub cedar: String,
}

/// Body of `PUT /v1/environments/{env}/secrets/{name}`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretBody {
    /// The value.
    pub value: String,
}
