//! Proofs of one entry (C2SP `tlog-proof`): its index, the hashes beside it on the way to the root,
//! and a checkpoint. Whoever knows the log's key checks it with nothing else.
//!
//! Pure. Flows in and out: text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::checkpoint::Checkpoint;
use super::merkle::{Hash, leaf_hash};
use super::note::MAX_NOTE_BYTES;
use super::proof::verify_inclusion;
use super::tile::MAX_ENTRY_BYTES;
use super::trust::{Signed, Trust, TrustError};

/// First line of a proof.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Hashes from a leaf to the root of the largest tree.
const MAX_HASHES: usize = 63;
/// Bytes of the largest proof read: an entry in base64, the hashes, a note.
pub const MAX_PROOF_BYTES: usize = MAX_NOTE_BYTES + MAX_ENTRY_BYTES / 3 * 4 + 8192;

/// A proof taken apart. Nothing in it may be believed before [`TlogProof::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque here; proofs of ours carry the entry.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// From the leaf's sibling up to the root's child.
    pub hashes: Vec<Hash>,
    /// The checkpoint, a signed note.
    pub checkpoint: Vec<u8>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofError {
    /// It is not in the format.
    #[error("the proof is malformed: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Its checkpoint is not to be believed.
    #[error("the proof's checkpoint is refused")]
    Checkpoint(#[from] TrustError),
    /// The entry is not what the log has there.
    #[error("the entry is not the one the log has at index `{index}`")]
    NotIncluded {
        /// Where it should be.
        index: u64,
    },
}

const fn malformed(reason: &'static str) -> ProofError {
    ProofError::Malformed { reason }
}

impl TlogProof {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(malformed("it is too large"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or_else(|| malformed("it has no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(malformed("it does not begin with `c2sp.org/tlog-proof@v1`"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra
            .map(|line| {
                let data = line.strip_prefix("extra ").unwrap_or_default();
                STANDARD.decode(data).map_err(|_| malformed("its extra data is not base64"))
            })
            .transpose()?;
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(decimal)
            .ok_or_else(|| malformed("it has no index"))?;
        let hashes = lines
            .take(MAX_HASHES + 1)
            .map(|line| Hash::from_base64(line).ok_or_else(|| malformed("a hash is not one")))
            .collect::<Result<Vec<_>, _>>()?;
        if hashes.len() > MAX_HASHES {
            return Err(malformed("it has more than 63 hashes"));
        }
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.as_bytes().to_vec() })
    }

    /// Writes what [`TlogProof::parse`] reads.
    ///
    /// # Errors
    /// [`ProofError::Malformed`] where the checkpoint is not text.
    pub fn to_text(&self) -> Result<String, ProofError> {
        let checkpoint = std::str::from_utf8(&self.checkpoint)
            .map_err(|_| malformed("its checkpoint is not UTF-8"))?;
        let extra = self.extra.as_ref();
        let extra = extra.map(|data| format!("extra {}\n", STANDARD.encode(data)));
        let hashes: String = self.hashes.iter().map(|hash| hash.to_base64() + "\n").collect();
        let (extra, index) = (extra.unwrap_or_default(), self.index);
        Ok(format!("{HEADER}\n{extra}index {index}\n{hashes}\n{checkpoint}"))
    }

    /// Checks that `entry` is in the log at this index, under a checkpoint that `trust` accepts.
    ///
    /// # Errors
    /// [`ProofError::Checkpoint`], [`ProofError::NotIncluded`].
    pub fn check(&self, entry: &[u8], trust: &Trust) -> Result<Signed, ProofError> {
        let signed = trust.open(&self.checkpoint)?;
        self.check_inclusion(entry, &signed.checkpoint)?;
        Ok(signed)
    }

    /// Checks the hashes only, against a checkpoint already believed.
    ///
    /// # Errors
    /// [`ProofError::NotIncluded`].
    pub fn check_inclusion(&self, entry: &[u8], under: &Checkpoint) -> Result<(), ProofError> {
        let leaf = leaf_hash(entry);
        if verify_inclusion(&leaf, self.index, under.size, &self.hashes, &under.root) {
            Ok(())
        } else {
            Err(ProofError::NotIncluded { index: self.index })
        }
    }
}

/// A number without sign or leading zeroes.
pub(super) fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::super::note::NoteSigner;
    use super::*;

    fn proof() -> (TlogProof, Trust) {
        let signer = NoteSigner::new("example.com/log", &[1; 32]).unwrap();
        let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
        let root = super::super::merkle::node_hash(&left, &right);
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 2, root };
        let proof = TlogProof {
            extra: Some(b"right".to_vec()),
            index: 1,
            hashes: vec![left],
            checkpoint: checkpoint.sign(&signer).unwrap(),
        };
        (proof, Trust::new(signer.verifier()))
    }

    #[test]
    fn a_proof_survives_its_text_and_holds_for_its_entry_only() {
        let (proof, trust) = proof();
        let text = proof.to_text().unwrap();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra cmlnaHQ=\nindex 1\n"), "{text}");
        assert_eq!(TlogProof::parse(text.as_bytes()), Ok(proof.clone()));
        assert_eq!(proof.check(b"right", &trust).unwrap().checkpoint.size, 2);
        assert_eq!(proof.check(b"wrong", &trust), Err(ProofError::NotIncluded { index: 1 }));
        let bare = TlogProof { extra: None, ..proof };
        assert_eq!(TlogProof::parse(bare.to_text().unwrap().as_bytes()), Ok(bare));
    }

    #[test]
    fn a_proof_changed_anywhere_but_in_its_extra_data_proves_nothing() {
        let (proof, trust) = proof();
        let text = TlogProof { extra: None, ..proof }.to_text().unwrap().into_bytes();
        for at in 0..text.len() {
            let mut bytes = text.clone();
            bytes[at] ^= 1;
            let checked = TlogProof::parse(&bytes).and_then(|proof| proof.check(b"right", &trust));
            assert!(checked.is_err(), "byte {at}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let (proof, _) = proof();
        let text = proof.to_text().unwrap();
        for (from, to) in [
            ("tlog-proof@v1", "tlog-proof@v2"),
            ("index 1", "index 01"),
            ("index 1", "index +1"),
            ("index 1", "index"),
            ("extra cmlnaHQ=", "extra cmlnaHQ"),
            ("extra cmlnaHQ=\nindex 1", "index 1\nextra cmlnaHQ="),
        ] {
            assert!(TlogProof::parse(text.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        let many = text.replace(
            "index 1\n",
            &format!("index 1\n{}", (Hash([0; 32]).to_base64() + "\n").repeat(63)),
        );
        assert!(TlogProof::parse(many.as_bytes()).is_err());
    }
}
