//! Invariants as Cedar: each one policy, written as the `forbid` that would enforce it.

use std::collections::BTreeSet;
use std::fmt;

use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet};
use portcullis_domain::{
    ActionKind, Exception, Facts, Invariant, Kind, Never, PolicyName, PolicyText, ResourceKey,
};
use portcullis_policy::{CompileError, Policies, quoted};
use serde::Serialize;

use crate::item::{is_specific, kinds_of};

/// The invariants that always hold: their names and their Cedar, as printed in the documentation.
pub const BUILTIN: [(&str, &str); 4] = [
    (
        "a-second-factor-where-asked",
        include_str!("../../../policies/invariants/a-second-factor-where-asked.cedar"),
    ),
    (
        "on-request-means-on-request",
        include_str!("../../../policies/invariants/on-request-means-on-request.cedar"),
    ),
    (
        "production-needs-a-fresh-second-factor",
        include_str!("../../../policies/invariants/production-needs-a-fresh-second-factor.cedar"),
    ),
    (
        "production-needs-a-grant",
        include_str!("../../../policies/invariants/production-needs-a-grant.cedar"),
    ),
];

/// What is wrong with an invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvariantProblem {
    /// Which.
    pub invariant: PolicyName,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for InvariantProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}", Kind::Invariant, self.invariant, self.message)
    }
}

/// An invariant, ready to be asked about.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) name: PolicyName,
    pub(crate) builtin: bool,
    pub(crate) description: Option<String>,
    /// One `forbid`.
    pub(crate) cedar: String,
    pub(crate) exceptions: Vec<Exception>,
    pub(crate) kinds: BTreeSet<ActionKind>,
    /// Its meaning is not the same for every kind of action.
    pub(crate) specific: bool,
    /// Whether its own condition, rather than whom it is about, names a role.
    pub(crate) asks_for_roles: bool,
    /// Entities it names.
    pub(crate) named: BTreeSet<EntityUid>,
}

impl Statement {
    fn read(
        name: PolicyName,
        cedar: String,
        description: Option<String>,
        builtin: bool,
    ) -> Result<Self, InvariantProblem> {
        let problem = |message: String| InvariantProblem { invariant: name.clone(), message };
        let set: PolicySet =
            cedar.parse().map_err(|error: cedar_policy::ParseErrors| problem(error.to_string()))?;
        let mut policies = set.policies();
        let (Some(policy), None) = (policies.next(), policies.next()) else {
            return Err(problem("`when` and `unless` are one condition each".to_owned()));
        };
        Ok(Self {
            kinds: kinds_of(policy),
            specific: is_specific(policy),
            asks_for_roles: false,
            named: policy.entity_literals().into_iter().collect(),
            description,
            exceptions: Vec::new(),
            name,
            builtin,
            cedar,
        })
    }

    /// The permit that matches exactly the requests it forbids, in the worlds `world` describes.
    pub(crate) fn violation(&self, world: &str) -> Result<Policy, String> {
        let text = self.cedar.replacen("forbid", "permit", 1);
        let text = text.trim_end().trim_end_matches(';');
        Policy::parse(Some(PolicyId::new("violation")), format!("{text}\n{world};"))
            .map_err(|error| error.to_string())
    }

    /// It as a policy of its own, for `decide` to confirm by.
    pub(crate) fn as_policy(&self, name: PolicyName) -> PolicyText {
        PolicyText { name, description: None, cedar: self.cedar.clone() }
    }
}

/// Every invariant in force, built-in ones first, or what is wrong with those of the facts.
pub(crate) fn statements(facts: &Facts) -> Result<Vec<Statement>, Vec<InvariantProblem>> {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for (name, cedar) in BUILTIN {
        match PolicyName::new(name) {
            Ok(name) => match Statement::read(name, body(cedar), remark(cedar), true) {
                Ok(statement) => all.push(statement),
                Err(problem) => problems.push(problem),
            },
            Err(_) => continue,
        }
    }
    for invariant in facts.invariants.values() {
        let builtin = all.iter_mut().find(|statement| statement.name == invariant.name);
        match (builtin, &invariant.never) {
            (Some(builtin), None) => builtin.exceptions.clone_from(&invariant.exceptions),
            (Some(_), Some(_)) => problems.push(InvariantProblem {
                invariant: invariant.name.clone(),
                message: "an invariant of this name is built in; choose another name, or leave `never` out to add exceptions".to_owned(),
            }),
            (None, None) => problems.push(InvariantProblem {
                invariant: invariant.name.clone(),
                message: "no built-in invariant has this name; write `never:` with what must not be possible".to_owned(),
            }),
            (None, Some(never)) => match declared(invariant, never) {
                Ok(statement) => all.push(statement),
                Err(problem) => problems.push(problem),
            },
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// The policy without what precedes it, so that its first word is `forbid`.
fn body(cedar: &str) -> String {
    cedar.lines().filter(|line| !line.starts_with('@')).collect::<Vec<_>>().join("\n")
}

fn remark(cedar: &str) -> Option<String> {
    let policy: Policy = cedar.parse().ok()?;
    policy.annotation("description").map(str::to_owned)
}

fn declared(invariant: &Invariant, never: &Never) -> Result<Statement, InvariantProblem> {
    let description = invariant.description.clone();
    let read = Statement::read(invariant.name.clone(), text(never), description, false);
    let free = || never.when.iter().chain(&never.unless);
    let asks_for_roles = free().any(|condition| condition.contains("Role"));
    read.map(|statement| Statement {
        exceptions: invariant.exceptions.clone(),
        asks_for_roles,
        ..statement
    })
}

/// What is wrong with the invariants of these facts: names, types, and names that name nothing.
pub fn check(facts: &Facts) -> Vec<InvariantProblem> {
    let statements = match statements(facts) {
        Ok(statements) => statements,
        Err(problems) => return problems,
    };
    let mut alone = Facts {
        environments: facts.environments.clone(),
        groups: facts.groups.clone(),
        users: facts.users.clone(),
        targets: facts.targets.clone(),
        roles: facts.roles.clone(),
        ..Facts::default()
    };
    for statement in statements.iter().filter(|statement| !statement.builtin) {
        alone.policies.insert(statement.name.clone(), statement.as_policy(statement.name.clone()));
    }
    match Policies::compile(&alone) {
        Ok(_) => Vec::new(),
        Err(CompileError::Invalid(problems)) => problems
            .into_iter()
            .filter_map(|problem| match problem.resource {
                ResourceKey { kind: Kind::Policy, name } => Some(InvariantProblem {
                    invariant: PolicyName::new(&name).ok()?,
                    message: problem.message,
                }),
                // What is wrong with a role is said of the role.
                _ => None,
            })
            .collect(),
        Err(other) => statements
            .first()
            .map(|first| InvariantProblem {
                invariant: first.name.clone(),
                message: other.to_string(),
            })
            .into_iter()
            .collect(),
    }
}

fn text(never: &Never) -> String {
    let actions: Vec<String> =
        never.actions.iter().map(|kind| format!("Action::{}", quoted(kind.as_str()))).collect();
    let scope = match actions.as_slice() {
        [] => "action".to_owned(),
        [one] => format!("action == {one}"),
        many => format!("action in [{}]", many.join(", ")),
    };
    let mut cedar = format!("forbid (\n  principal,\n  {scope},\n  resource\n)");
    let mut when = |condition: String| cedar.push_str(&format!("\nwhen {{ {condition} }}"));
    let each = |kind: &str, names: Vec<&str>, var: &str, how: &str| -> Vec<String> {
        names.iter().map(|name| format!("{var} {how} {kind}::{}", quoted(name))).collect()
    };
    let groups = never.groups.iter().map(AsRef::as_ref).collect();
    let roles = never.roles.iter().map(AsRef::as_ref).collect();
    let users = never.users.iter().map(AsRef::as_ref).collect();
    let mut who = each("Group", groups, "principal", "in");
    who.extend(each("Role", roles, "principal", "in"));
    who.extend(each("User", users, "principal", "=="));
    if !who.is_empty() {
        when(who.join(" || "));
    }
    let tiers: Vec<String> = never
        .tiers
        .iter()
        .map(|tier| format!("resource.tier == {}", quoted(tier.as_str())))
        .collect();
    if !tiers.is_empty() {
        when(tiers.join(" || "));
    }
    let environments = never.environments.iter().map(AsRef::as_ref).collect();
    let environments = each("Environment", environments, "resource", "in");
    if !environments.is_empty() {
        when(environments.join(" || "));
    }
    let targets =
        each("Target", never.targets.iter().map(AsRef::as_ref).collect(), "resource", "==");
    if !targets.is_empty() {
        when(targets.join(" || "));
    }
    for (key, value) in &never.labels {
        let key = quoted(key);
        when(format!("resource.hasTag({key}) && resource.getTag({key}) == {}", quoted(value)));
    }
    // A line feed ends a comment the author may have left open.
    if let Some(condition) = &never.when {
        when(format!("{condition}\n"));
    }
    if let Some(condition) = &never.unless {
        cedar.push_str(&format!("\nunless {{ {condition}\n }}"));
    }
    cedar.push_str(";\n");
    cedar
}
