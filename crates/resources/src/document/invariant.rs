//! `kind: Invariant` as it is written.

use std::collections::BTreeMap;

use portcullis_domain::{Excepted, Exception, Invariant, Never};
use schemars::JsonSchema;
use serde::Serialize;

use super::TierSpec;
use super::from_resource::{texts, tier};

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvariantSpec {
    /// What it means and why, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Requests that must never be allowed. Left out only to add exceptions to a built-in invariant.
    #[serde(skip_serializing_if = "Option::is_none")]
    never: Option<NeverSpec>,
    /// What may break it nevertheless, for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<ExceptionSpec>,
}

/// A request must match everything given here. What is left out matches everything of its kind.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NeverSpec {
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<NeverPrincipal>,
    /// Any of these actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "any_actions")]
    actions: Vec<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<NeverResource>,
    /// A Cedar condition that must hold too, such as `!context.granted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<String>,
    /// A Cedar condition under which it is all right.
    #[serde(skip_serializing_if = "Option::is_none")]
    unless: Option<String>,
}

/// Members of any of the groups, holders of any of the roles, and the users.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NeverPrincipal {
    /// Members of any of these groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    /// Holders of any of these roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    /// These users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<String>,
}

/// Targets that match everything given.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NeverResource {
    /// Of any of these tiers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tiers: Vec<TierSpec>,
    /// Of any of these environments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    environments: Vec<String>,
    /// Any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    targets: Vec<String>,
    /// With all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// Someone answers for breaking an invariant until a moment.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExceptionSpec {
    /// The role whose rules may break it. This or `policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// The policy that may break it. This or `role`.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    /// The user who answers for it.
    owner: String,
    /// Why.
    reason: String,
    /// From then on it does not count, such as `2026-11-22T14:00:00Z`.
    #[schemars(extend("format" = "date-time"))]
    expires: String,
}

impl From<&Invariant> for InvariantSpec {
    fn from(invariant: &Invariant) -> Self {
        let Invariant { name: _, description, never, exceptions } = invariant;
        Self {
            description: description.clone(),
            never: never.as_ref().map(NeverSpec::from),
            exceptions: exceptions.iter().map(ExceptionSpec::from).collect(),
        }
    }
}

impl From<&Never> for NeverSpec {
    fn from(never: &Never) -> Self {
        let Never {
            groups,
            roles,
            users,
            actions,
            tiers,
            environments,
            targets,
            labels,
            when,
            unless,
        } = never;
        let someone = !(groups.is_empty() && roles.is_empty() && users.is_empty());
        let somewhere = !(tiers.is_empty()
            && environments.is_empty()
            && targets.is_empty()
            && labels.is_empty());
        Self {
            principal: someone.then(|| NeverPrincipal {
                groups: texts(groups),
                roles: texts(roles),
                users: texts(users),
            }),
            actions: texts(actions),
            resource: somewhere.then(|| NeverResource {
                tiers: tiers.iter().copied().map(tier).collect(),
                environments: texts(environments),
                targets: texts(targets),
                labels: labels.clone(),
            }),
            when: when.clone(),
            unless: unless.clone(),
        }
    }
}

impl From<&Exception> for ExceptionSpec {
    fn from(Exception { what, owner, reason, expires }: &Exception) -> Self {
        let (role, policy) = match what {
            Excepted::Role(role) => (Some(role.to_string()), None),
            Excepted::Policy(policy) => (None, Some(policy.to_string())),
        };
        Self {
            role,
            policy,
            owner: owner.to_string(),
            reason: reason.clone(),
            expires: expires.to_string(),
        }
    }
}

fn any_actions(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let names = portcullis_domain::ActionKind::ALL.map(portcullis_domain::ActionKind::as_str);
    schemars::json_schema!({"type": "array", "items": {"enum": names}})
}
