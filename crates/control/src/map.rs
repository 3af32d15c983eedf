//! What there is and who reaches it, as the console draws it: read from the snapshot in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_domain::audit::Activity;
use portcullis_domain::{
    ActionKind, ControlAction, Environment, Facts, Target, UserName, format_duration,
};
use portcullis_gateway::{Authenticated, Snapshot};
use portcullis_policy::{Reach, who_can};

use crate::explain::only;
use crate::view::{
    EnvironmentView, MappedTargetView, PersonView, ReachableActionView, ReachableView, RoleView,
};
use crate::{Control, ControlError};

impl Control {
    /// Every target the caller can reach, or could after a second factor or an approval, by name.
    ///
    /// Nothing else is named: people do not learn what exists beyond their reach.
    pub async fn my_reach(&self, who: &Authenticated) -> Result<Vec<ReachableView>, ControlError> {
        self.must_be_active(who)?;
        let now = self.gateway().now();
        let snapshot: Arc<Snapshot> = self.gateway().snapshot();
        let user = who.user().clone();
        let worked = tokio::task::spawn_blocking(move || {
            let reaches =
                |target: &Target| {
                    let mut logins = BTreeSet::new();
                    let mut actions = Vec::new();
                    let facts = only(&snapshot.facts, &user, &target.name);
                    for action in ActionKind::ALL {
                        let found = who_can(&snapshot.policies, &facts, action, &target.name, now);
                        let least = found.iter().map(|row| row.reach).min();
                        logins.extend(found.into_iter().flat_map(|row| row.logins));
                        actions.extend(least.map(|reach| ReachableActionView {
                            action,
                            how: words(reach).to_owned(),
                        }));
                    }
                    let environment = snapshot.facts.environments.get(&target.environment)?;
                    (!actions.is_empty()).then(|| ReachableView {
                        target: target.name.clone(),
                        environment: environment.name.clone(),
                        tier: environment.tier.as_str().to_owned(),
                        logins: logins.into_iter().collect(),
                        actions,
                    })
                };
            snapshot.facts.targets.values().filter_map(reaches).collect()
        });
        worked.await.map_err(|_| ControlError::unavailable("your roles could not be evaluated"))
    }

    /// Every environment with its targets, by name.
    pub async fn environments(
        &self,
        who: &Authenticated,
    ) -> Result<Vec<EnvironmentView>, ControlError> {
        self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        let snapshot = self.gateway().snapshot();
        let mut targets: BTreeMap<_, Vec<MappedTargetView>> = BTreeMap::new();
        for target in snapshot.facts.targets.values() {
            targets.entry(&target.environment).or_default().push(mapped(target));
        }
        let environments = snapshot.facts.environments.values();
        Ok(environments
            .map(|one| drawn(one, targets.remove(&one.name).unwrap_or_default()))
            .collect())
    }

    /// Everybody with their groups and roles, by name.
    pub async fn people(&self, who: &Authenticated) -> Result<Vec<PersonView>, ControlError> {
        self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        let snapshot = self.gateway().snapshot();
        let people = snapshot.facts.users.values();
        Ok(people
            .map(|user| PersonView {
                name: user.name.clone(),
                full_name: user.full_name.clone(),
                disabled: user.disabled,
                groups: user.groups.iter().map(ToString::to_string).collect(),
                roles: roles(&snapshot.facts, &user.name),
            })
            .collect())
    }
}

const fn words(reach: Reach) -> &'static str {
    match reach {
        Reach::Now => "now",
        Reach::AfterStepUp => "after a second factor",
        Reach::AfterApproval => "after approval",
        Reach::BreakingGlass => "by breaking the glass",
    }
}

fn roles(facts: &Facts, user: &UserName) -> Vec<RoleView> {
    let held = facts.roles_of(user).into_iter();
    held.map(|(role, via)| RoleView { role: role.to_string(), via }).collect()
}

fn mapped(target: &Target) -> MappedTargetView {
    MappedTargetView {
        name: target.name.clone(),
        labels: target.labels.clone(),
        address: format!("{}:{}", target.host(), target.port()),
        logins: target.logins().to_vec(),
    }
}

fn drawn(environment: &Environment, targets: Vec<MappedTargetView>) -> EnvironmentView {
    let second_factor = match environment.second_factor_max_age {
        None => "not asked for".to_owned(),
        Some(age) if age.is_zero() => "for each session".to_owned(),
        Some(age) => format!("not older than {}", format_duration(age)),
    };
    EnvironmentView {
        name: environment.name.clone(),
        tier: environment.tier.as_str().to_owned(),
        access: name_of(&environment.access),
        approval: environment.approval.as_ref().map(ToString::to_string),
        max_grant: format_duration(environment.max_grant),
        second_factor,
        recording: name_of(&environment.recording),
        targets,
    }
}

/// The name of a variant in JSON.
fn name_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
