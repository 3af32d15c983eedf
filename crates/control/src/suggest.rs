//! The smallest request for what somebody tried and was refused.
//!
//! The caller's own refusals in the audit log flow in; for the latest ones, which of their roles
//! would allow it and what to type flow out. It tells of roles the caller holds and of nothing else.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use portcullis_domain::audit::read;
use portcullis_domain::{
    Action, ActionKind, Authentication, DatabaseAct, Decision, Facts, Query, RoleName, TargetName,
    Timestamp, UserName,
};
use portcullis_gateway::{Authenticated, Snapshot};
use portcullis_policy::decide;
use serde_json::Value;

use crate::view::{AuditQuery, SuggestionView};
use crate::{Control, ControlError};

/// How many refusals are looked at, the latest.
const LATEST: usize = 20;

impl Control {
    /// What the caller could ask for, after what they were refused, latest first.
    pub async fn suggest(&self, who: &Authenticated) -> Result<Vec<SuggestionView>, ControlError> {
        self.must_be_active(who)?;
        let query = AuditQuery {
            user: Some(who.user().to_string()),
            activity: Some("authorize".to_owned()),
            outcome: Some("refused".to_owned()),
            ..AuditQuery::default()
        };
        let refused = self.search_log(query, LATEST).await?;
        let snapshot = self.gateway().snapshot();
        let (user, now) = (who.user().clone(), self.gateway().now());
        let worked = tokio::task::spawn_blocking(move || {
            let mut seen = BTreeSet::new();
            let tried = refused.iter().rev().filter_map(|entry| tried(&entry.event));
            let fresh = tried.filter(|tried| seen.insert((tried.target.clone(), tried.kind)));
            let views: Vec<_> =
                fresh.map(|tried| suggestion(&snapshot, &user, tried, now)).collect();
            Ok(views)
        });
        worked.await.map_err(|_| ControlError::unavailable("the log could not be searched"))?
    }
}

/// What was tried, out of the log.
struct Tried {
    at: Timestamp,
    target: TargetName,
    kind: ActionKind,
    object: String,
}

fn tried(event: &Value) -> Option<Tried> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    Some(Tried {
        at: Timestamp::from_millis(event.get("time")?.as_i64()?),
        target: TargetName::new(read::target(event)?).ok()?,
        kind: text("/unmapped/action")?.parse().ok()?,
        object: text("/unmapped/object").unwrap_or_default().to_owned(),
    })
}

fn suggestion(
    snapshot: &Snapshot,
    user: &UserName,
    tried: Tried,
    now: Timestamp,
) -> SuggestionView {
    let Tried { at, target, kind, object } = tried;
    let query = Query {
        who: Authentication {
            user: user.clone(),
            factors: Vec::new(),
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        },
        target: target.clone(),
        login: None,
        action: action(kind, &object),
    };
    let decision = decide(&snapshot.policies, &snapshot.facts, &query, now);
    let (command, text) = match &decision {
        Decision::RequestAccess { rule: Some(rule), .. } => (
            Some(format!("portcullis request {target} --action {kind} --for 1h --reason \"...\"")),
            format!("{rule} must approve"),
        ),
        Decision::RequestAccess { rule: None, .. } => {
            (None, "nobody can approve a request for it".to_owned())
        }
        Decision::Allow(_) | Decision::StepUp { .. } => {
            (None, "your roles and grants allow it now".to_owned())
        }
        Decision::Deny(denial) => (None, denial.told()),
    };
    let smallest = match command {
        Some(_) => smallest_role(&snapshot.facts, user, &target, kind),
        None => None,
    };
    let (role, reach) = smallest.map_or((None, 0), |(role, reach)| (Some(role), reach));
    SuggestionView { at, target, action: kind, role, reach, command, text }
}

/// Of the roles someone holds that allow this, the one that reaches least.
fn smallest_role(
    facts: &Facts,
    user: &UserName,
    target: &TargetName,
    kind: ActionKind,
) -> Option<(RoleName, usize)> {
    let target = facts.targets.get(target)?;
    let held = facts.roles_of(user);
    let roles = held.keys().filter_map(|name| facts.roles.get(name));
    let allows = roles.filter(|role| {
        role.allow.iter().any(|rule| rule.actions.contains(&kind) && rule.selects(target))
    });
    let sized = allows.map(|role| {
        let reach: BTreeSet<(&TargetName, ActionKind)> = facts
            .targets
            .values()
            .flat_map(|target| {
                let rules = role.allow.iter().filter(|rule| rule.selects(target));
                rules.flat_map(|rule| rule.actions.iter().map(|kind| (&target.name, *kind)))
            })
            .collect();
        (role.name.clone(), reach.len())
    });
    sized.min_by_key(|(name, reach)| (*reach, name.clone()))
}

/// The action as it was tried, as far as the log has it.
fn action(kind: ActionKind, object: &str) -> Action {
    let text = object.to_owned();
    let (host, port) = object.rsplit_once(':').unwrap_or((object, ""));
    let (host, port) = (host.to_owned(), port.parse().unwrap_or(0));
    match kind {
        ActionKind::Shell => Action::Shell,
        ActionKind::Exec => Action::Exec { command: text },
        ActionKind::Upload => Action::Upload { path: text },
        ActionKind::Download => Action::Download { path: text },
        ActionKind::AgentForward => Action::AgentForward,
        ActionKind::Forward => Action::Forward { host, port },
        ActionKind::RemoteForward => Action::RemoteForward { host, port },
        database => Action::Database {
            act: database.database_act().unwrap_or(DatabaseAct::Unclassified),
            database: text,
        },
    }
}
