//! What exactly somebody asks for: by target, by role, by labels, or to prolong a grant.
//!
//! A body flows in; an [`AccessRequest`] flows out whose targets are named one by one, so that who
//! approves sees them all and nothing comes to match later. What the requester could never reach is
//! not part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_domain::audit::Event;
use portcullis_domain::break_glass::Use;
use portcullis_domain::environment::ticket_matches;
use portcullis_domain::request::{Extension, MAX_REQUEST_TARGETS};
use portcullis_domain::{
    Access, AccessRequest, ActionKind, Environment, EnvironmentName, Facts, Grant, GrantId,
    GrantSource, Login, RequestId, RequestState, ReviewId, Role, RoleName, Rule, Scope, Target,
    TargetName, Timestamp, UserName, format_duration, parse_duration,
};
use portcullis_gateway::{Authenticated, Snapshot};

use crate::explain::only;
use crate::reach::reach;
use crate::right::reason;
use crate::separation::not_both;
use crate::view::{ReachView, RequestBody};
use crate::{Control, ControlError, ErrorKind};

/// Longest ticket, in bytes.
const MAX_TICKET_BYTES: usize = 128;

/// What was asked for, before it is known whether it can be had.
struct Asked {
    scope: Scope,
    targets: BTreeSet<TargetName>,
    actions: BTreeSet<ActionKind>,
    login: Option<Login>,
    extends: Option<Extension>,
}

impl Control {
    /// The request this body stands for, checked against what is in force.
    pub(crate) async fn new_request(
        &self,
        who: &Authenticated,
        body: RequestBody,
    ) -> Result<AccessRequest, ControlError> {
        let now = self.gateway().now();
        let reason = reason(&body.reason)?;
        let duration = parse_duration(&body.duration).map_err(ControlError::invalid)?;
        let snapshot = self.gateway().snapshot();
        let facts = &snapshot.facts;
        let wanted = body.environment.as_deref().map(EnvironmentName::new).transpose();
        let wanted = wanted.map_err(ControlError::invalid)?;
        let asked = self.asked(who, &body, facts, now).await?;
        let mut targets = asked.targets;
        if let Some(wanted) = &wanted {
            targets.retain(|name| environment_of(facts, name) == Some(wanted));
        }
        let target = first(&targets, &body)?;
        // The environment is checked once it is certain which targets remain.
        let environment =
            environment_of(facts, &target).cloned().ok_or_else(|| not_eligible(&body))?;
        let draft = AccessRequest {
            id: RequestId::generate(now),
            user: who.user().clone(),
            target,
            also: targets.iter().skip(1).cloned().collect(),
            scope: asked.scope,
            environment,
            actions: asked.actions,
            login: asked.login,
            duration,
            reason,
            ticket: written(body.ticket.as_deref())?,
            extends: asked.extends,
            asked_at: now,
            rule: portcullis_domain::ApprovalRule::of(BTreeSet::new(), 1),
            terms: portcullis_domain::RequestTerms::default(),
            state: RequestState::Pending { approvals: Vec::new() },
        };
        let draft = self.only_reachable(&snapshot, draft, &body).await?;
        let environment = one_environment(facts, &draft)?;
        let Some(rule) = environment.rule_for(&draft.actions) else {
            return Err(ControlError::new(
                ErrorKind::Conflict,
                "no_approvers",
                format!(
                    "environment `{}` has no approval rule for this, so nobody can approve",
                    environment.name
                ),
            ));
        };
        if duration.is_zero() || duration > environment.max_grant {
            return Err(ControlError::invalid(format!(
                "`{}` is not possible for `{}`; ask for more than 0s and at most {}",
                body.duration.escape_debug(),
                draft.target,
                format_duration(environment.max_grant)
            )));
        }
        let held = facts.grants.get(who.user()).map(Vec::as_slice).unwrap_or_default();
        not_both(facts, (who.user(), held), draft.scope.role(), now)?;
        Ok(AccessRequest {
            environment: environment.name.clone(),
            ticket: ticket(draft.ticket.clone(), environment)?,
            rule,
            terms: environment.requests.clone(),
            ..draft
        })
    }

    async fn asked(
        &self,
        who: &Authenticated,
        body: &RequestBody,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<Asked, ControlError> {
        let ways = [
            body.target.is_some(),
            body.role.is_some(),
            !body.labels.is_empty(),
            body.extends.is_some(),
        ];
        if ways.into_iter().filter(|given| *given).count() != 1 {
            let why = "say what it is for by one of: a target, a role, labels, a grant to prolong";
            return Err(ControlError::invalid(why));
        }
        let plain = |scope, targets| Asked {
            scope,
            targets,
            actions: body.actions.clone(),
            login: body.login.clone(),
            extends: None,
        };
        if let Some(name) = &body.target {
            let name = TargetName::new(name).map_err(ControlError::invalid)?;
            return Ok(plain(Scope::Target, [name].into()));
        }
        if let Some(name) = &body.role {
            let name = RoleName::new(name).map_err(ControlError::invalid)?;
            let (targets, actions) = of_role(facts, who.user(), &name, &body.actions)?;
            let asked = plain(Scope::Role { role: name }, targets);
            return Ok(Asked { actions, ..asked });
        }
        if let Some(id) = &body.extends {
            return self.extension(who, id, body, now).await;
        }
        let carries = |target: &&Target| {
            body.labels.iter().all(|(key, value)| target.labels.get(key) == Some(value))
        };
        let found = facts.targets.values().filter(carries).map(|target| target.name.clone());
        let targets = found.collect();
        Ok(plain(Scope::Labels { labels: body.labels.clone() }, targets))
    }

    /// INVARIANT (nobody alone): prolonging is asked for like the first time, for exactly what the
    /// grant is for.
    async fn extension(
        &self,
        who: &Authenticated,
        id: &str,
        body: &RequestBody,
        now: Timestamp,
    ) -> Result<Asked, ControlError> {
        let missing = || ControlError::not_found(format!("grant `{}` of yours", id.escape_debug()));
        let grant = self.find_grant(who, id).await?;
        if grant.user != *who.user() {
            return Err(missing());
        }
        if !grant.active(now) {
            let why = "the grant is over; ask again for what you need";
            return Err(ControlError::new(ErrorKind::Conflict, "grant_over", why));
        }
        if !body.actions.is_empty() || body.login.is_some() || body.environment.is_some() {
            let why = "an extension is for exactly what the grant is for; leave the rest out";
            return Err(ControlError::invalid(why));
        }
        let scope = match &grant.role {
            Some(role) => Scope::Role { role: role.clone() },
            None => Scope::Target,
        };
        Ok(Asked {
            scope,
            targets: grant.targets().cloned().collect(),
            actions: grant.actions.clone(),
            login: grant.login.clone(),
            extends: Some(Extension { grant: grant.id, ends: grant.ends }),
        })
    }

    /// Leaves out what a grant would not open. A target the person could never reach and one that
    /// does not exist look the same.
    async fn only_reachable(
        &self,
        snapshot: &Arc<Snapshot>,
        draft: AccessRequest,
        body: &RequestBody,
    ) -> Result<AccessRequest, ControlError> {
        let rows = self.reach_with(snapshot, &draft, Vec::new()).await?;
        let reached: BTreeSet<&TargetName> =
            rows.iter().filter(|row| row.gains).map(|row| &row.target).collect();
        let kept: BTreeSet<TargetName> =
            draft.targets().filter(|name| reached.contains(name)).cloned().collect();
        let whole = draft.extends.is_some() || matches!(draft.scope, Scope::Target);
        if kept.is_empty() || (whole && kept.len() != draft.targets().count()) {
            return Err(self.not_reachable(snapshot, &draft, body).await?);
        }
        if kept.len() > MAX_REQUEST_TARGETS {
            return Err(ControlError::invalid(format!(
                "this is for {} targets; at most {MAX_REQUEST_TARGETS} are possible in one request",
                kept.len()
            )));
        }
        Ok(AccessRequest {
            target: first(&kept, body)?,
            also: kept.into_iter().skip(1).collect(),
            ..draft
        })
    }

    async fn not_reachable(
        &self,
        snapshot: &Arc<Snapshot>,
        draft: &AccessRequest,
        body: &RequestBody,
    ) -> Result<ControlError, ControlError> {
        let facts = &snapshot.facts;
        let (name, login) = (&draft.target, draft.login.as_ref());
        if let Some(error) = role_ticket(facts, draft) {
            return Ok(error);
        }
        let standing = facts
            .targets
            .get(name)
            .and_then(|target| facts.environments.get(&target.environment))
            .is_some_and(|environment| environment.access == Access::Standing);
        if standing && self.could_reach(snapshot, &draft.user, name, login).await? {
            let why = format!("`{name}` needs no request; connect with your role");
            return Ok(ControlError::new(ErrorKind::Conflict, "not_needed", why));
        }
        Ok(not_eligible(body))
    }

    /// What the requester could do with the grant that they cannot do now.
    pub(crate) async fn would_allow(
        &self,
        request: &AccessRequest,
    ) -> Result<Vec<ReachView>, ControlError> {
        let snapshot = self.gateway().snapshot();
        let held = snapshot.facts.grants.get(&request.user).cloned().unwrap_or_default();
        self.reach_with(&snapshot, request, held).await
    }

    /// Whether taking the role out would let the person do something they cannot do now, on every one
    /// of the targets.
    pub(crate) async fn would_break(
        &self,
        snapshot: &Arc<Snapshot>,
        role: &Role,
        used: &Use,
    ) -> Result<bool, ControlError> {
        let now = self.gateway().now();
        let ids = (ReviewId::generate(now), GrantId::generate(now));
        // A use that runs is no reason to say that there is nothing to open.
        let held = snapshot.facts.grants.get(&used.user).into_iter().flatten();
        let held = held.filter(|grant| !grant.source.is_break_glass()).cloned().collect();
        // Whether it may be taken out is decided later; this is what would come of it.
        let asked = Use { duration: None, second_factor_at: Some(now), ..used.clone() };
        let Ok(broken) = asked.of(role, None, ids, now) else { return Ok(true) };
        let rows = self.opened_by(snapshot, broken.grant.clone(), held).await?;
        let gained =
            |target: &TargetName| rows.iter().any(|row| row.gains && row.target == *target);
        Ok(broken.grant.targets().all(gained))
    }

    /// Who reaches what before and after, off the async threads. `held` are the grants to reckon
    /// with before.
    async fn reach_with(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &AccessRequest,
        held: Vec<Grant>,
    ) -> Result<Vec<ReachView>, ControlError> {
        self.opened_by(snapshot, imagined(request, self.gateway().now()), held).await
    }

    async fn opened_by(
        &self,
        snapshot: &Arc<Snapshot>,
        grant: Grant,
        held: Vec<Grant>,
    ) -> Result<Vec<ReachView>, ControlError> {
        let (snapshot, now) = (snapshot.clone(), self.gateway().now());
        let worked = tokio::task::spawn_blocking(move || {
            let mut rows = Vec::new();
            for target in grant.targets() {
                let mut before = only(&snapshot.facts, &grant.user, target);
                before.grants = BTreeMap::from([(grant.user.clone(), held.clone())]);
                let mut after = before.clone();
                after.grants.entry(grant.user.clone()).or_default().push(grant.clone());
                rows.extend(reach(&snapshot.policies, &before, &snapshot.policies, &after, now));
            }
            rows
        });
        worked.await.map_err(|_| ControlError::unavailable("your roles could not be evaluated"))
    }
}

/// The grant that would come of a request, for looking at what it opens. It is never stored.
fn imagined(request: &AccessRequest, now: Timestamp) -> Grant {
    Grant {
        id: GrantId::generate(now),
        user: request.user.clone(),
        target: request.target.clone(),
        also: request.also.clone(),
        role: request.scope.role().cloned(),
        actions: request.actions.clone(),
        login: request.login.clone(),
        ticket: request.ticket.clone(),
        starts: now,
        ends: now.plus(request.duration),
        source: GrantSource::Request { request: request.id, approved_by: Vec::new() },
        ended: None,
    }
}

/// The targets a role of this person's is about, and the actions out of those asked for.
fn of_role(
    facts: &Facts,
    user: &UserName,
    name: &RoleName,
    wanted: &BTreeSet<ActionKind>,
) -> Result<(BTreeSet<TargetName>, BTreeSet<ActionKind>), ControlError> {
    let held = facts.roles_of(user).contains_key(name);
    if !held {
        let why = format!("you do not hold a role `{name}`; a request cannot change that");
        return Err(ControlError::new(ErrorKind::NotFound, "not_eligible", why));
    }
    if facts.roles.get(name).is_some_and(|role| role.break_glass.is_some()) {
        let why = format!(
            "`{name}` is a break-glass role, which nobody approves; it is for emergencies: portcullis break-glass"
        );
        return Err(ControlError::new(ErrorKind::Conflict, "break_glass_role", why));
    }
    let given = facts.with_inherited(name);
    let rules: Vec<&Rule> = given
        .iter()
        .filter_map(|role| facts.roles.get(role))
        .flat_map(|role| &role.allow)
        .collect();
    let selected = |target: &&Target| rules.iter().any(|rule| rule.selects(target));
    let targets = facts.targets.values().filter(selected).map(|target| target.name.clone());
    let all = rules.iter().flat_map(|rule| rule.actions.iter().copied());
    let all: BTreeSet<ActionKind> = all.collect();
    if let Some(other) = wanted.difference(&all).next() {
        return Err(ControlError::invalid(format!("role `{name}` does not allow `{other}`")));
    }
    Ok((targets.collect(), if wanted.is_empty() { all } else { wanted.clone() }))
}

fn environment_of<'a>(facts: &'a Facts, target: &TargetName) -> Option<&'a EnvironmentName> {
    facts.targets.get(target).map(|found| &found.environment)
}

fn one_environment<'a>(
    facts: &'a Facts,
    draft: &AccessRequest,
) -> Result<&'a Environment, ControlError> {
    let names: BTreeSet<_> =
        draft.targets().filter_map(|name| environment_of(facts, name)).collect();
    let mut names = names.into_iter();
    match (names.next(), names.next()) {
        (Some(name), None) => facts
            .environments
            .get(name)
            .ok_or_else(|| ControlError::not_found(format!("environment `{name}`"))),
        (Some(one), Some(other)) => Err(ControlError::invalid(format!(
            "this is in environments `{one}` and `{other}`, which have rules of their own; name one"
        ))),
        (None, _) => Err(ControlError::not_found("such target")),
    }
}

fn first(targets: &BTreeSet<TargetName>, body: &RequestBody) -> Result<TargetName, ControlError> {
    targets.first().cloned().ok_or_else(|| not_eligible(body))
}

fn not_eligible(body: &RequestBody) -> ControlError {
    let what = match (&body.target, &body.role) {
        (Some(target), _) => format!("a target `{}`", target.escape_debug()),
        (_, Some(role)) => {
            format!("anything that needs a request by role `{}`", role.escape_debug())
        }
        _ => "any such target".to_owned(),
    };
    let why = format!("none of your roles reaches {what}; a request cannot change that");
    ControlError::new(ErrorKind::NotFound, "not_eligible", why)
}

/// What was written as a ticket.
fn written(given: Option<&str>) -> Result<Option<String>, ControlError> {
    let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    if given.len() > MAX_TICKET_BYTES || given.chars().any(char::is_control) {
        let why = format!("a ticket has at most {MAX_TICKET_BYTES} bytes, all of them printable");
        return Err(ControlError::invalid(why));
    }
    Ok(Some(given.to_owned()))
}

/// A role of the requester's that would reach the target under another ticket.
fn role_ticket(facts: &Facts, draft: &AccessRequest) -> Option<ControlError> {
    let target = facts.targets.get(&draft.target)?;
    let held = facts.roles_of(&draft.user);
    let mut roles = held.keys().filter_map(|name| facts.roles.get(name));
    let role = roles.find(|role| {
        !role.conditions.ticket_fits(draft.ticket.as_deref())
            && role.allow.iter().any(|rule| rule.selects(target))
    })?;
    let why = format!(
        "role `{}` needs a ticket like `{}`; add `--ticket`",
        role.name,
        role.conditions.ticket.as_deref().unwrap_or_default()
    );
    Some(ControlError::new(ErrorKind::Invalid, "ticket_required", why))
}

fn ticket(
    given: Option<String>,
    environment: &Environment,
) -> Result<Option<String>, ControlError> {
    let wanted = environment.requests.ticket.as_deref();
    let Some(given) = given else {
        return match wanted {
            None => Ok(None),
            Some(pattern) => Err(ControlError::new(
                ErrorKind::Invalid,
                "ticket_required",
                format!(
                    "environment `{}` needs a ticket like `{pattern}`; add `--ticket`",
                    environment.name
                ),
            )),
        };
    };
    match wanted {
        Some(pattern) if !ticket_matches(pattern, &given) => Err(ControlError::new(
            ErrorKind::Invalid,
            "ticket_required",
            format!(
                "`{}` is not a ticket of environment `{}`, which are like `{pattern}`",
                given.escape_debug(),
                environment.name
            ),
        )),
        _ => Ok(Some(given)),
    }
}

/// What exactly is asked, in the log.
pub(crate) fn describe(event: Event, request: &AccessRequest) -> Event {
    let mut event = event.detail("rule", request.rule.to_string());
    if !request.also.is_empty() {
        let names: Vec<&str> = request.targets().map(TargetName::as_str).collect();
        event = event.detail("targets", names.join(" "));
    }
    match &request.scope {
        Scope::Role { role } => event = event.detail("role", role.as_str()),
        Scope::Labels { labels } => {
            let labels: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            event = event.detail("labels", labels.join(" "));
        }
        Scope::Target => {}
    }
    if !request.actions.is_empty() {
        let names: Vec<&str> = request.actions.iter().map(|kind| kind.as_str()).collect();
        event = event.detail("actions", names.join(" "));
    }
    if let Some(ticket) = &request.ticket {
        event = event.detail("ticket", ticket.clone());
    }
    if let Some(extended) = &request.extends {
        event = event.detail("extends", extended.grant.to_string());
    }
    event
}
