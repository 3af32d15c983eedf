//! Whether a change touches anything a proof is about. In doubt, yes.

use std::collections::BTreeSet;

use portcullis_domain::Facts;

/// Whether going from one to the other changes nothing that a proof is about.
pub fn same_question(before: &Facts, after: &Facts) -> bool {
    let mut named = BTreeSet::new();
    for facts in [before, after] {
        let rules = facts.roles.values().flat_map(|role| role.allow.iter().chain(&role.deny));
        named.extend(rules.flat_map(|rule| rule.targets.iter()).map(|t| t.as_str().to_owned()));
        for never in facts.invariants.values().filter_map(|invariant| invariant.never.as_ref()) {
            named.extend(never.targets.iter().map(|name| name.as_str().to_owned()));
            named.extend(never.users.iter().map(|name| name.as_str().to_owned()));
        }
    }
    // A raw text may name anything: then everything it could name has to be the same.
    let raw = !before.policies.is_empty()
        || before
            .invariants
            .values()
            .filter_map(|i| i.never.as_ref())
            .any(|never| never.when.is_some() || never.unless.is_some());
    let same_targets = before.targets.len() == after.targets.len()
        && before.targets.iter().all(|(name, old)| {
            after
                .targets
                .get(name)
                .is_some_and(|new| old.environment == new.environment && old.labels == new.labels)
        });
    let named_targets_same = named.iter().all(|name| {
        let find = |facts: &Facts| {
            let found = facts.targets.iter().find(|(known, _)| known.as_str() == name);
            found.map(|(_, target)| (target.environment.clone(), target.labels.clone()))
        };
        find(before) == find(after)
    });
    let named_users_same = named.iter().all(|name| {
        let find = |facts: &Facts| {
            let found = facts.users.iter().find(|(known, _)| known.as_str() == name);
            found.map(|(_, user)| user.groups.clone())
        };
        find(before) == find(after)
    });
    before.roles == after.roles
        && before.policies == after.policies
        && before.invariants == after.invariants
        && before.environments == after.environments
        && before.assignments == after.assignments
        && named_targets_same
        && named_users_same
        && (!raw || (same_targets && before.users == after.users))
}
