//! `kind: Role` and `kind: Policy`.

use portcullis_domain::{ActionKind, ControlAction, DatabaseAct, Kind, PolicyText, Role, Rule};

use super::conditions::{break_glass, check_apply, conditions};
use super::{Parts, description, labels, reference};
use crate::node::Node;
use crate::problem::is_deceptive;
use crate::reader::{Fields, Read, Reader, listed};

/// Longest pattern for a command, path or destination, in bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 1024;
/// Most rules in `allow`, and in `deny`.
pub(crate) const MAX_RULES: usize = 256;
/// Longest Cedar text of one policy, in bytes.
pub(crate) const MAX_CEDAR_BYTES: usize = 64 * 1024;

pub(crate) const SPEC: &[&str] =
    &["description", "inherits", "conditions", "break_glass", "allow", "deny", "control"];
pub(crate) const RULE: &[&str] = &[
    "environments",
    "targets",
    "labels",
    "actions",
    "logins",
    "commands",
    "paths",
    "destinations",
    "databases",
];
pub(crate) const POLICY_SPEC: &[&str] = &["description", "cedar"];

pub(super) fn role(reader: &mut Reader<'_>, parts: &Parts<'_>) -> Read<Role> {
    let name = parts.name(reader);
    let fields = parts.spec(reader, "the spec of a Role", SPEC)?;
    let description = fields.optional(reader, "description", description);
    let inherits =
        fields.or_default(reader, "inherits", |r, node| r.set(node, reference(Kind::Role)));
    let conditions = fields.or_default(reader, "conditions", conditions);
    let break_glass = fields.optional(reader, "break_glass", break_glass);
    let allow = fields.or_default(reader, "allow", rules);
    let deny = fields.or_default(reader, "deny", rules);
    let control = fields.or_default(reader, "control", |r, node| {
        let words = ControlAction::ALL.map(|action| (action.as_str(), action));
        r.set(node, |r, node| r.one_of(node, "something done with Portcullis itself", &words))
    });
    if let (Ok(inherits), Ok(control)) = (&inherits, &control) {
        check_apply(reader, &fields, !inherits.is_empty(), !control.is_empty())?;
    }
    Ok(Role {
        name: name?,
        description: description?,
        inherits: inherits?,
        conditions: conditions?,
        break_glass: break_glass?,
        allow: allow?,
        deny: deny?,
        control: control?,
    })
}

pub(super) fn policy(reader: &mut Reader<'_>, parts: &Parts<'_>) -> Read<PolicyText> {
    let name = parts.name(reader);
    let fields = parts.spec(reader, "the spec of a Policy", POLICY_SPEC)?;
    let description = fields.optional(reader, "description", description);
    let cedar = fields.required(reader, "cedar", "`cedar: |` with the policies below it", cedar);
    Ok(PolicyText { name: name?, description: description?, cedar: cedar? })
}

fn rules(reader: &mut Reader<'_>, node: &Node) -> Read<Vec<Rule>> {
    let items = reader.items(node)?;
    if items.len() > MAX_RULES {
        return Err(reader.note(node.at, format!("at most {MAX_RULES} rules are allowed"), None));
    }
    let rules: Vec<Read<Rule>> = items.iter().map(|item| rule(reader, item)).collect();
    rules.into_iter().collect()
}

fn rule(reader: &mut Reader<'_>, node: &Node) -> Read<Rule> {
    let fields = reader.fields(node, "a rule", RULE)?;
    let environments = fields
        .or_default(reader, "environments", |r, node| r.set(node, reference(Kind::Environment)));
    let targets =
        fields.or_default(reader, "targets", |r, node| r.set(node, reference(Kind::Target)));
    let labels = fields.or_default(reader, "labels", labels);
    let actions = fields.required(
        reader,
        "actions",
        "`actions:` with what the rule is about; there is no rule for everything",
        |r, node| {
            let words = ActionKind::ALL.map(|kind| (kind.as_str(), kind));
            let actions = r.set(node, |r, node| r.one_of(node, "an action", &words))?;
            if actions.is_empty() {
                let help = "name the actions; there is no rule for everything";
                return Err(r.note(node.at, "a rule needs at least one action", Some(help.into())));
            }
            Ok(actions)
        },
    );
    let logins = fields.or_default(reader, "logins", |r, node| r.set(node, Reader::parse));
    let commands = fields.or_default(reader, "commands", patterns);
    let paths = fields.or_default(reader, "paths", patterns);
    let destinations = fields.or_default(reader, "destinations", destinations);
    let databases = fields.or_default(reader, "databases", patterns);
    let rule = Rule {
        environments: environments?,
        targets: targets?,
        labels: labels?,
        actions: actions?,
        logins: logins?,
        commands: commands?,
        paths: paths?,
        destinations: destinations?,
        databases: databases?,
    };
    check_patterns_apply(reader, &fields, &rule)?;
    Ok(rule)
}

/// A pattern without an action it restricts would look like a restriction and be none.
fn check_patterns_apply(reader: &mut Reader<'_>, fields: &Fields<'_>, rule: &Rule) -> Read<()> {
    use ActionKind as A;
    let database_acts = DatabaseAct::ALL.map(DatabaseAct::kind);
    let uses: [(&str, &[String], &[ActionKind]); 4] = [
        ("commands", &rule.commands, &[A::Exec]),
        ("paths", &rule.paths, &[A::Upload, A::Download]),
        ("destinations", &rule.destinations, &[A::Forward, A::RemoteForward]),
        ("databases", &rule.databases, &database_acts),
    ];
    let mut outcome = Ok(());
    for (field, patterns, kinds) in uses {
        if patterns.is_empty() || kinds.iter().any(|kind| rule.actions.contains(kind)) {
            continue;
        }
        let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let message =
            format!("`{field}` restricts {} only, which this rule has not", listed(&names));
        let help = format!("add the action or remove `{field}`");
        outcome = Err(reader.note(fields.place(field), message, Some(help)));
    }
    outcome
}

fn patterns(reader: &mut Reader<'_>, node: &Node) -> Read<Vec<String>> {
    reader.list(node, pattern)
}

fn pattern(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    let text = reader.line(node, MAX_PATTERN_BYTES)?;
    if text.is_empty() {
        let help = "write what it matches; `*` stands for any text";
        return Err(reader.note(node.at, "a pattern cannot be empty", Some(help.into())));
    }
    Ok(text)
}

fn destinations(reader: &mut Reader<'_>, node: &Node) -> Read<Vec<String>> {
    reader.list(node, |reader, node| {
        let text = pattern(reader, node)?;
        let is_port = |port: &str| {
            port == "*"
                || (port.bytes().all(|b| b.is_ascii_digit()) && port.parse().is_ok_and(|p: u16| p > 0))
        };
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && is_port(port) => Ok(text),
            _ => {
                let message = format!("`{}` is not a destination", crate::problem::quoted(&text));
                let help = "write `host:port`, such as `127.0.0.1:5432`, `*.internal:443` or `localhost:*`";
                Err(reader.note(node.at, message, Some(help.into())))
            }
        }
    })
}

/// Cedar text: lines and tabs are its own; whether it is valid Cedar is the policy crate's.
fn cedar(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    let text = reader.text(node)?;
    if text.trim().is_empty() {
        return Err(reader.note(node.at, "there is no policy here", None));
    }
    if text.len() > MAX_CEDAR_BYTES {
        let message =
            format!("this is {} bytes long; at most {MAX_CEDAR_BYTES} are allowed", text.len());
        return Err(reader.note(node.at, message, Some("split it into several policies".into())));
    }
    if text.chars().any(|c| is_deceptive(c) && !matches!(c, '\n' | '\t')) {
        let message = "this policy has a character that is not printed";
        return Err(reader.note(node.at, message, Some("type the line again".into())));
    }
    Ok(text.to_owned())
}
