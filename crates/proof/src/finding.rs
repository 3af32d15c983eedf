//! What is odd about single policies: they can fail, never apply, or are stopped altogether.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Policy, PolicyId};
use portcullis_domain::ActionKind;
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
    /// Its id.
    pub policy: String,
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

pub(crate) fn findings(run: &Run<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        run.items.iter().filter_map(|item| selects_nothing(run, item)).collect();
    let mut alike: BTreeMap<String, Vec<&Item>> = BTreeMap::new();
    let declared = run.items.iter().filter(|item| item.source != PolicySource::BuiltIn);
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
        found.extend(one.items.iter().map(|item| Finding {
            policy: item.id.clone(),
            kind,
            message: message.to_owned(),
        }));
    }
    found.sort_by(|a, b| (&a.policy, a.kind).cmp(&(&b.policy, b.kind)));
    found.dedup_by(|a, b| a.policy == b.policy && a.kind == b.kind);
    found
}

fn selects_nothing(run: &Run<'_>, item: &Item) -> Option<Finding> {
    let (_, rule) = item.rule.as_ref()?;
    let selected = run.ground.facts.targets.values().any(|target| {
        (rule.environments.is_empty() || rule.environments.contains(&target.environment))
            && (rule.targets.is_empty() || rule.targets.contains(&target.name))
            && rule.labels.iter().all(|(key, value)| target.labels.get(key) == Some(value))
    });
    (!selected).then(|| Finding {
        policy: item.id.clone(),
        kind: FindingKind::SelectsNothing,
        message: "its selectors match no target there is".to_owned(),
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
