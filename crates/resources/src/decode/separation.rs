//! `kind: SeparationOfDuties`.

use portcullis_domain::{Kind, SeparationMode, SeparationOfDuties};

use super::{Parts, description, reference};
use crate::reader::{Read, Reader};

/// Most roles of one separation.
const MAX_ROLES: usize = 64;

pub(crate) const SPEC: &[&str] = &["description", "roles", "mode"];

pub(super) fn separation(reader: &mut Reader<'_>, parts: &Parts<'_>) -> Read<SeparationOfDuties> {
    let name = parts.name(reader);
    let fields = parts.spec(reader, "the spec of a SeparationOfDuties", SPEC)?;
    let description = fields.optional(reader, "description", description);
    let roles = fields.required(reader, "roles", "`roles:` with what is kept apart", |r, node| {
        let roles = r.set(node, reference(Kind::Role))?;
        if roles.len() < 2 || roles.len() > MAX_ROLES {
            let message = format!("2 to {MAX_ROLES} roles can be kept apart");
            return Err(r.note(node.at, message, None));
        }
        Ok(roles)
    });
    let mode = fields.optional(reader, "mode", |r, node| {
        let words = [("static", SeparationMode::Static), ("dynamic", SeparationMode::Dynamic)];
        r.one_of(node, "a mode of separation", &words)
    });
    Ok(SeparationOfDuties {
        name: name?,
        description: description?,
        roles: roles?,
        mode: mode?.unwrap_or(SeparationMode::Static),
    })
}
