//! The parts there are: full ones in files, the newest in memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::file::{self, Contents};
use super::part::Part;
use super::{Damaged, KEY_BYTES, PART_ENTRIES, Terms, Wanted, part_of};
use crate::log::Hash;

/// How a part's file name ends, behind 20 digits of its first entry.
const SUFFIX: &str = ".part";
/// Parts whose contents are kept in memory; beyond it all are read again.
const MAX_CACHED: usize = 512;

/// Where entries may be found. Shared by those who look and the one who builds.
pub struct Index {
    directory: PathBuf,
    key: Zeroizing<[u8; KEY_BYTES]>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By first entry; what they begin with, where it was read of late.
    files: BTreeMap<u64, Option<Arc<Contents>>>,
    newest: Option<Part>,
    /// A full part on its way into its file.
    closing: Option<Arc<Part>>,
}

/// What is known of the entries of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Of the part's entries before `end`, these may meet what is wanted, ascending.
    Candidates {
        /// Their places.
        entries: Vec<u64>,
        /// The first entry that nothing is known of.
        end: u64,
    },
    /// Nothing.
    Unknown,
}

impl Index {
    /// Takes up what is in `directory`, and throws away what is not under this key or not of this log:
    /// `last_of` gives the hash (SHA-256) of an entry, where the log has it. Also returned: how many
    /// parts were thrown away.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(
        directory: &Path,
        key: Zeroizing<[u8; KEY_BYTES]>,
        last_of: impl Fn(u64) -> Option<Hash>,
    ) -> io::Result<(Self, usize)> {
        fs::create_dir_all(directory)?;
        let (mut files, mut thrown_away) = (BTreeMap::new(), 0);
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let contents = match first_of(&path) {
                Some(_) => file::contents(&path, &key)?,
                // A file that was being written when the node was killed.
                None => None,
            };
            let ours = contents.filter(|contents| {
                first_of(&path) == Some(contents.first())
                    && last_of(contents.first() + PART_ENTRIES - 1) == Some(contents.last())
            });
            match ours {
                Some(contents) => drop(files.insert(contents.first(), Some(Arc::new(contents)))),
                None => {
                    thrown_away += usize::from(first_of(&path).is_some());
                    fs::remove_file(&path)?;
                }
            }
        }
        let state = Mutex::new(State { files, ..State::default() });
        Ok((Self { directory: directory.to_owned(), key, state }, thrown_away))
    }

    /// The newest full part among the entries from `first` to `size` that is not there.
    #[must_use]
    pub fn missing(&self, first: u64, size: u64) -> Option<u64> {
        let state = self.state();
        let mut end = part_of(size);
        while end > part_of(first) {
            end -= PART_ENTRIES;
            let closing = state.closing.as_ref().is_some_and(|part| part.first() == end);
            if !closing && !state.files.contains_key(&end) {
                return Some(end);
            }
        }
        None
    }

    /// Parts there are in files.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.state().files.len()
    }

    /// Writes a full part.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn put(&self, part: &Part) -> io::Result<()> {
        let path = self.path(part.first());
        file::write(part, &self.key, &path)?;
        let contents = file::contents(&path, &self.key)?.map(Arc::new);
        self.state().files.insert(part.first(), contents);
        Ok(())
    }

    /// The entry that the newest part takes next; `None` where there is none.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.state().newest.as_ref().map(Part::next)
    }

    /// Begins the newest part, in place of one that is there.
    pub fn begin(&self, part: Part) {
        self.state().newest = Some(part);
    }

    /// Takes entries into the newest part, as many as fit; they must follow what it has.
    pub fn extend(&self, entries: &[(Vec<u8>, Terms)]) {
        let mut state = self.state();
        if let Some(newest) = &mut state.newest {
            let _ = entries.iter().all(|(entry, terms)| newest.add(entry, terms));
        }
    }

    /// Writes the newest part if it is full. It is found by those who look all the while.
    ///
    /// # Errors
    /// Those of the file system; the part is then missing.
    pub fn close_full(&self) -> io::Result<()> {
        let full = {
            let mut state = self.state();
            let full = state.newest.take_if(|newest| newest.is_full()).map(Arc::new);
            state.closing.clone_from(&full);
            full
        };
        let Some(full) = full else { return Ok(()) };
        let put = self.put(&full);
        self.state().closing = None;
        put
    }

    /// What is known of the part that begins at `first`. One that is damaged, or cannot be read, is
    /// thrown away, and nothing is known of it.
    #[must_use]
    pub fn look(&self, first: u64, wanted: &Wanted) -> Look {
        let contents = {
            let mut state = self.state();
            let newest = [state.newest.as_ref(), state.closing.as_deref()];
            if let Some(part) = newest.into_iter().flatten().find(|part| part.first() == first) {
                return Look::Candidates { entries: part.candidates(wanted), end: part.next() };
            }
            match state.files.get(&first).cloned() {
                None => return Look::Unknown,
                Some(Some(contents)) => contents,
                Some(None) => {
                    if state.files.values().flatten().count() >= MAX_CACHED {
                        state.files.values_mut().for_each(|contents| *contents = None);
                    }
                    let read = file::contents(&self.path(first), &self.key);
                    let Some(contents) = read.ok().flatten() else {
                        return self.throw_away(state, &Damaged { first });
                    };
                    let contents = Arc::new(contents);
                    state.files.insert(first, Some(contents.clone()));
                    contents
                }
            }
        };
        match contents.candidates(&self.path(first), &self.key, wanted) {
            Ok(Ok(entries)) => Look::Candidates { entries, end: first + PART_ENTRIES },
            Ok(Err(damaged)) => self.throw_away(self.state(), &damaged),
            Err(_) => self.throw_away(self.state(), &Damaged { first }),
        }
    }

    fn throw_away(&self, mut state: MutexGuard<'_, State>, damaged: &Damaged) -> Look {
        tracing::error!(%damaged, "it is thrown away and built anew from the log");
        state.files.remove(&damaged.first);
        drop(state);
        // Where it cannot be removed, the one built anew takes its place.
        let _ = fs::remove_file(self.path(damaged.first));
        Look::Unknown
    }

    fn path(&self, first: u64) -> PathBuf {
        self.directory.join(format!("{first:020}{SUFFIX}"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn first_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse().ok()
}
