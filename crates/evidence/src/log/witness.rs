//! A witness (C2SP `tlog-witness`): cosigns a log's checkpoints as long as each continues the one
//! before, and remembers the last.
//!
//! Flows in: the bodies of `add-checkpoint` requests and the time. Flows out: cosignatures, or why
//! not. Knows logs by their keys and nothing of HTTP; what an entry says never comes here.
//!
//! INVARIANT: a cosignature leaves only after the checkpoint under it is durable in the state, so
//! that no crash makes a witness forget what it vouched for.

mod request;
mod state;

use std::collections::BTreeMap;
use std::io;

use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::cosignature::{Cosigner, WitnessKey};
use super::merkle::Hash;
use super::note::{Note, NoteError, NoteVerifier};
use super::proof::verify_consistency;

pub use request::{AddCheckpoint, MAX_REQUEST_BYTES, RequestError};
pub use state::{StateError, StateFile};

/// Most logs a witness follows.
pub const MAX_LOGS: usize = 1000;

/// What a witness answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The checkpoint is cosigned: signature lines of the note. HTTP 200.
    Cosigned(String),
    /// The request is not in the format. HTTP 400.
    Malformed(&'static str),
    /// No known key of the log signed the checkpoint. HTTP 403.
    Unsigned,
    /// The log is not known. HTTP 404.
    UnknownLog,
    /// The old size is not that of the checkpoint cosigned last, which is this. HTTP 409.
    Conflict(u64),
    /// Two different logs of one size: the log was forked. HTTP 409, with the size.
    Forked(u64),
    /// The consistency proof does not hold: forked, or a mistake. HTTP 422.
    Inconsistent,
    /// The state cannot be made durable; nothing was cosigned. HTTP 500.
    Unavailable,
}

/// Keeps what a witness cosigned last, for each log.
pub trait WitnessState: Send {
    /// The checkpoints cosigned last, as they were signed, by origin.
    ///
    /// # Errors
    /// Those of the storage.
    fn latest(&self) -> io::Result<BTreeMap<String, Vec<u8>>>;

    /// Replaces them all, atomically; durable on return.
    ///
    /// # Errors
    /// Those of the storage; what is kept is then what it was.
    fn put(&mut self, latest: &BTreeMap<String, Vec<u8>>) -> io::Result<()>;
}

/// Why a witness cannot begin.
#[derive(Debug, Error)]
pub enum WitnessError {
    /// Nothing to witness, or too much.
    #[error("a witness follows 1 to {MAX_LOGS} logs; name their keys")]
    Logs,
    /// What was cosigned last cannot be read. Beginning anew would vouch for a rollback.
    #[error("what was cosigned last cannot be read; restore the state file from a copy")]
    State(#[source] io::Error),
    /// The state names a checkpoint that is none.
    #[error(
        "the checkpoint of `{origin}` in the state is damaged; restore the state file from a copy"
    )]
    Damaged {
        /// The log.
        origin: String,
        /// What is wrong with it.
        #[source]
        source: CheckpointError,
    },
}

/// See the module. Requests are handled one at a time: checking and remembering are one step.
pub struct Witness {
    cosigner: Cosigner,
    /// The keys of each log, by origin.
    logs: BTreeMap<String, Vec<NoteVerifier>>,
    latest: BTreeMap<String, Vec<u8>>,
    state: Box<dyn WitnessState>,
}

impl Witness {
    /// Takes up what was cosigned before. Several keys of one name are keys of one log, as during
    /// a rotation.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn new(
        cosigner: Cosigner,
        keys: Vec<NoteVerifier>,
        state: Box<dyn WitnessState>,
    ) -> Result<Self, WitnessError> {
        let mut logs: BTreeMap<String, Vec<NoteVerifier>> = BTreeMap::new();
        for key in keys {
            logs.entry(key.name().to_owned()).or_default().push(key);
        }
        if logs.is_empty() || logs.len() > MAX_LOGS {
            return Err(WitnessError::Logs);
        }
        let latest = state.latest().map_err(WitnessError::State)?;
        for (origin, note) in &latest {
            Checkpoint::read_unverified(note)
                .map_err(|source| WitnessError::Damaged { origin: origin.clone(), source })?;
        }
        Ok(Self { cosigner, logs, latest, state })
    }

    /// The key that checks this witness' cosignatures.
    #[must_use]
    pub fn key(&self) -> WitnessKey {
        self.cosigner.key()
    }

    /// The logs it follows, with the size cosigned last.
    pub fn logs(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        self.logs.keys().map(|origin| (origin.as_str(), self.cosigned(origin).map(|last| last.0)))
    }

    /// Answers one request, with the time in seconds since 1970.
    pub fn add_checkpoint(&mut self, body: &[u8], now_seconds: u64) -> Answer {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(error) => return Answer::Malformed(error.reason),
        };
        let checkpoint = match self.open(&request.checkpoint) {
            Ok(checkpoint) => checkpoint,
            Err(answer) => return answer,
        };
        if request.old > checkpoint.size {
            return Answer::Malformed("its old size is larger than that of the checkpoint");
        }
        let known = self.cosigned(&checkpoint.origin);
        let (size, root) = known.unwrap_or_else(|| (0, Hash::of_empty_tree()));
        if request.old != size {
            return Answer::Conflict(size);
        }
        if size == checkpoint.size && known.is_some() && root != checkpoint.root {
            return Answer::Forked(size);
        }
        let continues =
            verify_consistency(size, checkpoint.size, &request.proof, &root, &checkpoint.root);
        if !continues {
            return Answer::Inconsistent;
        }
        self.cosign(&checkpoint.origin, request.checkpoint, now_seconds)
    }

    /// Opens the checkpoint with the keys of the log it names.
    fn open(&self, note: &[u8]) -> Result<Checkpoint, Answer> {
        let read = Checkpoint::read_unverified(note)
            .map_err(|_| Answer::Malformed("what follows is no checkpoint"))?;
        let keys = self.logs.get(&read.origin).ok_or(Answer::UnknownLog)?;
        let mut answer = Answer::Unsigned;
        for key in keys {
            match Checkpoint::open(note, key) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(CheckpointError::Note(
                    NoteError::Unsigned { .. } | NoteError::BadSignature { .. },
                )) => {}
                Err(_) => answer = Answer::Malformed("what follows is no checkpoint"),
            }
        }
        Err(answer)
    }

    fn cosigned(&self, origin: &str) -> Option<(u64, Hash)> {
        let last = Checkpoint::read_unverified(self.latest.get(origin)?).ok()?;
        Some((last.size, last.root))
    }

    fn cosign(&mut self, origin: &str, note: Vec<u8>, now_seconds: u64) -> Answer {
        let Ok(text) = Note::parse(&note).map(|note| note.text().to_owned()) else {
            return Answer::Malformed("what follows is no checkpoint");
        };
        let mut latest = self.latest.clone();
        latest.insert(origin.to_owned(), note);
        // INVARIANT: see the module. Where the state fails, nothing is cosigned, and what is
        // remembered stays what is on disk.
        if self.state.put(&latest).is_err() {
            return Answer::Unavailable;
        }
        self.latest = latest;
        Answer::Cosigned(self.cosigner.cosign(&text, now_seconds))
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").field("logs", &self.logs.keys()).finish_non_exhaustive()
    }
}
