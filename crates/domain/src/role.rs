//! Roles, groups, assignments and raw policies: who may do what where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::ActionKind;
use crate::break_glass::BreakGlass;
use crate::conditions::Conditions;
use crate::name::{EnvironmentName, GroupName, Login, PolicyName, RoleName, TargetName, UserName};
use crate::target::Target;

/// A named set of rights. Compiles to Cedar; `deny` wins over every `allow` of every role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// What it is for, for people.
    pub description: Option<String>,
    /// Roles whose holders its holders are too: everything they allow, deny and let do with
    /// Portcullis itself. Never in a circle.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub inherits: BTreeSet<RoleName>,
    /// Under which circumstances it gives what it allows; what it denies holds regardless.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// Its holders have nothing by it until they break the glass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// What it lets its holders do.
    pub allow: Vec<Rule>,
    /// What its holders can never do.
    pub deny: Vec<Rule>,
    /// What it lets its holders do with Portcullis itself.
    pub control: BTreeSet<ControlAction>,
}

/// A selection of targets and actions. An empty set selects everything of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rule {
    /// Only in these environments.
    pub environments: BTreeSet<EnvironmentName>,
    /// Only these targets.
    pub targets: BTreeSet<TargetName>,
    /// Only targets that carry all of these labels with these values.
    pub labels: BTreeMap<String, String>,
    /// Only these actions. INVARIANT: not empty (the parser refuses a rule without actions).
    pub actions: BTreeSet<ActionKind>,
    /// Only as these accounts on the target.
    pub logins: BTreeSet<Login>,
    /// For `exec`: only commands that match one of these patterns, `*` standing for any text.
    pub commands: Vec<String>,
    /// For `upload` and `download`: only paths that match one of these patterns.
    pub paths: Vec<String>,
    /// For `forward` and `remote_forward`: only `host:port` that match one of these patterns.
    pub destinations: Vec<String>,
    /// For actions in databases: only in databases whose name matches one of these patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
}

impl Rule {
    /// Whether the target is one the rule is about, whatever the action.
    pub fn selects(&self, target: &Target) -> bool {
        (self.environments.is_empty() || self.environments.contains(&target.environment))
            && (self.targets.is_empty() || self.targets.contains(&target.name))
            && self.labels.iter().all(|(key, value)| target.labels.get(key) == Some(value))
    }
}

/// A role and every role it inherits, at any distance, by what `parents` says of each. Ends also
/// where roles inherit each other in a circle.
pub fn with_inherited<'a>(
    role: &'a RoleName,
    parents: impl Fn(&RoleName) -> Option<&'a BTreeSet<RoleName>>,
) -> BTreeSet<&'a RoleName> {
    let mut found = BTreeSet::from([role]);
    let mut waiting = vec![role];
    while let Some(next) = waiting.pop() {
        for inherited in parents(next).into_iter().flatten() {
            if found.insert(inherited) {
                waiting.push(inherited);
            }
        }
    }
    found
}

/// What someone may do with Portcullis itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlAction {
    /// Read resources, `why`, `who-can`.
    ReadResources,
    /// `plan` and `apply`.
    ApplyResources,
    /// Set up and reset credentials of users; store secrets of targets.
    ManageCredentials,
    /// See every request and grant, not only one's own.
    ReadRequests,
    /// End a grant early.
    RevokeGrants,
    /// Place and lift locks.
    Lock,
    /// Drop the gate of an environment, and take part in raising it.
    Drop,
    /// List all sessions.
    ListSessions,
    /// Watch live sessions and read recordings.
    ReadRecordings,
    /// End a session.
    KillSessions,
    /// Read and verify the audit log.
    ReadAudit,
    /// Place and lift evidence holds.
    HoldEvidence,
    /// Take part in erasing a person from the evidence.
    ForgetSubjects,
    /// Read and close reviews of uses of break-glass roles.
    ReviewUses,
}

impl ControlAction {
    /// Every control action, in the order they are printed.
    pub const ALL: [Self; 14] = [
        Self::ReadResources,
        Self::ApplyResources,
        Self::ManageCredentials,
        Self::ReadRequests,
        Self::RevokeGrants,
        Self::Lock,
        Self::Drop,
        Self::ListSessions,
        Self::ReadRecordings,
        Self::KillSessions,
        Self::ReadAudit,
        Self::HoldEvidence,
        Self::ForgetSubjects,
        Self::ReviewUses,
    ];

    /// The name in resources and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadResources => "read_resources",
            Self::ApplyResources => "apply_resources",
            Self::ManageCredentials => "manage_credentials",
            Self::ReadRequests => "read_requests",
            Self::RevokeGrants => "revoke_grants",
            Self::Lock => "lock",
            Self::Drop => "drop",
            Self::ListSessions => "list_sessions",
            Self::ReadRecordings => "read_recordings",
            Self::KillSessions => "kill_sessions",
            Self::ReadAudit => "read_audit",
            Self::HoldEvidence => "hold_evidence",
            Self::ForgetSubjects => "forget_subjects",
            Self::ReviewUses => "review_uses",
        }
    }
}

impl fmt::Display for ControlAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A group of users. Membership is declared on the user; the group carries what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// What it is for, for people.
    pub description: Option<String>,
}

/// Gives a role to users and groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// Its name (a resource name like any other).
    pub name: RoleName,
    /// The role given.
    pub role: RoleName,
    /// To these people.
    pub users: BTreeSet<UserName>,
    /// To everyone in these groups.
    pub groups: BTreeSet<GroupName>,
}

/// Raw Cedar beside the compiled roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyText {
    /// Its name.
    pub name: PolicyName,
    /// What it is for, for people.
    pub description: Option<String>,
    /// One or more Cedar policies.
    pub cedar: String,
}
