//! Cosignatures (C2SP `tlog-cosignature`, Ed25519): what a witness says of a checkpoint, at a time.
//!
//! Pure: the time is a parameter. Flows in: a checkpoint's text. Flows out: a signature line of the
//! same note. Whether the log is consistent is the witness' business ([`super::witness`]).

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::note::{Note, NoteError, check_name, key_id, read_vkey, signature_line, write_vkey};

/// Signature type of a timestamped Ed25519 cosignature.
const COSIGNATURE: u8 = 0x04;
/// Bytes of the time before the signature.
const TIME_BYTES: usize = 8;

/// The signed message: header, time, and the checkpoint's text.
fn message(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

/// Cosigns as one witness. The private key is not shown, not serialised, and wiped on drop.
pub struct Cosigner {
    name: String,
    key: SigningKey,
}

impl Cosigner {
    /// A cosigner from its name and the Ed25519 seed (RFC 8032 section 5.1.5), 32 random bytes. The
    /// key must be used for nothing else: the message does not name the witness.
    ///
    /// # Errors
    /// [`NoteError::BadName`].
    pub fn new(name: impl Into<String>, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let name = name.into();
        check_name(&name)?;
        Ok(Self { name, key: SigningKey::from_bytes(seed) })
    }

    /// What checks this witness' cosignatures.
    #[must_use]
    pub fn key(&self) -> WitnessKey {
        WitnessKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The signature line for a checkpoint's `text` at `seconds` since 1970, newline included.
    #[must_use]
    pub fn cosign(&self, text: &str, seconds: u64) -> String {
        let id = key_id(&self.name, COSIGNATURE, &self.key.verifying_key().to_bytes());
        let signature = self.key.sign(message(text, seconds).as_bytes()).to_bytes();
        let timed: Vec<u8> = seconds.to_be_bytes().into_iter().chain(signature).collect();
        signature_line(&self.name, id, &timed)
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cosigner").field("name", &self.name).field("key", &"[redacted]").finish()
    }
}

/// Checks one witness' cosignatures; its text form is a vkey of type 0x04.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key: VerifyingKey,
}

impl WitnessKey {
    /// Reads `name+hex key id+base64(0x04 || public key)`.
    ///
    /// # Errors
    /// [`NoteError::BadKey`], [`NoteError::BadName`].
    pub fn from_vkey(text: &str) -> Result<Self, NoteError> {
        let (name, key) = read_vkey(text, COSIGNATURE)?;
        Ok(Self { name, key })
    }

    /// Writes what [`WitnessKey::from_vkey`] reads.
    #[must_use]
    pub fn to_vkey(&self) -> String {
        write_vkey(&self.name, COSIGNATURE, &self.key.to_bytes())
    }

    /// The witness' name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are the same key, whatever the names: one witness counts once.
    #[must_use]
    pub fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// When this witness cosigned the note last, in seconds since 1970.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`]; [`NoteError::BadSignature`] where a line is in its name and id and
    /// the key did not make it.
    pub fn cosigned_at(&self, note: &Note<'_>) -> Result<u64, NoteError> {
        let id = key_id(&self.name, COSIGNATURE, &self.key.to_bytes());
        let ours = |name: &str, key_id: [u8; 4]| name == self.name && key_id == id;
        let mut latest = None;
        for line in note.signatures().iter().filter(|line| ours(&line.name, line.key_id)) {
            let at = self.check(note.text(), &line.signature);
            let at = at.ok_or_else(|| NoteError::BadSignature { name: self.name.clone() })?;
            latest = latest.max(Some(at));
        }
        latest.ok_or_else(|| NoteError::Unsigned { name: self.name.clone() })
    }

    fn check(&self, text: &str, timed: &[u8]) -> Option<u64> {
        let (time, signature) = timed.split_first_chunk::<TIME_BYTES>()?;
        let seconds = u64::from_be_bytes(*time);
        let signature = Signature::from_slice(signature).ok()?;
        // The specification bounds the time so that it fits a signed 64-bit number.
        i64::try_from(seconds).ok()?;
        self.key.verify_strict(message(text, seconds).as_bytes(), &signature).ok()?;
        Some(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn cosigner() -> Cosigner {
        Cosigner::new("witness.example.com/w1", &[3; 32]).unwrap()
    }

    #[test]
    fn the_message_is_that_of_the_specification() {
        let expected = format!("cosignature/v1\ntime 1679315147\n{TEXT}");
        assert_eq!(message(TEXT, 1_679_315_147), expected);
    }

    #[test]
    fn a_cosignature_is_read_back_with_its_time() {
        let key = cosigner().key();
        assert_eq!(WitnessKey::from_vkey(&key.to_vkey()).unwrap(), key);
        let note = format!(
            "{TEXT}\n{}{}",
            cosigner().cosign(TEXT, 1_679_315_147),
            cosigner().cosign(TEXT, 1_679_315_150)
        );
        let note = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(key.cosigned_at(&note), Ok(1_679_315_150));
        let other = Cosigner::new("witness.example.com/w2", &[4; 32]).unwrap().key();
        assert!(matches!(other.cosigned_at(&note), Err(NoteError::Unsigned { .. })));
    }

    #[test]
    fn a_changed_time_or_text_is_refused() {
        let line = cosigner().cosign(TEXT, 7);
        let other = format!("{}\n{line}", TEXT.replace("20852163", "20852164"));
        let parsed = Note::parse(other.as_bytes()).unwrap();
        let opened = cosigner().key().cosigned_at(&parsed);
        assert!(matches!(opened, Err(NoteError::BadSignature { .. })));
        // The time is the first bytes behind the key's id: a later one was never signed.
        let good = format!("{TEXT}\n{line}");
        let parsed = Note::parse(good.as_bytes()).unwrap();
        let mut signature = parsed.signatures()[0].signature.clone();
        signature[7] = 8;
        let forged =
            signature_line("witness.example.com/w1", parsed.signatures()[0].key_id, &signature);
        let forged = format!("{TEXT}\n{forged}");
        let opened = cosigner().key().cosigned_at(&Note::parse(forged.as_bytes()).unwrap());
        assert!(matches!(opened, Err(NoteError::BadSignature { .. })));
    }

    #[test]
    fn a_log_key_is_no_witness_key() {
        let log = super::super::note::NoteSigner::new("w", &[3; 32]).unwrap().verifier();
        assert_eq!(WitnessKey::from_vkey(&log.to_vkey()), Err(NoteError::BadKey));
        assert!(format!("{:?}", cosigner()).contains("redacted"));
    }
}
