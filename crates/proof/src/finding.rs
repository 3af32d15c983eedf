//! What is odd about single policies: they can fail, never apply, or are stopped altogether.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Policy, PolicyId};
use portcullis_domain::{ActionKind, Facts, Kind, Never, Target};
use portcullis_policy::{Effect, PolicySource};
use serde::{Deserialize, Serialize};

use crate::item::{Item, may_fail};
use crate::question::Asker;
use crate::run::Run;
use crate::witness::applies;
use crate::world;

/// What is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// It can fail to evaluate, and every decision it concerns is then a deny.
    CanFail,
    /// It applies to no request there can be.
    NeverApplies,
    /// It is a permit, and everything it permits is forbidden.
    AlwaysForbidden,
    /// It selects no target there is.
    SelectsNothing,
}

/// An oddity of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The policy's id; an invariant's name.
    pub policy: String,
    /// The resource it is of, `Kind/name`.
    #[serde(default)]
    pub resource: String,
    /// The file the resource is in, where it came in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line of its name there, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What is odd.
    pub kind: FindingKind,
    /// For people.
    pub message: String,
}

/// Most different policies that are inspected; role policies that differ only in their role count
/// once.
const MAX_INSPECTED: usize = 16_384;

/// Policies to inspect that mean the same.
struct Alike<'a> {
    text: String,
    items: Vec<&'a Item>,
}

/// What is odd about the policies and invariants of these resources (`Kind/name`), or of all.
pub(crate) fn findings(run: &Run<'_>, only: Option<&BTreeSet<String>>) -> Vec<Finding> {
    let wanted = |resource: &str| only.is_none_or(|only| only.contains(resource));
    let items: Vec<&Item> = run.items.iter().filter(|item| wanted(&resource_of(item))).collect();
    let mut found: Vec<Finding> =
        items.iter().filter_map(|item| selects_nothing(run.ground.facts, item)).collect();
    found.extend(vacuous(run.ground.facts).filter(|finding| wanted(&finding.resource)));
    let mut alike: BTreeMap<String, Vec<&Item>> = BTreeMap::new();
    let declared = items.into_iter().filter(|item| item.source != PolicySource::BuiltIn);
    let forbids = run.first_forbids(&BTreeSet::new());
    let named = forbids.iter().flat_map(|item| item.named.iter().cloned()).collect();
    for item in declared {
        alike.entry(item.for_anyone(&named)).or_default().push(item);
    }
    let mut alike: Vec<Alike<'_>> =
        alike.into_iter().map(|(text, items)| Alike { text, items }).collect();
    // Raw policies first: what a person wrote by hand is odd more often.
    alike.sort_by_key(|one| one.items.iter().all(|item| item.rule.is_some()));
    alike.truncate(MAX_INSPECTED);
    let odd = run.bench.each(&alike, |asker, one| inspect(run, asker, one, &forbids));
    for (one, kind) in alike.iter().zip(odd) {
        let Some((kind, message)) = kind.flatten() else { continue };
        found.extend(one.items.iter().map(|item| of(item, kind, message)));
    }
    found.sort_by(|a, b| (&a.policy, a.kind).cmp(&(&b.policy, b.kind)));
    found.dedup_by(|a, b| a.policy == b.policy && a.kind == b.kind);
    found
}

fn of(item: &Item, kind: FindingKind, message: &str) -> Finding {
    Finding {
        policy: item.id.clone(),
        resource: resource_of(item),
        file: None,
        line: None,
        kind,
        message: message.to_owned(),
    }
}

fn resource_of(item: &Item) -> String {
    match &item.source {
        PolicySource::Role(name) => format!("{}/{name}", Kind::Role),
        PolicySource::Policy(name) => format!("{}/{name}", Kind::Policy),
        PolicySource::BuiltIn => String::new(),
    }
}

fn selects_nothing(facts: &Facts, item: &Item) -> Option<Finding> {
    let (_, rule) = item.rule.as_ref()?;
    let selected = facts.targets.values().any(|target| rule.selects(target));
    let message = "its selectors match no target there is";
    (!selected).then(|| of(item, FindingKind::SelectsNothing, message))
}

/// Invariants about targets there are not: they hold of themselves, and protect nothing.
fn vacuous(facts: &Facts) -> impl Iterator<Item = Finding> {
    let about = |never: &Never, target: &Target| {
        let tier = facts.environments.get(&target.environment).map(|found| found.tier);
        (never.tiers.is_empty() || tier.is_some_and(|tier| never.tiers.contains(&tier)))
            && (never.environments.is_empty() || never.environments.contains(&target.environment))
            && (never.targets.is_empty() || never.targets.contains(&target.name))
            && never.labels.iter().all(|(key, value)| target.labels.get(key) == Some(value))
    };
    facts.invariants.values().filter_map(move |invariant| {
        let never = invariant.never.as_ref()?;
        let some = facts.targets.values().any(|target| about(never, target));
        (!some).then(|| Finding {
            policy: invariant.name.to_string(),
            resource: format!("{}/{}", Kind::Invariant, invariant.name),
            file: None,
            line: None,
            kind: FindingKind::SelectsNothing,
            message: "it is about no target there is".to_owned(),
        })
    })
}

/// What is odd about policies that are alike; what cannot be told is not said.
fn inspect(
    run: &Run<'_>,
    asker: &mut Asker<'_>,
    alike: &Alike<'_>,
    forbids: &[&Item],
) -> Option<(FindingKind, &'static str)> {
    let item = alike.items.first()?;
    let kinds = || item.kinds.iter().copied();
    if may_fail(&item.policy) && kinds().any(|kind| asker.can_fail(kind, &item.policy) == Ok(true))
    {
        let message = "it can fail to evaluate, and whatever it is about is then denied; guard its arithmetic";
        return Some((FindingKind::CanFail, message));
    }
    let all = |asker: &mut Asker<'_>,
               question: &dyn Fn(&mut Asker<'_>, ActionKind) -> Option<bool>| {
        kinds().all(|kind| question(asker, kind) == Some(true))
    };
    // Most policies apply, and that can be shown without the solver.
    let permit = Policy::parse(Some(PolicyId::new("asked about")), as_permit(&item.text)).ok()?;
    let stopping: Vec<&Policy> = forbids.iter().map(|forbid| &forbid.policy).collect();
    let stopping = if item.effect == Effect::Permit { stopping } else { Vec::new() };
    if applies(run.ground.facts, item, &permit, &stopping) {
        return None;
    }
    if all(asker, &|asker, kind| never(run, asker, kind, &alike.text, &[], item)) {
        let message = "it applies to no request there can be; its conditions contradict each other or the resources";
        return Some((FindingKind::NeverApplies, message));
    }
    let is_permit = item.effect == Effect::Permit;
    if is_permit && all(asker, &|asker, kind| never(run, asker, kind, &alike.text, forbids, item)) {
        let message = "everything it permits is forbidden by other policies";
        return Some((FindingKind::AlwaysForbidden, message));
    }
    None
}

fn as_permit(text: &str) -> String {
    text.replacen("forbid", "permit", 1)
}

/// Whether no request of this kind matches the text and passes the forbids.
fn never(
    run: &Run<'_>,
    asker: &mut Asker<'_>,
    kind: ActionKind,
    text: &str,
    forbids: &[&Item],
    item: &Item,
) -> Option<bool> {
    let forbids: Vec<&Item> =
        forbids.iter().copied().filter(|forbid| forbid.kinds.contains(&kind)).collect();
    let mut named = item.named.clone();
    named.extend(forbids.iter().flat_map(|forbid| forbid.named.iter().cloned()));
    let world = world::conditions(run.ground.facts, &named, true);
    let text = as_permit(text);
    let mut parts = vec![text.as_str(), &world];
    parts.extend(forbids.iter().map(|forbid| forbid.text.as_str()));
    let key = run.memory.key("never applies", kind, &parts);
    if run.memory.knows(&key) {
        return Some(true);
    }
    let policy = Policy::parse(Some(PolicyId::new("asked about")), &text).ok()?;
    let any = format!("permit (principal, action, resource)\n{world};");
    let any = Policy::parse(Some(PolicyId::new("any")), any).ok()?;
    let policies: Vec<&Policy> =
        std::iter::once(&policy).chain(forbids.iter().map(|forbid| &forbid.policy)).collect();
    let found = asker.common(kind, &policies, &any).ok()?;
    if found.is_none() {
        run.memory.learn(key);
    }
    Some(found.is_none())
}
