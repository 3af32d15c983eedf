//! Separation of duties: roles that nobody holds, or uses, together.
//!
//! Facts flow in; who holds what they must not, and which roles are not active for someone, flow
//! out. Roles held through groups count like those held directly: both come of `Facts::roles_of`.
//!
//! INVARIANT (nobody alone): it does not matter by which path someone came to hold roles that are
//! kept apart. Changes that would bring it about are refused; where it has come about all the same,
//! none of the roles gives anything.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::grant::Grant;
use crate::name::{PolicyName, RoleName, TargetName, UserName};
use crate::time::Timestamp;

/// Roles of which nobody may have more than one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeparationOfDuties {
    /// Its name.
    pub name: PolicyName,
    /// What it is for, for people.
    pub description: Option<String>,
    /// INVARIANT: at least two (the parser refuses fewer).
    pub roles: BTreeSet<RoleName>,
    /// Whether they may be held together.
    pub mode: SeparationMode,
}

/// What is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeparationMode {
    /// Nobody holds two of the roles.
    Static,
    /// Somebody may hold several and uses one at a time: the one they have a grant for.
    Dynamic,
}

/// Somebody holds roles that are kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// By which separation.
    pub separation: PolicyName,
    /// Who.
    pub user: UserName,
    /// The roles, each with the paths that give it.
    pub held: Vec<(RoleName, Vec<String>)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: Vec<String> = self
            .held
            .iter()
            .map(|(role, paths)| format!("role `{role}` by {}", paths.join(" and ")))
            .collect();
        write!(
            f,
            "user `{}` would hold {}, which `{}` keeps apart",
            self.user,
            held.join(" and "),
            self.separation
        )
    }
}

/// Everyone who holds roles that are kept apart, disabled people too: they may be enabled again.
pub fn violations(facts: &Facts) -> Vec<Violation> {
    let apart: Vec<&SeparationOfDuties> =
        facts.separations.values().filter(|found| found.mode == SeparationMode::Static).collect();
    if apart.is_empty() {
        return Vec::new();
    }
    let of = |user: &UserName| {
        let roles = facts.roles_of(user);
        let user = user.clone();
        apart
            .iter()
            .filter_map(move |separation| {
                let held: Vec<_> = roles
                    .iter()
                    .filter(|(role, _)| separation.roles.contains(*role))
                    .map(|(role, paths)| (role.clone(), paths.clone()))
                    .collect();
                let (separation, user) = (separation.name.clone(), user.clone());
                (held.len() > 1).then_some(Violation { separation, user, held })
            })
            .collect::<Vec<_>>()
    };
    facts.users.keys().flat_map(of).collect()
}

/// The roles out of `held` that give someone nothing on this target now.
///
/// Of roles that are kept apart statically, none is active. Of those kept apart dynamically, the one
/// is that the person has a grant for by its name, and none if there are two such.
pub fn inactive<'a>(
    facts: &'a Facts,
    user: &UserName,
    held: &BTreeSet<&RoleName>,
    target: &'a TargetName,
    now: Timestamp,
) -> BTreeSet<&'a RoleName> {
    let mut out = BTreeSet::new();
    for separation in facts.separations.values() {
        let both: Vec<&'a RoleName> =
            separation.roles.iter().filter(|role| held.contains(role)).collect();
        if both.len() < 2 {
            continue;
        }
        let active = match separation.mode {
            SeparationMode::Static => None,
            SeparationMode::Dynamic => one_in_use(facts, user, separation, now),
        };
        // The one in use is so where its grant is.
        let here = |role: &&RoleName| {
            let mut grants = facts.active_grants(user, target, now);
            grants.any(|grant| grant.role.as_ref() == Some(*role))
        };
        let active = active.filter(here);
        out.extend(both.into_iter().filter(|role| Some(*role) != active));
    }
    out
}

/// The only role of a separation that someone has a grant for, on whatever target.
pub fn one_in_use<'a>(
    facts: &'a Facts,
    user: &UserName,
    separation: &'a SeparationOfDuties,
    now: Timestamp,
) -> Option<&'a RoleName> {
    let grants = facts.grants.get(user).into_iter().flatten().filter(|grant| grant.active(now));
    let used: BTreeSet<&RoleName> = grants
        .filter_map(|grant| grant.role.as_ref())
        .filter(|role| separation.roles.contains(*role))
        .collect();
    let mut used = used.into_iter();
    match (used.next(), used.next()) {
        (Some(only), None) => separation.roles.get(only),
        _ => None,
    }
}

/// Which other role of a dynamic separation someone who has these grants uses now, so that they
/// cannot use this one.
pub fn in_use_instead<'a>(
    facts: &'a Facts,
    held: &'a [Grant],
    role: &RoleName,
    now: Timestamp,
) -> Option<(&'a PolicyName, &'a RoleName)> {
    let dynamic = facts
        .separations
        .values()
        .filter(|found| found.mode == SeparationMode::Dynamic && found.roles.contains(role));
    for separation in dynamic {
        let other = held
            .iter()
            .filter(|grant| grant.active(now))
            .filter_map(|grant| grant.role.as_ref())
            .find(|used| *used != role && separation.roles.contains(*used));
        if let Some(other) = other {
            return Some((&separation.name, other));
        }
    }
    None
}
