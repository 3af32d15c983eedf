//! How far an export is: the index behind the last entry its receiver has acknowledged.
//!
//! [`Cursor`] is pure; [`CursorStore`] keeps it in a file, replaced atomically and durable on
//! return. A cursor belongs to one log: it is no use with another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Largest cursor file, in bytes.
const MAX_CURSOR_BYTES: usize = 4096;

/// Why an export does not know how far it is.
#[derive(Debug, Error)]
pub enum CursorError {
    /// The file cannot be read or written.
    #[error("the cursor `{path}` cannot be kept; free the disk or give the node its directory")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not a cursor.
    #[error("`{path}` is no cursor; remove it to export the log from its start again")]
    Damaged {
        /// The file.
        path: String,
    },
    /// It is of another log.
    #[error(
        "`{path}` is a cursor in the log `{found}`, not in `{expected}`; remove it to export this log from its start"
    )]
    OtherLog {
        /// The file.
        path: String,
        /// The log it is of.
        found: String,
        /// The log to export.
        expected: String,
    },
    /// It is further than the log: the log is an older one.
    #[error(
        "`{path}` is at entry {next} of a log of {size}: the log was set back, and receivers hold entries it has lost; keep what they hold as evidence, then remove the cursor"
    )]
    Ahead {
        /// The file.
        path: String,
        /// Where the cursor is.
        next: u64,
        /// Entries there are.
        size: u64,
    },
}

/// A place in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The log.
    pub origin: String,
    /// Index of the next entry to deliver.
    pub next: u64,
}

impl Cursor {
    /// Reads what [`Cursor::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_CURSOR_BYTES {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// Keeps a cursor in a file.
#[derive(Debug, Clone)]
pub struct CursorStore {
    path: PathBuf,
}

impl CursorStore {
    /// The cursor of the export `name` in `directory`, which is made when first written to.
    #[must_use]
    pub fn new(directory: &Path, name: &str) -> Self {
        Self { path: directory.join(format!("{name}.cursor")) }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn io(&self, source: io::Error) -> CursorError {
        CursorError::Io { path: self.shown(), source }
    }

    /// Where the export is in the log `origin` of `size` entries; `None` where it never was.
    ///
    /// # Errors
    /// [`CursorError`].
    pub fn load(&self, origin: &str, size: u64) -> Result<Option<u64>, CursorError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
        let mut bytes = Vec::new();
        let limit = MAX_CURSOR_BYTES as u64 + 1;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| self.io(error))?;
        let cursor =
            Cursor::from_bytes(&bytes).ok_or(CursorError::Damaged { path: self.shown() })?;
        if cursor.origin != origin {
            return Err(CursorError::OtherLog {
                path: self.shown(),
                found: cursor.origin,
                expected: origin.into(),
            });
        }
        if cursor.next > size {
            return Err(CursorError::Ahead { path: self.shown(), next: cursor.next, size });
        }
        Ok(Some(cursor.next))
    }

    /// Keeps where the export is; durable on return.
    ///
    /// # Errors
    /// [`CursorError::Io`]: what was kept before then still holds, or this.
    pub fn save(&self, origin: &str, next: u64) -> Result<(), CursorError> {
        self.replace(&Cursor { origin: origin.into(), next }.to_bytes())
            .map_err(|error| self.io(error))
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let staged = self.path.with_extension("cursor.new");
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&staged, &self.path)?;
        File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_found_again_and_only_in_its_own_log() {
        let directory = tempfile::tempdir().unwrap();
        let store = CursorStore::new(&directory.path().join("exports"), "siem");
        assert_eq!(store.load("log", 10).unwrap(), None);
        store.save("log", 7).unwrap();
        store.save("log", 9).unwrap();
        assert_eq!(store.load("log", 10).unwrap(), Some(9));
        assert!(matches!(store.load("other", 10), Err(CursorError::OtherLog { .. })));
        assert!(matches!(store.load("log", 8), Err(CursorError::Ahead { next: 9, size: 8, .. })));
    }

    #[test]
    fn a_torn_cursor_is_told_and_never_taken_for_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let store = CursorStore::new(directory.path(), "siem");
        for bytes in
            [&b""[..], b"{\"origin\":\"log\"", b"{\"origin\":\"log\",\"next\":-1}", b"\xff"]
        {
            fs::write(store.path(), bytes).unwrap();
            assert!(matches!(store.load("log", 10), Err(CursorError::Damaged { .. })));
        }
    }

    #[test]
    fn what_was_half_written_before_a_crash_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let store = CursorStore::new(directory.path(), "siem");
        store.save("log", 3).unwrap();
        fs::write(store.path().with_extension("cursor.new"), b"{\"ori").unwrap();
        assert_eq!(store.load("log", 10).unwrap(), Some(3));
        store.save("log", 4).unwrap();
        assert_eq!(store.load("log", 10).unwrap(), Some(4));
    }
}
