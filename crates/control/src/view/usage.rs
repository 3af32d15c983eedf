//! What was given and what was used of it.

use portcullis_domain::{ActionKind, RoleName, TargetName, Timestamp, UserName};
use serde::{Deserialize, Serialize};

/// Query of `GET /v1/usage`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// Only of this person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Only of this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How far to look back; left out: 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u64>,
}

/// What was given and what was used in a window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UsageView {
    /// Where the window that was asked for begins.
    pub from: Timestamp,
    /// Where it ends: now.
    pub to: Timestamp,
    /// From when on the audit log was read. Later than `from` where the log is younger, or longer
    /// than is read.
    pub covers_from: Timestamp,
    /// Whether the whole window is covered.
    pub complete: bool,
    /// Entries of the log that were read.
    pub entries: u64,
    /// Each role that lets somebody do something on targets.
    pub roles: Vec<RoleUsageView>,
    /// Each person who holds such a role or had a grant.
    pub people: Vec<PersonUsageView>,
    /// What else there is to say.
    pub notes: Vec<String>,
    /// Rows of reach that the proposal takes away.
    pub losses: usize,
    /// The proposal as resources that `plan` and `apply` take; empty where there is none.
    pub resources: String,
}

/// What a role gives and what was used of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleUsageView {
    /// Which.
    pub role: RoleName,
    /// How many people hold it.
    pub holders: usize,
    /// Pairs of a target and an action that its rules name.
    pub granted: usize,
    /// Of those, how many somebody who holds it used.
    pub used: usize,
    /// Actions nobody used anywhere.
    pub unused_actions: Vec<ActionKind>,
    /// Targets nobody used, the first of them by name.
    pub unused_targets: Vec<TargetName>,
    /// How many targets nobody used.
    pub unused_target_count: usize,
    /// It, or who holds it, was changed within what the log covers: too young to tell.
    pub is_young: bool,
}

/// What a person was given and used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PersonUsageView {
    /// Who.
    pub user: UserName,
    /// Pairs of a target and an action that their roles name.
    pub granted: usize,
    /// Of those, how many they used.
    pub used: usize,
    /// Roles they used nothing of.
    pub unused_roles: Vec<RoleName>,
    /// Grants that began in the window.
    pub grants: usize,
    /// Of those, how many a session ran under.
    pub grants_used: usize,
}
