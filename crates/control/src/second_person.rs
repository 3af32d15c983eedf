//! Changes of resources that take two people: whoever applies one first has it noted, and another
//! administrator approves it, or applies the same files.
//!
//! A proposal flows in; leave to go on, or the refusal, flows out. What is noted is in the store: it
//! survives a restart, every node knows it, and it is decided once.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::canonical::to_canonical_json;
use portcullis_domain::change::CHANGE_LIFETIME;
use portcullis_domain::{
    ChangeFile, ChangeId, ChangeState, ChangeSubject, ControlAction, Facts, PendingChange,
    Resource, ResourceKey, Tier, UserName, format_duration,
};
use portcullis_evidence::log::merkle::sha256;
use portcullis_gateway::Authenticated;
use serde_json::{Value, json};

use crate::resources::Proposal;
use crate::view::{PlanBody, ReachView};
use crate::weakening::{approver_groups, holders, weakens};
use crate::{Control, ControlError, ErrorKind};

/// What is in the way of one person applying this alone.
pub(crate) struct Guard {
    /// They would gain by it themselves.
    own_gain: Option<String>,
    /// It weakens what protects.
    weakens: Option<String>,
    /// What exactly is changed, from what, and why that takes two; hexadecimal.
    pub(crate) digest: String,
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
        let weakens = weakens(before, &facts).or_else(|| gains(before, reach));
        let digest = digest(before, after, weakens.as_deref());
        Self { own_gain, weakens, digest }
    }

    /// Why this person cannot be one of the two.
    pub(crate) fn own_gain(&self) -> Option<&str> {
        self.own_gain.as_deref()
    }
}

/// Bound to all resources before and after, so that the second person agrees to exactly what the
/// first proposed; not to the revision, which moves with every grant and lock.
fn digest(
    before: &Facts,
    after: &BTreeMap<ResourceKey, Resource>,
    weakens: Option<&str>,
) -> String {
    let text = |resources: &BTreeMap<ResourceKey, Resource>| -> Value {
        let entry = |(key, resource): (&ResourceKey, &Resource)| {
            json!([key.to_string(), serde_json::to_value(resource).unwrap_or_default()])
        };
        resources.iter().map(entry).collect()
    };
    let before = text(&crate::resources::keyed(before));
    let hash = sha256(&[&to_canonical_json(&json!([before, text(after), weakens]))]);
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Control {
    /// INVARIANT (nobody alone): no one changes their own standing in one step, and no one opens
    /// production by changing what protects it. Answers who applied the change first, where it
    /// takes two; both must have a settled second factor, so that neither is the other.
    pub(crate) async fn guard_change(
        &self,
        who: &Authenticated,
        proposal: &Proposal,
        body: &PlanBody,
    ) -> Result<Option<UserName>, ControlError> {
        let guard = &proposal.guard;
        let why = match (&guard.own_gain, &guard.weakens) {
            (None, None) => return Ok(None),
            (Some(why), _) => why.clone(),
            (None, Some(what)) => format!(
                "this change {what}: another administrator must approve it within {}",
                format_duration(CHANGE_LIFETIME)
            ),
        };
        let event = self.event(who, Activity::ResourceApply).detail("needs", "second person");
        let settled = self.must_have_settled_factor(who, event.clone().detail("why", why.clone()));
        settled
            .await
            .map_err(|error| ControlError { message: format!("{why}; {error}"), ..error })?;
        let now = self.gateway().now();
        let open = self.gateway().store().open_changes(now).await?;
        let first = open.into_iter().find(|change| {
            change.subject == ChangeSubject::Resources
                && change.digest == guard.digest
                && change.author != *who.user()
        });
        if let (None, Some(first)) = (&guard.own_gain, first) {
            // It is good once, also when the same state comes again.
            self.settle_change(who, first.id).await?;
            return Ok(Some(first.author));
        }
        let change = PendingChange {
            id: ChangeId::generate(now),
            author: who.user().clone(),
            digest: guard.digest.clone(),
            why: why.clone(),
            files: body
                .files
                .iter()
                .map(|file| ChangeFile { name: file.name.clone(), text: file.text.clone() })
                .collect(),
            prune: body.prune,
            subject: ChangeSubject::Resources,
            at: now,
            state: ChangeState::Pending,
        };
        let event = event.detail("change", change.id.to_string());
        self.audit(event.outcome(Outcome::Refused(why.clone()))).await?;
        let noted = self.gateway().store().note_change(&change).await?;
        let why = format!("{why}: portcullis changes approve {}", noted.id.short());
        match guard.own_gain {
            Some(_) => Err(ControlError::forbidden(why)),
            None => Err(ControlError::new(ErrorKind::Conflict, "second_person_required", why)),
        }
    }

    /// Marks a change approved by this person; of many at once one does.
    pub(crate) async fn settle_change(
        &self,
        who: &Authenticated,
        id: ChangeId,
    ) -> Result<PendingChange, ControlError> {
        let (by, now) = (who.user().clone(), self.gateway().now());
        let decide = |change: PendingChange| change.approve(by, now);
        Ok(self.gateway().store().decide_change(id, decide).await?)
    }
}

/// Who would reach more of production than now. A sole administrator must be able to begin.
fn gains(before: &Facts, reach: &[ReachView]) -> Option<String> {
    if holders(before, ControlAction::ApplyResources).len() < 2 {
        return None;
    }
    let guarded = |row: &&ReachView| {
        before.targets.get(&row.target).is_some_and(|target| {
            let environment = before.environments.get(&target.environment);
            environment.is_some_and(|found| found.tier == Tier::Production)
        })
    };
    let row = reach.iter().filter(guarded).find(|row| row.gains)?;
    Some(format!(
        "gives user `{}` the action `{}` on production target `{}`",
        row.user, row.action, row.target
    ))
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
