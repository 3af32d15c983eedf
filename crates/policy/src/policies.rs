//! The policies of one revision: parsed, validated in strict mode, immutable, indexed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, RwLock};

use cedar_policy::{
    Entity, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use portcullis_domain::resource::{Kind, ResourceKey};
use portcullis_domain::{
    ActionKind, Environment, EnvironmentName, Facts, GroupName, PolicyName, PolicyText, Role,
    RoleAssignment, RoleName, Rule, Target, TargetName, User, UserName,
};
use serde::Serialize;
use thiserror::Error;

use crate::compile::{CompiledPolicy, Effect, compile_role};
use crate::engine::{Names, Sources, stack_shortage};
use crate::limits::check_role;
use crate::raw::{self, Misread, RawPolicy};
use crate::slice::Slices;

/// The Cedar schema every policy is validated against.
pub const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");
/// The policies that are always in force.
pub const BUILTIN: &str = include_str!("../../../policies/builtin.cedar");

/// What is wrong with one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The role or raw policy.
    pub resource: ResourceKey,
    /// Line within the raw policy's Cedar text, counted from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => {
                write!(f, "{}, line {line} of its Cedar: {}", self.resource, self.message)
            }
            None => write!(f, "{}: {}", self.resource, self.message),
        }
    }
}

/// Why policies cannot come into force.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompileError {
    /// The author's to mend: at least one problem, in the order of the resources.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
    /// The thread's stack is too small to validate on.
    #[error("policies cannot be compiled here: {0}")]
    Stack(String),
    /// The shipped schema or policies are at fault, not the author.
    #[error("the built-in policies do not compile: {0}; this is a defect of Portcullis")]
    BuiltIn(String),
}

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "from", content = "name")]
pub enum PolicySource {
    /// A rule of a role.
    Role(RoleName),
    /// A raw policy resource.
    Policy(PolicyName),
    /// Shipped with Portcullis.
    BuiltIn,
}

impl fmt::Display for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(name) => write!(f, "role `{name}`"),
            Self::Policy(name) => write!(f, "policy `{name}`"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// A policy in force, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyInForce {
    /// Its id.
    pub id: String,
    /// Where it comes from.
    pub source: PolicySource,
    /// Permit or forbid.
    pub effect: Effect,
    /// What it says, in words.
    pub description: Option<String>,
    /// Its Cedar text.
    pub text: String,
}

/// The policies of one revision. Cheap to clone and to share between threads.
#[derive(Debug, Clone)]
pub struct Policies {
    revision: u64,
    pub(crate) compiled: Arc<Compiled>,
}

/// A role's policy, ready to evaluate, with the rule it comes from.
#[derive(Debug)]
pub(crate) struct RolePolicy {
    pub(crate) policy: Policy,
    /// It without conditions that hold at some moments only.
    pub(crate) unconditional: Option<Policy>,
    pub(crate) made: CompiledPolicy,
}

/// One role, compiled and validated.
#[derive(Debug)]
pub(crate) struct CompiledRole {
    pub(crate) role: Role,
    pub(crate) policies: Vec<RolePolicy>,
}

impl CompiledRole {
    /// The rule a policy was made from.
    pub(crate) fn rule(&self, made: &CompiledPolicy) -> Option<&Rule> {
        match made.effect {
            Effect::Permit => self.role.allow.get(made.rule),
            Effect::Forbid => self.role.deny.get(made.rule),
        }
    }
}

/// Everything a slice is cut from. Owns copies of the resources it was made of, so that a
/// decision never mixes two revisions.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) names: Names,
    pub(crate) builtin: Vec<RawPolicy>,
    pub(crate) roles: BTreeMap<RoleName, Arc<CompiledRole>>,
    pub(crate) raw: BTreeMap<PolicyName, Arc<Vec<RawPolicy>>>,
    /// Entities raw policies name, which every slice must know.
    pub(crate) named: BTreeSet<EntityUid>,
    pub(crate) roles_of_user: BTreeMap<UserName, BTreeSet<RoleName>>,
    pub(crate) roles_of_group: BTreeMap<GroupName, BTreeSet<RoleName>>,
    pub(crate) users: BTreeMap<UserName, User>,
    pub(crate) targets: BTreeMap<TargetName, Target>,
    pub(crate) environments: BTreeMap<EnvironmentName, Environment>,
    /// Roles that give nothing until they are taken out.
    pub(crate) break_glass: BTreeSet<RoleName>,
    /// Whether some role has conditions.
    pub(crate) conditional: bool,
    pub(crate) slices: Slices,
    /// Targets with their environments as entities, at most one for each target.
    pub(crate) places: RwLock<HashMap<TargetName, Arc<[Entity; 2]>>>,
    pub(crate) sources: Sources,
    assignments: BTreeMap<RoleName, RoleAssignment>,
    texts: BTreeMap<PolicyName, PolicyText>,
}

impl Policies {
    /// Compiles and validates everything. Takes about 0.2 ms per role; see [`Policies::refresh`].
    pub fn compile(facts: &Facts) -> Result<Self, CompileError> {
        let compiled = Arc::new(Compiled::new(facts, None)?);
        Ok(Self { revision: facts.revision, compiled })
    }

    /// The policies of a later revision, reusing every role and raw policy that is the same. Where
    /// only grants and locks differ, this shares everything.
    pub fn refresh(&self, facts: &Facts) -> Result<Self, CompileError> {
        let compiled = if self.compiled.is_of(facts) {
            Arc::clone(&self.compiled)
        } else {
            Arc::new(Compiled::new(facts, Some(&self.compiled))?)
        };
        Ok(Self { revision: facts.revision, compiled })
    }

    /// The revision of the facts these were compiled from. [`crate::decide`] refuses others.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// One policy in force by its id.
    pub fn policy(&self, id: &str) -> Option<PolicyInForce> {
        let mut parts = id.splitn(3, ':');
        match (parts.next()?, parts.next()?) {
            ("role", name) => {
                let name = RoleName::new(name).ok()?;
                let role = self.compiled.roles.get(&name)?;
                role.policies.iter().find(|p| p.made.id == id).map(|p| of_role(&name, p))
            }
            ("policy", name) => {
                let name = PolicyName::new(name).ok()?;
                let found = self.compiled.raw.get(&name)?.iter().find(|p| p.id == id)?;
                Some(of_raw(PolicySource::Policy(name), found))
            }
            _ => {
                let found = self.compiled.builtin.iter().find(|p| p.id == id)?;
                Some(of_raw(PolicySource::BuiltIn, found))
            }
        }
    }

    /// Every policy in force: built-in, of roles, raw.
    pub fn all(&self) -> Vec<PolicyInForce> {
        let compiled = &self.compiled;
        let builtin = compiled.builtin.iter().map(|p| of_raw(PolicySource::BuiltIn, p));
        let roles = compiled.roles.iter();
        let roles = roles.flat_map(|(name, role)| role.policies.iter().map(|p| of_role(name, p)));
        let raw = compiled.raw.iter().flat_map(|(name, policies)| {
            policies.iter().map(|p| of_raw(PolicySource::Policy(name.clone()), p))
        });
        builtin.chain(roles).chain(raw).collect()
    }
}

fn of_role(name: &RoleName, policy: &RolePolicy) -> PolicyInForce {
    PolicyInForce {
        id: policy.made.id.clone(),
        source: PolicySource::Role(name.clone()),
        effect: policy.made.effect,
        description: Some(policy.made.description.clone()),
        text: policy.made.cedar.clone(),
    }
}

fn of_raw(source: PolicySource, policy: &RawPolicy) -> PolicyInForce {
    PolicyInForce {
        id: policy.id.clone(),
        source,
        effect: policy.effect,
        description: policy.description.clone(),
        text: policy.text.clone(),
    }
}

impl Compiled {
    fn new(facts: &Facts, before: Option<&Self>) -> Result<Self, CompileError> {
        if let Some(shortage) = stack_shortage() {
            return Err(CompileError::Stack(shortage));
        }
        let (schema, builtin) = shipped()?;
        let validator = Validator::new(schema);
        let mut problems = Vec::new();
        let roles = compile_roles(facts, before, &validator, &mut problems);
        let raw = compile_raw(facts, before, &validator, &mut problems);
        if !problems.is_empty() {
            return Err(CompileError::Invalid(problems));
        }
        let named = raw.values().flat_map(|policies| policies.iter());
        let named = named.flat_map(|p| p.policy.entity_literals()).collect();
        let mut roles_of_user: BTreeMap<UserName, BTreeSet<RoleName>> = BTreeMap::new();
        let mut roles_of_group: BTreeMap<GroupName, BTreeSet<RoleName>> = BTreeMap::new();
        for assignment in facts.assignments.values() {
            let given = facts.with_inherited(&assignment.role);
            for user in &assignment.users {
                roles_of_user.entry(user.clone()).or_default().extend(given.iter().cloned());
            }
            for group in &assignment.groups {
                roles_of_group.entry(group.clone()).or_default().extend(given.iter().cloned());
            }
        }
        Ok(Self {
            names: Names::new().map_err(CompileError::BuiltIn)?,
            builtin,
            break_glass: facts
                .roles
                .values()
                .filter(|role| role.break_glass.is_some())
                .map(|role| role.name.clone())
                .collect(),
            conditional: facts.roles.values().any(|role| !role.conditions.is_empty()),
            roles,
            raw,
            named,
            roles_of_user,
            roles_of_group,
            users: facts.users.clone(),
            targets: facts.targets.clone(),
            environments: facts.environments.clone(),
            slices: Slices::default(),
            places: RwLock::default(),
            sources: Sources::default(),
            assignments: facts.assignments.clone(),
            texts: facts.policies.clone(),
        })
    }

    /// Whether these policies are exactly those of other facts.
    fn is_of(&self, facts: &Facts) -> bool {
        self.assignments == facts.assignments
            && self.texts == facts.policies
            && self.users == facts.users
            && self.targets == facts.targets
            && self.environments == facts.environments
            && self.roles.len() == facts.roles.len()
            && self.roles.values().zip(facts.roles.values()).all(|(a, b)| a.role == *b)
    }

    /// Roles a user holds, directly, through groups or because another one inherits them.
    pub(crate) fn roles_held(&self, user: &User) -> BTreeSet<&RoleName> {
        let direct = self.roles_of_user.get(&user.name).into_iter().flatten();
        let groups = user.groups.iter().filter_map(|group| self.roles_of_group.get(group));
        direct.chain(groups.flatten()).collect()
    }
}

fn shipped() -> Result<(Schema, Vec<RawPolicy>), CompileError> {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA)
        .map_err(|error| CompileError::BuiltIn(error.to_string()))?;
    let builtin = raw::read(BUILTIN, |n, policy| {
        policy.annotation("id").map_or_else(|| format!("builtin:{n}"), str::to_owned)
    })
    .map_err(|errors| CompileError::BuiltIn(format!("{errors:?}")))?;
    let problems = validate(&Validator::new(schema.clone()), BUILTIN, &builtin);
    match problems.first() {
        Some(problem) => Err(CompileError::BuiltIn(format!("{problem:?}"))),
        None => Ok((schema, builtin)),
    }
}

fn compile_roles(
    facts: &Facts,
    before: Option<&Compiled>,
    validator: &Validator,
    problems: &mut Vec<Problem>,
) -> BTreeMap<RoleName, Arc<CompiledRole>> {
    let mut roles = BTreeMap::new();
    for (name, role) in &facts.roles {
        let known = before.and_then(|b| b.roles.get(name)).filter(|known| known.role == *role);
        let compiled = match known {
            Some(known) => Ok(Arc::clone(known)),
            None => compile_one(role, validator).map(Arc::new),
        };
        match compiled {
            Ok(compiled) => drop(roles.insert(name.clone(), compiled)),
            Err(message) => problems.push(Problem {
                resource: ResourceKey { kind: Kind::Role, name: name.to_string() },
                line: None,
                message,
            }),
        }
    }
    roles
}

fn compile_one(role: &Role, validator: &Validator) -> Result<CompiledRole, String> {
    check_role(role)?;
    let mut policies = Vec::new();
    let mut set = PolicySet::new();
    for made in compile_role(role) {
        let policy = Policy::parse(Some(PolicyId::new(&made.id)), &made.cedar)
            .map_err(|error| format!("`{}` does not parse: {error}", made.id))?;
        set.add(policy.clone()).map_err(|error| error.to_string())?;
        let unconditional = made.unconditional.as_deref();
        let unconditional = unconditional
            .map(|cedar| {
                Policy::parse(Some(PolicyId::new(&made.id)), cedar)
                    .map_err(|error| format!("`{}` does not parse: {error}", made.id))
            })
            .transpose()?;
        policies.push(RolePolicy { policy, unconditional, made });
    }
    let result = validator.validate(&set, ValidationMode::Strict);
    match result.validation_errors().next() {
        Some(error) => Err(error.to_string()),
        None => Ok(CompiledRole { role: role.clone(), policies }),
    }
}

fn compile_raw(
    facts: &Facts,
    before: Option<&Compiled>,
    validator: &Validator,
    problems: &mut Vec<Problem>,
) -> BTreeMap<PolicyName, Arc<Vec<RawPolicy>>> {
    let mut all = BTreeMap::new();
    for (name, text) in &facts.policies {
        let same = before.filter(|b| b.texts.get(name) == Some(text));
        if let Some(known) = same.and_then(|b| b.raw.get(name)) {
            all.insert(name.clone(), Arc::clone(known));
            continue;
        }
        let read = raw::read(&text.cedar, |n, _| format!("policy:{name}:{n}"));
        let errors = match read {
            Ok(policies) => {
                let mut errors = validate(validator, &text.cedar, &policies);
                errors.extend(dangling(facts, &policies));
                all.insert(name.clone(), Arc::new(policies));
                errors
            }
            Err(errors) => errors,
        };
        problems.extend(errors.into_iter().map(|Misread { line, message }| Problem {
            resource: ResourceKey { kind: Kind::Policy, name: name.to_string() },
            line,
            message,
        }));
    }
    all
}

/// Names in raw policies that name nothing. Reading an attribute of such an entity would fail, and
/// with it every decision.
fn dangling(facts: &Facts, policies: &[RawPolicy]) -> Vec<Misread> {
    let literals: BTreeSet<EntityUid> =
        policies.iter().flat_map(|p| p.policy.entity_literals()).collect();
    let missing = literals.into_iter().filter(|uid| {
        let id: &str = uid.id().as_ref();
        !match uid.type_name().basename() {
            "User" => facts.users.keys().any(|name| name.as_str() == id),
            "Group" => facts.groups.keys().any(|name| name.as_str() == id),
            "Role" => facts.roles.keys().any(|name| name.as_str() == id),
            "Environment" => facts.environments.keys().any(|name| name.as_str() == id),
            "Target" => facts.targets.keys().any(|name| name.as_str() == id),
            // Actions are the schema's.
            _ => true,
        }
    });
    missing
        .map(|uid| Misread {
            line: None,
            message: format!("`{uid}` does not exist; correct the name or declare it"),
        })
        .collect()
}

fn validate(validator: &Validator, text: &str, policies: &[RawPolicy]) -> Vec<Misread> {
    match PolicySet::from_policies(policies.iter().map(|p| p.policy.clone())) {
        Ok(set) => validator
            .validate(&set, ValidationMode::Strict)
            .validation_errors()
            .map(|error| raw::place(text, error, &error.to_string()))
            .collect(),
        Err(error) => vec![Misread { line: None, message: error.to_string() }],
    }
}

/// Whether a rule can match this target and kind of action at all, whatever the circumstances.
pub(crate) fn rule_selects(rule: &Rule, target: &Target, kind: ActionKind) -> bool {
    rule.actions.contains(&kind) && rule.selects(target)
}
