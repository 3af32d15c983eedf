//! A request that a role's policy applies to, made without the solver.
//!
//! A role says where, as whom and by which pattern: a target, a login and a text that fit can be
//! written down, and Cedar itself says whether they do. Where it does, nothing is odd about the
//! policy and nobody needs to be asked; where it does not, that says nothing, and the solver is.
//!
//! INVARIANT: only ever says that a policy applies; what is missing here costs a question.

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy,
    PolicySet, Request, RestrictedExpression,
};
use portcullis_domain::{Access, ActionKind, Conditions, Environment, Facts, Rule, Target};
use portcullis_policy::{FRESH_GRACE, PolicySource};

use crate::item::Item;

/// Most environments and targets that are tried.
const MAX_PLACES: usize = 4;
/// Most patterns of a rule that are tried.
const MAX_PATTERNS: usize = 4;

/// Whether some request of this kind matches the policy and passes the forbids, as far as one is
/// found.
pub(crate) fn applies(facts: &Facts, item: &Item, policy: &Policy, forbids: &[&Policy]) -> bool {
    let Some((role, rule)) = &item.rule else { return false };
    let policies = std::iter::once(policy).chain(forbids.iter().copied()).cloned();
    let Ok(policies) = PolicySet::from_policies(policies) else { return false };
    let PolicySource::Role(name) = &item.source else { return false };
    let Some(conditions) = facts.roles.get(name).map(|role| &role.conditions) else { return false };
    let kinds = item.kinds.iter().copied();
    places(facts, rule).into_iter().any(|place| {
        kinds.clone().any(|kind| {
            texts(rule, kind).iter().any(|text| {
                allowed(&policies, role, (rule, conditions), &place, kind, text).unwrap_or_default()
            })
        })
    })
}

/// Where a request could go: an environment, and a target of it if the rule names one.
struct Place<'f> {
    environment: &'f Environment,
    target: Option<&'f Target>,
}

fn places<'f>(facts: &'f Facts, rule: &Rule) -> Vec<Place<'f>> {
    if rule.targets.is_empty() {
        let fits = facts.environments.values().filter(|environment| {
            rule.environments.is_empty() || rule.environments.contains(&environment.name)
        });
        return fits
            .take(MAX_PLACES)
            .map(|environment| Place { environment, target: None })
            .collect();
    }
    let named = rule.targets.iter().filter_map(|name| facts.targets.get(name));
    let named = named.filter(|target| rule.selects(target));
    let place = |target: &'f Target| {
        let environment = facts.environments.get(&target.environment)?;
        Some(Place { environment, target: Some(target) })
    };
    named.take(MAX_PLACES).filter_map(place).collect()
}

/// Commands, paths or `host:port` that a pattern of the rule may mean.
fn texts(rule: &Rule, kind: ActionKind) -> Vec<String> {
    let (patterns, plain) = match kind {
        ActionKind::Shell | ActionKind::AgentForward => return vec![String::new()],
        ActionKind::Exec => (&rule.commands, "id"),
        ActionKind::Upload | ActionKind::Download => (&rule.paths, "/x"),
        ActionKind::Forward | ActionKind::RemoteForward => (&rule.destinations, "x:1"),
        _ => (&rule.databases, "x"),
    };
    let filled = patterns.iter().take(MAX_PATTERNS).map(|pattern| {
        let filling = if pattern.contains(':') { "1" } else { "x" };
        pattern.replace('*', filling).to_lowercase()
    });
    let raw = patterns.iter().take(MAX_PATTERNS).map(|pattern| pattern.replace('*', "x"));
    filled.chain(raw).chain([plain.to_owned()]).collect()
}

fn allowed(
    policies: &PolicySet,
    role: &EntityUid,
    (rule, conditions): (&Rule, &Conditions),
    place: &Place<'_>,
    kind: ActionKind,
    text: &str,
) -> Option<bool> {
    let uid = |kind: &str, name: &str| -> Option<EntityUid> {
        let kind: EntityTypeName = kind.parse().ok()?;
        Some(EntityUid::from_type_name_and_id(kind, EntityId::new(name)))
    };
    let string = |value: &str| RestrictedExpression::new_string(value.to_owned());
    if place.target.is_some_and(|target| !target.offers(kind)) {
        return Some(false);
    }
    let login = match (rule.logins.first(), place.target) {
        (Some(login), _) => login.as_str(),
        (None, Some(target)) => target.logins().first().map_or("root", |login| login.as_str()),
        (None, None) => "root",
    };
    let logins = match place.target {
        Some(target) => target.logins().iter().map(|login| string(login.as_str())).collect(),
        None => vec![string(login)],
    };
    let environment = place.environment;
    let room = uid("Environment", environment.name.as_str())?;
    let name = place.target.map_or("some-target", |target| target.name.as_str());
    let labels = place.target.map_or(&rule.labels, |target| &target.labels);
    let about = || {
        let access = match environment.access {
            Access::Standing => "standing",
            Access::OnRequest => "on_request",
        };
        [
            ("tier".to_owned(), string(environment.tier.as_str())),
            ("access".to_owned(), string(access)),
        ]
    };
    let attributes = [
        ("name".to_owned(), string(name)),
        ("environment".to_owned(), RestrictedExpression::new_entity_uid(room.clone())),
        ("logins".to_owned(), RestrictedExpression::new_set(logins)),
    ];
    let (person, target) = (uid("User", "some-person")?, uid("Target", name)?);
    let tags = labels.iter().map(|(key, value)| (key.clone(), string(value)));
    let entities = [
        Entity::new_no_attrs(person.clone(), [role.clone()].into()),
        Entity::new_with_tags(room.clone(), about(), [], []).ok()?,
        Entity::new_with_tags(target.clone(), attributes.into_iter().chain(about()), [room], tags)
            .ok()?,
    ];
    let entities = Entities::from_entities(entities, None).ok()?;
    let action = uid("Action", kind.as_str())?;
    let context = context(environment, conditions, login, kind, text);
    let context = Context::from_pairs(context).ok()?;
    let request = Request::new(person, action, target, context, None).ok()?;
    let answer = Authorizer::new().is_authorized(&request, policies, &entities);
    Some(answer.diagnostics().errors().next().is_none() && answer.decision() == Decision::Allow)
}

/// With a grant and a second factor proved now, where and when the role's conditions are met.
fn context(
    environment: &Environment,
    conditions: &Conditions,
    login: &str,
    kind: ActionKind,
    text: &str,
) -> Vec<(String, RestrictedExpression)> {
    let string = |value: &str| RestrictedExpression::new_string(value.to_owned());
    let truth = RestrictedExpression::new_bool;
    let asked = environment.second_factor_max_age;
    let seconds = asked.map_or(0, |age| age.max(FRESH_GRACE).as_secs());
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let source = conditions.networks.first().map(ToString::to_string);
    let source = source.unwrap_or_else(|| "203.0.113.7".to_owned());
    let mut pairs = vec![
        ("login", string(login)),
        ("granted", truth(true)),
        ("second_factor_age", RestrictedExpression::new_long(0)),
        ("second_factor_required", truth(asked.is_some())),
        ("second_factor_max_age", RestrictedExpression::new_long(seconds)),
        ("source", RestrictedExpression::new_ip(source)),
        (
            "hours",
            RestrictedExpression::new_set(conditions.hours.iter().map(|w| string(&w.to_string()))),
        ),
        ("tickets", RestrictedExpression::new_set(conditions.ticket.iter().map(|t| string(t)))),
    ];
    match kind {
        ActionKind::Shell | ActionKind::AgentForward => {}
        ActionKind::Exec => {
            pairs.extend([("command", string(text)), ("command_plain", truth(true))]);
        }
        ActionKind::Upload | ActionKind::Download => {
            pairs.extend([("path", string(text)), ("path_plain", truth(true))]);
        }
        ActionKind::Forward | ActionKind::RemoteForward => {
            let (host, port) = text.rsplit_once(':').unwrap_or((text, "1"));
            let port = RestrictedExpression::new_long(port.parse().unwrap_or(1));
            pairs.extend([
                ("host", string(host)),
                ("port", port),
                ("destination", string(text)),
                ("destination_plain", truth(true)),
            ]);
        }
        _ => pairs.push(("database", string(text))),
    }
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
