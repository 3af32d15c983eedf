//! Resources as code: plan, apply, read back.

use std::collections::BTreeMap;

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::{
    ControlAction, Facts, Kind, Resource, ResourceKey, TargetName, Tier, UserName,
};
use portcullis_gateway::{Authenticated, Snapshot};
use portcullis_policy::Policies;
use portcullis_proof::Finding;
use portcullis_resources::{
    Change, ChangeKind, check_references, diff, parse, to_yaml, to_yaml_file,
};
use portcullis_store::{ApplyError, Changes};
use serde_json::Value;

use crate::places::Places;
use crate::reach::reach;
use crate::second_person::Guard;
use crate::separation::{keep_apart, not_separated};
use crate::view::{
    ChangeView, FieldView, InvariantsView, PlanBody, PlanView, ReachView, ResourceView,
};
use crate::{Control, ControlError, ErrorKind};

/// Most problems shown at once.
const MAX_PROBLEMS_SHOWN: usize = 50;

/// A change that parses, fits and compiles, and what it would do.
pub(crate) struct Proposal {
    changes: Vec<Change>,
    after: BTreeMap<ResourceKey, Resource>,
    reach: Vec<ReachView>,
    /// Whether somebody gains something in production, as it will be.
    gains_in_production: bool,
    pub(crate) revision: u64,
    /// What is in the way of the caller applying it alone.
    pub(crate) guard: Guard,
    /// Why nobody could put the gate right again afterwards.
    pub(crate) nobody_left: Option<String>,
    /// What became of the invariants; `None` where nothing changes that they are about.
    pub(crate) proof: Option<InvariantsView>,
    /// Who plays several parts that are best separate.
    not_separated: Vec<String>,
    /// What is odd about policies and invariants in the files.
    warnings: Vec<Finding>,
}

impl Control {
    /// What applying these files would change, and who would gain or lose what.
    pub async fn plan(
        &self,
        who: &Authenticated,
        body: PlanBody,
    ) -> Result<PlanView, ControlError> {
        self.must_hold(who, ControlAction::ApplyResources, Activity::ResourceApply).await?;
        let proposal = self.propose(who, body).await?;
        Ok(view(&proposal, proposal.revision))
    }

    /// Applies these files: all of them or nothing. Applying them again changes nothing.
    pub async fn apply(
        &self,
        who: &Authenticated,
        body: PlanBody,
    ) -> Result<PlanView, ControlError> {
        self.must_hold(who, ControlAction::ApplyResources, Activity::ResourceApply).await?;
        let expected = body.expected_revision;
        let proposal = self.propose(who, body.clone()).await?;
        if let Some(expected) = expected.filter(|expected| *expected != proposal.revision) {
            let found = proposal.revision;
            return Err(conflict(&ApplyError::Conflict { expected, found }));
        }
        if proposal.changes.is_empty() {
            return Ok(view(&proposal, proposal.revision));
        }
        if let Some(why) = &proposal.nobody_left {
            return self.refuse(self.event(who, Activity::ResourceApply), why).await;
        }
        self.must_be_proved(who, &proposal).await?;
        let first = self.guard_change(who, &proposal, &body).await?;
        self.carry_out(who, &proposal, first).await
    }

    /// Puts a proposal in force that nothing is in the way of any more. `first` proposed it, where
    /// it took two.
    pub(crate) async fn carry_out(
        &self,
        who: &Authenticated,
        proposal: &Proposal,
        first: Option<UserName>,
    ) -> Result<PlanView, ControlError> {
        for change in &proposal.changes {
            let mut event = self
                .event(who, Activity::ResourceApply)
                .detail("change", verb(&change.kind))
                .detail("fields", fields_of(&change.kind));
            event = match UserName::new(&change.key.name) {
                Ok(user) if change.key.kind == Kind::User => {
                    event.detail("resource", change.key.kind.to_string()).person("of", &user)
                }
                _ => event.detail("resource", change.key.to_string()),
            };
            if let Some(first) = &first {
                event = event.person("first_person", first);
            }
            self.audit(event).await?;
        }
        let changes = to_changes(proposal);
        let store = self.gateway().store();
        let applied =
            store.apply(&changes, Some(proposal.revision), who.user(), self.gateway().now()).await;
        let revision = match applied {
            Ok(revision) => revision,
            Err(error) => {
                let event = self
                    .event(who, Activity::ResourceApply)
                    .outcome(Outcome::Failed(error.to_string()));
                self.audit(event).await?;
                return Err(conflict(&error));
            }
        };
        self.gateway().refresh().await?;
        Ok(view(proposal, revision))
    }

    pub(crate) async fn propose(
        &self,
        who: &Authenticated,
        body: PlanBody,
    ) -> Result<Proposal, ControlError> {
        let (control, user) = (self.clone(), who.user().clone());
        let snapshot = self.gateway().snapshot();
        let now = self.gateway().now();
        // Parsing and compiling thousands of resources takes CPU time.
        let worked = tokio::task::spawn_blocking(move || {
            let (changes, after) = changes_of(&snapshot, &body)?;
            let places = Places::of(&body);
            let (facts, policies) = compiled(&snapshot, &after, &places)?;
            let warnings = places.placed(control.prover().oddities(
                &facts,
                &policies,
                now,
                &places.resources(),
            ));
            // A lock passes: it must not hide on either side what someone would reach without it.
            let before = Facts { locks: Vec::new(), ..snapshot.facts.clone() };
            let reach = reach(&snapshot.policies, &before, &policies, &facts, now);
            let proof = control.prove_change(&snapshot, &facts, &policies)?;
            let guard = Guard::of(&user, &snapshot.facts, &after, &reach);
            let mut facts = Facts { locks: snapshot.facts.locks.clone(), ..Facts::default() };
            after.values().cloned().for_each(|resource| facts.insert(resource));
            let nobody_left = control.nobody_left(&facts);
            let not_separated = not_separated(&facts);
            let revision = snapshot.facts.revision;
            Ok(Proposal {
                changes,
                after,
                gains_in_production: reach
                    .iter()
                    .any(|row| row.gains && is_production(&facts, &row.target)),
                reach,
                revision,
                guard,
                nobody_left,
                proof,
                not_separated,
                warnings,
            })
        })
        .await;
        worked.unwrap_or_else(|_| Err(ControlError::unavailable("the plan could not be computed")))
    }

    /// Resources in force, of a kind and name if given.
    pub async fn resources(
        &self,
        who: &Authenticated,
        kind: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<ResourceView>, ControlError> {
        self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        let kind = kind.map(str::parse::<Kind>).transpose().map_err(ControlError::invalid)?;
        let (_, stored) = self.gateway().store().resources().await?;
        let views: Vec<_> = stored
            .into_iter()
            .filter(|stored| {
                let key = stored.resource.key();
                kind.is_none_or(|kind| kind == key.kind) && name.is_none_or(|name| name == key.name)
            })
            .map(|stored| {
                let key = stored.resource.key();
                ResourceView {
                    kind: key.kind.to_string(),
                    yaml: to_yaml(&stored.resource),
                    name: key.name,
                    author: stored.author,
                    updated_at: stored.updated_at,
                }
            })
            .collect();
        match (views.is_empty(), name) {
            (true, Some(name)) => Err(ControlError::not_found(format!(
                "{} `{}`",
                kind.map_or("resource", Kind::as_str),
                name.escape_debug()
            ))),
            _ => Ok(views),
        }
    }

    /// Everything in force as one YAML file that `apply` takes.
    pub async fn export(&self, who: &Authenticated) -> Result<String, ControlError> {
        self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        let (_, stored) = self.gateway().store().resources().await?;
        let mut resources: Vec<Resource> =
            stored.into_iter().map(|stored| stored.resource).collect();
        resources.sort_by_key(Resource::key);
        Ok(to_yaml_file(&resources))
    }
}

/// Parses the files and holds them against what is in force.
pub(crate) fn changes_of(
    snapshot: &Snapshot,
    body: &PlanBody,
) -> Result<(Vec<Change>, BTreeMap<ResourceKey, Resource>), ControlError> {
    let files: Vec<(&str, &str)> =
        body.files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
    let parsed = parse(&files).map_err(|problems| invalid(&problems))?;
    let nothing = Facts::default();
    let existing = if body.prune { &nothing } else { &snapshot.facts };
    let problems = check_references(&parsed, existing);
    if !problems.is_empty() {
        return Err(invalid(&problems));
    }
    let before = keyed(&snapshot.facts);
    let mut after = if body.prune { BTreeMap::new() } else { before.clone() };
    for located in parsed {
        after.insert(located.value.key(), located.value);
    }
    // The one way to resources in force, whoever applies them: plan, apply, a second person's
    // approval and the first start.
    keep_apart(&after)?;
    Ok((diff(&before, &after), after))
}

/// What would be in force, compiled; grants as they are, locks left out.
pub(crate) fn compiled(
    snapshot: &Snapshot,
    after: &BTreeMap<ResourceKey, Resource>,
    places: &Places,
) -> Result<(Facts, Policies), ControlError> {
    let mut facts = Facts {
        revision: snapshot.facts.revision,
        grants: snapshot.facts.grants.clone(),
        ..Facts::default()
    };
    after.values().cloned().for_each(|resource| facts.insert(resource));
    let policies = Policies::compile(&facts).map_err(|error| places.uncompiled(&error))?;
    Ok((facts, policies))
}

fn is_production(facts: &Facts, target: &TargetName) -> bool {
    let environment = facts.targets.get(target).map(|target| &target.environment);
    let environment = environment.and_then(|name| facts.environments.get(name));
    environment.is_some_and(|environment| environment.tier == Tier::Production)
}

/// Every resource of the facts by its key.
pub(crate) fn keyed(facts: &Facts) -> BTreeMap<ResourceKey, Resource> {
    facts.resources().map(|resource| (resource.key(), resource)).collect()
}

fn to_changes(proposal: &Proposal) -> Changes {
    let mut changes = Changes::default();
    for change in &proposal.changes {
        match proposal.after.get(&change.key) {
            Some(resource) => changes.upserts.push(resource.clone()),
            None => changes.deletes.push(change.key.clone()),
        }
    }
    changes
}

pub(crate) fn view(proposal: &Proposal, revision: u64) -> PlanView {
    let changes = proposal
        .changes
        .iter()
        .map(|change| ChangeView {
            resource: change.key.to_string(),
            change: verb(&change.kind).to_owned(),
            fields: match &change.kind {
                ChangeKind::Changed { fields } => fields
                    .iter()
                    .map(|field| FieldView {
                        path: field.path.clone(),
                        before: field.before.clone().unwrap_or(Value::Null),
                        after: field.after.clone().unwrap_or(Value::Null),
                    })
                    .collect(),
                _ => Vec::new(),
            },
        })
        .collect();
    PlanView {
        revision,
        changes,
        reach: proposal.reach.clone(),
        gains_in_production: proposal.gains_in_production,
        proof: proposal.proof.clone(),
        not_separated: proposal.not_separated.clone(),
        warnings: proposal.warnings.clone(),
    }
}

fn verb(kind: &ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "add",
        ChangeKind::Changed { .. } => "change",
        ChangeKind::Removed => "remove",
    }
}

fn fields_of(kind: &ChangeKind) -> String {
    match kind {
        ChangeKind::Changed { fields } => {
            fields.iter().map(|field| field.path.as_str()).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

pub(crate) fn invalid(problems: &[portcullis_resources::Problem]) -> ControlError {
    let shown: Vec<String> =
        problems.iter().take(MAX_PROBLEMS_SHOWN).map(ToString::to_string).collect();
    let mut text = shown.join("\n");
    if problems.len() > MAX_PROBLEMS_SHOWN {
        text.push_str(&format!("\n... and {} more problems", problems.len() - MAX_PROBLEMS_SHOWN));
    }
    ControlError::new(ErrorKind::Invalid, "invalid_resources", text)
}

fn conflict(error: &ApplyError) -> ControlError {
    match error {
        ApplyError::Conflict { .. } => {
            ControlError::new(ErrorKind::Conflict, "revision_conflict", error.to_string())
        }
        other => ControlError::unavailable(other),
    }
}
