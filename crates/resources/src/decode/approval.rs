//! Who approves requests in an environment, and what else holds for them: `approval`,
//! `approval_for` and `requests`.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::approval::{MAX_DEPTH, MAX_LEAVES};
use portcullis_domain::{ActionKind, ApprovalRule, Escalation, GroupName, Kind, RequestTerms};

use super::environment::at_least_a_second;
use super::reference;
use crate::node::Node;
use crate::reader::{Fields, Noted, Read, Reader};

/// Most people one request can need.
pub(crate) const MAX_APPROVALS: u32 = 100;
/// Longest pattern for tickets, in bytes.
const MAX_TICKET_BYTES: usize = 128;

pub(crate) const APPROVAL: &[&str] = &["group", "groups", "count", "all", "any"];
pub(crate) const REQUESTS: &[&str] = &["expire_after", "escalation", "ticket"];
pub(crate) const ESCALATION: &[&str] = &["after", "groups"];

pub(super) fn approval(reader: &mut Reader<'_>, node: &Node) -> Read<ApprovalRule> {
    let mut leaves = 0;
    let rule = rule(reader, node, 1, &mut leaves)?;
    if leaves > MAX_LEAVES {
        let message = format!("at most {MAX_LEAVES} thresholds are allowed in one rule");
        return Err(reader.note(node.at, message, None));
    }
    let places: u64 = places(&rule);
    if places > u64::from(MAX_APPROVALS) {
        let message = format!("this takes {places} people; at most {MAX_APPROVALS} are allowed");
        return Err(reader.note(node.at, message, None));
    }
    Ok(rule)
}

fn places(rule: &ApprovalRule) -> u64 {
    match rule {
        ApprovalRule::Threshold(leaf) => leaf.count.into(),
        ApprovalRule::All { all: parts }
        | ApprovalRule::Any { any: parts }
        | ApprovalRule::Each { each: parts } => parts.iter().map(places).sum(),
    }
}

fn rule(
    reader: &mut Reader<'_>,
    node: &Node,
    depth: usize,
    leaves: &mut usize,
) -> Read<ApprovalRule> {
    if depth > MAX_DEPTH {
        let message = format!("`all` and `any` are nested more than {MAX_DEPTH} deep");
        return Err(reader.note(node.at, message, None));
    }
    let fields = reader.fields(node, "`approval`", APPROVAL)?;
    let kinds = ["group", "groups", "all", "any"];
    let given: Vec<&str> = kinds.into_iter().filter(|name| fields.has(name)).collect();
    match given.as_slice() {
        ["all"] => {
            parts(reader, &fields, "all", depth, leaves).map(|all| ApprovalRule::All { all })
        }
        ["any"] => {
            parts(reader, &fields, "any", depth, leaves).map(|any| ApprovalRule::Any { any })
        }
        ["group"] | ["groups"] => {
            *leaves += 1;
            threshold(reader, &fields)
        }
        [] => {
            let help =
                "write `groups:` with who may approve, or `all:` or `any:` with several rules";
            Err(reader.note(node.at, "this names nobody who approves", Some(help.into())))
        }
        _ => {
            let help = "write one of `group`, `groups`, `all` and `any`";
            Err(reader.note(node.at, "this is several rules in one", Some(help.into())))
        }
    }
}

fn parts(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    name: &'static str,
    depth: usize,
    leaves: &mut usize,
) -> Read<Vec<ApprovalRule>> {
    if fields.has("count") {
        let help = "give each part a `count` of its own";
        let message = format!("`count` does not go with `{name}`");
        return Err(reader.note(fields.place("count"), message, Some(help.into())));
    }
    fields.required(reader, name, "rules", |reader, node| {
        let items = reader.items(node)?;
        if items.is_empty() || items.len() > MAX_LEAVES {
            let message = format!("`{name}` has 1 to {MAX_LEAVES} rules");
            return Err(reader.note(node.at, message, None));
        }
        let rules: Vec<Read<ApprovalRule>> =
            items.iter().map(|item| rule(reader, item, depth + 1, leaves)).collect();
        rules.into_iter().collect()
    })
}

fn threshold(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Read<ApprovalRule> {
    let one = fields.optional(reader, "group", reference(Kind::Group));
    let several = fields.optional(reader, "groups", groups);
    let count = fields.optional(reader, "count", |r, node| r.number(node, 1, MAX_APPROVALS));
    let groups = match (one?, several?) {
        (Some(group), None) => [group].into(),
        (_, Some(groups)) => groups,
        (None, None) => return Err(Noted),
    };
    Ok(ApprovalRule::of(groups, count?.unwrap_or(1)))
}

fn groups(reader: &mut Reader<'_>, node: &Node) -> Read<BTreeSet<GroupName>> {
    let groups = reader.set(node, reference(Kind::Group))?;
    if groups.is_empty() {
        let help = "name at least one group, or leave `approval` out: then nobody can approve";
        return Err(reader.note(node.at, "no group may approve", Some(help.into())));
    }
    Ok(groups)
}

/// Actions with rules of their own.
pub(super) fn approval_for(
    reader: &mut Reader<'_>,
    node: &Node,
) -> Read<BTreeMap<ActionKind, ApprovalRule>> {
    let entries = reader.map(node, "`approval_for`")?;
    let mut found = BTreeMap::new();
    let mut outcome = Ok(());
    for (key, value) in entries {
        let rule = approval(reader, value);
        match (key.text.parse::<ActionKind>(), rule) {
            (Ok(kind), _) if found.contains_key(&kind) => {
                let message = format!("the action `{kind}` is given twice");
                outcome = Err(reader.note(key.at, message, Some("keep one of the two".into())));
            }
            (Ok(kind), Ok(rule)) => drop(found.insert(kind, rule)),
            (Err(error), _) => outcome = Err(reader.note(key.at, error.to_string(), None)),
            (_, Err(noted)) => outcome = Err(noted),
        }
    }
    outcome.map(|()| found)
}

pub(super) fn requests(reader: &mut Reader<'_>, node: &Node) -> Read<RequestTerms> {
    let fields = reader.fields(node, "`requests`", REQUESTS)?;
    let expire_after = fields.optional(reader, "expire_after", at_least_a_second);
    let escalation = fields.optional(reader, "escalation", |r, node| {
        let fields = r.fields(node, "`escalation`", ESCALATION)?;
        let after =
            fields.required(r, "after", "`after:` with a duration such as `2h`", at_least_a_second);
        let groups = fields.required(r, "groups", "`groups:` with who may approve then", groups);
        Ok(Escalation { after: after?, groups: groups? })
    });
    let ticket = fields.optional(reader, "ticket", |r, node| {
        let text = r.line(node, MAX_TICKET_BYTES)?;
        if text.is_empty() {
            let help = "write `OPS-#`, where `#` stands for digits and `*` for any text";
            return Err(r.note(node.at, "a pattern cannot be empty", Some(help.into())));
        }
        Ok(text)
    });
    Ok(RequestTerms {
        expire_after: expire_after?.unwrap_or(portcullis_domain::request::REQUEST_LIFETIME),
        escalation: escalation?,
        ticket: ticket?,
    })
}
