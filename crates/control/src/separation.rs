//! Separation of duties where it counts for changes and requests.
//!
//! Facts flow in; a refusal that names the assignment in the way, or nothing, flows out. That a role
//! gives nothing where it was come by all the same is the decision's own matter.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::separation::{in_use_instead, violations};
use portcullis_domain::{
    ControlAction, Facts, Grant, Resource, ResourceKey, RoleName, Tier, Timestamp, UserName,
};

use crate::weakening::approver_groups;
use crate::{ControlError, ErrorKind};

/// Most violations named in one refusal, and most people named as not separated.
const MAX_NAMED: usize = 20;

/// Refuses resources under which somebody would hold roles that are kept apart.
pub(crate) fn keep_apart(after: &BTreeMap<ResourceKey, Resource>) -> Result<(), ControlError> {
    let mut facts = Facts::default();
    after.values().cloned().for_each(|resource| facts.insert(resource));
    let found = violations(&facts);
    if found.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = found.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let why = format!("{}; take one of the assignments away", named.join("\n"));
    Err(ControlError::new(ErrorKind::Conflict, "separation_of_duties", why))
}

/// Refuses a role to somebody who has these grants and uses one it is kept apart from: when it is
/// asked for, approved or taken out.
pub(crate) fn not_both(
    facts: &Facts,
    (user, held): (&UserName, &[Grant]),
    role: Option<&RoleName>,
    now: Timestamp,
) -> Result<(), ControlError> {
    let Some(role) = role else { return Ok(()) };
    match in_use_instead(facts, held, role, now) {
        None => Ok(()),
        Some((separation, other)) => Err(ControlError::new(
            ErrorKind::Conflict,
            "separation_of_duties",
            format!(
                "`{user}` has a grant for role `{other}`, which `{separation}` keeps apart from \
                 `{role}`; give that grant back first"
            ),
        )),
    }
}

/// A part in the life of access that is best not played by somebody who plays another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Duty {
    Requester,
    Approver,
    PolicyAuthor,
    LogReader,
    IncidentUnlocker,
}

impl Duty {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Requester => "requests access to production",
            Self::Approver => "approves requests for production",
            Self::PolicyAuthor => "applies policy",
            Self::LogReader => "reads the audit log",
            Self::IncidentUnlocker => "lifts locks and raises gates",
        }
    }
}

/// Who plays more than one part. With few people it cannot be otherwise, so it is said and not
/// refused; that nobody plays two parts in one request or change holds regardless.
pub(crate) fn not_separated(facts: &Facts) -> Vec<String> {
    let approving: BTreeSet<_> = facts
        .environments
        .values()
        .filter(|found| found.tier == Tier::Production)
        .flat_map(approver_groups)
        .collect();
    let reaching: BTreeSet<&RoleName> = facts
        .roles
        .values()
        .filter(|role| {
            facts.targets.values().any(|target| {
                let environment = facts.environments.get(&target.environment);
                environment.is_some_and(|found| found.tier == Tier::Production)
                    && role.allow.iter().any(|rule| rule.selects(target))
            })
        })
        .map(|role| &role.name)
        .collect();
    let told = |user: &portcullis_domain::User| {
        let roles = facts.roles_of(&user.name);
        let rights: BTreeSet<ControlAction> = roles
            .keys()
            .filter_map(|role| facts.roles.get(role))
            .flat_map(|role| role.control.iter().copied())
            .collect();
        let plays = [
            (Duty::Requester, roles.keys().any(|role| reaching.contains(role))),
            (Duty::Approver, user.groups.iter().any(|group| approving.contains(group))),
            (Duty::PolicyAuthor, rights.contains(&ControlAction::ApplyResources)),
            (Duty::LogReader, rights.contains(&ControlAction::ReadAudit)),
            (
                Duty::IncidentUnlocker,
                rights.contains(&ControlAction::Lock) || rights.contains(&ControlAction::Drop),
            ),
        ];
        let parts: Vec<&str> =
            plays.into_iter().filter(|(_, holds)| *holds).map(|(duty, _)| duty.as_str()).collect();
        (parts.len() > 1).then(|| (parts.len(), format!("`{}` {}", user.name, parts.join(" and "))))
    };
    let enabled = facts.users.values().filter(|user| !user.disabled);
    let mut found: Vec<(usize, String)> = enabled.filter_map(told).collect();
    // Who plays most parts comes first.
    found.sort_by_key(|(parts, _)| std::cmp::Reverse(*parts));
    found.into_iter().take(MAX_NAMED).map(|(_, text)| text).collect()
}
