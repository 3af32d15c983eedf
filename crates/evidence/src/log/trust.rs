//! Whom a verifier believes: a log's keys, one after the other as they were rotated, and how many
//! of which witnesses must have cosigned.
//!
//! Pure. Flows in: keys from elsewhere, never from the log itself. Flows out: checkpoints found to
//! be signed by them. A new log key is believed because the old one signed for the entry that
//! introduces it ([`Trust::follow`]).

use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::cosignature::WitnessKey;
use super::meaning::Meaning;
use super::note::{Note, NoteError, NoteVerifier};
use super::tlog_proof::{ProofError, TlogProof};

/// How far a witness' clock may be ahead of the verifier's, in seconds.
pub const MAX_CLOCK_AHEAD_SECONDS: u64 = 300;

/// Why a checkpoint is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustError {
    /// It is not of this log's key, or malformed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Too few witnesses cosigned it.
    #[error(
        "{found} of the witnesses named cosigned the checkpoint of {size} entries and {quorum} must; missing: {missing}"
    )]
    Quorum {
        /// How many did.
        found: usize,
        /// How many must.
        quorum: usize,
        /// Entries under the checkpoint.
        size: u64,
        /// Those that did not, and why where they tried.
        missing: String,
    },
}

/// Why witnesses cannot be asked for like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QuorumError {
    /// More must sign than there are.
    #[error(
        "a quorum of {quorum} cannot be had from {witnesses} witnesses; name more or ask for fewer"
    )]
    TooHigh {
        /// How many must sign.
        quorum: usize,
        /// How many there are.
        witnesses: usize,
    },
    /// One key counts once.
    #[error("two of the witnesses have the same key; name each once")]
    Twice,
}

/// Why a handover from one log key to the next is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandoverError {
    /// The proof of the entry that introduces the new key does not hold.
    #[error("the proof of the entry that introduces the new key does not hold")]
    Proof(#[from] ProofError),
    /// There is no entry with it, or the entry introduces nothing.
    #[error("the entry in the handover introduces no key of this log")]
    NoKey,
    /// The new key did not sign.
    #[error("the new key did not sign the handover")]
    NotAccepted(#[source] CheckpointError),
}

/// One cosignature that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The witness' name.
    pub witness: String,
    /// When, in seconds since 1970, by its clock.
    pub at_seconds: u64,
}

/// A checkpoint that is believed, and who cosigned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Cosignatures by the witnesses named, each witness once.
    pub cosigned: Vec<Cosigned>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The log's keys, oldest first; never empty, all of one name.
    first: NoteVerifier,
    later: Vec<NoteVerifier>,
    witnesses: Vec<WitnessKey>,
    quorum: usize,
    now_seconds: Option<u64>,
}

impl Trust {
    /// Believes what this key of the log has signed.
    #[must_use]
    pub fn new(log: NoteVerifier) -> Self {
        Self { first: log, later: Vec::new(), witnesses: Vec::new(), quorum: 0, now_seconds: None }
    }

    /// Believes a checkpoint only where this many of these witnesses cosigned it.
    ///
    /// # Errors
    /// [`QuorumError`].
    pub fn with_witnesses(
        mut self,
        witnesses: Vec<WitnessKey>,
        quorum: usize,
    ) -> Result<Self, QuorumError> {
        if quorum > witnesses.len() {
            return Err(QuorumError::TooHigh { quorum, witnesses: witnesses.len() });
        }
        let twice = |(at, key): (usize, &WitnessKey)| {
            witnesses.iter().skip(at + 1).any(|other| other.same_key(key))
        };
        if witnesses.iter().enumerate().any(twice) {
            return Err(QuorumError::Twice);
        }
        (self.witnesses, self.quorum) = (witnesses, quorum);
        Ok(self)
    }

    /// Does not count cosignatures from the future: more than [`MAX_CLOCK_AHEAD_SECONDS`] after
    /// `now_seconds` since 1970.
    #[must_use]
    pub fn at(mut self, now_seconds: u64) -> Self {
        self.now_seconds = Some(now_seconds);
        self
    }

    /// The log's key in use, as far as is known.
    #[must_use]
    pub fn log_key(&self) -> &NoteVerifier {
        self.later.last().unwrap_or(&self.first)
    }

    /// The log's keys that are known, oldest first.
    pub fn log_keys(&self) -> impl Iterator<Item = &NoteVerifier> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// Opens the checkpoint of the log as it is: signed by its key in use and cosigned by a quorum.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn open(&self, bytes: &[u8]) -> Result<Signed, TrustError> {
        let checkpoint = Checkpoint::open(bytes, self.log_key())?;
        let note = Note::parse(bytes).map_err(CheckpointError::from)?;
        let (mut cosigned, mut missing) = (Vec::new(), Vec::new());
        for witness in &self.witnesses {
            match self.cosigned_at(witness, &note) {
                Ok(at_seconds) => {
                    cosigned.push(Cosigned { witness: witness.name().to_owned(), at_seconds });
                }
                Err(why) => missing.push(format!("`{}` ({why})", witness.name())),
            }
        }
        if cosigned.len() < self.quorum {
            return Err(TrustError::Quorum {
                found: cosigned.len(),
                quorum: self.quorum,
                size: checkpoint.size,
                missing: missing.join(", "),
            });
        }
        Ok(Signed { checkpoint, cosigned })
    }

    fn cosigned_at(&self, witness: &WitnessKey, note: &Note<'_>) -> Result<u64, &'static str> {
        match witness.cosigned_at(note) {
            Ok(at) if self.is_future(at) => Err("its time is in the future"),
            Ok(at) => Ok(at),
            Err(NoteError::BadSignature { .. }) => Err("its signature is false"),
            Err(_) => Err("no cosignature"),
        }
    }

    fn is_future(&self, at: u64) -> bool {
        self.now_seconds.is_some_and(|now| at > now.saturating_add(MAX_CLOCK_AHEAD_SECONDS))
    }

    /// Opens an earlier checkpoint of the log: any of its keys may have signed it.
    ///
    /// # Errors
    /// [`CheckpointError`]; that of the key in use where none signed.
    pub fn open_earlier(&self, bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let opened = Checkpoint::open(bytes, self.log_key());
        if opened.is_ok() {
            return opened;
        }
        let earlier = self.log_keys().find_map(|key| Checkpoint::open(bytes, key).ok());
        earlier.map_or(opened, Ok)
    }

    /// Takes over the key that a handover introduces: a proof (C2SP `tlog-proof`) whose extra data
    /// is the entry that names the new key, under a checkpoint signed by the key in use and by the
    /// new one. Returns that checkpoint, which the log must continue. One that no known key signed
    /// is of an earlier time and ignored: `None`.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub fn follow(
        &mut self,
        handover: &[u8],
        meaning: &Meaning,
    ) -> Result<Option<Checkpoint>, HandoverError> {
        let proof = TlogProof::parse(handover)?;
        let opened = Checkpoint::open(&proof.checkpoint, self.log_key());
        let Ok(checkpoint) = opened else { return Ok(None) };
        let entry = proof.extra.as_deref().ok_or(HandoverError::NoKey)?;
        proof.check_inclusion(entry, &checkpoint)?;
        let named = (meaning.introduces)(entry).ok_or(HandoverError::NoKey)?;
        let key = NoteVerifier::from_vkey(&named)
            .ok()
            .filter(|key| key.name() == self.first.name())
            .ok_or(HandoverError::NoKey)?;
        Checkpoint::open(&proof.checkpoint, &key).map_err(HandoverError::NotAccepted)?;
        if !self.log_keys().any(|known| *known == key) {
            self.later.push(key);
        }
        Ok(Some(checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cosignature::Cosigner;
    use super::super::merkle::leaf_hash;
    use super::super::note::{NoteSigner, add_signatures};
    use super::*;

    const ORIGIN: &str = "example.com/log";

    fn signer(seed: u8) -> NoteSigner {
        NoteSigner::new(ORIGIN, &[seed; 32]).unwrap()
    }

    fn witness(seed: u8) -> Cosigner {
        Cosigner::new(format!("example.com/w{seed}"), &[seed; 32]).unwrap()
    }

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint { origin: ORIGIN.into(), size, root: leaf_hash(b"entry") }
    }

    /// In these tests an entry that introduces a key is its vkey.
    fn meaning() -> Meaning {
        Meaning { introduces: |entry| String::from_utf8(entry.to_vec()).ok(), ..Meaning::default() }
    }

    #[test]
    fn a_quorum_counts_true_cosignatures_of_now_by_those_named() {
        let note = checkpoint(1).sign(&signer(1)).unwrap();
        let text = checkpoint(1).to_text();
        let trust = |quorum| {
            let keys = vec![witness(11).key(), witness(12).key(), witness(13).key()];
            Trust::new(signer(1).verifier()).with_witnesses(keys, quorum).unwrap().at(1000)
        };
        let lines = [
            witness(11).cosign(&text, 990),
            // The clock may be a little ahead, not a lot.
            witness(12).cosign(&text, 1_000_000),
            // Another checkpoint's.
            witness(13).cosign(&checkpoint(2).to_text(), 990),
            // Nobody asked for this one.
            witness(14).cosign(&text, 990),
        ];
        let note = add_signatures(&note, &lines.concat()).unwrap();
        let opened = trust(1).open(&note).unwrap();
        assert_eq!(
            opened.cosigned,
            [Cosigned { witness: "example.com/w11".into(), at_seconds: 990 }]
        );
        let refused = trust(2).open(&note).unwrap_err().to_string();
        assert!(refused.contains("in the future") && refused.contains("is false"), "{refused}");
        assert!(refused.starts_with("1 of the witnesses"), "{refused}");
    }

    #[test]
    fn a_key_counts_once_and_a_quorum_must_be_possible() {
        let trust = || Trust::new(signer(1).verifier());
        let twice = vec![witness(11).key(), witness(11).key()];
        assert_eq!(trust().with_witnesses(twice, 1).unwrap_err(), QuorumError::Twice);
        let one = vec![witness(11).key()];
        assert!(matches!(trust().with_witnesses(one, 2), Err(QuorumError::TooHigh { .. })));
    }

    #[test]
    fn a_new_key_is_believed_when_the_old_one_introduced_it_and_then_alone() {
        let named = signer(2).verifier().to_vkey().into_bytes();
        let at = Checkpoint { origin: ORIGIN.into(), size: 1, root: leaf_hash(&named) };
        let proof = |signer: &NoteSigner| TlogProof {
            extra: Some(named.clone()),
            index: 0,
            hashes: Vec::new(),
            checkpoint: at.sign(signer).unwrap(),
        };
        let handover = proof(&signer(1).along_with(&[2; 32])).to_text().unwrap();
        let mut trust = Trust::new(signer(1).verifier());
        let newest = checkpoint(5).sign(&signer(2)).unwrap();
        assert!(trust.open(&newest).is_err());
        assert_eq!(trust.follow(handover.as_bytes(), &meaning()), Ok(Some(at.clone())));
        assert_eq!(trust.open(&newest).unwrap().checkpoint.size, 5);
        // The old key signs for the past only.
        let old = checkpoint(5).sign(&signer(1)).unwrap();
        assert!(trust.open(&old).is_err());
        assert!(trust.open_earlier(&old).is_ok());
        // Who already knows the new key needs no handover, and is not confused by it.
        let mut knows = Trust::new(signer(2).verifier());
        assert!(knows.follow(handover.as_bytes(), &meaning()).unwrap().is_some());
        assert_eq!(knows.log_keys().count(), 1);
        // Without the new key's own signature, or by a stranger, nothing is introduced.
        let mut trust = Trust::new(signer(1).verifier());
        let alone = proof(&signer(1)).to_text().unwrap();
        let refused = trust.follow(alone.as_bytes(), &meaning());
        assert!(matches!(refused, Err(HandoverError::NotAccepted(_))));
        let stranger = proof(&signer(3).along_with(&[2; 32])).to_text().unwrap();
        assert_eq!(trust.follow(stranger.as_bytes(), &meaning()), Ok(None));
        assert_eq!(trust.log_key(), &signer(1).verifier());
    }

    #[test]
    fn a_handover_with_another_entry_is_refused() {
        let named = signer(2).verifier().to_vkey().into_bytes();
        let at = Checkpoint { origin: ORIGIN.into(), size: 1, root: leaf_hash(b"another") };
        let proof = TlogProof {
            extra: Some(named),
            index: 0,
            hashes: Vec::new(),
            checkpoint: at.sign(&signer(1).along_with(&[2; 32])).unwrap(),
        };
        let mut trust = Trust::new(signer(1).verifier());
        let refused = trust.follow(proof.to_text().unwrap().as_bytes(), &meaning());
        assert!(matches!(refused, Err(HandoverError::Proof(ProofError::NotIncluded { .. }))));
    }
}
