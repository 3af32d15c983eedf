//! Who reaches what, before and after a change.

use std::collections::BTreeMap;

use portcullis_domain::{ActionKind, Facts, TargetName, Timestamp, UserName};
use portcullis_policy::{Policies, Reach, who_can};

use crate::view::ReachView;

type Table = BTreeMap<(UserName, TargetName, ActionKind), &'static str>;

/// Rows that differ between two states, sorted by person, target and action.
pub(crate) fn reach(
    before_policies: &Policies,
    before: &Facts,
    after_policies: &Policies,
    after: &Facts,
    now: Timestamp,
) -> Vec<ReachView> {
    let old = table(before_policies, before, now);
    let new = table(after_policies, after, now);
    let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let how = |table: &Table, key: &_| table.get(key).copied().unwrap_or("no").to_owned();
    keys.into_iter()
        .filter(|key| old.get(key) != new.get(key))
        .map(|key| ReachView {
            user: key.0.clone(),
            target: key.1.clone(),
            action: key.2,
            before: how(&old, key),
            after: how(&new, key),
        })
        .collect()
}

fn table(policies: &Policies, facts: &Facts, now: Timestamp) -> Table {
    let mut table = Table::new();
    for target in facts.targets.keys() {
        for kind in ActionKind::ALL {
            for found in who_can(policies, facts, kind, target, now) {
                let how = match found.reach {
                    Reach::Now | Reach::AfterStepUp => "standing",
                    Reach::AfterApproval => "after approval",
                };
                table.insert((found.user, target.clone(), kind), how);
            }
        }
    }
    table
}
