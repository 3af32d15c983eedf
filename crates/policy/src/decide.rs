//! [`decide`]: one query, one answer, in a fixed order: user, target, locks, bounds, login, policies.
//!
//! Cedar says yes or no. What is missing for a yes is found by asking again as if a grant covered
//! the action and the second factor had just been proved: then a missing grant is said before a
//! missing factor, because a request can be made without one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::action::MAX_ACTION_TEXT_BYTES;
use portcullis_domain::{
    Access, Action, ActionKind, Authentication, Conditions, Decision, Denial, Facts, Grant, Lock,
    Login, Query, Recording, RoleName, Terms, Tier, Timestamp,
};

use crate::circumstances::{Circumstances, Detail, Ticket};
use crate::engine::Verdict;
use crate::inactive::{Glass, inactive_roles};
use crate::outcome::{Outcome, Rank, merge, rank};
use crate::policies::{Compiled, Policies};
use crate::slice::{Slice, Subject, Without};
use crate::views::{Left, role_locks, views};

/// How long a second factor proved while connecting counts as proved for this session. An
/// environment whose maximum age is shorter (`0s`: anew for every session) is held to this.
pub const FRESH_GRACE: Duration = Duration::from_secs(120);
/// How far in the future a second factor may be dated and still count, for clocks of several
/// nodes. Beyond that it does not count: a clock has gone backwards.
pub const FUTURE_TOLERANCE: Duration = Duration::from_secs(5);
/// Most grants whose tickets are tried for one decision.
const MAX_GRANTS_TRIED: usize = 16;

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
    if !target.offers(query.action.kind()) {
        return Err(Denial::Protocol { protocol: target.protocol.as_str() });
    }
    if query.action.text_bytes() > MAX_ACTION_TEXT_BYTES {
        return Err(Denial::TooLong);
    }
    let environment = facts.environments.get(&target.environment).ok_or_else(|| {
        let name = &target.environment;
        Denial::PolicyError { errors: vec![format!("the environment `{name}` does not exist")] }
    })?;
    if environment.tier == Tier::Production
        && let Some(until) = facts.factor_wait(&user.name, now)
    {
        return Err(Denial::FactorChanged { until });
    }
    Ok(Subject { user, target, environment })
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

/// Whether, and by what, an action is granted.
#[derive(Debug, Clone, Copy)]
enum Granted<'a> {
    No,
    By(&'a Grant),
    /// As if by one with whatever ticket it takes.
    Suitably,
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
        locked_roles.extend(inactive_roles(compiled, facts, subject, now, Glass::Whole));
        case.views = views(compiled, subject, locked_roles, Left::default())
            .map_err(|error| Denial::PolicyError { errors: vec![error] })?;
        Ok(case)
    }

    /// A case for `who-can`: forbids by pattern do not count, nor do locked roles and conditions
    /// that hold at some moments only.
    pub(crate) fn for_anyone(
        compiled: &'a Compiled,
        facts: &'a Facts,
        subject: Subject<'a>,
        who: &'a Authentication,
        (kind, glass): (ActionKind, Glass),
        now: Timestamp,
    ) -> Result<Self, String> {
        let mut case = Self::bare(compiled, facts, subject, who, &Action::Shell, now);
        case.kind = kind;
        let locks = role_locks(compiled, facts, subject, now);
        let mut locked_roles: BTreeSet<_> = locks.into_iter().map(|(_, role)| role).collect();
        locked_roles.extend(inactive_roles(compiled, facts, subject, now, glass));
        let left = Left { patterned_forbids: true, conditions: true };
        case.views = views(compiled, subject, locked_roles, left)?;
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

    /// The same case, of another kind of action.
    pub(crate) fn with_kind(&mut self, kind: ActionKind) {
        self.kind = kind;
    }

    fn judge(&self, login: &Login, grant: Granted<'_>, second_factor_age: Option<i64>) -> Verdict {
        let circumstances = self.circumstances(login, grant, second_factor_age);
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

    fn circumstances<'c>(
        &'c self,
        login: &'c Login,
        grant: Granted<'c>,
        second_factor_age: Option<i64>,
    ) -> Circumstances<'c> {
        Circumstances {
            login,
            granted: !matches!(grant, Granted::No),
            second_factor_age,
            second_factor_max_age: self.max_age,
            source: self.who.source,
            now: self.now,
            ticket: match grant {
                Granted::No => Ticket::Is(None),
                Granted::By(grant) => Ticket::Is(grant.ticket.as_deref()),
                Granted::Suitably => Ticket::Fitting,
            },
            detail: &self.detail,
        }
    }

    /// The covering grants, the one that lasts longest first. Others come after it only where a
    /// ticket could make a difference.
    fn grants(&self, login: &Login) -> Vec<&'a Grant> {
        let mut found: Vec<&Grant> = self
            .grants_here()
            .filter(|grant| grant.covers(self.kind, Some(login), self.now))
            .collect();
        found.sort_by_key(|grant| std::cmp::Reverse((grant.ends, grant.id)));
        found.truncate(if self.compiled.conditional { MAX_GRANTS_TRIED } else { 1 });
        found
    }

    pub(crate) fn outcome(&self, login: &Login) -> Outcome<'a> {
        let grants = self.grants(login);
        let mut tried: Vec<Granted<'a>> = grants.into_iter().map(Granted::By).collect();
        if tried.is_empty() {
            tried.push(Granted::No);
        }
        let mut blocked_by = None;
        for grant in &tried {
            match self.judge(login, *grant, self.age) {
                Verdict::Allowed(reasons) => return self.allow(login, reasons, *grant),
                Verdict::Failed(errors) => return Outcome::Deny(Denial::PolicyError { errors }),
                Verdict::Refused(forbids) => {
                    blocked_by.get_or_insert(forbids);
                }
            }
        }
        let blocked_by = blocked_by.unwrap_or_default();
        let reasons = match self.judge(login, Granted::Suitably, Some(0)) {
            Verdict::Allowed(reasons) => reasons,
            Verdict::Failed(errors) => return Outcome::Deny(Denial::PolicyError { errors }),
            Verdict::Refused(forbids) => return Outcome::Deny(self.refused(login, forbids)),
        };
        let mut with_factor = tried.iter().map(|grant| self.judge(login, *grant, Some(0)));
        if with_factor.any(|verdict| matches!(verdict, Verdict::Allowed(_))) {
            Outcome::StepUp { max_age: self.asked_age(), reasons, blocked_by }
        } else {
            Outcome::Request { reasons, blocked_by }
        }
    }

    fn allow(&self, login: &Login, reasons: Vec<String>, grant: Granted<'a>) -> Outcome<'a> {
        let Granted::By(grant) = grant else { return Outcome::Allow { reasons, grant: None } };
        // With standing access a grant counts only if it was needed, so that its end does not
        // end a session that stands without it.
        let needed = self.subject.environment.access == Access::OnRequest
            || !matches!(self.judge(login, Granted::No, self.age), Verdict::Allowed(_));
        Outcome::Allow { reasons, grant: needed.then_some(grant) }
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
            && matches!(self.judge_without(login, &Without::default()), Verdict::Allowed(_))
        {
            return locked(lock);
        }
        if !forbids.is_empty() {
            return Denial::Forbidden { policies: forbids };
        }
        if self.compiled.conditional {
            let without = Without { conditions: true, ..Without::default() };
            if let Verdict::Allowed(reasons) = self.judge_without(login, &without)
                && let unmet = self.unmet(&reasons)
                && !unmet.is_empty()
            {
                return Denial::Conditions { unmet };
            }
        }
        Denial::NoPolicy
    }

    /// What would be if nobody had locked a role, and without what `without` leaves out.
    fn judge_without(&self, login: &Login, without: &Without<'_>) -> Verdict {
        let slice = match without.conditions {
            true => self.compiled.fresh_slice(self.subject, &BTreeSet::new()).map(Arc::new),
            false => self.compiled.slice(self.subject),
        };
        let slice = match slice {
            Ok(slice) => slice,
            Err(error) => return Verdict::Failed(vec![error]),
        };
        let circumstances = self.circumstances(login, Granted::Suitably, Some(0));
        slice.judge(self.compiled, self.subject, self.kind, without, &circumstances)
    }

    /// What the roles behind these permits ask for beside them and is not so.
    fn unmet(&self, reasons: &[String]) -> Vec<String> {
        let of_role = |id: &String| {
            let name = RoleName::new(id.split(':').nth(1)?).ok()?;
            let conditions = &self.compiled.roles.get(&name)?.role.conditions;
            let asked = Conditions { ticket: None, ..conditions.clone() };
            let unmet = asked.unmet(self.who.source, None, self.now);
            (!unmet.is_empty()).then(|| unmet.join(" and "))
        };
        let all: BTreeSet<String> = reasons.iter().filter_map(of_role).collect();
        all.into_iter().collect()
    }

    /// When what this rests on next changes by itself: windows of hours, and grants that make roles
    /// active that otherwise give nothing.
    fn ask_again(&self) -> Option<Timestamp> {
        let hours = self.views.iter().filter_map(|(slice, _)| slice.hours_change(self.now));
        let of_roles = self.grants_here().filter(|grant| grant.role.is_some());
        hours.chain(of_roles.map(|grant| grant.ends)).min()
    }

    /// The person's grants on the target, whatever they cover.
    fn grants_here(&self) -> impl Iterator<Item = &'a Grant> {
        let (user, target) = (&self.subject.user.name, &self.subject.target.name);
        self.facts.active_grants(user, target, self.now)
    }

    fn answer(&self, login: Option<&Login>) -> Answer {
        let logins = self.subject.target.logins();
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
        let logins = self.subject.target.logins();
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
                    // What nobody agreed to beforehand can be seen afterwards.
                    recording: match self.grants_here().any(|grant| grant.source.is_break_glass()) {
                        true => Recording::Required,
                        false => environment.recording,
                    },
                    ends: grant.map(|grant| grant.ends),
                    ask_again: self.ask_again(),
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
