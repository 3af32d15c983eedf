//! Signed notes (C2SP `signed-note`, as in Go's `sumdb/note`): text, a blank line, and one line
//! per signature. Ed25519 (type 0x01) is made and checked here; lines of other keys are kept.
//!
//! Knows nothing of what the text says; [`super::checkpoint`] does.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;

use super::merkle::sha256;

/// Bytes of the largest note read.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;
/// Signature lines read; the specification asks for at least 16.
pub const MAX_NOTE_SIGNATURES: usize = 100;
/// Signature type of Ed25519.
const ED25519: u8 = 0x01;
/// What a signature line begins with: an em dash and a space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a note, or a key for notes, is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoteError {
    /// The note is not text, a blank line and signature lines, or is too large.
    #[error("the note is malformed: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No line was made by the given key.
    #[error(
        "the note carries no signature by `{name}`; it may be another log's, or the key was rotated"
    )]
    Unsigned {
        /// The verifier's name.
        name: String,
    },
    /// There is a signature in that key's name, but the key did not make it.
    #[error("the signature by `{name}` does not fit the note")]
    BadSignature {
        /// The verifier's name.
        name: String,
    },
    /// The name cannot stand in a note.
    #[error(
        "`{name}` cannot name a key: use a name without spaces and plus signs, such as `gate.example.com/log`"
    )]
    BadName {
        /// What was given.
        name: String,
    },
    /// The text is not a verifier key.
    #[error("the verifier key is malformed: expected `name+id+key` as the gate prints it")]
    BadKey,
}

const fn malformed(reason: &'static str) -> NoteError {
    NoteError::Malformed { reason }
}

/// Identifies a key among those of one name: SHA-256(name, newline, type, public key), cut to
/// its first four bytes.
pub(super) fn key_id(name: &str, kind: u8, public: &[u8; 32]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", &[kind], public]);
    hash.0.first_chunk().copied().unwrap_or_default()
}

/// Reads `name+hex key id+base64(kind || public key)`, the "vkey" of a 32-byte key.
pub(super) fn read_vkey(text: &str, kind: u8) -> Result<(String, VerifyingKey), NoteError> {
    let (name, rest) = text.trim().split_once('+').ok_or(NoteError::BadKey)?;
    let (id, key) = rest.split_once('+').ok_or(NoteError::BadKey)?;
    check_name(name)?;
    let key = STANDARD.decode(key).map_err(|_| NoteError::BadKey)?;
    let public: [u8; 32] = match key.split_first() {
        Some((found, public)) if *found == kind => {
            public.try_into().map_err(|_| NoteError::BadKey)?
        }
        _ => return Err(NoteError::BadKey),
    };
    if hex::encode(key_id(name, kind, &public)) != id {
        return Err(NoteError::BadKey);
    }
    let key = VerifyingKey::from_bytes(&public).map_err(|_| NoteError::BadKey)?;
    Ok((name.to_owned(), key))
}

/// Writes what [`read_vkey`] reads.
pub(super) fn write_vkey(name: &str, kind: u8, public: &[u8; 32]) -> String {
    let id = hex::encode(key_id(name, kind, public));
    let typed: Vec<u8> = std::iter::once(kind).chain(public.iter().copied()).collect();
    format!("{name}+{id}+{}", STANDARD.encode(typed))
}

/// A signature line, newline included.
pub(super) fn signature_line(name: &str, id: [u8; 4], signature: &[u8]) -> String {
    let bytes: Vec<u8> = id.iter().chain(signature).copied().collect();
    format!("{SIGNATURE_PREFIX}{name} {}\n", STANDARD.encode(bytes))
}

pub(super) fn check_name(name: &str) -> Result<(), NoteError> {
    let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > 255 || name.contains(wrong) {
        return Err(NoteError::BadName { name: name.into() });
    }
    Ok(())
}

/// Signs notes as one name. The private key is not shown, not serialised, and wiped on drop.
pub struct NoteSigner {
    name: String,
    key: SigningKey,
    /// Keys being retired, which sign along: see [`NoteSigner::along_with`].
    retiring: Vec<SigningKey>,
}

impl NoteSigner {
    /// A signer from its name and the Ed25519 seed (RFC 8032 section 5.1.5), 32 random bytes.
    ///
    /// # Errors
    /// [`NoteError::BadName`].
    pub fn new(name: impl Into<String>, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let name = name.into();
        check_name(&name)?;
        Ok(Self { name, key: SigningKey::from_bytes(seed), retiring: Vec::new() })
    }

    /// Has another key of the same name, given by its seed, sign along: while a key is rotated,
    /// whoever knows only one of both still finds a signature.
    #[must_use]
    pub fn along_with(mut self, seed: &[u8; 32]) -> Self {
        self.retiring.push(SigningKey::from_bytes(seed));
        self
    }

    /// The name signed as; a log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What checks this signer's notes.
    #[must_use]
    pub fn verifier(&self) -> NoteVerifier {
        NoteVerifier { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// Signs `text`, which must end in a newline and hold no control character besides.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        check_text(text)?;
        let lines = std::iter::once(&self.key).chain(&self.retiring).map(|key| {
            let id = key_id(&self.name, ED25519, &key.verifying_key().to_bytes());
            signature_line(&self.name, id, &key.sign(text.as_bytes()).to_bytes())
        });
        Ok(format!("{text}\n{}", lines.collect::<String>()))
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteSigner").field("name", &self.name).field("key", &"[redacted]").finish()
    }
}

/// Checks notes by one key; its text form is the "vkey" of Go's `sumdb/note`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    key: VerifyingKey,
}

impl NoteVerifier {
    /// Reads `name+hex key id+base64(0x01 || public key)`.
    ///
    /// # Errors
    /// [`NoteError::BadKey`], [`NoteError::BadName`].
    pub fn from_vkey(text: &str) -> Result<Self, NoteError> {
        let (name, key) = read_vkey(text, ED25519)?;
        Ok(Self { name, key })
    }

    /// Writes what [`NoteVerifier::from_vkey`] reads.
    #[must_use]
    pub fn to_vkey(&self) -> String {
        write_vkey(&self.name, ED25519, &self.key.to_bytes())
    }

    /// The key's name; a log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks the note and returns its text. Signatures by other keys are ignored; one in this
    /// key's name and id that does not fit spoils the note.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`], [`NoteError::BadSignature`].
    pub fn open<'a>(&self, note: &Note<'a>) -> Result<&'a str, NoteError> {
        let id = key_id(&self.name, ED25519, &self.key.to_bytes());
        let name = || self.name.clone();
        let line = note
            .signatures
            .iter()
            .find(|line| line.name == self.name && line.key_id == id)
            .ok_or_else(|| NoteError::Unsigned { name: name() })?;
        Signature::from_slice(&line.signature)
            .ok()
            .filter(|signature| {
                let text = note.text.as_bytes();
                self.key.verify_strict(text, signature).is_ok()
            })
            .map(|_| note.text)
            .ok_or_else(|| NoteError::BadSignature { name: name() })
    }
}

/// One signature line, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The signer's name.
    pub name: String,
    /// Identifies its key and type.
    pub key_id: [u8; 4],
    /// The signature itself, in its type's format.
    pub signature: Vec<u8>,
}

/// A note taken apart. Nothing in it may be believed before [`NoteVerifier::open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<NoteSignature>,
}

impl<'a> Note<'a> {
    /// Takes a note apart.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(malformed("it is larger than 64 KiB"));
        }
        let all = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        // The text ends at the last blank line: it may hold blank lines itself.
        let end = all
            .rfind("\n\n")
            .ok_or_else(|| malformed("there is no blank line before the signatures"))?;
        let (text, lines) = all
            .split_at_checked(end + 1)
            .ok_or_else(|| malformed("there is no blank line before the signatures"))?;
        check_text(text)?;
        let lines = lines.strip_prefix('\n').unwrap_or(lines);
        let lines =
            lines.strip_suffix('\n').ok_or_else(|| malformed("it does not end in a newline"))?;
        if lines.split('\n').count() > MAX_NOTE_SIGNATURES {
            return Err(malformed("it has more than 100 signatures"));
        }
        let signatures = lines
            .split('\n')
            .map(|line| {
                parse_signature(line)
                    .ok_or_else(|| malformed("a signature line is not `\u{2014} name base64`"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { text, signatures })
    }

    /// The text, unchecked.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The signature lines, unchecked.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

/// Adds signature lines to a note, unchecked and each once; what is no line of a signature is an
/// error, and so is a note that grows beyond its bounds.
///
/// # Errors
/// [`NoteError::Malformed`].
pub fn add_signatures(note: &[u8], lines: &str) -> Result<Vec<u8>, NoteError> {
    let mut whole = note.to_vec();
    let known: Vec<&[u8]> = note.split_inclusive(|byte| *byte == b'\n').collect();
    for line in lines.split_inclusive('\n') {
        if !known.contains(&line.as_bytes()) {
            whole.extend_from_slice(line.as_bytes());
        }
    }
    Note::parse(&whole)?;
    Ok(whole)
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(malformed("its text does not end in a newline"));
    }
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(malformed("its text has control characters"));
    }
    Ok(())
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, signature) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    check_name(name).ok()?;
    let signature = STANDARD.decode(signature).ok()?;
    let (key_id, signature) = signature.split_first_chunk::<4>()?;
    (!signature.is_empty()).then(|| NoteSignature {
        name: name.into(),
        key_id: *key_id,
        signature: signature.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Go's `golang.org/x/mod/sumdb/note` package documentation.
    const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer() -> NoteSigner {
        NoteSigner::new("example.com/log", &[7; 32]).unwrap()
    }

    #[test]
    fn a_note_signed_by_go_is_accepted() {
        let verifier = NoteVerifier::from_vkey(VKEY).unwrap();
        assert_eq!(verifier.to_vkey(), VKEY);
        let text = verifier.open(&Note::parse(NOTE.as_bytes()).unwrap()).unwrap().to_owned();
        assert!(text.starts_with("If you think") && text.ends_with("is.\n"));
    }

    #[test]
    fn a_note_changed_anywhere_is_refused() {
        let verifier = NoteVerifier::from_vkey(VKEY).unwrap();
        for at in 0..NOTE.len() {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1;
            let opened =
                Note::parse(&bytes).and_then(|note| verifier.open(&note).map(str::to_owned));
            assert!(opened.is_err(), "byte {at}");
        }
    }

    #[test]
    fn other_signatures_are_ignored_and_a_false_one_in_our_name_is_not() {
        let (ours, verifier) = (signer(), signer().verifier());
        let other = NoteSigner::new("example.com/witness", &[8; 32]).unwrap();
        let (a, b) = (ours.sign("text\n").unwrap(), other.sign("text\n").unwrap());
        let line = |note: &str| note.lines().last().unwrap().to_owned();
        let both = format!("text\n\n{}\n{}\n", line(&b), line(&a));
        assert_eq!(verifier.open(&Note::parse(both.as_bytes()).unwrap()), Ok("text\n"));
        assert!(matches!(
            verifier.open(&Note::parse(b.as_bytes()).unwrap()),
            Err(NoteError::Unsigned { .. })
        ));
        let lie = format!("other\n\n{}\n", line(&a));
        assert!(matches!(
            verifier.open(&Note::parse(lie.as_bytes()).unwrap()),
            Err(NoteError::BadSignature { .. })
        ));
    }

    #[test]
    fn names_and_texts_that_would_forge_a_line_are_refused() {
        for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b"] {
            assert!(NoteSigner::new(name, &[1; 32]).is_err(), "`{name}`");
        }
        for text in ["", "no newline", "bell\u{7}\n"] {
            assert!(signer().sign(text).is_err(), "`{text}`");
        }
    }

    #[test]
    fn a_vkey_with_the_wrong_id_is_refused() {
        let vkey = signer().verifier().to_vkey();
        assert_eq!(NoteVerifier::from_vkey(&vkey).unwrap().to_vkey(), vkey);
        assert_eq!(
            NoteVerifier::from_vkey(&vkey.replace("example.com/log", "example.com/lug")),
            Err(NoteError::BadKey)
        );
    }

    #[test]
    fn keys_that_sign_along_are_each_enough() {
        let both = signer().along_with(&[8; 32]);
        let note = both.sign("text\n").unwrap();
        let old = NoteSigner::new("example.com/log", &[8; 32]).unwrap().verifier();
        let parsed = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(parsed.signatures().len(), 2);
        assert_eq!(old.open(&parsed), Ok("text\n"));
        assert_eq!(both.verifier().open(&parsed), Ok("text\n"));
        let alone = signer().sign("text\n").unwrap();
        let more = note.strip_prefix(alone.as_str()).unwrap();
        assert_eq!(add_signatures(alone.as_bytes(), more).unwrap(), note.as_bytes());
        assert_eq!(add_signatures(note.as_bytes(), more).unwrap(), note.as_bytes());
        assert!(add_signatures(alone.as_bytes(), "more text\n").is_err());
    }

    #[test]
    fn the_private_key_is_not_shown() {
        assert!(format!("{:?}", signer()).contains("redacted"));
    }
}
