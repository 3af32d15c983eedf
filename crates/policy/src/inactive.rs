//! Roles somebody holds that separation of duties keeps from giving anything.
//!
//! Compiled policies, facts and a subject flow in; roles flow out. Why they are kept apart is the
//! domain's to know.

use std::collections::BTreeSet;

use portcullis_domain::separation::inactive;
use portcullis_domain::{Facts, RoleName, Timestamp};

use crate::policies::Compiled;
use crate::slice::Subject;

/// Roles the person holds that separation of duties keeps from giving anything here. They are
/// looked up only where something is kept apart.
pub(crate) fn inactive_roles<'a>(
    compiled: &Compiled,
    facts: &'a Facts,
    subject: Subject<'a>,
    now: Timestamp,
) -> BTreeSet<&'a RoleName> {
    if facts.separations.is_empty() {
        return BTreeSet::new();
    }
    let held = compiled.roles_held(subject.user);
    let mut found = inactive(facts, &subject.user.name, &held, &subject.target.name, now);
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
