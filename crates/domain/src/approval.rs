//! Who must agree: groups and thresholds, combined with AND and OR.
//!
//! A rule, the people who agreed and who is in which group flow in; whether that is enough, and how
//! many more it takes, flows out. Nothing here knows what is being agreed to, nor who asked for it.
//!
//! INVARIANT (nobody alone): one person's agreement fills one place of a rule. Someone who is in
//! two of its groups does not count twice.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{GroupName, UserName};

/// Most thresholds in one rule; the parser refuses more.
pub const MAX_LEAVES: usize = 16;
/// Deepest nesting of `all` and `any`; the parser refuses more.
pub const MAX_DEPTH: usize = 4;
/// Most ways to fulfil a rule that are looked at. Those beyond it do not count, which is stricter.
const MAX_ALTERNATIVES: usize = 1024;

/// Who must agree. Written `{groups: [a, b], count: 2}`, `{all: [...]}` or `{any: [...]}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ApprovalRule {
    /// So many different people out of these groups together.
    Threshold(Threshold),
    /// Every one of these, by different people.
    All {
        /// The parts.
        all: Vec<ApprovalRule>,
    },
    /// One of these.
    Any {
        /// The alternatives.
        any: Vec<ApprovalRule>,
    },
    /// Each of these on its own: someone may count once in every one of them. It comes of a request
    /// that several rules apply to and cannot be written in a resource.
    Each {
        /// The rules.
        each: Vec<ApprovalRule>,
    },
}

/// `count` different people out of `groups`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Members of any of these groups count.
    pub groups: BTreeSet<GroupName>,
    /// How many different people; at least 1.
    pub count: u32,
}

impl ApprovalRule {
    /// `count` different people out of `groups`.
    pub const fn of(groups: BTreeSet<GroupName>, count: u32) -> Self {
        Self::Threshold(Threshold { groups, count })
    }

    /// All of these rules, each on its own; one rule is itself, none is no rule.
    pub fn each_of(rules: Vec<Self>) -> Option<Self> {
        let mut distinct: Vec<Self> = Vec::new();
        for rule in rules {
            if !distinct.contains(&rule) {
                distinct.push(rule);
            }
        }
        match distinct.len() {
            0 | 1 => distinct.pop(),
            _ => Some(Self::Each { each: distinct }),
        }
    }

    /// Every group whose members could count.
    pub fn groups(&self) -> BTreeSet<&GroupName> {
        match self {
            Self::Threshold(leaf) => leaf.groups.iter().collect(),
            Self::All { all: parts } | Self::Any { any: parts } | Self::Each { each: parts } => {
                parts.iter().flat_map(Self::groups).collect()
            }
        }
    }

    /// The same rule in which members of `more` count in every place, too.
    #[must_use]
    pub fn widened(&self, more: &BTreeSet<GroupName>) -> Self {
        let each = |parts: &[Self]| parts.iter().map(|part| part.widened(more)).collect();
        match self {
            Self::Threshold(leaf) => {
                Self::of(leaf.groups.union(more).cloned().collect(), leaf.count)
            }
            Self::All { all } => Self::All { all: each(all) },
            Self::Any { any } => Self::Any { any: each(any) },
            Self::Each { each: rules } => Self::Each { each: each(rules) },
        }
    }

    /// How many more people it takes at least, after `approvers` (different people) have agreed; 0
    /// when that is enough. `member` says whether someone counts for a group now.
    pub fn missing(
        &self,
        approvers: &[&UserName],
        member: &impl Fn(&UserName, &GroupName) -> bool,
    ) -> usize {
        if let Self::Each { each } = self {
            // The same people could fill the places of several rules: the largest gap is the least.
            return each.iter().map(|rule| rule.missing(approvers, member)).max().unwrap_or(1);
        }
        let open = |leaves: &Vec<&Threshold>| {
            let places: Vec<&Threshold> = leaves.iter().flat_map(|leaf| places(leaf)).collect();
            places.len() - filled(&places, approvers, member)
        };
        // INVARIANT: a rule without a way to fulfil it is never fulfilled.
        self.alternatives().iter().map(open).min().unwrap_or(1)
    }

    /// Whether these people's agreement is enough.
    pub fn satisfied(
        &self,
        approvers: &[&UserName],
        member: &impl Fn(&UserName, &GroupName) -> bool,
    ) -> bool {
        self.missing(approvers, member) == 0
    }

    /// Whether whatever fulfils `self` certainly fulfils `other`. A `false` may be too careful.
    pub fn at_least_as_strict_as(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        match (self, other) {
            (Self::Threshold(new), Self::Threshold(old)) => {
                new.count >= old.count && new.groups.is_subset(&old.groups)
            }
            (_, Self::All { all: old } | Self::Each { each: old }) if old.len() == 1 => {
                old.iter().all(|part| self.at_least_as_strict_as(part))
            }
            (Self::All { all: new }, Self::All { all: old }) => covers(new, old),
            (Self::Each { each: new }, Self::Each { each: old }) => {
                old.iter().all(|old| new.iter().any(|new| new.at_least_as_strict_as(old)))
            }
            (Self::Any { any: new }, _) if !new.is_empty() => {
                new.iter().all(|part| part.at_least_as_strict_as(other))
            }
            (_, Self::Any { any: old }) => old.iter().any(|part| self.at_least_as_strict_as(part)),
            (Self::All { all: new } | Self::Each { each: new }, _) => {
                new.iter().any(|part| part.at_least_as_strict_as(other))
            }
            (Self::Threshold(_), _) => false,
            (Self::Any { .. }, _) => false,
        }
    }

    /// The ways to fulfil the rule, each as the thresholds that must all be met.
    fn alternatives(&self) -> Vec<Vec<&Threshold>> {
        match self {
            Self::Threshold(leaf) => vec![vec![leaf]],
            Self::Any { any } => {
                let mut found: Vec<_> = any.iter().flat_map(Self::alternatives).collect();
                found.truncate(MAX_ALTERNATIVES);
                found
            }
            Self::All { all: parts } | Self::Each { each: parts } => {
                if parts.is_empty() {
                    return Vec::new();
                }
                parts.iter().fold(vec![Vec::new()], |ways: Vec<Vec<&Threshold>>, part| {
                    let more = part.alternatives();
                    let joined = ways.iter().flat_map(|way| {
                        more.iter().map(|add| way.iter().chain(add).copied().collect())
                    });
                    joined.take(MAX_ALTERNATIVES).collect()
                })
            }
        }
    }
}

/// Each part of `old` has a part of `new` of its own that is at least as strict.
fn covers(new: &[ApprovalRule], old: &[ApprovalRule]) -> bool {
    let mut left: Vec<&ApprovalRule> = new.iter().collect();
    old.iter().all(|old| {
        let at = left.iter().position(|new| new.at_least_as_strict_as(old));
        at.map(|at| left.remove(at)).is_some()
    })
}

/// A threshold as that many places. A threshold of nobody is one place: nothing is free.
fn places(leaf: &Threshold) -> impl Iterator<Item = &Threshold> {
    std::iter::repeat_n(leaf, usize::try_from(leaf.count.max(1)).unwrap_or(usize::MAX))
}

/// The most places that different people can fill: a bipartite matching by augmenting paths.
fn filled(
    places: &[&Threshold],
    people: &[&UserName],
    member: &impl Fn(&UserName, &GroupName) -> bool,
) -> usize {
    let fits = |person: usize, place: usize| {
        people
            .get(person)
            .zip(places.get(place))
            .is_some_and(|(person, place)| place.groups.iter().any(|group| member(person, group)))
    };
    let mut taken: Vec<Option<usize>> = vec![None; places.len()];
    let mut count = 0;
    for person in 0..people.len() {
        let mut seen = vec![false; places.len()];
        if seat(person, &fits, &mut taken, &mut seen) {
            count += 1;
        }
    }
    count
}

/// Finds a place for someone, moving others along where that helps. Depth: at most one call for
/// each place, of which there are as many as the parser lets a rule have.
fn seat(
    person: usize,
    fits: &impl Fn(usize, usize) -> bool,
    taken: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    for place in 0..taken.len() {
        if seen.get(place).copied().unwrap_or(true) || !fits(person, place) {
            continue;
        }
        if let Some(seen) = seen.get_mut(place) {
            *seen = true;
        }
        let free = match taken.get(place).copied().flatten() {
            None => true,
            Some(other) => seat(other, fits, taken, seen),
        };
        if free {
            if let Some(slot) = taken.get_mut(place) {
                *slot = Some(person);
            }
            return true;
        }
    }
    false
}

impl fmt::Display for ApprovalRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Self::Threshold(Threshold { groups, count }) => {
                let names: Vec<&str> = groups.iter().map(GroupName::as_str).collect();
                return match names.is_empty() {
                    true => write!(f, "{count}"),
                    false => write!(f, "{count} of {}", names.join(" or ")),
                };
            }
            Self::All { all } => (all, " and "),
            Self::Any { any } => (any, ", or "),
            Self::Each { each } => (each, "; and "),
        };
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                f.write_str(word)?;
            }
            match part {
                Self::Threshold(_) => write!(f, "{part}")?,
                _ => write!(f, "({part})")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "approval_tests.rs"]
mod tests;
