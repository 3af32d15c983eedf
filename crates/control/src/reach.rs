//! Who reaches what, before and after a change.
//!
//! Compared for every person, target, action and account on the target, with the patterns that
//! bound it: another account or a wider pattern is a gain like any other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use portcullis_domain::{ActionKind, Facts, Login, TargetName, Timestamp, UserName};
use portcullis_policy::{Policies, Reach, ReachTable, Reached, Reaches};

use crate::view::ReachView;

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
    BreakingGlass,
    Standing,
}

impl How {
    const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::AfterApproval => "after approval",
            Self::BreakingGlass => "by breaking the glass",
            Self::Standing => "standing",
        }
    }
}

impl Cell {
    fn of(reached: &Reached) -> Self {
        let how = match reached.reach {
            Reach::Now | Reach::AfterStepUp => How::Standing,
            Reach::AfterApproval => How::AfterApproval,
            Reach::BreakingGlass => How::BreakingGlass,
        };
        Self {
            how,
            only: reached.only.clone(),
            except: reached.except.clone(),
            under: reached.under.clone(),
        }
    }

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
pub fn reach(
    before_policies: &Policies,
    before: &Facts,
    after_policies: &Policies,
    after: &Facts,
    now: Timestamp,
) -> Vec<ReachView> {
    let mut old = ReachTable::new(before_policies, before, now);
    let mut new = ReachTable::new(after_policies, after, now);
    let users: BTreeSet<_> = before.users.keys().chain(after.users.keys()).collect();
    let targets: BTreeSet<_> = before.targets.keys().chain(after.targets.keys()).collect();
    // Most pairs change in the same way as others, or not at all; the tables keep what they hand
    // out, so that its address says which it is.
    let mut changes: HashMap<(*const Reaches, *const Reaches), Vec<Change>> = HashMap::new();
    let mut rows = Vec::new();
    for user in users {
        for target in targets.iter().copied() {
            let (was, is) = (old.of(user, target), new.of(user, target));
            let key = (Arc::as_ptr(&was), Arc::as_ptr(&is));
            let changed = changes.entry(key).or_insert_with(|| changed(&was, &is));
            rows.extend(changed.iter().map(|change| change.of(user, target)));
        }
    }
    rows
}

/// What changes, whoever it is for.
#[derive(Debug)]
struct Change {
    action: ActionKind,
    login: Option<Login>,
    before: Cell,
    after: Cell,
}

impl Change {
    fn of(&self, user: &UserName, target: &TargetName) -> ReachView {
        let (before, after) = (&self.before, &self.after);
        ReachView {
            user: user.clone(),
            target: target.clone(),
            action: self.action,
            before: before.how.as_str().to_owned(),
            after: after.how.as_str().to_owned(),
            login: self.login.clone(),
            detail: (!before.same_bounds(after))
                .then(|| format!("{} -> {}", before.bounds(), after.bounds())),
            gains: after.gains_over(before),
        }
    }
}

fn changed(before: &Reaches, after: &Reaches) -> Vec<Change> {
    let kinds: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
    let cells = |of: &Reaches, kind| -> BTreeMap<Login, Cell> {
        let accounts = of.get(&kind).into_iter().flatten();
        accounts.map(|(login, reached)| (login.clone(), Cell::of(reached))).collect()
    };
    kinds
        .into_iter()
        .flat_map(|kind| changed_accounts(kind, &cells(before, kind), &cells(after, kind)))
        .collect()
}

fn changed_accounts(
    action: ActionKind,
    old: &BTreeMap<Login, Cell>,
    new: &BTreeMap<Login, Cell>,
) -> Vec<Change> {
    let logins: BTreeSet<&Login> = old.keys().chain(new.keys()).collect();
    let none = Cell::default();
    let pairs: Vec<(&Login, &Cell, &Cell)> = logins
        .into_iter()
        .map(|login| (login, old.get(login).unwrap_or(&none), new.get(login).unwrap_or(&none)))
        .collect();
    let change = |login: Option<&Login>, before: &Cell, after: &Cell| Change {
        action,
        login: login.cloned(),
        before: before.clone(),
        after: after.clone(),
    };
    if let Some((_, before, after)) = pairs.first()
        && pairs.iter().all(|(_, old, new)| old == before && new == after)
    {
        let changed = before != after;
        return changed.then(|| change(None, before, after)).into_iter().collect();
    }
    let changed = pairs.into_iter().filter(|(_, before, after)| before != after);
    changed.map(|(login, before, after)| change(Some(login), before, after)).collect()
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
        fn rows(old: &BTreeMap<Login, Cell>, new: &BTreeMap<Login, Cell>) -> Vec<Change> {
            changed_accounts(ActionKind::Shell, old, new)
        }
        let any = cell(How::AfterApproval, &[], &[]);
        let of = |logins: &[&str]| -> BTreeMap<Login, Cell> {
            logins.iter().map(|login| (login.parse().unwrap(), any.clone())).collect()
        };
        let all = rows(&of(&[]), &of(&["app", "root"]));
        assert_eq!(all.len(), 1);
        assert!(all[0].login.is_none() && all[0].after.gains_over(&all[0].before));
        let one = rows(&of(&["app"]), &of(&["app", "root"]));
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].login.as_ref().unwrap().to_string(), "root");
        assert!(rows(&of(&["app"]), &of(&["app"])).is_empty());
    }

    fn cell(how: How, only: &[&str], except: &[&str]) -> Cell {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Cell { how, only: set(only), except: set(except), under: BTreeSet::new() }
    }
}
