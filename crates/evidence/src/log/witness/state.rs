//! What a witness cosigned last, in one file that is replaced whole.
//!
//! The file is made once, with the witness' key; a witness without it does not begin. Its lock keeps
//! a second process from cosigning beside the first.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::super::note::MAX_NOTE_BYTES;
use super::{MAX_LOGS, WitnessState};

/// What the file says it is.
const FORMAT: &str = "portcullis-witness-state/1";
/// Bytes of the largest state: a note for each log, twice for escapes.
const MAX_STATE_BYTES: u64 = (2 * MAX_LOGS * MAX_NOTE_BYTES) as u64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: String,
    /// Notes, by origin.
    logs: BTreeMap<String, String>,
}

/// Why a state cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// There is none.
    #[error(
        "there is no state in `{path}`; restore it from a copy, or set up a new witness with a new key"
    )]
    Missing {
        /// The file.
        path: String,
    },
    /// Another process has it.
    #[error("the state in `{path}` is in use by another process; stop that one first")]
    Locked {
        /// The file.
        path: String,
    },
    /// The file system says no.
    #[error("the state in `{path}` cannot be used")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A state in a file.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Absent where the state is only looked at.
    lock: Option<File>,
}

impl StateFile {
    /// Makes an empty state where there is none.
    ///
    /// # Errors
    /// [`StateError::Io`], also where there is one.
    pub fn create(path: &Path) -> Result<(), StateError> {
        let io = |source| StateError::Io { path: path.display().to_string(), source };
        if path.exists() {
            return Err(io(io::ErrorKind::AlreadyExists.into()));
        }
        replace(path, &BTreeMap::new()).map_err(io)
    }

    /// Takes up a state.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let shown = || path.display().to_string();
        if !path.exists() {
            return Err(StateError::Missing { path: shown() });
        }
        let lock = beside(path, "lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock);
        let lock = lock.map_err(|source| StateError::Io { path: shown(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock: Some(lock) }),
            Err(fs::TryLockError::WouldBlock) => Err(StateError::Locked { path: shown() }),
            Err(fs::TryLockError::Error(source)) => Err(StateError::Io { path: shown(), source }),
        }
    }
}

impl StateFile {
    /// Takes up a state to look at; a running witness may change it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`].
    pub fn peek(path: &Path) -> io::Result<Self> {
        path.metadata()?;
        Ok(Self { path: path.to_owned(), lock: None })
    }
}

impl WitnessState for StateFile {
    fn latest(&self) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let mut text = String::new();
        File::open(&self.path)?.take(MAX_STATE_BYTES).read_to_string(&mut text)?;
        let content: Content = serde_json::from_str(&text).map_err(io::Error::other)?;
        if content.format != FORMAT {
            return Err(io::Error::other(
                "it is not the state of a witness, or of a later version",
            ));
        }
        Ok(content.logs.into_iter().map(|(origin, note)| (origin, note.into_bytes())).collect())
    }

    fn put(&mut self, latest: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
        if self.lock.is_none() {
            return Err(io::Error::other("the state was taken up to be looked at"));
        }
        replace(&self.path, latest)
    }
}

/// Writes beside, syncs, puts in place, syncs the directory.
fn replace(path: &Path, latest: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let logs = latest.iter().map(|(origin, note)| {
        let note = String::from_utf8(note.clone()).map_err(io::Error::other)?;
        Ok((origin.clone(), note))
    });
    let content = Content { format: FORMAT.into(), logs: logs.collect::<io::Result<_>>()? };
    let bytes = serde_json::to_vec_pretty(&content).map_err(io::Error::other)?;
    let staged = beside(path, "new");
    let mut file = File::create(&staged)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}
