//! The body of `add-checkpoint` (C2SP `tlog-witness`): the size the witness knows, the proof that the
//! log continues it, an empty line, and the checkpoint.
//!
//! Pure. Flows in and out: text.

use thiserror::Error;

use super::super::merkle::Hash;
use super::super::note::MAX_NOTE_BYTES;
use super::super::tlog_proof::decimal;

/// Most hashes a consistency proof may have here.
const MAX_HASHES: usize = 63;
/// Bytes of the largest request: the size, the hashes in base64, a note.
pub const MAX_REQUEST_BYTES: usize = 32 + MAX_HASHES * 45 + MAX_NOTE_BYTES;

/// A body that is not in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the request is malformed: {reason}")]
pub struct RequestError {
    /// What is wrong with it.
    pub reason: &'static str,
}

const fn malformed(reason: &'static str) -> RequestError {
    RequestError { reason }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint the witness cosigned last.
    pub old: u64,
    /// The consistency proof from there.
    pub proof: Vec<Hash>,
    /// The checkpoint, a signed note.
    pub checkpoint: Vec<u8>,
}

impl AddCheckpoint {
    /// Reads a body.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(malformed("it is too large"));
        }
        let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or_else(|| malformed("it has no checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(decimal)
            .ok_or_else(|| malformed("it does not begin with the old size"))?;
        let proof = lines
            .take(MAX_HASHES + 1)
            .map(|line| Hash::from_base64(line).ok_or_else(|| malformed("a hash is not one")))
            .collect::<Result<Vec<_>, _>>()?;
        if proof.len() > MAX_HASHES {
            return Err(malformed("it has more than 63 hashes"));
        }
        Ok(Self { old, proof, checkpoint: checkpoint.as_bytes().to_vec() })
    }

    /// Writes what [`AddCheckpoint::parse`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let hashes: String = self.proof.iter().map(|hash| hash.to_base64() + "\n").collect();
        let mut body = format!("old {}\n{hashes}\n", self.old).into_bytes();
        body.extend_from_slice(&self.checkpoint);
        body
    }
}
