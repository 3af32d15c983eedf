//! Invariants: what must never be possible, whatever roles and policies say.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::action::ActionKind;
use crate::environment::Tier;
use crate::name::{EnvironmentName, GroupName, PolicyName, RoleName, TargetName, UserName};
use crate::time::Timestamp;

/// A statement about every possible request: none that is allowed looks like this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invariant {
    /// Its name.
    pub name: PolicyName,
    /// What it means and why, for people.
    pub description: Option<String>,
    /// What must never be allowed; `None` only where the name is that of a built-in invariant, to
    /// which this adds exceptions.
    pub never: Option<Never>,
    /// What may break it nevertheless, for a while.
    pub exceptions: Vec<Exception>,
}

/// Requests that must never be allowed. An empty selector selects everything of its kind; a
/// request must match all that are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Never {
    /// Members of any of these groups, or holders of any of these roles, or these users.
    pub groups: BTreeSet<GroupName>,
    /// See `groups`.
    pub roles: BTreeSet<RoleName>,
    /// See `groups`.
    pub users: BTreeSet<UserName>,
    /// Any of these actions.
    pub actions: BTreeSet<ActionKind>,
    /// Targets of any of these tiers.
    pub tiers: BTreeSet<Tier>,
    /// Targets of any of these environments.
    pub environments: BTreeSet<EnvironmentName>,
    /// Any of these targets.
    pub targets: BTreeSet<TargetName>,
    /// Targets that carry all of these labels.
    pub labels: BTreeMap<String, String>,
    /// A Cedar condition that must hold too.
    pub when: Option<String>,
    /// A Cedar condition under which it is all right.
    pub unless: Option<String>,
}

/// What an exception is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Excepted {
    /// Every rule of this role.
    Role(RoleName),
    /// Every Cedar policy of this resource.
    Policy(PolicyName),
}

/// Someone answers for breaking an invariant until a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// What may break it.
    pub what: Excepted,
    /// Who answers for it.
    pub owner: UserName,
    /// Why.
    pub reason: String,
    /// From then on it does not count.
    pub expires: Timestamp,
}

impl Exception {
    /// Whether it counts at `now`.
    pub fn counts(&self, now: Timestamp) -> bool {
        now < self.expires
    }
}
