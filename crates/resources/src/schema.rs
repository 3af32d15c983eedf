//! The JSON Schema of one document, for editors and reviewers. It says what can be said about one
//! document alone; `parse` and `check_references` are stricter.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::document::Document;

/// JSON Schema (draft 2020-12) of one document, with the descriptions an editor shows.
pub fn schema() -> Value {
    tidied(schemars::schema_for!(Document).to_value())
}

/// A field that may be left out is not a field that may be null: `parse` refuses an empty value,
/// and so does the schema. Descriptions become one line.
fn tidied(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: Map<String, Value> =
                map.into_iter().map(|(name, inner)| (name, tidied(inner))).collect();
            without_null_type(&mut map);
            without_null_alternative(&mut map);
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            // Sorted here: whether the JSON library keeps the order of keys depends on what else is
            // compiled with it.
            let sorted: BTreeMap<String, Value> = map.into_iter().collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(tidied).collect()),
        other => other,
    }
}

/// `["string", "null"]` becomes `"string"`.
fn without_null_type(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".into(), only);
        }
    }
}

/// `anyOf: [X, null]` becomes X.
fn without_null_alternative(map: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = map.get_mut("anyOf") else { return };
    alternatives.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(only)] = alternatives.as_slice() {
        let only = only.clone();
        map.remove("anyOf");
        map.extend(only);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decode;

    /// The fields of an object schema, behind a reference or not.
    fn fields<'s>(root: &'s Value, at: &'s Value) -> BTreeSet<&'s str> {
        let at = match at.get("$ref").and_then(Value::as_str) {
            Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
            None => at,
        };
        at["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn known(fields: &[&'static str]) -> BTreeSet<&'static str> {
        fields.iter().copied().collect()
    }

    #[test]
    fn the_schema_has_the_fields_the_reader_reads() {
        let root = schema();
        let documents = root["oneOf"].as_array().unwrap();
        assert_eq!(documents.len(), decode::SPECS.len());
        for (kind, spec) in decode::SPECS {
            let document = documents
                .iter()
                .find(|document| document["properties"]["kind"]["const"] == kind.as_str())
                .unwrap();
            assert_eq!(fields(&root, document), known(decode::DOCUMENT), "{kind}");
            assert_eq!(fields(&root, &document["properties"]["spec"]), known(spec), "{kind}");
        }
        for (name, expected) in decode::PARTS {
            assert_eq!(fields(&root, &root["$defs"][*name]), known(expected), "{name}");
        }
    }

    #[test]
    fn no_field_may_be_null() {
        assert!(!schema().to_string().contains("null"));
    }
}
