//! [`explain`]: a decision with everything that made it, for `portcullis why`.

use std::fmt;

use portcullis_domain::{
    ActionKind, Decision, Facts, GrantId, LockId, LockSubject, Login, Query, RoleName, TargetName,
    Timestamp, UserName, format_duration,
};
use serde::Serialize;

use crate::compile::Effect;
use crate::decide::{answer, second_factor_age};
use crate::policies::{Policies, PolicyInForce, PolicySource, rule_selects};

/// A decision with its reasons. `Display` is for people, `Serialize` for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Who.
    pub user: UserName,
    /// To what.
    pub target: TargetName,
    /// As whom, where the query or the decision names it.
    pub login: Option<Login>,
    /// What.
    pub action: ActionKind,
    /// Command, path or destination.
    pub detail: Option<String>,
    /// `allow`, `step_up`, `request_access` or `deny`.
    pub outcome: &'static str,
    /// The outcome in one sentence, with the next step.
    pub summary: String,
    /// Age of the second factor in seconds, rounded up.
    pub second_factor_age_seconds: Option<i64>,
    /// Policies that allow it, or would once what is missing is there.
    pub allowed_by: Vec<PolicyReason>,
    /// Policies that forbid it now.
    pub forbidden_by: Vec<PolicyReason>,
    /// Roles the user holds, with the paths that give them.
    pub roles: Vec<RoleHeld>,
    /// Roles the user does not hold that name this action on this target.
    pub other_roles: Vec<RoleName>,
    /// Locks in force that concern the user, their roles, the target or its environment.
    pub locks: Vec<LockSeen>,
    /// Grants of the user on the target in force.
    pub grants: Vec<GrantSeen>,
    /// The decision itself.
    #[serde(skip)]
    pub decision: Decision,
}

/// A policy that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyReason {
    /// The policy.
    #[serde(flatten)]
    pub policy: PolicyInForce,
    /// For a role's policy: the paths by which the user holds the role.
    pub held_by: Vec<String>,
}

/// A role the user holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleHeld {
    /// Its name.
    pub role: RoleName,
    /// The paths that give it.
    pub held_by: Vec<String>,
}

/// A lock that concerns the query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockSeen {
    /// Its id.
    pub id: LockId,
    /// On what.
    pub subject: String,
    /// Why, for people.
    pub reason: String,
    /// Who placed it.
    pub by: UserName,
    /// When it lifts itself.
    pub expires: Option<Timestamp>,
}

/// A grant in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantSeen {
    /// Its id.
    pub id: GrantId,
    /// Until when.
    pub ends: Timestamp,
    /// Only as this login.
    pub login: Option<Login>,
    /// Only these actions; empty: all that the roles allow.
    pub actions: Vec<ActionKind>,
    /// Whether it covers the query.
    pub covers: bool,
}

/// Decides the query as [`crate::decide`] does and says why.
pub fn explain(policies: &Policies, facts: &Facts, query: &Query, now: Timestamp) -> Explanation {
    let answer = answer(policies, facts, query, now);
    let (outcome, reasons) = match &answer.decision {
        Decision::Allow(terms) => ("allow", terms.reasons.as_slice()),
        Decision::StepUp { reasons, .. } => ("step_up", reasons.as_slice()),
        Decision::RequestAccess { reasons, .. } => ("request_access", reasons.as_slice()),
        Decision::Deny(_) => ("deny", [].as_slice()),
    };
    let login = match &answer.decision {
        Decision::Allow(terms) => Some(terms.login.clone()),
        _ => query.login.clone(),
    };
    let look_up = |ids: &[String]| -> Vec<PolicyReason> {
        ids.iter().filter_map(|id| reason(policies, facts, query, id)).collect()
    };
    Explanation {
        user: query.who.user.clone(),
        target: query.target.clone(),
        action: query.action.kind(),
        detail: query.action.detail(),
        outcome,
        summary: summary(&answer.decision),
        second_factor_age_seconds: second_factor_age(&query.who, now),
        allowed_by: look_up(reasons),
        forbidden_by: look_up(&answer.blocked_by),
        roles: roles(facts, query),
        other_roles: other_roles(facts, query),
        locks: locks(facts, query, now),
        grants: grants(facts, query, login.as_ref(), now),
        login,
        decision: answer.decision,
    }
}

fn reason(policies: &Policies, facts: &Facts, query: &Query, id: &str) -> Option<PolicyReason> {
    let policy = policies.policy(id)?;
    let held_by = match &policy.source {
        PolicySource::Role(role) => facts.roles_of(&query.who.user).remove(role),
        PolicySource::Policy(_) | PolicySource::BuiltIn => None,
    };
    Some(PolicyReason { policy, held_by: held_by.unwrap_or_default() })
}

fn summary(decision: &Decision) -> String {
    match decision {
        Decision::Allow(terms) => {
            let until = terms.ends.map(|end| format!(" until {end}")).unwrap_or_default();
            format!("allowed as `{}`{until}", terms.login)
        }
        Decision::StepUp { max_age, .. } if max_age.is_zero() => {
            "allowed once a second factor has been proved now".to_owned()
        }
        Decision::StepUp { max_age, .. } => format!(
            "allowed once a second factor not older than {} has been proved",
            format_duration(*max_age)
        ),
        Decision::RequestAccess { rule: Some(rule), max_grant, .. } => {
            let most = format_duration(*max_grant);
            format!("eligible: request access for at most {most}; {rule} must approve")
        }
        Decision::RequestAccess { rule: None, .. } => {
            "eligible, but the environment names nobody who could approve a request".to_owned()
        }
        Decision::Deny(denial) => format!("denied: {denial}"),
    }
}

fn roles(facts: &Facts, query: &Query) -> Vec<RoleHeld> {
    let held = facts.roles_of(&query.who.user).into_iter();
    held.map(|(role, held_by)| RoleHeld { role, held_by }).collect()
}

fn other_roles(facts: &Facts, query: &Query) -> Vec<RoleName> {
    let Some(target) = facts.targets.get(&query.target) else { return Vec::new() };
    let held = facts.roles_of(&query.who.user);
    let names_it = facts.roles.values().filter(|role| {
        role.allow.iter().any(|rule| rule_selects(rule, target, query.action.kind()))
    });
    names_it.map(|role| role.name.clone()).filter(|name| !held.contains_key(name)).collect()
}

fn locks(facts: &Facts, query: &Query, now: Timestamp) -> Vec<LockSeen> {
    let held = facts.roles_of(&query.who.user);
    let environment = facts.targets.get(&query.target).map(|target| &target.environment);
    let concerns = |subject: &LockSubject| match subject {
        LockSubject::User(user) => *user == query.who.user,
        LockSubject::Role(role) => held.contains_key(role),
        LockSubject::Target(target) => *target == query.target,
        LockSubject::Environment(name) => Some(name) == environment,
    };
    let locks = facts.locks.iter().filter(|lock| lock.holds(now) && concerns(&lock.subject));
    locks
        .map(|lock| LockSeen {
            id: lock.id,
            subject: lock.subject.to_string(),
            reason: lock.reason.clone(),
            by: lock.by.clone(),
            expires: lock.expires,
        })
        .collect()
}

fn grants(facts: &Facts, query: &Query, login: Option<&Login>, now: Timestamp) -> Vec<GrantSeen> {
    let active = facts.active_grants(&query.who.user, &query.target, now);
    active
        .map(|grant| GrantSeen {
            id: grant.id,
            ends: grant.ends,
            login: grant.login.clone(),
            actions: grant.actions.iter().copied().collect(),
            covers: grant.covers(query.action.kind(), login, now),
        })
        .collect()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.user, self.action, self.target)?;
        if let Some(login) = &self.login {
            write!(f, " as {login}")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {}", detail.escape_debug())?;
        }
        writeln!(f, "\n{}", self.summary)?;
        policies(f, "allowed by", "would be allowed by", self.outcome, &self.allowed_by)?;
        policies(f, "forbidden by", "held back by", self.outcome, &self.forbidden_by)?;
        section(f, "roles held", &self.roles, |f, role| {
            write!(f, "{}: {}", role.role, role.held_by.join("; "))
        })?;
        if self.outcome == "deny" {
            section(f, "other roles that name this action here", &self.other_roles, |f, role| {
                write!(f, "{role}")
            })?;
        }
        section(f, "locks", &self.locks, |f, lock| {
            write!(
                f,
                "{} on {} by {}: {}",
                lock.id,
                lock.subject,
                lock.by,
                lock.reason.escape_debug()
            )
        })?;
        section(f, "grants in force", &self.grants, |f, grant| {
            let covers = if grant.covers { "covers this" } else { "does not cover this" };
            write!(f, "{} until {}: {covers}", grant.id, grant.ends)
        })
    }
}

fn policies(
    f: &mut fmt::Formatter<'_>,
    now: &str,
    later: &str,
    outcome: &str,
    policies: &[PolicyReason],
) -> fmt::Result {
    let title = if matches!(outcome, "allow" | "deny") { now } else { later };
    section(f, title, policies, |f, reason| {
        let PolicyInForce { id, source, effect, description, text } = &reason.policy;
        let effect = match effect {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        };
        write!(f, "{id} ({effect}, {source})")?;
        if let Some(description) = description {
            write!(f, ": {}", description.escape_debug())?;
        }
        for path in &reason.held_by {
            write!(f, "\n    by {path}")?;
        }
        // Id and description are on the first line already.
        let mut body = text.trim_end().lines().filter(|line| !line.starts_with('@'));
        body.try_for_each(|line| write!(f, "\n    | {}", printable(line)))
    })
}

fn section<T>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: &[T],
    each: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}:")?;
    for item in items {
        f.write_str("  ")?;
        each(f, item)?;
        f.write_str("\n")?;
    }
    Ok(())
}

/// Quotes and backslashes as they are, so that Cedar stays Cedar; control characters escaped.
fn printable(line: &str) -> String {
    line.chars()
        .map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() })
        .collect()
}
