//! `kind: Invariant`.

use portcullis_domain::{ActionKind, Excepted, Exception, Invariant, Kind, Never, Tier};

use super::{Parts, description, labels, reference};
use crate::node::Node;
use crate::problem::is_deceptive;
use crate::reader::{Fields, Read, Reader};

/// Longest Cedar condition, in bytes.
pub(crate) const MAX_CONDITION_BYTES: usize = 4 * 1024;
/// Longest reason of an exception, in bytes.
const MAX_REASON_BYTES: usize = 1024;
/// Most exceptions of one invariant.
const MAX_EXCEPTIONS: usize = 64;

pub(crate) const SPEC: &[&str] = &["description", "never", "exceptions"];
pub(crate) const NEVER: &[&str] = &["principal", "actions", "resource", "when", "unless"];
pub(crate) const PRINCIPAL: &[&str] = &["groups", "roles", "users"];
pub(crate) const RESOURCE: &[&str] = &["tiers", "environments", "targets", "labels"];
pub(crate) const EXCEPTION: &[&str] = &["role", "policy", "owner", "reason", "expires"];

pub(super) fn invariant(reader: &mut Reader<'_>, parts: &Parts<'_>) -> Read<Invariant> {
    let name = parts.name(reader);
    let fields = parts.spec(reader, "the spec of an Invariant", SPEC)?;
    let description = fields.optional(reader, "description", description);
    let never = fields.optional(reader, "never", never);
    let exceptions = fields.or_default(reader, "exceptions", exceptions);
    let (never, exceptions) = (never?, exceptions?);
    if never.is_none() && exceptions.is_empty() {
        let help = "write `never:` with what must not be possible; only an exception to a built-in invariant has none";
        let message = "this invariant says nothing";
        return Err(reader.note(fields.place("never"), message, Some(help.into())));
    }
    Ok(Invariant { name: name?, description: description?, never, exceptions })
}

fn never(reader: &mut Reader<'_>, node: &Node) -> Read<Never> {
    let fields = reader.fields(node, "`never`", NEVER)?;
    let mut never = Never::default();
    let principal = fields.optional(reader, "principal", |r, node| {
        let fields = r.fields(node, "`principal`", PRINCIPAL)?;
        let groups = fields.or_default(r, "groups", |r, n| r.set(n, reference(Kind::Group)));
        let roles = fields.or_default(r, "roles", |r, n| r.set(n, reference(Kind::Role)));
        let users = fields.or_default(r, "users", |r, n| r.set(n, reference(Kind::User)));
        (never.groups, never.roles, never.users) = (groups?, roles?, users?);
        Ok(())
    });
    let actions = fields.or_default(reader, "actions", |r, node| {
        let words = ActionKind::ALL.map(|kind| (kind.as_str(), kind));
        r.set(node, |r, node| r.one_of(node, "an action", &words))
    });
    let resource = fields.optional(reader, "resource", |r, node| {
        let fields = r.fields(node, "`resource`", RESOURCE)?;
        let tiers = fields.or_default(r, "tiers", |r, node| {
            let all = [Tier::Production, Tier::Staging, Tier::Test, Tier::Development];
            let words = all.map(|tier| (tier.as_str(), tier));
            r.set(node, |r, node| r.one_of(node, "a tier", &words))
        });
        let environments =
            fields.or_default(r, "environments", |r, n| r.set(n, reference(Kind::Environment)));
        let targets = fields.or_default(r, "targets", |r, n| r.set(n, reference(Kind::Target)));
        let labels = fields.or_default(r, "labels", labels);
        (never.tiers, never.environments) = (tiers?, environments?);
        (never.targets, never.labels) = (targets?, labels?);
        Ok(())
    });
    let when = fields.optional(reader, "when", condition);
    let unless = fields.optional(reader, "unless", condition);
    principal?;
    resource?;
    (never.actions, never.when, never.unless) = (actions?, when?, unless?);
    if never == Never::default() {
        let message = "this would forbid everything";
        let help = "say who, what or where, or give a condition";
        return Err(reader.note(node.at, message, Some(help.into())));
    }
    Ok(never)
}

/// Cedar text of one condition; whether it is valid Cedar is the proof crate's.
fn condition(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    let text = reader.text(node)?.trim();
    if text.is_empty() {
        return Err(reader.note(node.at, "there is no condition here", None));
    }
    if text.len() > MAX_CONDITION_BYTES {
        let message =
            format!("this is {} bytes long; at most {MAX_CONDITION_BYTES} are allowed", text.len());
        return Err(reader.note(node.at, message, None));
    }
    if text.chars().any(|c| is_deceptive(c) && !matches!(c, '\n' | '\t')) {
        let message = "this condition has a character that is not printed";
        return Err(reader.note(node.at, message, Some("type the line again".into())));
    }
    Ok(text.to_owned())
}

fn exceptions(reader: &mut Reader<'_>, node: &Node) -> Read<Vec<Exception>> {
    let items = reader.items(node)?;
    if items.len() > MAX_EXCEPTIONS {
        let message = format!("at most {MAX_EXCEPTIONS} exceptions are allowed");
        return Err(reader.note(node.at, message, None));
    }
    let read: Vec<Read<Exception>> = items.iter().map(|item| exception(reader, item)).collect();
    read.into_iter().collect()
}

fn exception(reader: &mut Reader<'_>, node: &Node) -> Read<Exception> {
    let fields = reader.fields(node, "an exception", EXCEPTION)?;
    let what = excepted(reader, node, &fields);
    let owner = fields.required(
        reader,
        "owner",
        "`owner:` with the user who answers for it",
        reference(Kind::User),
    );
    let reason = fields.required(reader, "reason", "`reason:`", |r, node| {
        let text = r.line(node, MAX_REASON_BYTES)?;
        if text.trim().is_empty() {
            return Err(r.note(node.at, "a reason cannot be empty", None));
        }
        Ok(text)
    });
    let expires = fields.required(
        reader,
        "expires",
        "`expires:` with a time like `2026-11-22T14:00:00Z`",
        |r, node| r.parse(node),
    );
    Ok(Exception { what: what?, owner: owner?, reason: reason?, expires: expires? })
}

fn excepted(reader: &mut Reader<'_>, node: &Node, fields: &Fields<'_>) -> Read<Excepted> {
    let role = fields.optional(reader, "role", reference(Kind::Role));
    let policy = fields.optional(reader, "policy", reference(Kind::Policy));
    match (role?, policy?) {
        (Some(role), None) => Ok(Excepted::Role(role)),
        (None, Some(policy)) => Ok(Excepted::Policy(policy)),
        _ => {
            let message = "an exception is for one role or one policy";
            let help = "give either `role:` or `policy:`";
            Err(reader.note(node.at, message, Some(help.into())))
        }
    }
}
