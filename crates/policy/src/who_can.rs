//! [`who_can`]: everyone who could do an action on a target, and by which path.
//!
//! The question names no command, path or destination, so it is answered for *some*: once for a
//! text that no pattern names, and once for a sample of every pattern of the person's own permits
//! (each `*` replaced). Forbids that hold only for some texts are left out of the evaluation and
//! reported beside it. So the list can name someone whose every pattern is denied again, and it
//! never misses anyone a role lets in. Raw policies are asked with the same samples.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use portcullis_domain::{
    Action, ActionKind, Authentication, DatabaseAct, Facts, LockSubject, Login, RoleName,
    TargetName, Timestamp, User, UserName,
};
use serde::Serialize;

use crate::circumstances::Detail;
use crate::compile::Effect;
use crate::decide::Case;
use crate::explain::PolicyReason;
use crate::inactive::Glass;
use crate::outcome::Outcome;
use crate::policies::{Compiled, Policies, PolicySource, rule_selects};
use crate::slice::Subject;

/// What stands between a person and the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nothing.
    Now,
    /// A second factor.
    AfterStepUp,
    /// Breaking the glass: nobody's approval, and a review afterwards.
    BreakingGlass,
    /// An approved request, and then perhaps a second factor.
    AfterApproval,
}

/// One person who can, or could.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhoCan {
    /// Who.
    pub user: UserName,
    /// What stands between.
    pub reach: Reach,
    /// As these accounts on the target.
    pub logins: Vec<Login>,
    /// The policies that let them, with the paths by which they hold the role.
    pub via: Vec<PolicyReason>,
    /// Only commands, paths or destinations that match one of these; empty: any.
    pub only: Vec<String>,
    /// But none that match one of these.
    pub except: Vec<String>,
    /// Only under the conditions of one of these roles, in words; empty: under any.
    pub under: Vec<String>,
}

/// Everyone who can do this kind of action on the target, or could after a second factor or an
/// approval. Asked for a person without a second factor, coming from `0.0.0.0`. Disabled and locked
/// users are left out; where the target or its environment is locked, everyone is.
pub fn who_can(
    policies: &Policies,
    facts: &Facts,
    action: ActionKind,
    target: &TargetName,
    now: Timestamp,
) -> Vec<WhoCan> {
    let mut found = Vec::new();
    let Some(target) = facts.targets.get(target) else { return found };
    let Some(environment) = facts.environments.get(&target.environment) else { return found };
    if !target.offers(action) {
        return found;
    }
    let is_locked = |subject: LockSubject| {
        facts.locks.iter().any(|lock| lock.subject == subject && lock.holds(now))
    };
    if policies.revision() != facts.revision
        || is_locked(LockSubject::Target(target.name.clone()))
        || is_locked(LockSubject::Environment(environment.name.clone()))
    {
        return found;
    }
    for user in facts.users.values() {
        if user.disabled || is_locked(LockSubject::User(user.name.clone())) {
            continue;
        }
        let subject = Subject { user, target, environment };
        found.extend(reaches(policies, facts, subject, action, now));
    }
    found
}

/// One entry per reach, best first.
fn reaches(
    policies: &Policies,
    facts: &Facts,
    subject: Subject<'_>,
    action: ActionKind,
    now: Timestamp,
) -> Vec<WhoCan> {
    let who = anyone(subject.user);
    let compiled = &policies.compiled;
    let Ok(mut case) = Anyone::new(compiled, facts, subject, &who, action, now) else {
        return Vec::new();
    };
    let ways = ways(policies, &mut case, subject, action);
    if ways.is_empty() {
        return Vec::new();
    }
    let held = facts.roles_of(&subject.user.name);
    let entry = |way: Way| {
        let via = way.ids.iter().filter_map(|id| {
            let policy = policies.policy(id)?;
            let held_by = match &policy.source {
                PolicySource::Role(role) => held.get(role).cloned().unwrap_or_default(),
                PolicySource::Policy(_) | PolicySource::BuiltIn => Vec::new(),
            };
            Some(PolicyReason { policy, held_by })
        });
        WhoCan {
            user: subject.user.name.clone(),
            reach: way.reach,
            logins: way.logins,
            via: via.collect(),
            under: way.under,
            only: way.only,
            except: way.except,
        }
    };
    ways.into_iter().map(entry).collect()
}

/// Someone without a second factor, from nowhere.
pub(crate) fn anyone(user: &User) -> Authentication {
    Authentication {
        user: user.name.clone(),
        factors: Vec::new(),
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// A person's case as it is, and as if they had taken their break-glass roles out.
pub(crate) struct Anyone<'a> {
    ordinary: Case<'a>,
    broken: Option<Case<'a>>,
}

impl<'a> Anyone<'a> {
    pub(crate) fn new(
        compiled: &'a Compiled,
        facts: &'a Facts,
        subject: Subject<'a>,
        who: &'a Authentication,
        kind: ActionKind,
        now: Timestamp,
    ) -> Result<Self, String> {
        let case = |glass| Case::for_anyone(compiled, facts, subject, who, (kind, glass), now);
        let held = compiled.roles_held(subject.user);
        let broken = held.iter().any(|role| compiled.break_glass.contains(*role));
        let broken = broken.then(|| case(Glass::Broken)).transpose()?;
        Ok(Self { ordinary: case(Glass::Whole)?, broken })
    }

    /// The same person and target, another kind of action.
    pub(crate) fn with_kind(&mut self, kind: ActionKind) {
        self.ordinary.with_kind(kind);
        if let Some(broken) = &mut self.broken {
            broken.with_kind(kind);
        }
    }
}

/// How somebody does an action on a target.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) reach: Reach,
    pub(crate) logins: Vec<Login>,
    ids: BTreeSet<String>,
    pub(crate) under: Vec<String>,
    pub(crate) only: Vec<String>,
    pub(crate) except: Vec<String>,
}

/// One for each reach, best first. The case is asked about that action.
pub(crate) fn ways(
    policies: &Policies,
    case: &mut Anyone<'_>,
    subject: Subject<'_>,
    action: ActionKind,
) -> Vec<Way> {
    let mut by_reach: BTreeMap<Reach, (Vec<Login>, BTreeSet<String>)> = BTreeMap::new();
    let samples = samples(policies, subject, action);
    for login in subject.target.logins() {
        let mut add = |reach, ids: BTreeSet<String>| {
            let (logins, known) = by_reach.entry(reach).or_default();
            logins.push(login.clone());
            known.extend(ids);
        };
        if let Some((reach, ids)) = best(&mut case.ordinary, login, &samples) {
            add(reach, ids);
        }
        let broken = case.broken.as_mut().and_then(|case| best(case, login, &samples));
        let mut ids = broken.map(|(_, ids)| ids).unwrap_or_default();
        ids.retain(|id| is_break_glass(policies, id));
        if !ids.is_empty() {
            add(Reach::BreakingGlass, ids);
        }
    }
    let way = |(reach, (logins, ids)): (Reach, (Vec<Login>, BTreeSet<String>))| Way {
        reach,
        logins,
        under: under(policies, &ids),
        only: only(policies, subject.user, &ids),
        except: patterns(policies, subject, action, Effect::Forbid).into_iter().collect(),
        ids,
    };
    by_reach.into_iter().map(way).collect()
}

/// The best reach of one account over all samples, and the policies that give it.
fn best(
    case: &mut Case<'_>,
    login: &Login,
    samples: &[Detail],
) -> Option<(Reach, BTreeSet<String>)> {
    let mut reasons: BTreeMap<Reach, BTreeSet<String>> = BTreeMap::new();
    for sample in samples {
        case.with_detail(sample.clone());
        let (reach, ids) = match case.outcome(login) {
            Outcome::Allow { reasons, .. } => (Reach::Now, reasons),
            Outcome::StepUp { reasons, .. } => (Reach::AfterStepUp, reasons),
            Outcome::Request { reasons, .. } => (Reach::AfterApproval, reasons),
            Outcome::Deny(_) => continue,
        };
        reasons.entry(reach).or_default().extend(ids);
    }
    reasons.pop_first()
}

fn is_break_glass(policies: &Policies, id: &str) -> bool {
    let mut parts = id.splitn(3, ':');
    let name = (parts.next() == Some("role")).then(|| parts.next()).flatten();
    let name = name.and_then(|name| RoleName::new(name).ok());
    name.is_some_and(|name| policies.compiled.break_glass.contains(&name))
}

/// The conditions of the roles behind these permits; none if one of them is without.
fn under(policies: &Policies, ids: &BTreeSet<String>) -> Vec<String> {
    let conditions = |id: &String| -> Option<Option<String>> {
        let found = policies.policy(id)?;
        Some(match found.source {
            PolicySource::Role(role) => {
                let conditions = &policies.compiled.roles.get(&role)?.role.conditions;
                (!conditions.is_empty()).then(|| conditions.described().join(" and "))
            }
            PolicySource::Policy(_) | PolicySource::BuiltIn => None,
        })
    };
    let all: Option<BTreeSet<String>> = ids.iter().filter_map(conditions).collect();
    all.unwrap_or_default().into_iter().collect()
}

/// The patterns of these permits; none if one of them is without.
fn only(policies: &Policies, user: &User, ids: &BTreeSet<String>) -> Vec<String> {
    let compiled = &policies.compiled;
    let mut all = BTreeSet::new();
    let mut restricted = 0;
    for name in compiled.roles_held(user) {
        let made = compiled.roles.get(name).into_iter().flat_map(|role| &role.policies);
        for policy in made.filter(|policy| ids.contains(&policy.made.id)) {
            restricted += usize::from(!policy.made.patterns.is_empty());
            all.extend(policy.made.patterns.iter().cloned());
        }
    }
    if restricted == ids.len() { all.into_iter().collect() } else { Vec::new() }
}

fn patterns(
    policies: &Policies,
    subject: Subject<'_>,
    action: ActionKind,
    effect: Effect,
) -> BTreeSet<String> {
    let compiled = &policies.compiled;
    let roles = compiled.roles_held(subject.user).into_iter();
    let roles = roles.filter_map(|name| compiled.roles.get(name));
    roles
        .flat_map(|role| role.policies.iter().map(move |policy| (role, &policy.made)))
        .filter(|(_, made)| made.effect == effect && made.actions.contains(&action))
        .filter(|(role, made)| {
            role.rule(made).is_some_and(|rule| rule_selects(rule, subject.target, action))
        })
        .flat_map(|(_, made)| made.patterns.iter().cloned())
        .collect()
}

/// A text no pattern names, and one for every pattern of the person's permits.
fn samples(policies: &Policies, subject: Subject<'_>, action: ActionKind) -> Vec<Detail> {
    let mut samples = vec![sample(action, None)];
    let patterns = patterns(policies, subject, action, Effect::Permit);
    samples.extend(patterns.iter().map(|pattern| sample(action, Some(pattern))));
    samples
}

fn sample(action: ActionKind, pattern: Option<&str>) -> Detail {
    let text = |fallback: &str| pattern.map_or(fallback.to_owned(), |p| p.replace('*', "x"));
    let (host, port) = destination(pattern.unwrap_or("x:1"));
    Detail::of(&match action {
        ActionKind::Shell => Action::Shell,
        ActionKind::AgentForward => Action::AgentForward,
        ActionKind::Exec => Action::Exec { command: text("x") },
        ActionKind::Upload => Action::Upload { path: text("/x") },
        ActionKind::Download => Action::Download { path: text("/x") },
        ActionKind::Forward => Action::Forward { host, port },
        ActionKind::RemoteForward => Action::RemoteForward { host, port },
        database => Action::Database {
            act: database.database_act().unwrap_or(DatabaseAct::Unclassified),
            database: text("x"),
        },
    })
}

/// A host and port a pattern matches, as far as one can be made of it.
fn destination(pattern: &str) -> (String, u16) {
    let (host, port) = pattern.rsplit_once(':').unwrap_or((pattern, "*"));
    let port = port.replace('*', "1").parse().unwrap_or(1);
    (host.replace('*', "x"), port)
}
