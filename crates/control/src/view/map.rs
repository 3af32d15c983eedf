//! The organisation as the console draws it: environments with their targets, people with their
//! roles, and what somebody reaches.

use std::collections::BTreeMap;

use portcullis_domain::{ActionKind, EnvironmentName, Login, TargetName, UserName};
use serde::{Deserialize, Serialize};

use super::RoleView;

/// A target the caller can reach, or could.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachableView {
    /// The target.
    pub target: TargetName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// How much that matters.
    pub tier: String,
    /// As which accounts.
    pub logins: Vec<Login>,
    /// What the caller can do there, and what stands between.
    pub actions: Vec<ReachableActionView>,
}

/// An action and what stands between somebody and it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachableActionView {
    /// The action.
    pub action: ActionKind,
    /// `now`, `after a second factor` or `after approval`: the least of them.
    pub how: String,
}

/// An environment with what guards it and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentView {
    /// Its name.
    pub name: EnvironmentName,
    /// How much it matters.
    pub tier: String,
    /// `standing` or `on_request`.
    pub access: String,
    /// Who must approve, in words.
    pub approval: Option<String>,
    /// The longest grant, as people write it (`4h`).
    pub max_grant: String,
    /// Which second factor it asks for, in words.
    pub second_factor: String,
    /// `required`, `best_effort` or `off`.
    pub recording: String,
    /// Its targets, by name.
    pub targets: Vec<MappedTargetView>,
}

/// A target on the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedTargetView {
    /// Its name.
    pub name: TargetName,
    /// What roles select it by.
    pub labels: BTreeMap<String, String>,
    /// `host:port`, as the gate reaches it.
    pub address: String,
    /// Accounts people may use there.
    pub logins: Vec<Login>,
}

/// A person with what they hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PersonView {
    /// Their name.
    pub name: UserName,
    /// As people call them.
    pub full_name: Option<String>,
    /// Whether they may do nothing.
    pub disabled: bool,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their roles and by which paths.
    pub roles: Vec<RoleView>,
}
