//! `why`, `who-can` and the policies in force.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use portcullis_domain::audit::Activity;
use portcullis_domain::{
    Action, ActionKind, Authentication, ControlAction, DatabaseAct, Factor, FactorKind, Facts,
    Login, Query, RoleName, TargetName, UserName,
};
use portcullis_gateway::{Authenticated, Snapshot};
use portcullis_policy::{Effect, PolicyInForce, PolicySource, Reach, explain, who_can};

use crate::right::user_name;
use crate::view::{PolicyView, WhoCanView, WhyQuery, WhyView};
use crate::{Control, ControlError};

impl Control {
    /// Explains a decision. Anyone may ask about themselves; about others needs the right.
    pub async fn why(&self, who: &Authenticated, query: WhyQuery) -> Result<WhyView, ControlError> {
        let user = user_name(&query.user)?;
        if user != *who.user() {
            self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        }
        let now = self.gateway().now();
        let factors = if query.second_factor {
            vec![Factor { kind: FactorKind::Totp, at: now }]
        } else {
            Vec::new()
        };
        let login = query.login.as_deref().map(Login::new).transpose();
        let asked = Query {
            who: Authentication { user, factors, source: IpAddr::V4(Ipv4Addr::LOCALHOST) },
            target: TargetName::new(&query.target).map_err(ControlError::invalid)?,
            login: login.map_err(ControlError::invalid)?,
            action: action_of(query.action, query.object.as_deref())?,
        };
        let snapshot = self.gateway().snapshot();
        let explanation = explain(&snapshot.policies, &snapshot.facts, &asked, now);
        Ok(WhyView {
            decision: explanation.outcome.to_owned(),
            text: explanation.to_string(),
            explanation: serde_json::to_value(&explanation).unwrap_or_default(),
        })
    }

    /// The policies in force: of a role with all it inherits, of one raw policy, of one id, or all
    /// of them.
    pub async fn policies(
        &self,
        who: &Authenticated,
        of: Option<&str>,
    ) -> Result<Vec<PolicyView>, ControlError> {
        self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        let snapshot = self.gateway().snapshot();
        let all = snapshot.policies.all().into_iter();
        let Some(of) = of else { return Ok(all.map(policy_view).collect()) };
        let role = of.parse::<RoleName>().ok();
        let role = role.filter(|role| snapshot.facts.roles.contains_key(role));
        let roles = role.map(|role| snapshot.facts.with_inherited(&role)).unwrap_or_default();
        let meant = |policy: &PolicyInForce| match &policy.source {
            _ if policy.id == of => true,
            PolicySource::Role(name) => roles.contains(name),
            PolicySource::Policy(name) => name.as_str() == of,
            PolicySource::BuiltIn => of == "builtin",
        };
        let found: Vec<_> = all.filter(meant).map(policy_view).collect();
        if found.is_empty() && roles.is_empty() {
            return Err(ControlError::not_found(format!("role or policy `{of}`")));
        }
        Ok(found)
    }

    /// Everyone who can do this on a target, or could after a second factor or an approval.
    pub async fn who_can(
        &self,
        who: &Authenticated,
        action: ActionKind,
        target: &str,
    ) -> Result<Vec<WhoCanView>, ControlError> {
        self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        let target = TargetName::new(target).map_err(ControlError::invalid)?;
        let snapshot = self.gateway().snapshot();
        if !snapshot.facts.targets.contains_key(&target) {
            return Err(ControlError::not_found(format!("target `{target}`")));
        }
        let found =
            who_can(&snapshot.policies, &snapshot.facts, action, &target, self.gateway().now());
        Ok(found
            .into_iter()
            .map(|row| WhoCanView {
                user: row.user.to_string(),
                how: match row.reach {
                    Reach::Now => "now",
                    Reach::AfterStepUp => "after a second factor",
                    Reach::AfterApproval => "after approval",
                    Reach::BreakingGlass => "by breaking the glass",
                }
                .to_owned(),
                logins: row.logins.iter().map(ToString::to_string).collect(),
                via: row
                    .via
                    .iter()
                    .map(|reason| {
                        let paths = reason.held_by.join(", ");
                        match paths.is_empty() {
                            true => reason.policy.id.clone(),
                            false => format!("{} by {paths}", reason.policy.id),
                        }
                    })
                    .chain(
                        (!row.only.is_empty()).then(|| format!("only {}", row.only.join(" or "))),
                    )
                    .chain((!row.under.is_empty()).then(|| row.under.join(", or ")))
                    .chain(
                        (!row.except.is_empty())
                            .then(|| format!("except {}", row.except.join(" or "))),
                    )
                    .collect(),
            })
            .collect())
    }

    /// Whether any role could let this person do anything on the target, given an approval.
    ///
    /// Only this person on this target is evaluated, off the async threads.
    pub(crate) async fn could_reach(
        &self,
        snapshot: &Arc<Snapshot>,
        user: &UserName,
        target: &TargetName,
        login: Option<&Login>,
    ) -> Result<bool, ControlError> {
        let now = self.gateway().now();
        let (snapshot, user, target, login) =
            (snapshot.clone(), user.clone(), target.clone(), login.cloned());
        let worked = tokio::task::spawn_blocking(move || {
            let facts = only(&snapshot.facts, &user, &target);
            ActionKind::ALL.into_iter().any(|kind| {
                let found = who_can(&snapshot.policies, &facts, kind, &target, now);
                found
                    .into_iter()
                    .any(|row| login.as_ref().is_none_or(|login| row.logins.contains(login)))
            })
        });
        worked.await.map_err(|_| ControlError::unavailable("your roles could not be evaluated"))
    }
}

/// The facts with one person and one target only; the policies stay those of the revision.
pub(crate) fn only(facts: &Facts, user: &UserName, target: &TargetName) -> Facts {
    Facts {
        users: facts
            .users
            .get(user)
            .map(|found| (user.clone(), found.clone()))
            .into_iter()
            .collect(),
        targets: facts
            .targets
            .get(target)
            .map(|found| (target.clone(), found.clone()))
            .into_iter()
            .collect(),
        revision: facts.revision,
        environments: facts.environments.clone(),
        groups: facts.groups.clone(),
        roles: facts.roles.clone(),
        assignments: facts.assignments.clone(),
        policies: std::collections::BTreeMap::new(),
        invariants: std::collections::BTreeMap::new(),
        separations: facts.separations.clone(),
        factor_waits: facts.factor_waits.clone(),
        grants: facts
            .grants
            .get(user)
            .map(|grants| (user.clone(), grants.clone()))
            .into_iter()
            .collect(),
        locks: facts.locks.clone(),
    }
}

fn policy_view(policy: PolicyInForce) -> PolicyView {
    let effect = match policy.effect {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    };
    PolicyView {
        id: policy.id,
        effect: effect.to_owned(),
        source: policy.source.to_string(),
        description: policy.description,
        cedar: policy.text,
    }
}

fn action_of(kind: ActionKind, object: Option<&str>) -> Result<Action, ControlError> {
    let text = object.unwrap_or_default().to_owned();
    let endpoint = || -> Result<(String, u16), ControlError> {
        let wrong = || ControlError::invalid("give the destination as HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
    };
    Ok(match kind {
        ActionKind::Shell => Action::Shell,
        ActionKind::Exec => Action::Exec { command: text },
        ActionKind::Upload => Action::Upload { path: text },
        ActionKind::Download => Action::Download { path: text },
        ActionKind::AgentForward => Action::AgentForward,
        ActionKind::Forward => {
            let (host, port) = endpoint()?;
            Action::Forward { host, port }
        }
        ActionKind::RemoteForward => {
            let (host, port) = endpoint()?;
            Action::RemoteForward { host, port }
        }
        database => Action::Database {
            act: database.database_act().unwrap_or(DatabaseAct::Unclassified),
            database: text,
        },
    })
}
