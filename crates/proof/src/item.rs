//! Policies in force, as far as questions about them go.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PolicyId};
use portcullis_domain::{ActionKind, Excepted, Exception, Facts, Rule, Timestamp};
use portcullis_policy::{Effect, Policies, PolicyInForce, PolicySource, compile_role};
use serde_json::Value;

use crate::memory::Known;
use crate::world::class;

/// What every action's context has, with the same types. A policy that reads nothing else of it
/// means the same for every kind of action it is about.
const SHARED: [&str; 8] = [
    "login",
    "granted",
    "second_factor_age",
    "second_factor_required",
    "second_factor_max_age",
    "source",
    "hours",
    "tickets",
];

/// A policy in force.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) source: PolicySource,
    pub(crate) effect: Effect,
    parsed: Arc<Parsed>,
    /// The text without remarks: what it means.
    pub(crate) text: String,
    /// The role it is of and the rule it comes from.
    pub(crate) rule: Option<(EntityUid, Rule)>,
    /// The conditions of a role's policy, all of which must be true.
    pub(crate) conditions: Vec<String>,
}

/// A policy's text, read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) policy: Policy,
    pub(crate) kinds: BTreeSet<ActionKind>,
    /// Its meaning is not the same for every kind of action.
    pub(crate) specific: bool,
    pub(crate) named: BTreeSet<EntityUid>,
}

impl Deref for Item {
    type Target = Parsed;

    fn deref(&self) -> &Parsed {
        &self.parsed
    }
}

/// Every policy in force, in the order `Policies::all` has them.
pub(crate) fn items(
    facts: &Facts,
    policies: &Policies,
    known: &Known,
) -> Result<Vec<Item>, String> {
    let mut rules = std::collections::BTreeMap::new();
    for role in facts.roles.values() {
        for made in compile_role(role) {
            let rule = match made.effect {
                Effect::Permit => role.allow.get(made.rule),
                Effect::Forbid => role.deny.get(made.rule),
            };
            rules.insert(made.id, (rule.cloned(), made.conditions));
        }
    }
    let item = |found: PolicyInForce| {
        let parsed = known.parsed(&format!("{}\n{}", found.id, found.text), || {
            let policy = Policy::parse(Some(PolicyId::new(&found.id)), &found.text)
                .map_err(|error| format!("`{}` does not parse: {error}", found.id))?;
            Ok(Parsed {
                kinds: kinds_of(&policy),
                specific: is_specific(&policy),
                named: policy.entity_literals().into_iter().collect(),
                policy,
            })
        })?;
        let role = match &found.source {
            PolicySource::Role(name) => {
                let uid = format!("Role::{}", portcullis_policy::quoted(name.as_str()));
                Some(uid.parse::<EntityUid>().map_err(|error| error.to_string())?)
            }
            _ => None,
        };
        let (rule, conditions) = rules.remove(&found.id).unwrap_or_default();
        Ok(Item {
            parsed,
            text: bare(&found.text),
            rule: role.zip(rule),
            conditions,
            id: found.id,
            source: found.source,
            effect: found.effect,
        })
    };
    policies.all().into_iter().map(item).collect()
}

/// Without annotations, which mean nothing to a decision.
fn bare(text: &str) -> String {
    let begins = |line: &str| line.starts_with("permit") || line.starts_with("forbid");
    let lines = text.lines().skip_while(|line| !begins(line));
    lines.collect::<Vec<_>>().join("\n")
}

impl Item {
    /// What it permits at most, by environments alone: everything of the environments' classes.
    /// `None` where that says nothing about it.
    pub(crate) fn widened(&self, facts: &Facts) -> Option<String> {
        let any = self.classes(facts)?;
        Some(format!("permit (principal, action, resource) when {{ {any} }};"))
    }

    /// The condition that says of which classes the environments are that it names.
    pub(crate) fn classes(&self, facts: &Facts) -> Option<String> {
        let (_, rule) = self.rule.as_ref()?;
        let by_name = rule.environments.iter();
        let by_target = rule.targets.iter().filter_map(|name| facts.targets.get(name));
        let by_target: BTreeSet<_> = by_target.map(|target| &target.environment).collect();
        let rooms: BTreeSet<_> = match (rule.environments.is_empty(), rule.targets.is_empty()) {
            (true, true) => return None,
            (false, true) => by_name.collect(),
            (true, false) => by_target,
            (false, false) => by_name.filter(|name| by_target.contains(name)).collect(),
        };
        let classes: BTreeSet<String> =
            rooms.into_iter().filter_map(|name| facts.environments.get(name)).map(class).collect();
        let any = classes.into_iter().collect::<Vec<_>>().join(" || ");
        Some(if any.is_empty() { "false".to_owned() } else { any })
    }

    /// It without the role it is given by, where that cannot matter: who holds a role that
    /// nothing else in the question names may be anyone.
    pub(crate) fn for_anyone(&self, named: &BTreeSet<EntityUid>) -> String {
        match &self.rule {
            Some((role, _)) if self.is_for_anyone(named) => {
                self.text.replacen(&format!("principal in {role}"), "principal", 1)
            }
            _ => self.text.clone(),
        }
    }

    /// Whether the role it is given by cannot matter to a question that names these.
    pub(crate) fn is_for_anyone(&self, named: &BTreeSet<EntityUid>) -> bool {
        // Which roles a named person holds is known.
        let person = named.iter().any(|uid| uid.type_name().basename() == "User");
        self.rule.as_ref().is_some_and(|(role, _)| !person && !named.contains(role))
    }

    /// The exception that lets it break an invariant now.
    pub(crate) fn exception<'e>(
        &self,
        exceptions: &'e [Exception],
        now: Timestamp,
    ) -> Option<&'e Exception> {
        exceptions.iter().filter(|exception| exception.counts(now)).find(|exception| {
            match (&exception.what, &self.source) {
                (Excepted::Role(name), PolicySource::Role(of)) => name == of,
                (Excepted::Policy(name), PolicySource::Policy(of)) => name == of,
                _ => false,
            }
        })
    }
}

/// The kinds of action a policy's scope is about.
pub(crate) fn kinds_of(policy: &Policy) -> BTreeSet<ActionKind> {
    let is = |uid: &EntityUid, kind: ActionKind| AsRef::<str>::as_ref(uid.id()) == kind.as_str();
    let matches = |kind: &ActionKind| match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => is(&uid, *kind),
        ActionConstraint::In(uids) => uids.iter().any(|uid| is(uid, *kind)),
    };
    ActionKind::ALL.into_iter().filter(matches).collect()
}

/// Whether a policy's conditions read something only some kinds of action have. In doubt, yes.
pub(crate) fn is_specific(policy: &Policy) -> bool {
    match policy.to_json() {
        Ok(json) => json.get("conditions").is_none_or(reads_more),
        Err(_) => true,
    }
}

fn reads_more(json: &Value) -> bool {
    let Value::Object(map) = json else {
        return json.as_array().is_some_and(|items| items.iter().any(reads_more));
    };
    if let Some(var) = map.get("Var") {
        return var == "action" || var == "context";
    }
    for access in [".", "has"] {
        if let Some(inner) = map.get(access)
            && inner.pointer("/left/Var") == Some(&Value::from("context"))
        {
            let attribute = inner.get("attr").and_then(Value::as_str);
            return !attribute.is_some_and(|name| SHARED.contains(&name));
        }
    }
    map.values().any(reads_more)
}

/// Whether a policy that passed strict validation can fail at all: only arithmetic and the
/// parsing of extension values can.
pub(crate) fn may_fail(policy: &Policy) -> bool {
    const CANNOT: [&str; 22] = [
        "Value",
        "Var",
        "!",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "&&",
        "||",
        "in",
        "contains",
        "containsAll",
        "containsAny",
        "isEmpty",
        ".",
        "has",
        "like",
        "is",
        "if-then-else",
        "Set",
    ];
    fn walk(json: &Value) -> bool {
        match json {
            Value::Object(map) => map.iter().any(|(key, value)| match key.as_str() {
                // Strict validation has seen the guard before every `getTag`.
                "hasTag" | "getTag" => walk_operands(value),
                "Value" | "Var" => false,
                key if CANNOT.contains(&key) => walk_operands(value),
                _ => true,
            }),
            Value::Array(items) => items.iter().any(walk),
            _ => false,
        }
    }
    fn walk_operands(value: &Value) -> bool {
        match value {
            Value::Object(map) => map.iter().any(|(key, value)| match key.as_str() {
                "attr" | "pattern" | "entity_type" => false,
                _ => walk(value),
            }),
            Value::Array(items) => items.iter().any(walk),
            _ => false,
        }
    }
    let Ok(json) = policy.to_json() else { return true };
    let Some(Value::Array(conditions)) = json.get("conditions") else { return true };
    conditions.iter().any(|condition| condition.get("body").is_none_or(walk))
}
