//! `kind: Group`, `kind: User` and `kind: RoleAssignment`.

use portcullis_domain::{Group, Kind, RoleAssignment, User};

use super::{Parts, description, reference};
use crate::node::Node;
use crate::reader::{Read, Reader};
use crate::references::Link;
use crate::ssh_key::{KeyUse, PublicKey, PublicKeyError};

/// Longest full name, in characters.
pub(crate) const MAX_FULL_NAME_CHARS: usize = 128;

pub(crate) const GROUP_SPEC: &[&str] = &["description"];
pub(crate) const USER_SPEC: &[&str] = &["full_name", "groups", "ssh_keys", "disabled"];
pub(crate) const ASSIGNMENT_SPEC: &[&str] = &["role", "users", "groups"];

pub(super) fn group(reader: &mut Reader<'_>, parts: &Parts<'_>) -> Read<Group> {
    let name = parts.name(reader);
    let fields = parts.spec(reader, "the spec of a Group", GROUP_SPEC)?;
    let description = fields.optional(reader, "description", description);
    Ok(Group { name: name?, description: description? })
}

pub(super) fn user(reader: &mut Reader<'_>, parts: &Parts<'_>) -> Read<User> {
    let name = parts.name(reader);
    let fields = parts.spec(reader, "the spec of a User", USER_SPEC)?;
    let full_name = fields.optional(reader, "full_name", full_name);
    let groups = fields.or_default(reader, "groups", |r, node| r.set(node, reference(Kind::Group)));
    let ssh_keys = fields.or_default(reader, "ssh_keys", sign_in_keys);
    let disabled = fields.or_default(reader, "disabled", |r, node| r.bool(node));
    Ok(User {
        name: name?,
        full_name: full_name?,
        groups: groups?,
        ssh_keys: ssh_keys?,
        disabled: disabled?,
    })
}

pub(super) fn assignment(reader: &mut Reader<'_>, parts: &Parts<'_>) -> Read<RoleAssignment> {
    let name = parts.name(reader);
    let fields = parts.spec(reader, "the spec of a RoleAssignment", ASSIGNMENT_SPEC)?;
    let role =
        fields.required(reader, "role", "`role:` with the role given", reference(Kind::Role));
    let users = fields.or_default(reader, "users", |r, node| r.set(node, reference(Kind::User)));
    let groups = fields.or_default(reader, "groups", |r, node| r.set(node, reference(Kind::Group)));
    Ok(RoleAssignment { name: name?, role: role?, users: users?, groups: groups? })
}

fn full_name(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    let name = reader.line(node, MAX_FULL_NAME_CHARS * 4)?;
    if name.chars().count() > MAX_FULL_NAME_CHARS {
        let message = format!("a full name has at most {MAX_FULL_NAME_CHARS} characters");
        return Err(reader.note(node.at, message, None));
    }
    Ok(name)
}

fn sign_in_keys(reader: &mut Reader<'_>, node: &Node) -> Read<Vec<String>> {
    let mark = |reader: &mut Reader<'_>, node: &Node, key: &PublicKey| {
        reader.mark(Link::SignInKey(key.identity.clone()), node.at);
    };
    public_keys(reader, node, KeyUse::Signing, mark)
}

/// A list of public keys; the same key with another comment counts as listed twice.
pub(super) fn public_keys(
    reader: &mut Reader<'_>,
    node: &Node,
    used: KeyUse,
    seen: impl Fn(&mut Reader<'_>, &Node, &PublicKey),
) -> Read<Vec<String>> {
    let mut lines = Vec::new();
    reader.list(node, |reader, node| {
        let key = PublicKey::parse(reader.text(node)?, used).map_err(|error| match error {
            PublicKeyError::Private => reader.note_unshown(node.at, error.to_string(), None),
            _ => reader.note(node.at, error.to_string(), None),
        })?;
        seen(reader, node, &key);
        let identity = key.identity.clone();
        lines.push(key.into_line());
        Ok(identity)
    })?;
    Ok(lines)
}
