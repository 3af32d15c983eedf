//! Roles to Cedar a person can read. Pure text; nothing here evaluates anything.
//!
//! A rule becomes one policy per kind of restriction: `commands` restrict only `exec`, `paths` only
//! `upload` and `download`, `destinations` only `forward` and `remote_forward`; the rule's other
//! actions go into a policy without them.
//!
//! Patterns are textual, so they are guarded on both sides. A permit with command patterns holds
//! only for a command without shell metacharacters, a permit with path patterns only for an
//! absolute path without `..`, one with destinations only for an address or DNS name; a deny with
//! patterns also holds wherever that is not so. The pattern `*` alone restricts nothing. What a
//! pattern cannot see stays outside of it: `rm *` does not deny `/bin/rm x` or `env rm x`, and a
//! path may lead elsewhere through a symbolic link. Allow narrowly rather than deny by pattern.

use std::collections::BTreeSet;

use portcullis_domain::{ActionKind, Conditions, Role, Rule};

use crate::circumstances::clean_path;
use crate::decide::FRESH_GRACE;
use crate::like::{matches_everything, pattern, quoted};

/// Whether a policy permits or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It allows what it matches, unless something forbids it.
    Permit,
    /// It forbids what it matches, whatever permits it.
    Forbid,
}

/// One Cedar policy made from a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledPolicy {
    /// `role:<name>:allow:<n>` or `role:<name>:deny:<n>`, counted from 1 within the role.
    pub id: String,
    /// Permit or forbid.
    pub effect: Effect,
    /// The rule it comes from, as an index into the role's `allow` or `deny`.
    pub rule: usize,
    /// The actions it is about.
    pub actions: BTreeSet<ActionKind>,
    /// The patterns it restricts them by; empty: none.
    pub patterns: Vec<String>,
    /// What it says, in words.
    pub description: String,
    /// The condition of each of its `when` clauses.
    pub conditions: Vec<String>,
    /// The Cedar text.
    pub cedar: String,
    /// The same without the role's conditions on factor, network and hours, where it has some.
    pub unconditional: Option<String>,
}

/// Compiles a role: its `allow` rules, then its `deny` rules, in order. The role's `control` set is
/// not Cedar; see [`crate::control`].
pub fn compile_role(role: &Role) -> Vec<CompiledPolicy> {
    let mut policies = Vec::new();
    for (effect, word, rules) in
        [(Effect::Permit, "allow", &role.allow), (Effect::Forbid, "deny", &role.deny)]
    {
        let mut number = 0;
        for (index, rule) in rules.iter().enumerate() {
            for part in split(rule) {
                number += 1;
                let id = format!("role:{}:{word}:{number}", role.name);
                let description = describe(role, word, index, &part);
                let more = conditions_of(&role.conditions, effect);
                let mut conditions = selectors(rule, effect, &part);
                // What a ticket has to look like is part of what is asked for, not of the moment.
                let lasting =
                    Conditions { ticket: role.conditions.ticket.clone(), ..Conditions::default() };
                let unconditional =
                    (effect == Effect::Permit && role.conditions != lasting).then(|| {
                        let when = conditions_of(&lasting, effect);
                        let conditions: Vec<String> =
                            conditions.iter().cloned().chain(when).collect();
                        text(role, effect, &part, &id, &description, &conditions)
                    });
                conditions.extend(more);
                let cedar = text(role, effect, &part, &id, &description, &conditions);
                policies.push(CompiledPolicy {
                    id,
                    effect,
                    rule: index,
                    actions: part.actions,
                    patterns: part.patterns.to_vec(),
                    description,
                    conditions,
                    cedar,
                    unconditional,
                });
            }
        }
    }
    policies
}

/// Actions of a rule that share their restriction.
struct Part<'a> {
    actions: BTreeSet<ActionKind>,
    subject: Subject,
    patterns: &'a [String],
}

#[derive(Clone, Copy)]
enum Subject {
    Nothing,
    Command,
    Path,
    Destination,
    Database,
}

fn subject_of(kind: ActionKind) -> Subject {
    match kind {
        ActionKind::Shell | ActionKind::AgentForward => Subject::Nothing,
        ActionKind::Exec => Subject::Command,
        ActionKind::Upload | ActionKind::Download => Subject::Path,
        ActionKind::Forward | ActionKind::RemoteForward => Subject::Destination,
        ActionKind::DbConnect
        | ActionKind::DbRead
        | ActionKind::DbWrite
        | ActionKind::DbDdl
        | ActionKind::DbPrivilege
        | ActionKind::DbSession
        | ActionKind::DbCall
        | ActionKind::DbCopyIn
        | ActionKind::DbCopyOut
        | ActionKind::DbReplicate
        | ActionKind::DbServer
        | ActionKind::DbUnclassified => Subject::Database,
    }
}

fn patterns_for(rule: &Rule, kind: ActionKind) -> &[String] {
    let patterns: &[String] = match subject_of(kind) {
        Subject::Nothing => &[],
        Subject::Command => &rule.commands,
        Subject::Path => &rule.paths,
        Subject::Destination => &rule.destinations,
        Subject::Database => &rule.databases,
    };
    if patterns.iter().any(|p| matches_everything(p)) { &[] } else { patterns }
}

fn split(rule: &Rule) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for kind in rule.actions.iter().copied() {
        let patterns = patterns_for(rule, kind);
        let subject = if patterns.is_empty() { Subject::Nothing } else { subject_of(kind) };
        let same = |part: &&mut Part<'_>| {
            std::mem::discriminant(&part.subject) == std::mem::discriminant(&subject)
        };
        match parts.iter_mut().find(same) {
            Some(part) => drop(part.actions.insert(kind)),
            None => parts.push(Part { actions: BTreeSet::from([kind]), subject, patterns }),
        }
    }
    parts
}

fn describe(role: &Role, word: &str, index: usize, part: &Part<'_>) -> String {
    let actions: Vec<&str> = part.actions.iter().map(|kind| kind.as_str()).collect();
    let which = match part.subject {
        Subject::Nothing => "",
        Subject::Command => ", by command",
        Subject::Path => ", by path",
        Subject::Destination => ", by destination",
        Subject::Database => ", by database",
    };
    format!("role {}, {word} rule {}: {}{which}", role.name, index + 1, actions.join(", "))
}

fn text(
    role: &Role,
    effect: Effect,
    part: &Part<'_>,
    id: &str,
    description: &str,
    conditions: &[String],
) -> String {
    let verb = match effect {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    };
    let mut cedar = format!(
        "@id({})\n@description({})\n{verb} (\n  principal in Role::{},\n  {},\n  resource\n)",
        quoted(id),
        quoted(description),
        quoted(role.name.as_str()),
        action_scope(&part.actions),
    );
    for condition in conditions {
        cedar.push_str("\nwhen { ");
        cedar.push_str(condition);
        cedar.push_str(" }");
    }
    cedar.push_str(";\n");
    cedar
}

fn action_scope(actions: &BTreeSet<ActionKind>) -> String {
    let names: Vec<String> =
        actions.iter().map(|kind| format!("Action::{}", quoted(kind.as_str()))).collect();
    match names.as_slice() {
        [one] => format!("action == {one}"),
        many => format!("action in [{}]", many.join(", ")),
    }
}

fn selectors(rule: &Rule, effect: Effect, part: &Part<'_>) -> Vec<String> {
    let entities = |kind: &str, names: Vec<&str>| {
        let all: Vec<String> = names.iter().map(|n| format!("{kind}::{}", quoted(n))).collect();
        match all.as_slice() {
            [one] => format!("resource in {one}"),
            many => format!("resource in [{}]", many.join(", ")),
        }
    };
    let mut all = Vec::new();
    if !rule.environments.is_empty() {
        all.push(entities("Environment", rule.environments.iter().map(AsRef::as_ref).collect()));
    }
    if !rule.targets.is_empty() {
        all.push(entities("Target", rule.targets.iter().map(AsRef::as_ref).collect()));
    }
    for (key, value) in &rule.labels {
        let key = quoted(key);
        all.push(format!("resource.hasTag({key}) && resource.getTag({key}) == {}", quoted(value)));
    }
    let logins: Vec<String> = rule.logins.iter().map(|login| quoted(login.as_str())).collect();
    match logins.as_slice() {
        [] => {}
        [one] => all.push(format!("context.login == {one}")),
        many => all.push(format!("[{}].contains(context.login)", many.join(", "))),
    }
    all.extend(pattern_condition(effect, part));
    all
}

/// What a role asks for beside its rules; a deny holds whatever the circumstances.
fn conditions_of(conditions: &Conditions, effect: Effect) -> Vec<String> {
    if effect == Effect::Forbid {
        return Vec::new();
    }
    let mut all = Vec::new();
    if let Some(age) = conditions.second_factor_max_age {
        let seconds = age.max(FRESH_GRACE).as_secs();
        all.push(format!(
            "context has second_factor_age && context.second_factor_age <= {seconds}"
        ));
    }
    let ranges = conditions.networks.iter();
    let ranges: Vec<String> = ranges
        .map(|network| format!("context.source.isInRange(ip({}))", quoted(&network.to_string())))
        .collect();
    if !ranges.is_empty() {
        all.push(ranges.join(" || "));
    }
    let windows: Vec<String> =
        conditions.hours.iter().map(|window| quoted(&window.to_string())).collect();
    match windows.as_slice() {
        [] => {}
        [one] => all.push(format!("context.hours.contains({one})")),
        many => all.push(format!("context.hours.containsAny([{}])", many.join(", "))),
    }
    if let Some(pattern) = &conditions.ticket {
        all.push(format!("context.tickets.contains({})", quoted(pattern)));
    }
    all
}

fn pattern_condition(effect: Effect, part: &Part<'_>) -> Option<String> {
    let attribute = match part.subject {
        Subject::Nothing => return None,
        Subject::Command => "command",
        Subject::Path => "path",
        Subject::Destination => "destination",
        Subject::Database => "database",
    };
    let likes: Vec<String> = part
        .patterns
        .iter()
        .map(|text| format!("context.{attribute} like {}", pattern(&canonical(part.subject, text))))
        .collect();
    let any = likes.join(" || ");
    // An empty path is a file transfer being opened, before any file is named: whoever may
    // reach some path may open it, and every file is then decided on by itself.
    Some(match (effect, part.subject) {
        (Effect::Permit, Subject::Path) => {
            format!("context.path == \"\" || (context.path_plain && ({any}))")
        }
        (Effect::Forbid, Subject::Path) => {
            format!("context.path != \"\" && (!context.path_plain || {any})")
        }
        (_, Subject::Database) => any,
        (Effect::Permit, _) => format!("context.{attribute}_plain && ({any})"),
        (Effect::Forbid, _) => format!("!context.{attribute}_plain || {any}"),
    })
}

/// A pattern in the form the circumstances have, so that `/srv/` and `DB.internal:5432` match
/// what their author meant.
fn canonical(subject: Subject, text: &str) -> String {
    match subject {
        Subject::Nothing | Subject::Database => text.to_owned(),
        Subject::Command => text.trim_matches(' ').to_owned(),
        Subject::Path => clean_path(text),
        Subject::Destination => text.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::{EnvironmentName, Login, RoleName};
    use std::time::Duration;

    fn role(allow: Rule) -> Role {
        Role {
            name: RoleName::new("ops").unwrap(),
            description: None,
            allow: vec![allow],
            deny: Vec::new(),
            inherits: BTreeSet::new(),
            conditions: Conditions::default(),
            break_glass: None,
            control: BTreeSet::new(),
        }
    }

    #[test]
    fn a_rule_reads_as_cedar() {
        let rule = Rule {
            environments: BTreeSet::from([EnvironmentName::new("production").unwrap()]),
            labels: [("team".to_owned(), "web".to_owned())].into(),
            actions: BTreeSet::from([ActionKind::Shell, ActionKind::Exec]),
            logins: BTreeSet::from([Login::new("deploy").unwrap(), Login::new("root").unwrap()]),
            ..Rule::default()
        };
        let policies = compile_role(&role(rule));
        assert_eq!(
            policies.iter().map(|p| p.cedar.as_str()).collect::<String>(),
            r#"@id("role:ops:allow:1")
@description("role ops, allow rule 1: shell, exec")
permit (
  principal in Role::"ops",
  action in [Action::"shell", Action::"exec"],
  resource
)
when { resource in Environment::"production" }
when { resource.hasTag("team") && resource.getTag("team") == "web" }
when { ["deploy", "root"].contains(context.login) };
"#
        );
    }

    #[test]
    fn conditions_read_as_cedar_and_bind_only_what_is_allowed() {
        let rule = Rule { actions: [ActionKind::Shell].into(), ..Rule::default() };
        let conditions = serde_json::from_value(serde_json::json!({
            "second_factor_max_age": "15m",
            "networks": ["10.0.0.0/8", "2001:db8::/32"],
            "hours": [{"time_zone": "Europe/Berlin", "days": ["mon"], "from": "08:00", "to": "18:00"}],
            "ticket": "OPS-#",
        }));
        let deny = vec![rule.clone()];
        let made = Role { conditions: conditions.unwrap(), deny, ..role(rule) };
        let policies = compile_role(&made);
        assert_eq!(
            policies[0].cedar.split("resource\n)\n").nth(1).unwrap(),
            r#"when { context has second_factor_age && context.second_factor_age <= 900 }
when { context.source.isInRange(ip("10.0.0.0/8")) || context.source.isInRange(ip("2001:db8::/32")) }
when { context.hours.contains("08:00-18:00 mon Europe/Berlin") }
when { context.tickets.contains("OPS-#") };
"#
        );
        let lasting = policies[0].unconditional.as_deref().unwrap();
        assert!(lasting.ends_with("resource\n)\nwhen { context.tickets.contains(\"OPS-#\") };\n"));
        assert!(policies[1].cedar.ends_with("resource\n);\n"), "{}", policies[1].cedar);
        let short =
            Conditions { second_factor_max_age: Some(Duration::ZERO), ..Conditions::default() };
        let anew = compile_role(&Role { conditions: short, ..made });
        assert!(anew[0].cedar.contains("second_factor_age <= 120"), "a code takes time to type");
    }

    #[test]
    fn a_rule_is_split_by_what_its_patterns_restrict() {
        let mut rule = Rule {
            actions: ActionKind::ALL.into(),
            commands: vec!["uptime".into(), "systemctl status *".into()],
            paths: vec!["/srv/".into()],
            destinations: vec!["DB.internal:5432".into()],
            databases: vec!["orders".into()],
            ..Rule::default()
        };
        let policies = compile_role(&role(rule.clone()));
        let ends: Vec<&str> =
            policies.iter().map(|p| p.cedar.split("resource\n)").nth(1).unwrap()).collect();
        assert_eq!(
            ends,
            [
                ";\n",
                "\nwhen { context.command_plain && (context.command like \"uptime\" || context.command like \"systemctl status *\") };\n",
                "\nwhen { context.path == \"\" || (context.path_plain && (context.path like \"/srv\")) };\n",
                "\nwhen { context.destination_plain && (context.destination like \"db.internal:5432\") };\n",
                "\nwhen { context.database like \"orders\" };\n",
            ]
        );
        rule.commands.push("*".into());
        assert_eq!(compile_role(&role(rule)).len(), 4, "`*` restricts nothing");
    }
}
