//! Personal fields of entries, sealed under a key per person before the entry is hashed.
//!
//! Flows in: an entry (a JSON object), the places in it that are personal, and a key for each.
//! Flows out: the entry with those fields as texts `sealed:v1:PSEUDONYM:...`, and back again.
//! Destroying a key erases what it sealed; hashes and proofs are over the sealed text and do not
//! change. Never knows whose pseudonym is whose, nor where keys are kept.
//!
//! AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces: one key may seal 2^32 fields, which
//! is a thousand fields a second for seven weeks without a pause, by one person.
//!
//! INVARIANT: pseudonym, event id and place are authenticated with the value, so that a sealed
//! text copied to another field, event or person does not open.

use std::collections::BTreeSet;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use thiserror::Error;
use zeroize::Zeroizing;

/// What every sealed field begins with.
pub const MARK: &str = "sealed:v1:";
/// What a field reads as once its key is destroyed.
pub const ERASED: &str = "erased";
/// What a field reads as that does not open under its key: it was altered, or moved here.
pub const UNREADABLE: &str = "unreadable";
/// Bytes of a subject's key.
pub const KEY_BYTES: usize = 32;
/// Where an entry has its event id.
const EVENT_ID: &str = "/metadata/uid";
/// Longest pseudonym, in bytes.
const MAX_PSEUDONYM_BYTES: usize = 64;
/// Deepest nesting looked at when an entry is opened; deeper fields stay as they are.
const MAX_DEPTH: usize = 16;

/// Why a field was not sealed. The entry must not be written then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealError {
    /// There is nothing at that place, or the entry has no event id.
    #[error("the entry has nothing to seal at `{place}`")]
    NoField {
        /// The JSON pointer (RFC 6901).
        place: String,
    },
    /// The cipher or its randomness failed.
    #[error("the cipher failed")]
    Cipher,
}

/// The key of one subject.
pub struct SubjectKey(RandomizedNonceKey);

impl SubjectKey {
    /// From its bytes.
    ///
    /// # Errors
    /// [`SealError::Cipher`] for a wrong length.
    pub fn new(bytes: &[u8]) -> Result<Self, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, bytes).map(Self).map_err(|_| SealError::Cipher)
    }
}

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectKey(..)")
    }
}

/// What is known of a pseudonym's key when an entry is opened.
#[derive(Debug, Clone, Copy)]
pub enum KeyState<'a> {
    /// Here it is.
    Known(&'a SubjectKey),
    /// It was destroyed.
    Erased,
    /// It is not at hand: the field stays sealed.
    Unknown,
}

/// Seals the field at `place` (a JSON pointer) for the subject called `pseudonym`.
///
/// # Errors
/// [`SealError`]; the entry is then as it was.
pub fn seal_field(
    entry: &mut Value,
    place: &str,
    pseudonym: &str,
    key: &SubjectKey,
) -> Result<(), SealError> {
    let no_field = || SealError::NoField { place: place.to_owned() };
    let event = event_id(entry).ok_or_else(no_field)?;
    let field = entry.pointer_mut(place).ok_or_else(no_field)?;
    let mut text = Zeroizing::new(field.to_string().into_bytes());
    let about = authenticated(pseudonym, &event, place);
    let nonce = key
        .0
        .seal_in_place_append_tag(Aad::from(&about), &mut *text)
        .map_err(|_| SealError::Cipher)?;
    let mut body = nonce.as_ref().to_vec();
    body.extend_from_slice(&text);
    *field = Value::String(format!("{MARK}{pseudonym}:{}", URL_SAFE_NO_PAD.encode(body)));
    Ok(())
}

/// The pseudonyms whose keys are needed to read this entry.
#[must_use]
pub fn pseudonyms(entry: &Value) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    collect(entry, MAX_DEPTH, &mut found);
    found
}

/// Opens every sealed field whose key is known.
pub fn open_entry<'a>(entry: &mut Value, keys: &impl Fn(&str) -> KeyState<'a>) {
    let Some(event) = event_id(entry) else { return };
    open(entry, &mut String::new(), MAX_DEPTH, &event, keys);
}

fn event_id(entry: &Value) -> Option<String> {
    entry.pointer(EVENT_ID).and_then(Value::as_str).map(str::to_owned)
}

/// Pseudonym and body of a sealed text.
fn parse(text: &str) -> Option<(&str, &str)> {
    let (pseudonym, body) = text.strip_prefix(MARK)?.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let known =
        (1..=MAX_PSEUDONYM_BYTES).contains(&pseudonym.len()) && pseudonym.bytes().all(plain);
    known.then_some((pseudonym, body))
}

fn collect<'a>(value: &'a Value, depth: usize, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::String(text) => found.extend(parse(text).map(|(pseudonym, _)| pseudonym)),
        Value::Object(map) if depth > 0 => {
            map.values().for_each(|value| collect(value, depth - 1, found));
        }
        Value::Array(items) if depth > 0 => {
            items.iter().for_each(|value| collect(value, depth - 1, found));
        }
        _ => {}
    }
}

fn open<'a>(
    value: &mut Value,
    place: &mut String,
    depth: usize,
    event: &str,
    keys: &impl Fn(&str) -> KeyState<'a>,
) {
    let length = place.len();
    match value {
        Value::String(text) => {
            let Some((pseudonym, body)) = parse(text) else { return };
            let opened = match keys(pseudonym) {
                KeyState::Unknown => return,
                KeyState::Erased => Value::String(ERASED.into()),
                KeyState::Known(key) => {
                    open_text(key, body, &authenticated(pseudonym, event, place))
                        .unwrap_or_else(|| Value::String(UNREADABLE.into()))
                }
            };
            *value = opened;
        }
        Value::Object(map) if depth > 0 => {
            for (name, value) in map {
                place.push('/');
                place.push_str(&name.replace('~', "~0").replace('/', "~1"));
                open(value, place, depth - 1, event, keys);
                place.truncate(length);
            }
        }
        Value::Array(items) if depth > 0 => {
            for (index, value) in items.iter_mut().enumerate() {
                place.push('/');
                place.push_str(&index.to_string());
                open(value, place, depth - 1, event, keys);
                place.truncate(length);
            }
        }
        _ => {}
    }
}

fn open_text(key: &SubjectKey, body: &str, about: &[u8]) -> Option<Value> {
    let mut body = URL_SAFE_NO_PAD.decode(body).ok()?;
    let (nonce, text) = body.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let text = key.0.open_in_place(nonce, Aad::from(about), text).ok()?;
    serde_json::from_slice(text).ok()
}

/// Every part with its length before it, so that no two places have the same bytes.
fn authenticated(pseudonym: &str, event: &str, place: &str) -> Vec<u8> {
    let mut bytes = b"portcullis sealed field v1".to_vec();
    for part in [pseudonym, event, place] {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn entry() -> Value {
        json!({
            "metadata": {"uid": "evt-1"},
            "actor": {"user": {"name": "alice"}},
            "unmapped": {"a/b": ["x", {"deep": "y"}], "command": "ls"},
        })
    }

    fn key(byte: u8) -> SubjectKey {
        SubjectKey::new(&[byte; KEY_BYTES]).unwrap()
    }

    #[test]
    fn a_sealed_entry_opens_to_what_it_was_and_shows_nothing_before() {
        let (mut sealed, alice) = (entry(), key(1));
        for place in ["/actor/user/name", "/unmapped/command", "/unmapped/a~1b/1/deep"] {
            seal_field(&mut sealed, place, "sub-1", &alice).unwrap();
        }
        let text = sealed.to_string();
        assert!(!text.contains("alice") && !text.contains("\"ls\""), "{text}");
        assert_eq!(pseudonyms(&sealed), BTreeSet::from(["sub-1"]));
        open_entry(&mut sealed, &|_| KeyState::Known(&alice));
        assert_eq!(sealed, entry());
    }

    #[test]
    fn an_erased_field_says_so_and_the_rest_stays() {
        let mut sealed = entry();
        seal_field(&mut sealed, "/actor/user/name", "sub-1", &key(1)).unwrap();
        open_entry(&mut sealed, &|_| KeyState::Erased);
        assert_eq!(sealed["actor"]["user"]["name"], ERASED);
        assert_eq!(sealed["unmapped"], entry()["unmapped"]);
    }

    #[test]
    fn a_field_moved_to_another_place_event_or_person_is_unreadable() {
        let alice = key(1);
        let mut sealed = entry();
        seal_field(&mut sealed, "/actor/user/name", "sub-1", &alice).unwrap();
        let text = sealed["actor"]["user"]["name"].as_str().unwrap().to_owned();
        let other_person = text.replace("sub-1", "sub-2");
        for (place, event, text) in [
            ("/unmapped/command", "evt-1", &text),
            ("/actor/user/name", "evt-2", &text),
            ("/actor/user/name", "evt-1", &other_person),
        ] {
            let mut moved = entry();
            moved["metadata"]["uid"] = event.into();
            *moved.pointer_mut(place).unwrap() = text.as_str().into();
            open_entry(&mut moved, &|_| KeyState::Known(&alice));
            assert_eq!(moved.pointer(place).unwrap(), UNREADABLE, "{place} {event}");
        }
    }

    #[test]
    fn what_only_looks_sealed_stays_and_what_is_missing_is_not_sealed() {
        for text in ["sealed:v1:", "sealed:v1:a b:c", "sealed:v1:sub-1", "sealed:v2:sub-1:AA"] {
            let mut value = entry();
            value["unmapped"]["command"] = text.into();
            let before = value.clone();
            open_entry(&mut value, &|_| KeyState::Erased);
            assert_eq!(value, before);
        }
        let missing = seal_field(&mut entry(), "/nowhere", "sub-1", &key(1));
        assert!(matches!(missing, Err(SealError::NoField { .. })));
    }

    proptest! {
        #[test]
        fn any_value_comes_back_and_any_altered_byte_is_noticed(text in ".{0,200}", flip in 0_usize..400) {
            let alice = key(1);
            let mut sealed = entry();
            sealed["unmapped"]["command"] = text.clone().into();
            seal_field(&mut sealed, "/unmapped/command", "sub-1", &alice).unwrap();
            let mut opened = sealed.clone();
            open_entry(&mut opened, &|_| KeyState::Known(&alice));
            prop_assert_eq!(opened["unmapped"]["command"].as_str(), Some(text.as_str()));
            let mut bytes = sealed["unmapped"]["command"].as_str().unwrap().as_bytes().to_vec();
            let start = MARK.len() + "sub-1:".len();
            let at = start + flip % (bytes.len() - start);
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            sealed["unmapped"]["command"] = String::from_utf8(bytes).unwrap().into();
            open_entry(&mut sealed, &|_| KeyState::Known(&alice));
            prop_assert_eq!(sealed["unmapped"]["command"].as_str(), Some(UNREADABLE));
        }
    }
}
