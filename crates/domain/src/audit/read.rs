//! Finding one's way in entries of the log, whatever their class and age.
//!
//! An entry (opened, or still sealed) flows in, texts in it flow out. Nothing here trusts that an
//! entry has the form this version would write: what is not there is `None`.

use std::net::IpAddr;

use serde_json::Value;

use super::personal::SOURCE_SEALED_AT;
use crate::time::Timestamp;

/// Puts a source address that was opened where it was sealed back to where OCSF has it.
pub fn restore(entry: &mut Value) {
    let is_address = |text: &&str| text.parse::<IpAddr>().is_ok();
    let found = entry.pointer(SOURCE_SEALED_AT).and_then(Value::as_str).filter(is_address);
    let Some(address) = found.map(str::to_owned) else { return };
    if let Some(endpoint) = entry.pointer_mut("/src_endpoint").and_then(Value::as_object_mut) {
        endpoint.remove("name");
        endpoint.insert("ip".into(), address.into());
    }
}

/// The reverse of [`restore`], before the address is sealed.
pub fn make_room(entry: &mut Value) {
    if let Some(endpoint) = entry.pointer_mut("/src_endpoint").and_then(Value::as_object_mut)
        && let Some(address) = endpoint.remove("ip")
    {
        endpoint.insert("name".into(), address);
    }
}

fn first<'a>(entry: &'a Value, places: &[&str]) -> Option<&'a str> {
    places.iter().find_map(|place| entry.pointer(place).and_then(Value::as_str))
}

/// The event's id.
pub fn id(entry: &Value) -> Option<&str> {
    first(entry, &["/metadata/uid"])
}

/// When it happened.
pub fn time(entry: &Value) -> Option<Timestamp> {
    entry.get("time").and_then(Value::as_i64).map(Timestamp::from_millis)
}

/// The activity, such as `session.open`.
pub fn activity(entry: &Value) -> Option<&str> {
    first(entry, &["/metadata/event_code"])
}

/// What was done or tried, such as `shell`.
pub fn action(entry: &Value) -> Option<&str> {
    first(entry, &["/unmapped/action"])
}

/// Whose doing it was.
pub fn actor(entry: &Value) -> Option<&str> {
    first(entry, &["/actor/user/name"])
}

/// Whom else it is about.
pub fn about(entry: &Value) -> Option<&str> {
    first(entry, &["/user/name", "/unmapped/of"])
}

/// From where.
pub fn source(entry: &Value) -> Option<&str> {
    first(entry, &["/src_endpoint/ip", SOURCE_SEALED_AT, "/unmapped/source"])
}

/// The target.
pub fn target(entry: &Value) -> Option<&str> {
    first(entry, &["/dst_endpoint/name", "/resources/0/name", "/unmapped/target"])
}

/// The environment.
pub fn environment(entry: &Value) -> Option<&str> {
    first(entry, &["/unmapped/environment"])
}

/// The session's id.
pub fn session(entry: &Value) -> Option<&str> {
    first(entry, &["/unmapped/session"])
}

/// `success`, `refused` or `failed`.
pub fn outcome(entry: &Value) -> &'static str {
    match entry.get("action_id").and_then(Value::as_i64) {
        Some(1) => "success",
        Some(2) => "refused",
        _ => "failed",
    }
}

/// Why it was refused or failed.
pub fn reason(entry: &Value) -> Option<&str> {
    first(entry, &["/status_detail"])
}
