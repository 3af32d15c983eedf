//! Who reaches what, before and after a change.
//!
//! Compared for every person, target, action and account on the target, with the patterns that
//! bound it: another account or a wider pattern is a gain like any other.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::{ActionKind, Facts, Login, TargetName, Timestamp, UserName};
use portcullis_policy::{Policies, Reach, who_can};

use crate::view::ReachView;

type Table = BTreeMap<(UserName, TargetName, ActionKind), BTreeMap<Login, Cell>>;

/// How someone reaches an account of a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Cell {
    how: How,
    /// Only what matches one of these; empty: anything.
    only: BTreeSet<String>,
    /// But nothing that matches one of these.
    except: BTreeSet<String>,
    /// Only under one of these sets of conditions; empty: under any.
    under: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum How {
    #[default]
    No,
    AfterApproval,
    Standing,
}

impl How {
    const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::AfterApproval => "after approval",
            Self::Standing => "standing",
        }
    }
}

impl Cell {
    /// Whether `self` admits something that `before` does not.
    fn gains_over(&self, before: &Self) -> bool {
        let wider = widened(&before.only, &self.only) || widened(&before.under, &self.under);
        self.how > before.how
            || (self.how != How::No && (wider || !before.except.is_subset(&self.except)))
    }

    fn bounds(&self) -> String {
        let list = |patterns: &BTreeSet<String>| {
            patterns.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
        };
        let texts = match (self.how, self.only.is_empty(), self.except.is_empty()) {
            (How::No, ..) => "nothing".to_owned(),
            (_, true, true) => "any".to_owned(),
            (_, false, true) => format!("only {}", list(&self.only)),
            (_, true, false) => format!("any except {}", list(&self.except)),
            (_, false, false) => {
                format!("only {} except {}", list(&self.only), list(&self.except))
            }
        };
        match self.how == How::No || self.under.is_empty() {
            true => texts,
            false => format!("{texts}, {}", list(&self.under)),
        }
    }

    fn same_bounds(&self, other: &Self) -> bool {
        self.only == other.only && self.except == other.except && self.under == other.under
    }
}

/// Whether alternatives have come that were not there; none at all stands for anything.
fn widened(before: &BTreeSet<String>, after: &BTreeSet<String>) -> bool {
    !before.is_empty() && (after.is_empty() || !after.is_subset(before))
}

/// Rows that differ between two states, sorted by person, target and action: one for all accounts
/// where the change is the same for all, otherwise one each.
pub(crate) fn reach(
    before_policies: &Policies,
    before: &Facts,
    after_policies: &Policies,
    after: &Facts,
    now: Timestamp,
) -> Vec<ReachView> {
    let old = table(before_policies, before, now);
    let new = table(after_policies, after, now);
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let nothing = BTreeMap::new();
    let rows = |key| rows(key, old.get(key).unwrap_or(&nothing), new.get(key).unwrap_or(&nothing));
    keys.into_iter().flat_map(rows).collect()
}

fn rows(
    key: &(UserName, TargetName, ActionKind),
    old: &BTreeMap<Login, Cell>,
    new: &BTreeMap<Login, Cell>,
) -> Vec<ReachView> {
    let logins: BTreeSet<&Login> = old.keys().chain(new.keys()).collect();
    let none = Cell::default();
    let pairs: Vec<(&Login, &Cell, &Cell)> = logins
        .into_iter()
        .map(|login| (login, old.get(login).unwrap_or(&none), new.get(login).unwrap_or(&none)))
        .collect();
    let row = |login: Option<&Login>, before: &Cell, after: &Cell| ReachView {
        user: key.0.clone(),
        target: key.1.clone(),
        action: key.2,
        before: before.how.as_str().to_owned(),
        after: after.how.as_str().to_owned(),
        login: login.cloned(),
        detail: (!before.same_bounds(after))
            .then(|| format!("{} -> {}", before.bounds(), after.bounds())),
        gains: after.gains_over(before),
    };
    if let Some((_, before, after)) = pairs.first()
        && pairs.iter().all(|(_, old, new)| old == before && new == after)
    {
        let changed = before != after;
        return changed.then(|| row(None, before, after)).into_iter().collect();
    }
    let changed = pairs.into_iter().filter(|(_, before, after)| before != after);
    changed.map(|(login, before, after)| row(Some(login), before, after)).collect()
}

fn table(policies: &Policies, facts: &Facts, now: Timestamp) -> Table {
    let mut table = Table::new();
    for target in facts.targets.keys() {
        for kind in ActionKind::ALL {
            for found in who_can(policies, facts, kind, target, now) {
                let how = match found.reach {
                    Reach::Now | Reach::AfterStepUp => How::Standing,
                    Reach::AfterApproval => How::AfterApproval,
                };
                let cell = Cell {
                    how,
                    only: found.only.into_iter().collect(),
                    except: found.except.into_iter().collect(),
                    under: found.under.into_iter().collect(),
                };
                let cells = table.entry((found.user, target.clone(), kind)).or_default();
                for login in found.logins {
                    let known = cells.entry(login).or_default();
                    if cell.how >= known.how {
                        *known = cell.clone();
                    }
                }
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_account_and_a_wider_pattern_are_gains() {
        let bounded = cell(How::Standing, &["ls *"], &[]);
        let wider = cell(How::Standing, &["ls *", "rm *"], &[]);
        assert!(wider.gains_over(&bounded) && !bounded.gains_over(&wider));
        assert!(cell(How::Standing, &[], &[]).gains_over(&bounded));
        let excepted = cell(How::Standing, &[], &["rm *"]);
        assert!(cell(How::Standing, &[], &[]).gains_over(&excepted));
        assert!(!excepted.gains_over(&cell(How::Standing, &[], &[])));
        assert!(!cell(How::AfterApproval, &[], &[]).gains_over(&cell(How::Standing, &[], &[])));
        assert!(!Cell::default().gains_over(&bounded));
        let any = cell(How::Standing, &[], &[]);
        let office = Cell { under: ["within office hours".to_owned()].into(), ..any.clone() };
        assert!(any.gains_over(&office) && !office.gains_over(&any));
        assert_eq!(office.bounds(), "any, within office hours");
    }

    #[test]
    fn a_change_of_one_account_is_a_row_of_that_account() {
        let key = ("alice".parse().unwrap(), "web".parse().unwrap(), ActionKind::Shell);
        let any = cell(How::AfterApproval, &[], &[]);
        let of = |logins: &[&str]| -> BTreeMap<Login, Cell> {
            logins.iter().map(|login| (login.parse().unwrap(), any.clone())).collect()
        };
        let all = rows(&key, &of(&[]), &of(&["app", "root"]));
        assert_eq!(all.len(), 1);
        assert!(all[0].login.is_none() && all[0].gains);
        let one = rows(&key, &of(&["app"]), &of(&["app", "root"]));
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].login.as_ref().unwrap().to_string(), "root");
        assert!(rows(&key, &of(&["app"]), &of(&["app"])).is_empty());
    }

    fn cell(how: How, only: &[&str], except: &[&str]) -> Cell {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Cell { how, only: set(only), except: set(except), under: BTreeSet::new() }
    }
}
