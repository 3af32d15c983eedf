//! Syslog messages (RFC 5424) and their framing (RFC 5425, section 4.3). Pure.

use portcullis_domain::Timestamp;

use crate::export::{Batch, Exported};

/// Longest HOSTNAME (RFC 5424, section 6).
const MAX_HOSTNAME: usize = 255;
/// Longest APP-NAME.
const MAX_APP_NAME: usize = 48;
/// Longest MSGID.
const MAX_MSGID: usize = 32;
/// Facility 13, "log audit" (RFC 5424, section 6.2.1).
pub const LOG_AUDIT: u8 = 13;
/// Highest facility, `local7`.
pub const MAX_FACILITY: u8 = 23;

/// What a node's messages have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Facility, at most [`MAX_FACILITY`].
    pub facility: u8,
    /// HOSTNAME: the node.
    pub hostname: String,
    /// APP-NAME.
    pub app_name: String,
}

/// Severity (RFC 5424, section 6.2.1) of an OCSF severity.
fn severity(ocsf: u8) -> u8 {
    match ocsf {
        2 => 5,
        3 => 4,
        4 => 3,
        5 => 2,
        6 => 1,
        _ => 6,
    }
}

/// One message: no structured data (it needs a registered enterprise number), and the event's line
/// as MSG without a byte order mark, which receivers that parse JSON stumble over.
#[must_use]
pub fn message(header: &Header, entry: &Exported) -> Vec<u8> {
    let event = entry.event.as_ref();
    let level = severity(event.map_or(1, |event| event.severity_id));
    let priority = u16::from(header.facility.min(MAX_FACILITY)) * 8 + u16::from(level);
    let at = event.map(|event| event.time_millis).filter(|millis| *millis > 0);
    let at = at.map_or("-".to_owned(), |millis| timestamp(Timestamp::from_millis(millis)));
    let hostname = printable(&header.hostname, MAX_HOSTNAME);
    let app_name = printable(&header.app_name, MAX_APP_NAME);
    let id = printable(event.map_or("", |event| &event.activity), MAX_MSGID);
    let mut message = format!("<{priority}>1 {at} {hostname} {app_name} - {id} - ").into_bytes();
    message.extend_from_slice(&entry.line);
    message
}

/// TIMESTAMP: RFC 3339 with milliseconds. A year of five digits has none.
fn timestamp(at: Timestamp) -> String {
    let text = at.to_string();
    let plain = text.len() == "2026-11-22T17:00:00.000Z".len() && text.ends_with('Z');
    if plain { text } else { "-".into() }
}

/// PRINTUSASCII of at most `most` characters, or the NILVALUE.
fn printable(text: &str, most: usize) -> String {
    let shown: String =
        text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(most).collect();
    if shown.is_empty() { "-".into() } else { shown }
}

/// All messages of a batch, each behind its length in octets.
#[must_use]
pub fn frames(header: &Header, batch: &Batch) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(batch.bytes() + batch.entries.len() * 128);
    for entry in &batch.entries {
        let message = message(header, entry);
        bytes.extend_from_slice(message.len().to_string().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(&message);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::entry::for_receiver;
    use proptest::prelude::*;

    fn header() -> Header {
        Header { facility: LOG_AUDIT, hostname: "gate".into(), app_name: "portcullis".into() }
    }

    #[test]
    fn a_message_has_the_form_of_the_rfc() {
        let event =
            br#"{"severity_id":4,"time":1795000000000,"metadata":{"event_code":"session.open"}}"#;
        let entry = for_receiver("log", 3, event);
        let text = String::from_utf8(message(&header(), &entry)).unwrap();
        let (head, body) = text.split_once(" {").unwrap();
        assert_eq!(head, "<107>1 2026-11-18T11:06:40.000Z gate portcullis - session.open -");
        assert!(body.ends_with('}'));
    }

    #[test]
    fn what_has_no_time_or_name_gets_the_nil_value() {
        let entry = for_receiver("log", 3, b"no event");
        let nameless = Header { hostname: String::new(), ..header() };
        let text = String::from_utf8(message(&nameless, &entry)).unwrap();
        assert!(text.starts_with("<110>1 - - portcullis - - - {"), "{text}");
    }

    proptest! {
        /// A receiver that counts octets finds every message, and a header of seven fields in it.
        #[test]
        fn frames_are_read_back_whatever_is_in_the_log(
            entries in proptest::collection::vec(".*", 1..8),
            hostname in ".*", app_name in ".*", facility: u8,
        ) {
            let header = Header { facility, hostname, app_name };
            let mut batch = Batch::begin(0);
            for (index, text) in (0..).zip(&entries) {
                let event = serde_json::json!({
                    "metadata": {"event_code": text}, "time": i64::from(facility) * 1_000_000_000_000,
                });
                batch.entries.push(for_receiver("log", index, event.to_string().as_bytes()));
            }
            let bytes = frames(&header, &batch);
            let mut rest = bytes.as_slice();
            for entry in &batch.entries {
                let space = rest.iter().position(|b| *b == b' ').unwrap();
                let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
                let (message, more) = rest[space + 1..].split_at(length);
                rest = more;
                let fields: Vec<&[u8]> = message.splitn(8, |b| *b == b' ').collect();
                prop_assert_eq!(fields.len(), 8);
                prop_assert!(fields[..7].iter().all(|f| f.iter().all(u8::is_ascii_graphic)));
                prop_assert_eq!(fields[7], &entry.line[..]);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
