//! Every activity with every outcome is a valid event of its OCSF class: nothing required is
//! missing, nothing unknown is there, every value is of its type and one of those allowed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reports by panicking"
)]

use portcullis_domain::audit::{Activity, Event, Outcome, read};
use portcullis_domain::{SessionId, Timestamp};
use serde_json::{Map, Value};

const SCHEMA: &str = include_str!("ocsf/schema.json");
const AT: Timestamp = Timestamp::from_millis(1_795_000_000_000);

#[test]
fn every_activity_with_every_outcome_is_a_valid_event_of_its_class() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for activity in Activity::ALL {
        for outcome in outcomes() {
            for event in events(activity, &outcome) {
                check(&schema, &event.to_entry().value);
                check(&schema, &as_sealed(&event));
            }
        }
    }
}

#[test]
fn established_tampering_is_an_incident_and_any_other_finding_a_detection() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let classes = [
        ("log_forked", 2005),
        ("log_rolled_back", 2005),
        ("log_damaged", 2005),
        ("recording_damaged", 2005),
        ("recording_missing", 2005),
        ("witness_lied", 2004),
        ("cosignature_stale", 2004),
        ("clock_jumped", 2004),
        ("host_key_changed", 2004),
    ];
    for (finding, class) in classes {
        for outcome in outcomes() {
            for event in events(Activity::Finding, &outcome) {
                let event = event.detail("finding", finding);
                assert_eq!(event.to_entry().value["class_uid"], class, "{finding}");
                check(&schema, &event.to_entry().value);
                check(&schema, &as_sealed(&event));
            }
        }
    }
}

#[test]
fn what_is_not_valid_is_found() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let good = events(Activity::Authorize, &Outcome::Success).remove(1).to_entry().value;
    let broken: [fn(&mut Value); 6] = [
        |event| event["type_uid"] = 1.into(),
        |event| event["severity_id"] = 42.into(),
        |event| event["src_endpoint"]["ip"] = "sealed:v1:sub-1:AAAA".into(),
        |event| drop(event.as_object_mut().unwrap().remove("user")),
        |event| event["made_up"] = true.into(),
        |event| event["time"] = "yesterday".into(),
    ];
    for (number, break_it) in broken.into_iter().enumerate() {
        let mut event = good.clone();
        break_it(&mut event);
        assert!(!problems(&schema, &event).is_empty(), "change {number} goes unnoticed");
    }
}

fn outcomes() -> [Outcome; 3] {
    [Outcome::Success, Outcome::Refused("no role".into()), Outcome::Failed("lost".into())]
}

/// An event that knows nothing, and one that knows everything.
fn events(activity: Activity, outcome: &Outcome) -> Vec<Event> {
    let bare = Event::new(activity, AT).outcome(outcome.clone());
    let full = bare
        .clone()
        .user(&"alice".parse().unwrap())
        .person("of", &"bob".parse().unwrap())
        .source("2001:db8::7".parse().unwrap())
        .target(&"web-1".parse().unwrap())
        .environment(&"production".parse().unwrap())
        .session(SessionId::generate(AT))
        .detail("action", "exec")
        .detail("object", "ls -l")
        .detail("state", "started")
        .detail("bytes", 7);
    vec![bare, full]
}

/// As the entry is stored: every personal field a sealed text.
fn as_sealed(event: &Event) -> Value {
    let mut entry = event.to_entry();
    read::make_room(&mut entry.value);
    for personal in &entry.personal {
        let field = entry.value.pointer_mut(&personal.place);
        *field.unwrap_or_else(|| panic!("no {}", personal.place)) = "sealed:v1:sub-1:AAAA".into();
    }
    entry.value
}

fn check(schema: &Value, event: &Value) {
    let problems = problems(schema, event);
    assert!(problems.is_empty(), "{problems:#?}\n{event:#}");
}

fn problems(schema: &Value, event: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let classes = schema["classes"].as_object().unwrap();
    let Some(class) = classes.values().find(|class| class["uid"] == event["class_uid"]) else {
        return vec!["unknown class".into()];
    };
    if event["category_uid"] != class["category"] {
        found.push("category_uid".into());
    }
    let number = |name: &str| event[name].as_u64().unwrap_or_default();
    if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
        found.push("type_uid".into());
    }
    let mut attributes = class["attributes"].as_object().unwrap().clone();
    for profile in event["metadata"]["profiles"].as_array().unwrap() {
        let more = schema["profiles"][profile.as_str().unwrap()].as_object().unwrap();
        for (name, rule) in more {
            attributes.entry(name).or_insert(rule.clone());
        }
    }
    object(schema, &attributes, &class["constraints"], event, "", &mut found);
    found
}

fn object(
    schema: &Value,
    attributes: &Map<String, Value>,
    constraints: &Value,
    value: &Value,
    place: &str,
    found: &mut Vec<String>,
) {
    let Some(map) = value.as_object() else {
        found.push(format!("{place} is no object"));
        return;
    };
    for (name, rule) in attributes {
        if rule["r"] == "required" && !map.contains_key(name) {
            found.push(format!("{place}/{name} is required"));
        }
    }
    let present = |names: &Value| {
        let names = names.as_array().unwrap().iter();
        names.filter(|name| map.contains_key(name.as_str().unwrap())).count()
    };
    if constraints["at_least_one"].is_array() && present(&constraints["at_least_one"]) == 0 {
        found.push(format!("{place} needs one of {}", constraints["at_least_one"]));
    }
    if constraints["just_one"].is_array() && present(&constraints["just_one"]) != 1 {
        found.push(format!("{place} needs just one of {}", constraints["just_one"]));
    }
    for (name, value) in map {
        let place = format!("{place}/{name}");
        let Some(rule) = attributes.get(name) else {
            found.push(format!("{place} is unknown"));
            continue;
        };
        match (rule["a"] == true, value) {
            (true, Value::Array(items)) => {
                items.iter().for_each(|item| attribute(schema, rule, item, &place, found));
            }
            (false, value) => attribute(schema, rule, value, &place, found),
            _ => found.push(format!("{place} is no array")),
        }
    }
}

fn attribute(schema: &Value, rule: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let kind = rule["t"].as_str().unwrap();
    if let Some(allowed) = rule["e"].as_array() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if !allowed.iter().any(|one| one == text.as_str()) {
            found.push(format!("{place} may not be {value}"));
        }
    }
    let fits = match kind {
        "object" => value.is_object(),
        "integer_t" | "long_t" | "timestamp_t" | "port_t" => value.is_i64() || value.is_u64(),
        "boolean_t" => value.is_boolean(),
        "ip_t" => value.as_str().is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok()),
        text if text.ends_with("_t") => value.is_string(),
        other => {
            let Some(kind) = schema["objects"].get(other) else {
                found.push(format!("{place}: the object `{other}` is not in the tests' schema"));
                return;
            };
            let attributes = kind["attributes"].as_object().unwrap();
            object(schema, attributes, &kind["constraints"], value, place, found);
            true
        }
    };
    if !fits {
        found.push(format!("{place} is no {kind}: {value}"));
    }
}
