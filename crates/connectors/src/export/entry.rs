//! An entry as a receiver gets it. Pure.
//!
//! In: an entry's bytes, already opened for the receiver, with its place in the log. Out: one line
//! of canonical JSON: the OCSF event with `metadata.log_name` (the log's origin) and
//! `metadata.sequence` (its index), so that a receiver can tell a gap and a duplicate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_domain::canonical::to_canonical_json;
use serde_json::{Value, json};

/// OCSF severity of what carries none: Informational.
const INFORMATIONAL: u8 = 1;

/// One entry, ready to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Its index in the log.
    pub index: u64,
    /// One line of JSON, without a line feed.
    pub line: Vec<u8>,
    /// What filters and headers need of the event; nothing where the entry is none.
    pub event: Option<EventHeader>,
}

/// The head of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHeader {
    /// When, in milliseconds since 1970 (UTC).
    pub time_millis: i64,
    /// OCSF class.
    pub class_uid: u32,
    /// OCSF severity, 0 to 6 or 99.
    pub severity_id: u8,
    /// Our name of the activity (`metadata.event_code`).
    pub activity: String,
    /// The environment it happened in.
    pub environment: Option<String>,
}

/// Makes an entry one line for receivers of the log named `origin`. Whatever is no JSON object is
/// carried as the raw data of an OCSF Base Event: nothing is lost because it is not understood.
#[must_use]
pub fn for_receiver(origin: &str, index: u64, entry: &[u8]) -> Exported {
    let (mut event, header) = match serde_json::from_slice::<Value>(entry) {
        Ok(event) if event.is_object() => {
            let header = header(&event);
            (event, Some(header))
        }
        _ => (base_event(entry), None),
    };
    if let Some(event) = event.as_object_mut() {
        let metadata = event.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("log_name".into(), origin.into());
            metadata.insert("sequence".into(), index.into());
        }
    }
    Exported { index, line: to_canonical_json(&event), event: header }
}

fn header(event: &Value) -> EventHeader {
    let number = |pointer| event.pointer(pointer).and_then(Value::as_i64);
    let text = |pointer| event.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    EventHeader {
        time_millis: number("/time").unwrap_or(0),
        class_uid: number("/class_uid").and_then(|class| class.try_into().ok()).unwrap_or(0),
        severity_id: number("/severity_id")
            .and_then(|severity| severity.try_into().ok())
            .unwrap_or(INFORMATIONAL),
        activity: text("/metadata/event_code").unwrap_or_default(),
        environment: text("/unmapped/environment"),
    }
}

/// OCSF Base Event (class 0), activity Other.
fn base_event(entry: &[u8]) -> Value {
    json!({
        "activity_id": 99, "category_uid": 0, "class_uid": 0, "type_uid": 99,
        "severity_id": INFORMATIONAL, "time": 0,
        "metadata": {
            "product": {"name": "Portcullis", "vendor_name": "Portcullis"}, "version": "1.8.0",
        },
        "raw_data": STANDARD.encode(entry),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::audit::{Activity, Event};
    use portcullis_domain::{EnvironmentName, Timestamp};
    use proptest::prelude::*;

    #[test]
    fn an_event_keeps_what_it_says_and_learns_its_place() {
        let event = Event::new(Activity::Finding, Timestamp::from_millis(5))
            .environment(&EnvironmentName::new("production").unwrap())
            .detail("kind", "x");
        let exported = for_receiver("portcullis/gate", 7, &event.to_ocsf());
        let header = exported.event.unwrap();
        assert_eq!((header.class_uid, header.severity_id, header.time_millis), (2004, 4, 5));
        assert_eq!(header.activity, "finding");
        assert_eq!(header.environment.as_deref(), Some("production"));
        let mut value: Value = serde_json::from_slice(&exported.line).unwrap();
        let metadata = value["metadata"].as_object_mut().unwrap();
        assert_eq!(metadata.remove("sequence"), Some(7.into()));
        assert_eq!(metadata.remove("log_name"), Some("portcullis/gate".into()));
        assert_eq!(to_canonical_json(&value), event.to_ocsf(), "nothing else is changed");
    }

    proptest! {
        #[test]
        fn whatever_is_in_the_log_becomes_one_line_of_json(entry: Vec<u8>, index in 0u64..1 << 53) {
            let exported = for_receiver("log", index, &entry);
            prop_assert!(!exported.line.contains(&b'\n'));
            let value: Value = serde_json::from_slice(&exported.line).unwrap();
            prop_assert!(value.is_object());
        }
    }
}
