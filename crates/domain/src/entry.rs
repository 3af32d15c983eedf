//! Reading an entry of the audit log back: what a verifier must understand of it.
//!
//! Pure. Flows in: the bytes of an entry, unproved. Flows out: its event's id and time, and the key
//! it introduces. The rest of an entry is for people and for search.

use serde::Deserialize;

use crate::audit::{Activity, Event};
use crate::time::Timestamp;

/// What an introduction of a key of the log says it is about.
const LOG_KEY: &str = "log_key";
/// What it says happened.
const INTRODUCED: &str = "introduced";

/// Which event an entry says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryIdentity {
    /// The event's id.
    pub event: String,
    /// Its time.
    pub at: Timestamp,
}

#[derive(Deserialize)]
struct Read {
    time: i64,
    metadata: Metadata,
    unmapped: Option<Unmapped>,
}

#[derive(Deserialize)]
struct Metadata {
    uid: String,
    event_code: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Unmapped {
    what: Option<serde_json::Value>,
    state: Option<serde_json::Value>,
    vkey: Option<serde_json::Value>,
}

/// The event that introduces the next key of the log, a verifier key (vkey). It goes under a
/// checkpoint signed by the key in use.
#[must_use]
pub fn introduces_log_key(at: Timestamp, vkey: &str) -> Event {
    Event::new(Activity::KeyChange, at)
        .detail("what", LOG_KEY)
        .detail("state", INTRODUCED)
        .detail("vkey", vkey)
}

/// Which event the entry is; `None` where it is none.
#[must_use]
pub fn identity(entry: &[u8]) -> Option<EntryIdentity> {
    let read: Read = serde_json::from_slice(entry).ok()?;
    Some(EntryIdentity { event: read.metadata.uid, at: Timestamp::from_millis(read.time) })
}

/// The verifier key (vkey) of the log that the entry introduces; `None` for any other entry.
#[must_use]
pub fn introduced_log_key(entry: &[u8]) -> Option<String> {
    let read: Read = serde_json::from_slice(entry).ok()?;
    let details = read.unmapped?;
    let says = |value: &Option<serde_json::Value>, text: &str| {
        value.as_ref().and_then(|value| value.as_str()) == Some(text)
    };
    let introduces = read.metadata.event_code == Activity::KeyChange.as_str()
        && says(&details.what, LOG_KEY)
        && says(&details.state, INTRODUCED);
    let vkey = details.vkey.filter(|_| introduces)?;
    vkey.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_which_event_it_is() {
        let event = Event::new(Activity::Node, Timestamp::from_millis(1234));
        let found = identity(&event.to_ocsf()).unwrap();
        assert_eq!((found.event, found.at.as_millis()), (event.id.to_string(), 1234));
        assert_eq!(identity(b"{}"), None);
        assert_eq!(identity(b"\xff"), None);
    }

    #[test]
    fn only_an_introduction_introduces_a_key() {
        let at = Timestamp::from_millis(1);
        let entry = introduces_log_key(at, "portcullis/gate+1234+AAAA");
        assert_eq!(introduced_log_key(&entry.to_ocsf()).unwrap(), "portcullis/gate+1234+AAAA");
        let other = Event { activity: Activity::Authorize, ..entry.clone() };
        assert_eq!(introduced_log_key(&other.to_ocsf()), None);
        let done = entry.detail("state", "done");
        assert_eq!(introduced_log_key(&done.to_ocsf()), None);
        let plain = Event::new(Activity::KeyChange, at).detail("what", 7);
        assert_eq!(introduced_log_key(&plain.to_ocsf()), None);
    }
}
