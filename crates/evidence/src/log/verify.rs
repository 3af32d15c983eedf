//! Offline verification: everything a checkpoint promises is computed anew from the entries
//! themselves, and the first entry or tile that does not fit is named.
//!
//! Flows in: a log's files and a key from elsewhere. Trusts nothing else; needs no gate, no
//! database, no network.

use std::path::Path;

use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::edge::bundle_of;
use super::merkle::{Hash, leaf_hash};
use super::note::{MAX_NOTE_BYTES, NoteVerifier};
use super::storage::{CHECKPOINT_PATH, Directory, TileStore};
use super::tile::{
    BundleEntries, Frontier, TILE_HEIGHT, TILE_WIDTH, TileKind, TilePath, decode_tile,
};

/// What was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The log's identity.
    pub origin: String,
    /// Entries verified: all under the checkpoint.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
    /// Size of the trusted earlier checkpoint this log was found to continue.
    pub continues: Option<u64>,
}

/// What was found not to hold. Where entries are named, those before are good.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is no checkpoint.
    #[error("there is no log here: the file `checkpoint` is missing")]
    NoCheckpoint,
    /// The checkpoint is not of this key, or malformed.
    #[error("the checkpoint is refused")]
    Checkpoint(#[source] CheckpointError),
    /// The trusted earlier checkpoint is not of this key, or malformed.
    #[error("the trusted checkpoint is refused")]
    TrustedCheckpoint(#[source] CheckpointError),
    /// The log is shorter than a checkpoint it once signed.
    #[error(
        "the log was cut: it has `{size}` entries and once had `{trusted}`; entry `{size}` is the first missing"
    )]
    RolledBack {
        /// Entries the trusted checkpoint covers.
        trusted: u64,
        /// Entries there are.
        size: u64,
    },
    /// Both checkpoints are signed, and no log can have had both.
    #[error(
        "the log was forked: its first `{trusted}` entries are not those of the trusted checkpoint"
    )]
    Forked {
        /// Entries the trusted checkpoint covers.
        trusted: u64,
    },
    /// An entry under the checkpoint is not there.
    #[error("entry `{index}` is missing from `{path}`")]
    EntryMissing {
        /// The first missing entry.
        index: u64,
        /// Bundle it belongs in.
        path: String,
    },
    /// An entry is not the one logged: edited, moved, or another in its place.
    #[error("entry `{index}` in `{path}` is not the one that was logged")]
    EntryDamaged {
        /// The first bad entry.
        index: u64,
        /// Bundle it stands in.
        path: String,
    },
    /// Entries and the tiles over them were exchanged together.
    #[error("an entry from `{first}` to `{last}` is not the one that was logged")]
    EntriesRewritten {
        /// First entry of the bundles exchanged.
        first: u64,
        /// Their last entry.
        last: u64,
    },
    /// The entries are those logged, but a tile of hashes over them is not.
    #[error("the tile `{path}` is damaged or missing, while all entries are as logged")]
    TileDamaged {
        /// The first bad tile.
        path: String,
    },
    /// Everything on disk fits together, but not with the checkpoint: rewritten as a whole.
    #[error("the log's `{size}` entries are not those the checkpoint was signed over")]
    RootMismatch {
        /// Entries the checkpoint covers.
        size: u64,
    },
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    Io {
        /// Its path.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Verifies the log, or the exported copy of one, in `directory`. Entries beyond the checkpoint
/// (at most about a second's worth) are not looked at.
///
/// # Errors
/// [`VerifyError`], naming the first entry or tile that does not fit.
pub fn verify_dir(directory: &Path, verifier: &NoteVerifier) -> Result<Verified, VerifyError> {
    verify(&Directory::new(directory), verifier, None)
}

/// Verifies as [`verify_dir`] does, and that the log continues `trusted`, an earlier checkpoint
/// of the same log kept elsewhere: only that shows a log cut and signed anew.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_dir_against(
    directory: &Path,
    verifier: &NoteVerifier,
    trusted: &[u8],
) -> Result<Verified, VerifyError> {
    verify(&Directory::new(directory), verifier, Some(trusted))
}

/// Verifies a log on any storage.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(
    store: &dyn TileStore,
    verifier: &NoteVerifier,
    trusted: Option<&[u8]>,
) -> Result<Verified, VerifyError> {
    let note = get(store, CHECKPOINT_PATH, MAX_NOTE_BYTES)?.ok_or(VerifyError::NoCheckpoint)?;
    let checkpoint = Checkpoint::open(&note, verifier).map_err(VerifyError::Checkpoint)?;
    let trusted = trusted
        .map(|note| Checkpoint::open(note, verifier))
        .transpose()
        .map_err(VerifyError::TrustedCheckpoint)?;
    if let Some(trusted) = trusted.as_ref().filter(|old| old.size > checkpoint.size) {
        return Err(VerifyError::RolledBack { trusted: trusted.size, size: checkpoint.size });
    }
    let mut pass = Pass {
        store,
        checkpoint: &checkpoint,
        trusted: trusted.as_ref(),
        frontier: Frontier::new(),
        bad_entry: None,
        bad_tile: None,
        rewritten: None,
        forked: false,
    };
    pass.compare_trusted();
    while pass.frontier.size() < checkpoint.size {
        pass.bundle()?;
    }
    pass.partial_tiles()?;
    pass.conclude()?;
    Ok(Verified {
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root,
        continues: trusted.map(|trusted| trusted.size),
    })
}

/// The one pass over the entries. What does not fit is noted, and judged when the root is known:
/// where entry and tile disagree, the root says which of them is false.
struct Pass<'a> {
    store: &'a dyn TileStore,
    checkpoint: &'a Checkpoint,
    trusted: Option<&'a Checkpoint>,
    frontier: Frontier,
    bad_entry: Option<(u64, TilePath)>,
    bad_tile: Option<TilePath>,
    rewritten: Option<(u64, u64)>,
    forked: bool,
}

impl Pass<'_> {
    /// Verifies the next bundle against its tile of leaf hashes.
    fn bundle(&mut self) -> Result<(), VerifyError> {
        let first = self.frontier.size();
        let (path, _) = bundle_of(first, self.checkpoint.size);
        let (bytes, exact) = self
            .read(path)?
            .ok_or_else(|| VerifyError::EntryMissing { index: first, path: path.to_string() })?;
        let leaf_tile = TilePath::hashes(0, path.index, path.width);
        let hashes = match self.read(leaf_tile)? {
            Some((bytes, _)) => decode_tile(&bytes).unwrap_or_default(),
            None => Vec::new(),
        };
        if hashes.len() < usize::from(path.width) {
            self.bad_tile.get_or_insert(leaf_tile);
        }
        let mut entries = BundleEntries::new(&bytes);
        for place in 0..path.width {
            let index = self.frontier.size();
            let Some(Ok(entry)) = entries.next() else {
                return Err(self.cut(index, path));
            };
            let leaf = leaf_hash(entry);
            if hashes.get(usize::from(place)).is_some_and(|hash| *hash != leaf) {
                self.bad_entry.get_or_insert((index, path));
                self.bad_tile.get_or_insert(leaf_tile);
            }
            self.push(leaf)?;
        }
        // Only a tile standing in for a narrower one may hold more.
        if exact && entries.next().is_some() {
            self.bad_entry.get_or_insert((self.frontier.size(), path));
            return Err(self.cut(self.frontier.size(), path));
        }
        Ok(())
    }

    /// A bundle with too few entries, or too many: the first that does not fit its hash is the
    /// first bad one.
    fn cut(&self, index: u64, path: TilePath) -> VerifyError {
        match self.bad_entry {
            Some((index, path)) => VerifyError::EntryDamaged { index, path: path.to_string() },
            None => VerifyError::EntryMissing { index, path: path.to_string() },
        }
    }

    fn push(&mut self, leaf: Hash) -> Result<(), VerifyError> {
        let mut frontier = std::mem::take(&mut self.frontier);
        frontier.push(leaf, |path, hashes| self.compare_tile(path, hashes))?;
        self.frontier = frontier;
        self.compare_trusted();
        Ok(())
    }

    fn partial_tiles(&mut self) -> Result<(), VerifyError> {
        let frontier = std::mem::take(&mut self.frontier);
        for (path, hashes) in frontier.partial_tiles() {
            self.compare_tile(path, hashes)?;
        }
        self.frontier = frontier;
        Ok(())
    }

    /// Compares a stored tile above the leaves with the one computed.
    fn compare_tile(&mut self, path: TilePath, computed: &[Hash]) -> Result<(), VerifyError> {
        let TileKind::Hashes { level: level @ 1.. } = path.kind else {
            return Ok(());
        };
        let stored = match self.read(path)? {
            Some((bytes, _)) => decode_tile(&bytes).unwrap_or_default(),
            None => Vec::new(),
        };
        let equal = computed.iter().zip(&stored).take_while(|(a, b)| a == b).count();
        if equal < computed.len() {
            let place = equal as u64;
            self.bad_tile.get_or_insert(path);
            // Each hash of this tile stands for this many entries.
            let span = 1u64 << (TILE_HEIGHT * u32::from(level));
            let first = (path.index * u64::from(TILE_WIDTH) + place) * span;
            if !stored.is_empty() {
                self.rewritten.get_or_insert((first, first + (span - 1)));
            }
        }
        Ok(())
    }

    fn compare_trusted(&mut self) {
        if let Some(trusted) = self.trusted
            && trusted.size == self.frontier.size()
            && trusted.root != self.frontier.root()
        {
            self.forked = true;
        }
    }

    fn conclude(self) -> Result<(), VerifyError> {
        if self.frontier.root() == self.checkpoint.root {
            return match (self.forked, self.trusted, self.bad_tile) {
                (true, Some(trusted), _) => Err(VerifyError::Forked { trusted: trusted.size }),
                (_, _, Some(path)) => Err(VerifyError::TileDamaged { path: path.to_string() }),
                _ => Ok(()),
            };
        }
        Err(match (self.bad_entry, self.rewritten) {
            (Some((index, path)), _) => VerifyError::EntryDamaged { index, path: path.to_string() },
            (None, Some((first, last))) => VerifyError::EntriesRewritten { first, last },
            (None, None) => VerifyError::RootMismatch { size: self.checkpoint.size },
        })
    }

    /// The bytes at `path`, and whether they are of exactly that width: a full tile may stand in
    /// for the partial one that the checkpoint asks for.
    fn read(&self, path: TilePath) -> Result<Option<(Vec<u8>, bool)>, VerifyError> {
        if let Some(bytes) = get(self.store, &path.to_string(), path.max_bytes())? {
            return Ok(Some((bytes, true)));
        }
        let full = path.full();
        Ok(get(self.store, &full.to_string(), full.max_bytes())?.map(|bytes| (bytes, false)))
    }
}

fn get(
    store: &dyn TileStore,
    path: &str,
    max_bytes: usize,
) -> Result<Option<Vec<u8>>, VerifyError> {
    store.read(path, max_bytes).map_err(|source| VerifyError::Io { path: path.into(), source })
}
