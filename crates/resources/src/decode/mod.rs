//! From a document's tree to a resource: `kind` and `metadata` here, each kind's `spec` in a file
//! of its own.

mod approval;
mod conditions;
mod environment;
mod invariant;
mod people;
mod postgres;
mod role;
mod separation;
mod target;

pub(crate) use self::postgres::POSTGRES_PORT;
pub use self::target::LEGACY_ALGORITHMS;
pub(crate) use self::target::{DEFAULT_ACCEPT_ENV, DEFAULT_PORT};

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use portcullis_domain::name::MAX_NAME_BYTES;
use portcullis_domain::{Kind, Resource};

use crate::node::{Node, Value};
use crate::problem::quoted;
use crate::reader::{Fields, Noted, Read, Reader};
use crate::references::{Link, to};
use crate::source::Position;

/// Longest description, in bytes.
pub(crate) const MAX_DESCRIPTION_BYTES: usize = 1024;
/// Most labels of one target, or of one rule.
const MAX_LABELS: usize = 64;
/// Longest label name or value, in bytes.
const MAX_LABEL_BYTES: usize = 128;

/// Fields of a document, of its metadata and of each spec. A test compares them with the schema.
pub(crate) const DOCUMENT: &[&str] = &["kind", "metadata", "spec"];
pub(crate) const METADATA: &[&str] = &["name"];
pub(crate) const TARGET_METADATA: &[&str] = &["name", "labels"];

/// Reads one document. Problems are noted in the reader; the position is that of the name.
pub(crate) fn document(reader: &mut Reader<'_>, root: &Node) -> Read<(Resource, Position)> {
    let fields = reader.fields(root, "the document", DOCUMENT)?;
    let kind = fields.required(reader, "kind", "`kind:` with one of the kinds of resource", kind);
    let Ok(kind) = kind else { return Err(Noted) };
    let metadata =
        fields.required(reader, "metadata", "`metadata: {name: ...}`", |_, node| Ok(node));
    let spec =
        fields.required(reader, "spec", "`spec:`; an empty one is `spec: {}`", |_, node| Ok(node));
    let known = if kind == Kind::Target { TARGET_METADATA } else { METADATA };
    let metadata = metadata.and_then(|node| reader.fields(node, "`metadata`", known));
    let at = metadata.as_ref().map_or(root.at, |metadata| metadata.place("name"));
    let parts = Parts { metadata, spec };
    let resource = match kind {
        Kind::Environment => environment::environment(reader, &parts).map(Resource::Environment),
        Kind::Group => people::group(reader, &parts).map(Resource::Group),
        Kind::User => people::user(reader, &parts).map(Resource::User),
        Kind::Target => target::target(reader, &parts).map(Resource::Target),
        Kind::Role => role::role(reader, &parts).map(Resource::Role),
        Kind::RoleAssignment => people::assignment(reader, &parts).map(Resource::RoleAssignment),
        Kind::Policy => role::policy(reader, &parts).map(Resource::Policy),
        Kind::Invariant => invariant::invariant(reader, &parts).map(Resource::Invariant),
        Kind::SeparationOfDuties => {
            separation::separation(reader, &parts).map(Resource::SeparationOfDuties)
        }
    };
    resource.map(|resource| (resource, at))
}

/// What every kind has.
struct Parts<'n> {
    metadata: Read<Fields<'n>>,
    spec: Read<&'n Node>,
}

impl<'n> Parts<'n> {
    fn name<T>(&self, reader: &mut Reader<'_>) -> Read<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let metadata = self.metadata.as_ref().map_err(|noted| *noted)?;
        metadata.required(reader, "name", "`name:`", |r, node| r.parse(node))
    }

    fn spec(
        &self,
        reader: &mut Reader<'_>,
        owner: &'static str,
        known: &[&'static str],
    ) -> Read<Fields<'n>> {
        reader.fields(self.spec?, owner, known)
    }
}

fn kind(reader: &mut Reader<'_>, node: &Node) -> Read<Kind> {
    reader.one_of(node, "a kind of resource", &Kind::ALL.map(|kind| (kind.as_str(), kind)))
}

/// The name of another resource, which must exist.
fn reference<T>(kind: Kind) -> impl Fn(&mut Reader<'_>, &Node) -> Read<T>
where
    T: FromStr + AsRef<str>,
    T::Err: Display,
{
    move |reader, node| {
        let name: T = reader.parse(node)?;
        reader.mark(to(kind, &name), node.at);
        Ok(name)
    }
}

fn description(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    reader.line(node, MAX_DESCRIPTION_BYTES)
}

/// Label names and values, both text.
fn labels(reader: &mut Reader<'_>, node: &Node) -> Read<BTreeMap<String, String>> {
    let entries = reader.map(node, "labels")?;
    if entries.len() > MAX_LABELS {
        return Err(reader.note(node.at, format!("at most {MAX_LABELS} labels are allowed"), None));
    }
    let mut labels = BTreeMap::new();
    let mut outcome = Ok(());
    for (key, value) in entries {
        let value = reader.line(value, MAX_LABEL_BYTES);
        if !is_label_name(&key.text) {
            let message = format!("`{}` is not a label name", quoted(&key.text));
            let help =
                "use letters, digits, `-`, `_`, `.` and `/`, beginning with a letter or a digit";
            outcome = Err(reader.note(key.at, message, Some(help.into())));
            continue;
        }
        match value {
            Err(noted) => outcome = Err(noted),
            Ok(value) => {
                if labels.insert(key.text.clone(), value).is_some() {
                    let message = format!("the label `{}` is given twice", key.text);
                    outcome = Err(reader.note(key.at, message, Some("keep one of the two".into())));
                }
            }
        }
    }
    outcome.map(|()| labels)
}

fn is_label_name(text: &str) -> bool {
    text.len() <= MAX_LABEL_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

/// The name of a stored secret.
fn secret(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let text = match &node.value {
        Value::Text(text)
            if text.len() <= MAX_NAME_BYTES
                && text.starts_with(is_first)
                && text.chars().all(|c| is_first(c) || matches!(c, '-' | '_' | '.')) =>
        {
            text
        }
        _ => {
            // The secret itself may stand here by mistake: neither value nor line is repeated.
            let message = "this is not the name of a secret";
            let help = "store the secret apart and write the name it has there: lower case letters, digits, `-`, `_` and `.`, at most 63";
            return Err(reader.note_unshown(node.at, message, Some(help.into())));
        }
    };
    reader.mark(Link::Secret(text.clone()), node.at);
    Ok(text.clone())
}

/// Every spec's fields by kind, for the test that compares them with the schema.
#[cfg(test)]
pub(crate) const SPECS: &[(Kind, &[&str])] = &[
    (Kind::Environment, environment::SPEC),
    (Kind::Group, people::GROUP_SPEC),
    (Kind::User, people::USER_SPEC),
    (Kind::Target, target::SPEC),
    (Kind::Role, role::SPEC),
    (Kind::RoleAssignment, people::ASSIGNMENT_SPEC),
    (Kind::Policy, role::POLICY_SPEC),
    (Kind::Invariant, invariant::SPEC),
    (Kind::SeparationOfDuties, separation::SPEC),
];

/// The fields of what stands inside specs, by its name in the schema.
#[cfg(test)]
pub(crate) const PARTS: &[(&str, &[&str])] = &[
    ("Metadata", METADATA),
    ("TargetMetadata", TARGET_METADATA),
    ("ApprovalSpec", approval::APPROVAL),
    ("RequestsSpec", approval::REQUESTS),
    ("EscalationSpec", approval::ESCALATION),
    ("SecondFactorRule", environment::SECOND_FACTOR),
    ("RecordingsSpec", environment::RECORDINGS),
    ("SshSpec", target::SSH),
    ("SecretName", target::SECRET),
    ("PostgresSpec", postgres::POSTGRES),
    ("PostgresLoginSpec", postgres::LOGIN),
    ("RuleSpec", role::RULE),
    ("ConditionsSpec", conditions::CONDITIONS),
    ("FactorCondition", conditions::SECOND_FACTOR),
    ("WindowSpec", conditions::WINDOW),
    ("BreakGlassSpec", conditions::BREAK_GLASS),
    ("NeverSpec", invariant::NEVER),
    ("NeverPrincipal", invariant::PRINCIPAL),
    ("NeverResource", invariant::RESOURCE),
    ("ExceptionSpec", invariant::EXCEPTION),
];
