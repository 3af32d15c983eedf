//! [`decide`]: one query, one answer, in a fixed order: user, target, locks, bounds, login, policies.
//!
//! Cedar says yes or no. What is missing for a yes is found by asking again as if a grant covered
//! the action and the second factor had just been proved: then a missing grant is said before a
//! missing factor, because a request can be made without one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::action::MAX_ACTION_TEXT_BYTES;
use portcullis_domain::role::with_inherited;
use portcullis_domain::{
    Access, Action, ActionKind, Authentication, Decision, Denial, Facts, Grant, Lock, LockSubject,
    Login, Query, RoleName, Terms, Timestamp,
};

use crate::circumstances::{Circumstances, Detail};
use crate::engine::Verdict;
use crate::inactive::inactive_roles;
use crate::policies::{Compiled, Policies};
use crate::slice::{Slice, Subject, Without};

/// How long a second factor proved while connecting counts as proved for this session. An
/// environment whose maximum age is shorter (`0s`: anew for every session) is held to this.
pub const FRESH_GRACE: Duration = Duration::from_secs(120);
/// How far in the future a second factor may be dated and still count, for clocks of several
/// nodes. Beyond that it does not count: a clock has gone backwards.
pub const FUTURE_TOLERANCE: Duration = Duration::from_secs(5);

/// Decides one query. The policies must be those of the facts' revision; others are a deny.
///
/// The query's factors are those proved in this connection, or before with their true times.
pub fn decide(policies: &Policies, facts: &Facts, query: &Query, now: Timestamp) -> Decision {
    answer(policies, facts, query, now).decision
}

/// A decision with what stood in its way.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) decision: Decision,
    /// Ids of the forbids that hold now, sorted.
    pub(crate) blocked_by: Vec<String>,
}

impl From<Denial> for Answer {
    fn from(denial: Denial) -> Self {
        let blocked_by = match &denial {
            Denial::Forbidden { policies } => policies.clone(),
            _ => Vec::new(),
        };
        Self { decision: Decision::Deny(denial), blocked_by }
    }
}

pub(crate) fn answer(policies: &Policies, facts: &Facts, query: &Query, now: Timestamp) -> Answer {
    match subject(policies, facts, query, now) {
        Ok(subject) => {
            match Case::new(&policies.compiled, facts, subject, &query.who, &query.action, now) {
                Ok(case) => case.answer(query.login.as_ref()),
                Err(denial) => denial.into(),
            }
        }
        Err(denial) => denial.into(),
    }
}

fn subject<'a>(
    policies: &Policies,
    facts: &'a Facts,
    query: &Query,
    now: Timestamp,
) -> Result<Subject<'a>, Denial> {
    if policies.revision() != facts.revision {
        let errors = vec![format!(
            "the policies are of revision {} and the facts of revision {}",
            policies.revision(),
            facts.revision
        )];
        return Err(Denial::PolicyError { errors });
    }
    let user = facts.users.get(&query.who.user).filter(|user| !user.disabled);
    let user = user.ok_or(Denial::UserUnknownOrDisabled)?;
    let target = facts.targets.get(&query.target).ok_or(Denial::TargetUnknown)?;
    if let Some(lock) = facts.locks.iter().find(|lock| lock.keeps(&user.name, target, now)) {
        return Err(locked(lock));
    }
    if text_bytes(&query.action) > MAX_ACTION_TEXT_BYTES {
        return Err(Denial::TooLong);
    }
    let environment = facts.environments.get(&target.environment).ok_or_else(|| {
        let name = &target.environment;
        Denial::PolicyError { errors: vec![format!("the environment `{name}` does not exist")] }
    })?;
    Ok(Subject { user, target, environment })
}

fn text_bytes(action: &Action) -> usize {
    match action {
        Action::Shell | Action::AgentForward => 0,
        Action::Exec { command } => command.len(),
        Action::Upload { path } | Action::Download { path } => path.len(),
        Action::Forward { host, .. } | Action::RemoteForward { host, .. } => host.len(),
    }
}

fn locked(lock: &Lock) -> Denial {
    Denial::Locked { lock: lock.id, subject: lock.subject.to_string(), reason: lock.reason.clone() }
}

/// Seconds since the latest second factor, rounded up.
pub(crate) fn second_factor_age(who: &Authentication, now: Timestamp) -> Option<i64> {
    let second = who.factors.iter().filter(|factor| factor.kind.is_second());
    let latest = second.map(|f| f.at).filter(|at| *at <= now.plus(FUTURE_TOLERANCE)).max()?;
    let age = now.since(latest).as_millis().div_ceil(1000);
    Some(i64::try_from(age).unwrap_or(i64::MAX))
}

/// What one login leads to.
pub(crate) enum Outcome<'a> {
    Allow { reasons: Vec<String>, grant: Option<&'a Grant> },
    StepUp { max_age: Duration, reasons: Vec<String>, blocked_by: Vec<String> },
    Request { reasons: Vec<String>, blocked_by: Vec<String> },
    Deny(Denial),
}

/// One query on its way through the policies.
pub(crate) struct Case<'a> {
    compiled: &'a Compiled,
    facts: &'a Facts,
    subject: Subject<'a>,
    kind: ActionKind,
    detail: Detail,
    who: &'a Authentication,
    age: Option<i64>,
    max_age: Option<i64>,
    now: Timestamp,
    /// All must allow; the last one's reasons count.
    views: Vec<(Arc<Slice>, Without<'a>)>,
    /// A lock on a role the person holds.
    role_lock: Option<&'a Lock>,
}

impl<'a> Case<'a> {
    fn new(
        compiled: &'a Compiled,
        facts: &'a Facts,
        subject: Subject<'a>,
        who: &'a Authentication,
        action: &Action,
        now: Timestamp,
    ) -> Result<Self, Denial> {
        let mut case = Self::bare(compiled, facts, subject, who, action, now);
        let locks = role_locks(compiled, facts, subject, now);
        case.role_lock = locks.first().map(|(lock, _)| *lock);
        let mut locked_roles: BTreeSet<_> = locks.into_iter().map(|(_, role)| role).collect();
        locked_roles.extend(inactive_roles(compiled, facts, subject, now));
        case.views = views(compiled, subject, locked_roles, false)
            .map_err(|error| Denial::PolicyError { errors: vec![error] })?;
        Ok(case)
    }

    /// A case for `who-can`: forbids by pattern do not count, locked roles do not either.
    pub(crate) fn for_anyone(
        compiled: &'a Compiled,
        facts: &'a Facts,
        subject: Subject<'a>,
        who: &'a Authentication,
        kind: ActionKind,
        now: Timestamp,
    ) -> Result<Self, String> {
        let mut case = Self::bare(compiled, facts, subject, who, &Action::Shell, now);
        case.kind = kind;
        let locks = role_locks(compiled, facts, subject, now);
        let mut locked_roles: BTreeSet<_> = locks.into_iter().map(|(_, role)| role).collect();
        locked_roles.extend(inactive_roles(compiled, facts, subject, now));
        case.views = views(compiled, subject, locked_roles, true)?;
        Ok(case)
    }

    fn bare(
        compiled: &'a Compiled,
        facts: &'a Facts,
        subject: Subject<'a>,
        who: &'a Authentication,
        action: &Action,
        now: Timestamp,
    ) -> Self {
        let max_age = subject.environment.second_factor_max_age;
        let seconds = |d: Duration| i64::try_from(d.max(FRESH_GRACE).as_secs()).unwrap_or(i64::MAX);
        Self {
            compiled,
            facts,
            subject,
            kind: action.kind(),
            detail: Detail::of(action),
            who,
            age: second_factor_age(who, now),
            max_age: max_age.map(seconds),
            now,
            views: Vec::new(),
            role_lock: None,
        }
    }

    pub(crate) fn with_detail(&mut self, detail: Detail) {
        self.detail = detail;
    }

    fn judge(&self, login: &Login, granted: bool, second_factor_age: Option<i64>) -> Verdict {
        let circumstances = Circumstances {
            login,
            granted,
            second_factor_age,
            second_factor_max_age: self.max_age,
            source: self.who.source,
            detail: &self.detail,
        };
        let mut sum = Verdict::Refused(Vec::new());
        for (slice, without) in &self.views {
            let verdict =
                slice.judge(self.compiled, self.subject, self.kind, without, &circumstances);
            if !matches!(verdict, Verdict::Allowed(_)) {
                return verdict;
            }
            sum = verdict;
        }
        sum
    }

    /// The covering grant that lasts longest.
    fn grant(&self, login: &Login) -> Option<&'a Grant> {
        let (user, target) = (&self.subject.user.name, &self.subject.target.name);
        self.facts
            .active_grants(user, target, self.now)
            .filter(|grant| grant.covers(self.kind, Some(login), self.now))
            .max_by_key(|grant| (grant.ends, grant.id))
    }

    pub(crate) fn outcome(&self, login: &Login) -> Outcome<'a> {
        let grant = self.grant(login);
        let granted = grant.is_some();
        let blocked_by = match self.judge(login, granted, self.age) {
            Verdict::Allowed(reasons) => return self.allow(login, reasons, grant),
            Verdict::Failed(errors) => return Outcome::Deny(Denial::PolicyError { errors }),
            Verdict::Refused(forbids) => forbids,
        };
        let reasons = match self.judge(login, true, Some(0)) {
            Verdict::Allowed(reasons) => reasons,
            Verdict::Failed(errors) => return Outcome::Deny(Denial::PolicyError { errors }),
            Verdict::Refused(forbids) => return Outcome::Deny(self.refused(login, forbids)),
        };
        let factor_is_enough =
            granted || matches!(self.judge(login, false, Some(0)), Verdict::Allowed(_));
        if factor_is_enough {
            Outcome::StepUp { max_age: self.asked_age(), reasons, blocked_by }
        } else {
            Outcome::Request { reasons, blocked_by }
        }
    }

    fn allow(&self, login: &Login, reasons: Vec<String>, grant: Option<&'a Grant>) -> Outcome<'a> {
        // With standing access a grant counts only if it was needed, so that its end does not
        // end a session that stands without it.
        let needed = grant.is_some()
            && (self.subject.environment.access == Access::OnRequest
                || !matches!(self.judge(login, false, self.age), Verdict::Allowed(_)));
        Outcome::Allow { reasons, grant: grant.filter(|_| needed) }
    }

    /// The environment's limit; zero where that is met and a policy asks for more.
    fn asked_age(&self) -> Duration {
        let limit = self.subject.environment.second_factor_max_age.unwrap_or_default();
        let met = match (self.age, self.max_age) {
            (Some(age), Some(max)) => age <= max,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if met { Duration::ZERO } else { limit }
    }

    fn refused(&self, login: &Login, forbids: Vec<String>) -> Denial {
        if let Some(lock) = self.role_lock
            && self.allowed_but_for_locks(login)
        {
            return locked(lock);
        }
        if forbids.is_empty() { Denial::NoPolicy } else { Denial::Forbidden { policies: forbids } }
    }

    fn allowed_but_for_locks(&self, login: &Login) -> bool {
        let Ok(slice) = self.compiled.slice(self.subject) else { return false };
        let circumstances = Circumstances {
            login,
            granted: true,
            second_factor_age: Some(0),
            second_factor_max_age: self.max_age,
            source: self.who.source,
            detail: &self.detail,
        };
        let verdict = slice.judge(
            self.compiled,
            self.subject,
            self.kind,
            &Without::default(),
            &circumstances,
        );
        matches!(verdict, Verdict::Allowed(_))
    }

    fn answer(&self, login: Option<&Login>) -> Answer {
        let logins = &self.subject.target.ssh.logins;
        match login {
            Some(login) if logins.contains(login) => self.finish(login, self.outcome(login)),
            Some(_) => {
                let all = logins.iter().map(|login| (login, self.outcome(login)));
                let usable = all.filter(|(_, outcome)| !matches!(outcome, Outcome::Deny(_)));
                let choices = usable.map(|(login, _)| login.clone()).collect();
                Denial::Login { choices }.into()
            }
            None => self.answer_for_any_login(),
        }
    }

    /// Without a login, the only one that is possible is meant; first among those allowed now,
    /// then after a second factor, then after a request.
    fn answer_for_any_login(&self) -> Answer {
        let logins = &self.subject.target.ssh.logins;
        let mut outcomes: Vec<(&Login, Outcome<'a>)> =
            logins.iter().map(|login| (login, self.outcome(login))).collect();
        outcomes.sort_by_key(|(_, outcome)| rank(outcome));
        let Some((_, best)) = outcomes.first() else {
            return Denial::Login { choices: Vec::new() }.into();
        };
        let best_rank = rank(best);
        outcomes.retain(|(_, outcome)| rank(outcome) == best_rank);
        let choose = matches!(best_rank, Rank::Allow | Rank::StepUp) && outcomes.len() > 1;
        if choose {
            let choices = outcomes.into_iter().map(|(login, _)| login.clone()).collect();
            return Denial::Login { choices }.into();
        }
        let mut outcomes = outcomes.into_iter();
        let Some((login, mut first)) = outcomes.next() else { return Denial::NoPolicy.into() };
        for (_, other) in outcomes {
            merge(&mut first, other);
        }
        self.finish(login, first)
    }

    fn finish(&self, login: &Login, outcome: Outcome<'a>) -> Answer {
        let environment = self.subject.environment;
        match outcome {
            Outcome::Allow { reasons, grant } => {
                let terms = Terms {
                    environment: environment.name.clone(),
                    login: login.clone(),
                    recording: environment.recording,
                    ends: grant.map(|grant| grant.ends),
                    max_session: environment.max_session,
                    idle_timeout: environment.idle_timeout,
                    grant: grant.map(|grant| grant.id),
                    reasons,
                };
                Answer { decision: Decision::Allow(terms), blocked_by: Vec::new() }
            }
            Outcome::StepUp { max_age, reasons, blocked_by } => {
                Answer { decision: Decision::StepUp { max_age, reasons }, blocked_by }
            }
            Outcome::Request { reasons, blocked_by } => {
                let rule = environment.rule_for(&BTreeSet::from([self.kind]));
                let max_grant = environment.max_grant;
                Answer {
                    decision: Decision::RequestAccess { rule, max_grant, reasons },
                    blocked_by,
                }
            }
            Outcome::Deny(denial) => denial.into(),
        }
    }
}

/// Locks in force on roles the person holds. Roles are looked up only where there is such a lock:
/// a person may hold very many.
fn role_locks<'a>(
    compiled: &Compiled,
    facts: &'a Facts,
    subject: Subject<'_>,
    now: Timestamp,
) -> Vec<(&'a Lock, &'a RoleName)> {
    let on_roles = facts.locks.iter().filter_map(|lock| match &lock.subject {
        LockSubject::Role(role) if lock.holds(now) => Some((lock, role)),
        _ => None,
    });
    let mut on_roles: Vec<_> = on_roles.collect();
    if on_roles.is_empty() {
        return on_roles;
    }
    let held = compiled.roles_held(subject.user);
    on_roles.retain(|(_, role)| held.contains(role));
    // What a locked role inherits it would allow too.
    let inherited: Vec<_> = on_roles
        .iter()
        .flat_map(|(lock, role)| {
            let all = with_inherited(role, |name| facts.roles.get(name).map(|role| &role.inherits));
            all.into_iter().filter(move |name| name != role).map(|name| (*lock, name))
        })
        .collect();
    on_roles.extend(inherited);
    on_roles
}

/// The slices that must all allow. Where roles are locked, once without their permits, so that
/// their forbids still hold, and once as if the person did not hold them, so that no raw policy
/// lets them in for the role's sake.
fn views<'a>(
    compiled: &Compiled,
    subject: Subject<'_>,
    locked_roles: BTreeSet<&'a RoleName>,
    patterned_forbids: bool,
) -> Result<Vec<(Arc<Slice>, Without<'a>)>, String> {
    if locked_roles.is_empty() && !patterned_forbids {
        return Ok(vec![(compiled.slice(subject)?, Without::default())]);
    }
    let held = Arc::new(compiled.fresh_slice(subject, &BTreeSet::new())?);
    if locked_roles.is_empty() {
        return Ok(vec![(held, Without { patterned_forbids, ..Without::default() })]);
    }
    let lost = Arc::new(compiled.fresh_slice(subject, &locked_roles)?);
    let without_permits =
        Without { permits_of: locked_roles.clone(), patterned_forbids, ..Without::default() };
    let without_roles =
        Without { membership: locked_roles, patterned_forbids, ..Without::default() };
    Ok(vec![(held, without_permits), (lost, without_roles)])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// An error under one login is an error of the whole decision.
    Failed,
    Allow,
    StepUp,
    Request,
    Locked,
    Forbidden,
    NoPolicy,
}

fn rank(outcome: &Outcome<'_>) -> Rank {
    match outcome {
        Outcome::Deny(Denial::PolicyError { .. }) => Rank::Failed,
        Outcome::Allow { .. } => Rank::Allow,
        Outcome::StepUp { .. } => Rank::StepUp,
        Outcome::Request { .. } => Rank::Request,
        Outcome::Deny(Denial::Locked { .. }) => Rank::Locked,
        Outcome::Deny(Denial::Forbidden { .. }) => Rank::Forbidden,
        Outcome::Deny(_) => Rank::NoPolicy,
    }
}

/// Adds another login's reasons to an outcome of the same rank.
fn merge(into: &mut Outcome<'_>, from: Outcome<'_>) {
    let add = |all: &mut Vec<String>, more: Vec<String>| {
        all.extend(more);
        all.sort();
        all.dedup();
    };
    match (into, from) {
        (
            Outcome::Request { reasons, blocked_by },
            Outcome::Request { reasons: more, blocked_by: blocks },
        ) => {
            add(reasons, more);
            add(blocked_by, blocks);
        }
        (
            Outcome::Deny(Denial::Forbidden { policies }),
            Outcome::Deny(Denial::Forbidden { policies: more }),
        ) => add(policies, more),
        (
            Outcome::Deny(Denial::PolicyError { errors }),
            Outcome::Deny(Denial::PolicyError { errors: more }),
        ) => add(errors, more),
        _ => {}
    }
}
