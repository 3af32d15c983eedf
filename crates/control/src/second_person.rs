//! Changes of resources that take two people: whoever applies one first has it noted, and another
//! administrator applies the same files.
//!
//! A proposal flows in; leave to go on, or the refusal, flows out. What is noted is kept in
//! memory, on this node, for a short while; a restart forgets it, and nothing is lost but a call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::canonical::to_canonical_json;
use portcullis_domain::{
    ControlAction, Facts, Resource, ResourceKey, Tier, Timestamp, UserName, format_duration,
};
use portcullis_evidence::log::merkle::sha256;
use portcullis_gateway::Authenticated;
use serde_json::{Value, json};

use crate::resources::Proposal;
use crate::view::ReachView;
use crate::weakening::{approver_groups, weakens};
use crate::{Control, ControlError, ErrorKind};

/// How long a change waits for the second person.
pub(crate) const WAITS_FOR: Duration = Duration::from_secs(3600);
/// Most changes waiting on a node; the oldest makes room.
const MAX_WAITING: usize = 64;

/// Changes somebody has applied first, by what exactly they change.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<BTreeMap<[u8; 32], (UserName, Timestamp)>>);

impl Waiting {
    /// Notes that this person applies this change.
    pub(crate) fn note(&self, digest: [u8; 32], user: &UserName, now: Timestamp) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, (_, at)| now.since(*at) < WAITS_FOR);
        if waiting.len() >= MAX_WAITING
            && !waiting.contains_key(&digest)
            && let Some(oldest) =
                waiting.iter().min_by_key(|(_, (_, at))| *at).map(|(digest, _)| *digest)
        {
            waiting.remove(&oldest);
        }
        waiting.insert(digest, (user.clone(), now));
    }

    /// Who else has applied this change within the time.
    pub(crate) fn other_than(
        &self,
        digest: &[u8; 32],
        user: &UserName,
        now: Timestamp,
    ) -> Option<UserName> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, at) = waiting.get(digest)?;
        (first != user && now.since(*at) < WAITS_FOR).then(|| first.clone())
    }

    /// Forgets a change: it is good once, also when the same state comes again.
    pub(crate) fn forget(&self, digest: &[u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }
}

/// What is in the way of one person applying this alone.
pub(crate) struct Guard {
    /// They would gain by it themselves.
    own_gain: Option<String>,
    /// It weakens what protects.
    weakens: Option<String>,
    /// What exactly is changed, from what, and why that takes two.
    digest: [u8; 32],
}

impl Guard {
    /// Takes CPU time: not for the async threads. `reach` and facts as in the proposal.
    pub(crate) fn of(
        who: &UserName,
        before: &Facts,
        after: &BTreeMap<ResourceKey, Resource>,
        reach: &[ReachView],
    ) -> Self {
        let mut facts = Facts { revision: before.revision, ..Facts::default() };
        after.values().cloned().for_each(|resource| facts.insert(resource));
        let own_gain = own_gain(who, before, &facts, reach);
        let weakens = weakens(before, &facts);
        let digest = match (&own_gain, &weakens) {
            (None, None) => [0; 32],
            _ => digest(before, after, weakens.as_deref()),
        };
        Self { own_gain, weakens, digest }
    }
}

/// Bound to all resources before and after, so that the second person agrees to exactly what the
/// first proposed; not to the revision, which moves with every grant and lock.
fn digest(
    before: &Facts,
    after: &BTreeMap<ResourceKey, Resource>,
    weakens: Option<&str>,
) -> [u8; 32] {
    let text = |resources: &BTreeMap<ResourceKey, Resource>| -> Value {
        let entry = |(key, resource): (&ResourceKey, &Resource)| {
            json!([key.to_string(), serde_json::to_value(resource).unwrap_or_default()])
        };
        resources.iter().map(entry).collect()
    };
    let before = text(&crate::resources::keyed(before));
    sha256(&[&to_canonical_json(&json!([before, text(after), weakens]))]).0
}

impl Control {
    /// INVARIANT (nobody alone): no one changes their own standing in one step, and no one opens
    /// production by changing what protects it. Answers who applied the change first, where it
    /// takes two; both must have a settled second factor, so that neither is the other.
    pub(crate) async fn guard_change(
        &self,
        who: &Authenticated,
        proposal: &Proposal,
    ) -> Result<Option<UserName>, ControlError> {
        let guard = &proposal.guard;
        let why = match (&guard.own_gain, &guard.weakens) {
            (None, None) => return Ok(None),
            (Some(why), _) => why.clone(),
            (None, Some(what)) => format!(
                "this change {what}: another administrator must apply the same files within {}",
                format_duration(WAITS_FOR)
            ),
        };
        let event = self.event(who, Activity::ResourceApply).detail("needs", "second person");
        let settled = self.must_have_settled_factor(who, event.clone().detail("why", why.clone()));
        settled
            .await
            .map_err(|error| ControlError { message: format!("{why}; {error}"), ..error })?;
        let (now, waiting) = (self.gateway().now(), self.waiting());
        let first = waiting.other_than(&guard.digest, who.user(), now);
        if let (None, Some(first)) = (&guard.own_gain, first) {
            waiting.forget(&guard.digest);
            return Ok(Some(first));
        }
        self.audit(event.outcome(Outcome::Refused(why.clone()))).await?;
        waiting.note(guard.digest, who.user(), now);
        match guard.own_gain {
            Some(_) => Err(ControlError::forbidden(why)),
            None => Err(ControlError::new(ErrorKind::Conflict, "second_person_required", why)),
        }
    }
}

/// What the one who applies would gain by it; locks do not hide it.
fn own_gain(who: &UserName, before: &Facts, after: &Facts, reach: &[ReachView]) -> Option<String> {
    let production = |facts: &Facts, row: &ReachView| {
        facts.targets.get(&row.target).is_some_and(|target| {
            let environment = facts.environments.get(&target.environment);
            environment.is_some_and(|found| found.tier == Tier::Production)
        })
    };
    let gained = reach.iter().find(|row| {
        row.user == *who && row.gains && (production(before, row) || production(after, row))
    });
    if let Some(row) = gained {
        return Some(format!(
            "this change would give you `{}` on `{}`; nobody gives themselves access to \
             production, so another administrator must apply it",
            row.action, row.target
        ));
    }
    let rights = |facts: &Facts| -> BTreeSet<ControlAction> {
        let roles = facts.roles_of(who);
        let roles = roles.keys().filter_map(|role| facts.roles.get(role));
        roles.flat_map(|role| role.control.iter().copied()).collect()
    };
    if let Some(right) = rights(after).difference(&rights(before)).next() {
        return Some(format!(
            "this change would give you the right `{right}`; nobody gives themselves rights, so \
             another administrator must apply it"
        ));
    }
    became_approver(before, after, who).map(|environment| {
        format!(
            "this change would make you an approver of environment `{environment}`; another \
             administrator must apply it"
        )
    })
}

fn became_approver(before: &Facts, after: &Facts, who: &UserName) -> Option<String> {
    let approves = |facts: &Facts, name| {
        let user = facts.users.get(who)?;
        let groups = approver_groups(facts.environments.get(name)?);
        Some(user.groups.iter().any(|group| groups.contains(group)))
    };
    after
        .environments
        .keys()
        .find(|name| approves(after, name) == Some(true) && approves(before, name) != Some(true))
        .map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    #[test]
    fn only_another_person_within_the_time_is_the_second() {
        let waiting = Waiting::default();
        let (alice, bob) = (user("alice"), user("bob"));
        assert_eq!(waiting.other_than(&[1; 32], &bob, NOW), None);
        waiting.note([1; 32], &alice, NOW);
        assert_eq!(waiting.other_than(&[1; 32], &alice, NOW), None);
        assert_eq!(waiting.other_than(&[2; 32], &bob, NOW), None);
        assert_eq!(waiting.other_than(&[1; 32], &bob, NOW), Some(alice));
        assert_eq!(waiting.other_than(&[1; 32], &bob, NOW.plus(WAITS_FOR)), None);
        waiting.forget(&[1; 32]);
        assert_eq!(waiting.other_than(&[1; 32], &bob, NOW), None);
    }

    #[test]
    fn the_oldest_makes_room() {
        let waiting = Waiting::default();
        for number in 0..=u8::try_from(MAX_WAITING).unwrap() {
            let at = NOW.plus(Duration::from_secs(number.into()));
            waiting.note([number; 32], &user("alice"), at);
        }
        assert_eq!(waiting.0.lock().unwrap().len(), MAX_WAITING);
        let last = NOW.plus(Duration::from_secs(70));
        assert_eq!(waiting.other_than(&[0; 32], &user("bob"), last), None);
        assert!(waiting.other_than(&[64; 32], &user("bob"), last).is_some());
    }

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }
}
