//! The published schema and the reference are what the program does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is surprised"
)]

use portcullis_domain::{Facts, Kind};
use portcullis_resources::{check_references, parse, schema, to_yaml};
use serde_json::Value;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/resources.schema.json");
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/resources.md");

#[test]
fn the_published_schema_is_the_one_the_program_prints() {
    let printed = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(SCHEMA, &printed).unwrap();
    }
    let published = std::fs::read_to_string(SCHEMA).unwrap_or_default();
    assert_eq!(published, printed, "run this test with UPDATE_SCHEMA=1 and review the difference");
}

#[test]
fn the_schema_refuses_unknown_fields_everywhere_and_describes_every_field() {
    visit("", &schema());
}

/// Every object schema with properties is closed, and each property says what it is.
fn visit(path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                assert_eq!(map.get("additionalProperties"), Some(&Value::Bool(false)), "{path}");
                let whole = properties.len() == 1 && map.contains_key("description");
                for (name, property) in properties {
                    let told = whole
                        || property.get("description").is_some()
                        || property.get("const").is_some();
                    assert!(told, "{path}/{name} has no description");
                }
            }
            map.iter().for_each(|(name, inner)| visit(&format!("{path}/{name}"), inner));
        }
        Value::Array(items) => items.iter().for_each(|item| visit(path, item)),
        _ => {}
    }
}

/// The YAML blocks of the reference, each with the line it begins on.
fn examples() -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(REFERENCE).unwrap();
    let mut examples = Vec::new();
    let mut current: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut current, line) {
            (None, "```yaml") => current = Some((number + 2, String::new())),
            (Some(_), "```") => examples.extend(current.take()),
            (Some((_, example)), line) => {
                example.push_str(line);
                example.push('\n');
            }
            _ => {}
        }
    }
    examples
}

#[test]
fn every_example_of_the_reference_is_accepted_and_the_references_hold() {
    let files: Vec<(String, String)> = examples()
        .into_iter()
        .map(|(line, text)| (format!("docs/resources.md, block at line {line}"), text))
        .collect();
    let resources = parse(&files).unwrap_or_else(|problems| panic!("{}", problems[0]));
    let problems = check_references(&resources, &Facts::default());
    assert!(problems.is_empty(), "{}", problems[0]);
    for kind in Kind::ALL {
        assert!(resources.iter().any(|r| r.value.key().kind == kind), "no example of {kind}");
    }
    for resource in resources {
        let yaml = to_yaml(&resource.value);
        assert_eq!(parse(&[("f", yaml)]).unwrap()[0].value, resource.value);
    }
}

#[test]
fn the_reference_names_every_field_of_the_schema() {
    let text = std::fs::read_to_string(REFERENCE).unwrap();
    let mut names = Vec::new();
    property_names(&schema(), &mut names);
    for name in names {
        assert!(text.contains(&format!("`{name}`")), "`{name}` is not in docs/resources.md");
    }
}

fn property_names(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                names.extend(properties.keys().cloned());
            }
            map.values().for_each(|inner| property_names(inner, names));
        }
        Value::Array(items) => items.iter().for_each(|item| property_names(item, names)),
        _ => {}
    }
}
