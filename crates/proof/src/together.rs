//! Permits put together: one question about many.
//!
//! Permits of roles that are left after the steps before flow in; what they permit at most, as one
//! Cedar policy, flows out. A question about it that is answered with "no" is a proof of each:
//!
//! - a condition of a permit that is left out makes it permit more, never less. Left out is what the
//!   invariant and its forbids do not look at (labels, where they read none), because it cannot
//!   help to tell a violation from a request that is none;
//! - the environments and targets a permit names are replaced by the kinds of environment they
//!   are of, which `world.rs` makes part of every question;
//! - a policy whose condition is "this or that" permits whatever one of them does.
//!
//! So whether two permits look alike decides only how many questions there are, never an answer.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{EntityUid, Policy};
use portcullis_domain::Facts;

use crate::item::{Item, is_specific};
use crate::question::Asker;
use crate::run::{Case, Run, Shared};
use crate::world;

/// Most permits in one question. A larger question takes the solver longer than two of half its
/// size would.
pub(crate) const MAX_TOGETHER: usize = 48;

/// What an invariant and the forbids of its question look at.
#[derive(Debug)]
pub(crate) struct Sight {
    words: BTreeSet<String>,
    places: bool,
}

impl Sight {
    /// Of these texts, which name these entities.
    pub(crate) fn of<'t>(
        texts: impl Iterator<Item = &'t str>,
        named: &BTreeSet<EntityUid>,
    ) -> Self {
        let mut words: BTreeSet<String> =
            texts.flat_map(|text| words(text).map(str::to_owned)).collect();
        let places =
            named.iter().any(|uid| matches!(uid.type_name().basename(), "Environment" | "Target"));
        if places {
            // A target that is named has its labels.
            words.extend(["resource.hasTag".to_owned(), "resource.getTag".to_owned()]);
        }
        Self { words, places }
    }

    fn sees(&self, condition: &str) -> bool {
        words(condition).any(|word| self.words.contains(word))
    }
}

/// What is read of the context or the target, and more: a word too many keeps a condition, one too
/// few leaves one out. Neither makes an answer wrong.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    let read = words.filter(|word| word.starts_with("context.") || word.starts_with("resource."));
    // `context.source.isInRange` reads `context.source`.
    read.map(|word| match word.match_indices('.').nth(1) {
        Some((end, _)) => word.get(..end).unwrap_or(word),
        None => word,
    })
}

/// What a permit of a role permits at most, as a condition. `None` for one that has no parts.
pub(crate) fn at_most(
    item: &Item,
    sight: &Sight,
    named: &BTreeSet<EntityUid>,
    facts: &Facts,
) -> Option<String> {
    let (role, _) = item.rule.as_ref()?;
    let mut all = Vec::new();
    if !item.is_for_anyone(named) {
        all.push(format!("principal in {role}"));
    }
    if !sight.places
        && let Some(classes) = item.classes(facts)
    {
        all.push(format!("({classes})"));
    }
    for condition in &item.conditions {
        let place = condition.starts_with("resource in ");
        if (place && sight.places) || (!place && sight.sees(condition)) {
            all.push(format!("({condition})"));
        }
    }
    Some(if all.is_empty() { "true".to_owned() } else { all.join(" && ") })
}

/// Permits that permit the same at most: the condition, and where they are in the list.
struct Alternative {
    condition: String,
    shared: Vec<usize>,
}

impl<'a> Run<'a> {
    /// Those that could not be proved together with others.
    pub(crate) fn put_together<'s>(
        &self,
        cases: &[&'s Case<'s>],
        mut shared: Vec<Shared<'s>>,
    ) -> Vec<Shared<'s>> {
        shared.retain(|one| !self.memory.knows(&self.key_of(one)));
        let mut bundles = Vec::new();
        for case in cases {
            let named = self.named(case.statement, &case.forbids);
            let forbids = case.forbids.iter().map(|item| item.text.as_str());
            let sight = Sight::of(forbids.chain([case.statement.cedar.as_str()]), &named);
            let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (index, one) in shared.iter().enumerate() {
                if std::ptr::eq(one.case, *case)
                    && let Some(first) = one.items.first()
                    && let Some(text) = at_most(first, &sight, &named, self.ground.facts)
                {
                    alike.entry(text).or_default().push(index);
                }
            }
            let mut all: Vec<Alternative> = alike
                .into_iter()
                .map(|(condition, shared)| Alternative { condition, shared })
                .collect();
            while !all.is_empty() {
                let rest = all.split_off(all.len().min(MAX_TOGETHER));
                bundles.push((*case, std::mem::replace(&mut all, rest)));
            }
        }
        let proved = self.bench.each(&bundles, |asker, (case, alternatives)| {
            let mut proved = Vec::new();
            self.halve(asker, case, alternatives, &mut proved);
            proved
        });
        let proved: BTreeSet<usize> = proved.into_iter().flatten().flatten().collect();
        for one in proved.iter().filter_map(|index| shared.get(*index)) {
            self.memory.learn(self.key_of(one));
        }
        let left = shared.into_iter().enumerate().filter(|(index, _)| !proved.contains(index));
        left.map(|(_, one)| one).collect()
    }

    /// Asks about all at once, and about each half where that is no proof.
    fn halve(
        &self,
        asker: &mut Asker<'_>,
        case: &Case<'_>,
        alternatives: &[Alternative],
        proved: &mut Vec<usize>,
    ) {
        if self.is_proved(asker, case, alternatives) {
            proved.extend(alternatives.iter().flat_map(|one| one.shared.iter().copied()));
        } else if alternatives.len() > 1 {
            let (left, right) = alternatives.split_at(alternatives.len() / 2);
            self.halve(asker, case, left, proved);
            self.halve(asker, case, right, proved);
        }
    }

    fn is_proved(&self, asker: &mut Asker<'_>, case: &Case<'_>, all: &[Alternative]) -> bool {
        let conditions: Vec<&str> = all.iter().map(|one| one.condition.as_str()).collect();
        let text = union(&conditions);
        let Ok(policy) = text.parse::<Policy>() else { return false };
        // One kind of action stands for all of a case only where none of them matters.
        if case.kinds.len() > 1 && is_specific(&policy) {
            return false;
        }
        let named = policy.entity_literals().into_iter().collect();
        self.stops(asker, case, &text, &named) == Ok(true)
    }

    /// Of what is claimed once a permit is proved, by whatever step: it, the case, and the world as
    /// far as it names any of it.
    pub(crate) fn key_of(&self, shared: &Shared<'_>) -> [u8; 32] {
        let case = shared.case;
        let mut named = self.named(case.statement, &case.forbids);
        // Which role gives it is not part of the claim where that cannot matter.
        let anyone: Vec<bool> = shared.items.iter().map(|it| it.is_for_anyone(&named)).collect();
        for (item, anyone) in shared.items.iter().zip(anyone) {
            let role = item.rule.as_ref().map(|(role, _)| role).filter(|_| anyone);
            named.extend(item.named.iter().filter(|uid| Some(*uid) != role).cloned());
        }
        let world = world::conditions(self.ground.facts, &named, !case.statement.asks_for_roles);
        let kinds: Vec<&str> = case.kinds.iter().map(|kind| kind.as_str()).collect();
        let kinds = kinds.join(" ");
        let mut parts = vec![case.statement.cedar.as_str(), &world, &shared.text, &kinds];
        parts.extend(case.forbids.iter().map(|item| item.text.as_str()));
        self.memory.key("a permit is stopped", case.kind, &parts)
    }
}

/// One permit for all of these conditions.
pub(crate) fn union(conditions: &[&str]) -> String {
    let any: Vec<String> = conditions.iter().map(|condition| format!("({condition})")).collect();
    format!("permit (principal, action, resource) when {{ {} }};", any.join(" || "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_looks_at_is_not_kept() {
        let sight = Sight::of(["context.login == \"root\""].into_iter(), &BTreeSet::new());
        assert!(sight.sees("[\"deploy\", \"root\"].contains(context.login)"));
        assert!(!sight.sees("resource.hasTag(\"app\") && resource.getTag(\"app\") == \"web\""));
        assert!(!sight.sees("context.path_plain && (context.path like \"/srv/*\")"));
    }
}
