//! Roles somebody holds that separation of duties keeps from giving anything.
//!
//! Compiled policies, facts and a subject flow in; roles flow out. Why they are kept apart is the
//! domain's to know.

use std::collections::BTreeSet;

use portcullis_domain::separation::inactive;
use portcullis_domain::{Facts, RoleName, Timestamp};

use crate::policies::Compiled;
use crate::slice::Subject;

/// Whether break-glass roles count as taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glass {
    /// Only where there is a grant that says so.
    Whole,
    /// All of them: what somebody could come to by it.
    Broken,
}

/// Roles the person holds that give nothing here: separation of duties keeps them from it, or they
/// are break-glass roles that have not been taken out. They are looked up only where there are such.
pub(crate) fn inactive_roles<'a>(
    compiled: &Compiled,
    facts: &'a Facts,
    subject: Subject<'a>,
    now: Timestamp,
    glass: Glass,
) -> BTreeSet<&'a RoleName> {
    if facts.separations.is_empty() && compiled.break_glass.is_empty() {
        return BTreeSet::new();
    }
    let held = compiled.roles_held(subject.user);
    let mut found = inactive(facts, &subject.user.name, &held, &subject.target.name, now);
    if glass == Glass::Whole {
        let roles = compiled.break_glass.iter().filter(|role| held.contains(role));
        let whole = roles.filter(|role| !taken_out(facts, subject, role, now));
        found.extend(whole.filter_map(|role| Some(facts.roles.get_key_value(role)?.0)));
    }
    // What an inactive role inherits it would allow too.
    let inherits = found.iter().filter_map(|role| facts.roles.get(*role));
    let mut waiting: Vec<&RoleName> = inherits.flat_map(|role| &role.inherits).collect();
    while let Some(next) = waiting.pop() {
        if found.insert(next) {
            waiting.extend(facts.roles.get(next).into_iter().flat_map(|role| &role.inherits));
        }
    }
    found
}

fn taken_out(facts: &Facts, subject: Subject<'_>, role: &RoleName, now: Timestamp) -> bool {
    let mut grants = facts.active_grants(&subject.user.name, &subject.target.name, now);
    grants.any(|grant| grant.source.is_break_glass() && grant.role.as_ref() == Some(role))
}
