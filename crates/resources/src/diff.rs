//! What changes between two sets of resources, field by field, in the words of the YAML files.
//!
//! In: what is in force and what is wanted. Out: an ordered list for `plan` and for the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use portcullis_domain::{Resource, ResourceKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Document;

/// One resource that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which one.
    pub key: ResourceKey,
    /// How.
    pub kind: ChangeKind,
}

/// How a resource changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is there before and after, with different fields.
    Changed {
        /// The fields, in the order of their paths; never empty.
        fields: Vec<FieldChange>,
    },
    /// It is gone.
    Removed,
}

/// A field that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Where it stands in the document: `spec.ssh.port`, `spec.allow[0].actions`.
    pub path: String,
    /// What it was; `None` where it was not there.
    pub before: Option<Value>,
    /// What it becomes; `None` where it is left out.
    pub after: Option<Value>,
}

/// The changes from one set of resources to another, ordered by kind and name. Resources that stay
/// as they are do not appear.
pub fn diff(
    before: &BTreeMap<ResourceKey, Resource>,
    after: &BTreeMap<ResourceKey, Resource>,
) -> Vec<Change> {
    let keys: BTreeSet<&ResourceKey> = before.keys().chain(after.keys()).collect();
    let change = |key: &ResourceKey| {
        let kind = match (before.get(key), after.get(key)) {
            (None, Some(_)) => ChangeKind::Added,
            (Some(_), None) => ChangeKind::Removed,
            (Some(old), Some(new)) if old != new => {
                ChangeKind::Changed { fields: field_changes(old, new) }
            }
            _ => return None,
        };
        Some(Change { key: key.clone(), kind })
    };
    keys.into_iter().filter_map(change).collect()
}

fn field_changes(before: &Resource, after: &Resource) -> Vec<FieldChange> {
    let value = |resource| serde_json::to_value(Document::from(resource)).unwrap_or(Value::Null);
    let mut changes = Vec::new();
    compare(String::new(), Some(&value(before)), Some(&value(after)), &mut changes);
    changes
}

/// Goes into mappings, and into lists of mappings; a list of words changes as a whole.
fn compare(
    path: String,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<FieldChange>,
) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(path, old.get(name), new.get(name), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new)))
            if old.iter().chain(new).all(Value::is_object) =>
        {
            for index in 0..old.len().max(new.len()) {
                compare(format!("{path}[{index}]"), old.get(index), new.get(index), changes);
            }
        }
        (before, after) => {
            changes.push(FieldChange { path, before: before.cloned(), after: after.cloned() });
        }
    }
}

impl fmt::Display for FieldChange {
    /// `spec.ssh.port: 22 -> 2222`, the values as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{}: {before} -> {after}", self.path),
            (None, Some(after)) => write!(f, "{}: {after} (new)", self.path),
            (Some(before), None) => write!(f, "{}: {before} (removed)", self.path),
            (None, None) => f.write_str(&self.path),
        }
    }
}

impl fmt::Display for Change {
    /// `+ Group/leads`, `- User/bob`, or `~ Target/prod-web` with its fields below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ChangeKind::Added => write!(f, "+ {}", self.key),
            ChangeKind::Removed => write!(f, "- {}", self.key),
            ChangeKind::Changed { fields } => {
                write!(f, "~ {}", self.key)?;
                fields.iter().try_for_each(|field| write!(f, "\n    {field}"))
            }
        }
    }
}
