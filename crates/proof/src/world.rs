//! What every question may take for granted: how the gate makes a request out of facts.
//!
//! Facts and the names a question is about flow in; conditions in Cedar flow out. Every one of
//! them is true of whatever `decide` puts before the policies (a test holds the two together); a
//! proof is worth as much as that.
//!
//! Environments count as the facts have them, and so do the tiers and targets behind a name, the
//! groups and roles of a named person, and the roles assignments give to a named group. Everything
//! else (who is in which group, labels, logins, grants, factors, addresses) may be anything.

use std::collections::BTreeSet;
use std::time::Duration;

use cedar_policy::EntityUid;
use portcullis_domain::{
    Access, Environment, EnvironmentName, Facts, GroupName, RoleName, TargetName, UserName,
};
use portcullis_policy::{FRESH_GRACE, quoted};

/// True of every request, whatever the facts.
const ALWAYS: &str = r#"when { resource in resource.environment }
when { resource.tier == resource.environment.tier && resource.access == resource.environment.access }
when { resource.logins.contains(context.login) }
when { if context has second_factor_age then context.second_factor_age >= 0 else true }
"#;

/// The conditions for a question that names these entities.
///
/// `held`: whether who was given a role counts as holding it. A role can be locked, kept apart or
/// not yet taken out, and then gives nothing. Where the question is only about what such a role
/// would let somebody do, it may count as held: `decide` allows nothing that is not allowed both
/// with the role's denials and without the role. A statement whose own condition asks who holds a
/// role must hold in both cases, so nothing is taken for granted there.
pub(crate) fn conditions(facts: &Facts, named: &BTreeSet<EntityUid>, held: bool) -> String {
    let mut text = ALWAYS.to_owned();
    let classes: BTreeSet<String> = facts.environments.values().map(class).collect();
    let any = classes.into_iter().collect::<Vec<_>>().join(" || ");
    let mut when = |condition: &str| text.push_str(&format!("when {{ {condition} }}\n"));
    when(if any.is_empty() { "false" } else { &any });
    for uid in named {
        let id: &str = uid.id().as_ref();
        match uid.type_name().basename() {
            "Environment" => {
                when(&format!("!(resource in {uid}) || resource.environment == {uid}"));
                let found = EnvironmentName::new(id).ok();
                if let Some(found) = found.and_then(|name| facts.environments.get(&name)) {
                    let tier = quoted(found.tier.as_str());
                    let access = quoted(access(found.access));
                    when(&format!("{uid}.tier == {tier} && {uid}.access == {access}"));
                    when(&format!("resource.environment != {uid} || ({})", class(found)));
                }
            }
            "Target" => {
                let found = TargetName::new(id).ok();
                if let Some(target) = found.and_then(|name| facts.targets.get(&name)) {
                    let room = format!("Environment::{}", quoted(target.environment.as_str()));
                    let mut is = format!(
                        "resource.environment == {room} && resource.name == {}",
                        quoted(id)
                    );
                    if let Some(found) = facts.environments.get(&target.environment) {
                        is.push_str(&format!(" && {}", class(found)));
                    }
                    for (key, value) in &target.labels {
                        let (key, value) = (quoted(key), quoted(value));
                        is.push_str(&format!(
                            " && resource.hasTag({key}) && resource.getTag({key}) == {value}"
                        ));
                    }
                    when(&format!("resource != {uid} || ({is})"));
                }
            }
            "Group" if held => {
                if let Ok(group) = GroupName::new(id) {
                    for role in roles_of_group(facts, &group) {
                        let role = format!("Role::{}", quoted(role.as_str()));
                        if names(named, &role) {
                            when(&format!("!(principal in {uid}) || principal in {role}"));
                        }
                    }
                }
            }
            "Role" if held => {
                // Whoever holds a role holds those it inherits.
                let inherited = RoleName::new(id).map(|role| facts.with_inherited(&role));
                for role in inherited.into_iter().flatten() {
                    let role = format!("Role::{}", quoted(role.as_str()));
                    if names(named, &role) {
                        when(&format!("!(principal in {uid}) || principal in {role}"));
                    }
                }
            }
            "User" => {
                if let Ok(user) = UserName::new(id) {
                    membership(facts, &user, uid, named, held).iter().for_each(|c| when(c));
                }
            }
            _ => {}
        }
    }
    text
}

/// Roles that assignments give to a group, with those they inherit.
pub(crate) fn roles_of_group(facts: &Facts, group: &GroupName) -> BTreeSet<RoleName> {
    let given = facts.assignments.values().filter(|given| given.groups.contains(group));
    given.flat_map(|given| facts.with_inherited(&given.role)).collect()
}

fn names(named: &BTreeSet<EntityUid>, text: &str) -> bool {
    named.iter().any(|uid| uid.to_string() == text)
}

/// Whether a named person is in each named group and role.
fn membership(
    facts: &Facts,
    user: &UserName,
    uid: &EntityUid,
    named: &BTreeSet<EntityUid>,
    held: bool,
) -> Vec<String> {
    let Some(found) = facts.users.get(user) else { return Vec::new() };
    let roles = facts.roles_of(user);
    let others = named.iter().filter_map(|other| {
        let id: &str = other.id().as_ref();
        let within = match other.type_name().basename() {
            "Group" => found.groups.iter().any(|group| group.as_str() == id),
            "Role" => roles.keys().any(|role| role.as_str() == id),
            _ => return None,
        };
        if within && !held && other.type_name().basename() == "Role" {
            return None;
        }
        let is = format!("principal in {other}");
        let is = if within { is } else { format!("!({is})") };
        Some(format!("principal != {uid} || {is}"))
    });
    others.collect()
}

/// What an environment puts into every request to its targets.
pub(crate) fn class(environment: &Environment) -> String {
    let asked = environment.second_factor_max_age;
    let seconds = |age: Duration| i64::try_from(age.max(FRESH_GRACE).as_secs()).unwrap_or(i64::MAX);
    format!(
        "(resource.tier == {} && resource.access == {} && context.second_factor_required == {} && context.second_factor_max_age == {})",
        quoted(environment.tier.as_str()),
        quoted(access(environment.access)),
        asked.is_some(),
        asked.map_or(0, seconds),
    )
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Standing => "standing",
        Access::OnRequest => "on_request",
    }
}

/// A policy that forbids every request of which one of the conditions is not true, for every name
/// in the facts: it never forbids anything. For tests.
#[must_use]
pub fn assumptions_refuted(facts: &Facts) -> String {
    let uid =
        |kind: &str, name: &str| format!("{kind}::{}", quoted(name)).parse::<EntityUid>().ok();
    let named = facts
        .environments
        .keys()
        .filter_map(|name| uid("Environment", name.as_str()))
        .chain(facts.targets.keys().filter_map(|name| uid("Target", name.as_str())))
        .chain(facts.groups.keys().filter_map(|name| uid("Group", name.as_str())))
        .chain(facts.roles.keys().filter_map(|name| uid("Role", name.as_str())))
        .chain(facts.users.keys().filter_map(|name| uid("User", name.as_str())));
    let conditions = conditions(facts, &named.collect(), true);
    let negated = conditions.lines().map(|line| {
        let condition = line.trim_start_matches("when { ").trim_end_matches(" }");
        format!("forbid (principal, action, resource) unless {{ {condition} }};\n")
    });
    negated.collect()
}
