//! Who may do what with Portcullis itself, and who may approve. Roles carry these rights as a
//! plain set (`control`), outside Cedar: there is no target, no grant and no second factor in them.

use std::collections::BTreeMap;
use std::fmt;

use portcullis_domain::{
    ApprovalRule, ControlAction, Facts, GroupName, Lock, LockId, LockSubject, RoleName,
    SeparationMode, Timestamp, UserName,
};
use serde::Serialize;

/// The answer for an action on Portcullis itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum ControlDecision {
    /// Yes, by these roles, sorted.
    Allow {
        /// Roles that give it.
        roles: Vec<RoleName>,
    },
    /// No.
    Deny(ControlDenial),
}

impl ControlDecision {
    /// Whether it is a yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum ControlDenial {
    /// No such user, or disabled.
    UserUnknownOrDisabled,
    /// A lock on the user, or on every role that would give it.
    Locked {
        /// Which.
        lock: LockId,
        /// On what.
        subject: String,
        /// Why, as its author wrote.
        reason: String,
    },
    /// No role of theirs gives it.
    NoRole {
        /// What was asked.
        action: ControlAction,
        /// Roles that would give it, sorted. For administrators; the refused are not told.
        roles: Vec<RoleName>,
    },
}

impl fmt::Display for ControlDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserUnknownOrDisabled => f.write_str("the user is unknown or disabled"),
            Self::Locked { lock, subject, reason } => {
                write!(f, "{subject} is locked by {lock}: {}", reason.escape_debug())
            }
            Self::NoRole { action, .. } => write!(
                f,
                "none of your roles has `{action}` in its `control`; ask an administrator for one that has"
            ),
        }
    }
}

/// Whether a user may do this, and by which roles. Fails closed: unknown, disabled and locked users
/// may do nothing, and a locked role gives nothing.
pub fn allowed(
    facts: &Facts,
    user: &UserName,
    action: ControlAction,
    now: Timestamp,
) -> ControlDecision {
    if facts.users.get(user).is_none_or(|found| found.disabled) {
        return ControlDecision::Deny(ControlDenial::UserUnknownOrDisabled);
    }
    if let Some(lock) = lock_on(facts, &LockSubject::User(user.clone()), now) {
        return ControlDecision::Deny(locked(lock));
    }
    let gives =
        |name: &RoleName| facts.roles.get(name).is_some_and(|role| role.control.contains(&action));
    let all = facts.roles_of(user);
    let apart = |name: &RoleName| kept_apart(facts, name, &all);
    let held: Vec<RoleName> =
        all.keys().filter(|name| gives(name) && !apart(name)).cloned().collect();
    let (stopped, roles): (Vec<_>, Vec<_>) = held
        .into_iter()
        .map(|name| (lock_on(facts, &LockSubject::Role(name.clone()), now), name))
        .partition(|(lock, _)| lock.is_some());
    if !roles.is_empty() {
        return ControlDecision::Allow { roles: roles.into_iter().map(|(_, name)| name).collect() };
    }
    let lock = stopped.into_iter().find_map(|(lock, _)| lock);
    ControlDecision::Deny(lock.map_or_else(
        || ControlDenial::NoRole {
            action,
            roles: facts.roles.keys().filter(|name| gives(name)).cloned().collect(),
        },
        locked,
    ))
}

/// Whether a role gives nothing because its holder holds another one that it is kept apart from.
fn kept_apart(facts: &Facts, role: &RoleName, held: &BTreeMap<RoleName, Vec<String>>) -> bool {
    let apart = facts.separations.values().filter(|found| found.mode == SeparationMode::Static);
    let mut broken = apart
        .map(|found| found.roles.iter().filter(|name| held.contains_key(*name)).collect::<Vec<_>>())
        .filter(|both| both.len() > 1)
        .flatten();
    // What it inherits it would give too.
    broken.any(|name| facts.with_inherited(name).contains(role))
}

/// Whether someone may take part in an approval by this rule: in one of its groups, enabled, not
/// locked. That nobody approves their own request is the request's own rule.
pub fn may_approve(
    facts: &Facts,
    approver: &UserName,
    rule: &ApprovalRule,
    now: Timestamp,
) -> bool {
    rule.groups().into_iter().any(|group| counts_for(facts, approver, group, now))
}

/// Whether someone counts for a group now: in it, enabled, not locked.
pub fn counts_for(facts: &Facts, approver: &UserName, group: &GroupName, now: Timestamp) -> bool {
    facts.users.get(approver).is_some_and(|user| {
        !user.disabled
            && user.groups.contains(group)
            && lock_on(facts, &LockSubject::User(approver.clone()), now).is_none()
    })
}

fn lock_on<'a>(facts: &'a Facts, subject: &LockSubject, now: Timestamp) -> Option<&'a Lock> {
    facts.locks.iter().find(|lock| lock.subject == *subject && lock.holds(now))
}

fn locked(lock: &Lock) -> ControlDenial {
    ControlDenial::Locked {
        lock: lock.id,
        subject: lock.subject.to_string(),
        reason: lock.reason.clone(),
    }
}
