//! The views of one person's policies that must all allow: where roles are locked or inactive, once
//! without what they permit and once as if they were not held.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_domain::role::with_inherited;
use portcullis_domain::{Facts, Lock, LockSubject, RoleName, Timestamp};

use crate::policies::Compiled;
use crate::slice::{Slice, Subject, Without};

/// What a view leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Left {
    /// Forbids by pattern.
    pub(crate) patterned_forbids: bool,
    /// Conditions that hold at some moments only.
    pub(crate) conditions: bool,
}

/// Locks in force on roles the person holds. Roles are looked up only where there is such a lock:
/// a person may hold very many.
pub(crate) fn role_locks<'a>(
    compiled: &Compiled,
    facts: &'a Facts,
    subject: Subject<'_>,
    now: Timestamp,
) -> Vec<(&'a Lock, &'a RoleName)> {
    let on_roles = facts.locks.iter().filter_map(|lock| match &lock.subject {
        LockSubject::Role(role) if lock.holds(now) => Some((lock, role)),
        _ => None,
    });
    let mut on_roles: Vec<_> = on_roles.collect();
    if on_roles.is_empty() {
        return on_roles;
    }
    let held = compiled.roles_held(subject.user);
    on_roles.retain(|(_, role)| held.contains(role));
    // What a locked role inherits it would allow too.
    let inherited: Vec<_> = on_roles
        .iter()
        .flat_map(|(lock, role)| {
            let all = with_inherited(role, |name| facts.roles.get(name).map(|role| &role.inherits));
            all.into_iter().filter(move |name| name != role).map(|name| (*lock, name))
        })
        .collect();
    on_roles.extend(inherited);
    on_roles
}

/// The slices that must all allow. Where roles are locked, once without their permits, so that
/// their forbids still hold, and once as if the person did not hold them, so that no raw policy
/// lets them in for the role's sake.
pub(crate) fn views<'a>(
    compiled: &Compiled,
    subject: Subject<'_>,
    locked_roles: BTreeSet<&'a RoleName>,
    left: Left,
) -> Result<Vec<(Arc<Slice>, Without<'a>)>, String> {
    let Left { patterned_forbids, conditions } = left;
    let all = Without { patterned_forbids, conditions, ..Without::default() };
    if locked_roles.is_empty() && all == Without::default() {
        return Ok(vec![(compiled.slice(subject)?, all)]);
    }
    let held = Arc::new(compiled.fresh_slice(subject, &BTreeSet::new())?);
    if locked_roles.is_empty() {
        return Ok(vec![(held, all)]);
    }
    let lost = Arc::new(compiled.fresh_slice(subject, &locked_roles)?);
    let without_permits = Without { permits_of: locked_roles.clone(), ..all.clone() };
    let without_roles = Without { membership: locked_roles, ..all };
    Ok(vec![(held, without_permits), (lost, without_roles)])
}
