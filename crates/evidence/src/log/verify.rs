//! Offline verification: everything a checkpoint promises is computed anew from the entries
//! themselves, and the first entry or tile that does not fit is named.
//!
//! Flows in: a log's files, and keys and checkpoints from elsewhere. Trusts nothing else; needs no
//! gate, no database, no network.

mod error;

use std::ops::Range;
use std::path::Path;

use super::checkpoint::Checkpoint;
use super::edge::bundle_of;
use super::holding::{MANIFEST_PATH, handover_path, held, read_handovers, read_manifest};
use super::meaning::{Described, Meaning};
use super::merkle::{Hash, leaf_hash};
use super::note::{MAX_NOTE_BYTES, NoteVerifier};
use super::storage::{CHECKPOINT_PATH, Directory, TileStore};
use super::tile::{
    BundleEntries, Frontier, TILE_HEIGHT, TILE_WIDTH, TileKind, TilePath, decode_tile,
};
use super::trust::{Cosigned, Signed, Trust, TrustError};

pub use error::VerifyError;

/// What was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The log's identity.
    pub origin: String,
    /// Entries under the checkpoint; all hashes of them were found to fit.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
    /// Size of the largest trusted earlier checkpoint this log was found to continue.
    pub continues: Option<u64>,
    /// Entries that are not held here, so that only their hashes were looked at; in order.
    pub absent: Vec<Range<u64>>,
    /// Who cosigned the checkpoint, of the witnesses named.
    pub cosigned: Vec<Cosigned>,
    /// The log's keys, oldest first, as they were handed over.
    pub log_keys: Vec<String>,
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
    let verification = Verification::new(store, Trust::new(verifier.clone()));
    match trusted {
        Some(note) => verification.continuing(note.to_vec()).run(),
        None => verification.run(),
    }
}

/// A verification with all that can be asked of it.
pub struct Verification<'a> {
    store: &'a dyn TileStore,
    archive: Option<&'a dyn TileStore>,
    trust: Trust,
    earlier: Vec<Vec<u8>>,
    meaning: Option<Meaning>,
    progress: Box<dyn FnMut(u64, u64) + 'a>,
}

impl<'a> Verification<'a> {
    /// Of the log in `store`, believing `trust` and nothing else.
    #[must_use]
    pub fn new(store: &'a dyn TileStore, trust: Trust) -> Self {
        let (earlier, meaning) = (Vec::new(), None);
        Self { store, archive: None, trust, earlier, meaning, progress: Box::new(|_, _| {}) }
    }

    /// With another copy that holds entries this one has not.
    #[must_use]
    pub fn with_archive(mut self, archive: &'a dyn TileStore) -> Self {
        self.archive = Some(archive);
        self
    }

    /// That the log continues this checkpoint, kept elsewhere.
    #[must_use]
    pub fn continuing(mut self, note: Vec<u8>) -> Self {
        self.earlier.push(note);
        self
    }

    /// With what entries mean, to name events and to follow a rotation of the log's key.
    #[must_use]
    pub fn meaning(mut self, meaning: Meaning) -> Self {
        self.meaning = Some(meaning);
        self
    }

    /// Tells how many entries of how many are done, now and then.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(u64, u64) + 'a) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Verifies.
    ///
    /// # Errors
    /// [`VerifyError`], naming the first entry or tile that does not fit.
    pub fn run(mut self) -> Result<Verified, VerifyError> {
        let note =
            get(self.store, CHECKPOINT_PATH, MAX_NOTE_BYTES)?.ok_or(VerifyError::NoCheckpoint)?;
        let mut earlier = self.follow_keys()?;
        let Signed { checkpoint, cosigned } =
            self.trust.open(&note).map_err(|error| match error {
                TrustError::Checkpoint(source) => VerifyError::Checkpoint(source),
                quorum @ TrustError::Quorum { .. } => VerifyError::Cosignatures(quorum),
            })?;
        let mut continues = None;
        for note in &self.earlier {
            let opened = self.trust.open_earlier(note).map_err(VerifyError::TrustedCheckpoint)?;
            continues = continues.max(Some(opened.size));
            earlier.push(opened);
        }
        earlier.sort_by_key(|earlier| earlier.size);
        if let Some(cut) = earlier.last().filter(|old| old.size > checkpoint.size) {
            return Err(VerifyError::RolledBack { trusted: cut.size, size: checkpoint.size });
        }
        let mut pass = Pass {
            held: self.held(&checkpoint)?,
            verification: self,
            checkpoint: &checkpoint,
            earlier: earlier.into(),
            frontier: Frontier::new(),
            bad_entry: None,
            bad_tile: None,
            rewritten: None,
            forked: None,
            absent: Vec::new(),
        };
        pass.compare_earlier();
        while pass.frontier.size() < checkpoint.size {
            pass.bundle()?;
            (pass.verification.progress)(pass.frontier.size(), checkpoint.size);
        }
        pass.partial_tiles()?;
        pass.conclude()?;
        Ok(Verified {
            size: checkpoint.size,
            root: checkpoint.root,
            continues,
            absent: pass.absent,
            cosigned,
            log_keys: pass.verification.trust.log_keys().map(NoteVerifier::to_vkey).collect(),
            origin: checkpoint.origin,
        })
    }

    /// Takes over the keys handed over; returns the checkpoints that did it. Without a meaning no
    /// entry introduces a key, and only the key given is believed.
    fn follow_keys(&mut self) -> Result<Vec<Checkpoint>, VerifyError> {
        let Some(meaning) = self.meaning else { return Ok(Vec::new()) };
        let handovers = read_handovers(self.store).map_err(io(&handover_path(0)))?;
        let mut at = Vec::new();
        for (n, handover) in handovers.iter().enumerate() {
            let followed = self.trust.follow(handover, &meaning);
            at.extend(
                followed
                    .map_err(|source| VerifyError::Handover { path: handover_path(n), source })?,
            );
        }
        Ok(at)
    }

    /// The ranges that must be there, here and in the archive.
    fn held(&self, checkpoint: &Checkpoint) -> Result<Vec<Range<u64>>, VerifyError> {
        if let Some(manifest) = read_manifest(self.store).map_err(io(MANIFEST_PATH))? {
            let differs = [
                ("origin", manifest.origin != checkpoint.origin),
                ("size", manifest.size != checkpoint.size),
                ("root", manifest.root != checkpoint.root.to_base64()),
            ];
            if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
                return Err(VerifyError::ManifestMismatch { what });
            }
        }
        let stores = std::iter::once(self.store).chain(self.archive);
        stores.map(|store| held(store).map_err(io(MANIFEST_PATH))).collect()
    }

    /// The bytes at `path`, and whether they are of exactly that width: a full tile may stand in
    /// for the partial one that the checkpoint asks for.
    fn read(&self, path: TilePath) -> Result<Option<(Vec<u8>, bool)>, VerifyError> {
        for store in std::iter::once(self.store).chain(self.archive) {
            if let Some(bytes) = get(store, &path.to_string(), path.max_bytes())? {
                return Ok(Some((bytes, true)));
            }
            let full = path.full();
            if let Some(bytes) = get(store, &full.to_string(), full.max_bytes())? {
                return Ok(Some((bytes, !path.is_partial())));
            }
        }
        Ok(None)
    }
}

/// The one pass over the entries. What does not fit is noted, and judged when the root is known:
/// where entry and tile disagree, the root says which of them is false.
struct Pass<'a, 'v> {
    verification: Verification<'v>,
    checkpoint: &'a Checkpoint,
    held: Vec<Range<u64>>,
    /// Earlier checkpoints not yet compared, smallest first.
    earlier: std::collections::VecDeque<Checkpoint>,
    frontier: Frontier,
    bad_entry: Option<(u64, TilePath, Option<Described>)>,
    bad_tile: Option<TilePath>,
    rewritten: Option<(u64, u64)>,
    /// Size of the first earlier checkpoint that is not of this tree.
    forked: Option<u64>,
    absent: Vec<Range<u64>>,
}

impl Pass<'_, '_> {
    /// Verifies the next bundle against its tile of leaf hashes.
    fn bundle(&mut self) -> Result<(), VerifyError> {
        let first = self.frontier.size();
        let (path, _) = bundle_of(first, self.checkpoint.size);
        let leaf_tile = TilePath::hashes(0, path.index, path.width);
        let hashes = match self.verification.read(leaf_tile)? {
            Some((bytes, _)) => decode_tile(&bytes).unwrap_or_default(),
            None => Vec::new(),
        };
        let Some((bytes, exact)) = self.verification.read(path)? else {
            return self.absent(path, &hashes);
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
                let describe = self.verification.meaning.unwrap_or_default().describe;
                self.bad_entry.get_or_insert_with(|| (index, path, describe(entry)));
                self.bad_tile.get_or_insert(leaf_tile);
            }
            self.push(leaf)?;
        }
        // Only a tile standing in for a narrower one may hold more.
        if exact && entries.next().is_some() {
            self.bad_entry.get_or_insert((self.frontier.size(), path, None));
            return Err(self.cut(self.frontier.size(), path));
        }
        Ok(())
    }

    /// A bundle that is not there: where that is permitted, its leaf hashes stand for it, and the
    /// root tells whether they are true.
    fn absent(&mut self, path: TilePath, hashes: &[Hash]) -> Result<(), VerifyError> {
        let first = self.frontier.size();
        let end = first + u64::from(path.width);
        let missing = (first..end).find(|index| self.held.iter().any(|held| held.contains(index)));
        if let Some(index) = missing {
            return Err(VerifyError::EntryMissing { index, path: path.to_string() });
        }
        let tile = TilePath::hashes(0, path.index, path.width);
        let hashes = hashes
            .get(..usize::from(path.width))
            .ok_or_else(|| VerifyError::TileMissing { path: tile.to_string() })?;
        for leaf in hashes {
            self.push(*leaf)?;
        }
        match self.absent.last_mut().filter(|last| last.end == first) {
            Some(last) => last.end = end,
            None => self.absent.push(first..end),
        }
        Ok(())
    }

    /// A bundle with too few entries, or too many: the first that does not fit its hash is the
    /// first bad one.
    fn cut(&mut self, index: u64, path: TilePath) -> VerifyError {
        match self.bad_entry.take() {
            Some((index, path, described)) => {
                VerifyError::EntryDamaged { index, path: path.to_string(), described }
            }
            None => VerifyError::EntryMissing { index, path: path.to_string() },
        }
    }

    fn push(&mut self, leaf: Hash) -> Result<(), VerifyError> {
        let mut frontier = std::mem::take(&mut self.frontier);
        frontier.push(leaf, |path, hashes| self.compare_tile(path, hashes))?;
        self.frontier = frontier;
        self.compare_earlier();
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
        let stored = match self.verification.read(path)? {
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

    fn compare_earlier(&mut self) {
        while let Some(earlier) =
            self.earlier.pop_front_if(|earlier| earlier.size <= self.frontier.size())
        {
            if earlier.root != self.frontier.root() {
                self.forked.get_or_insert(earlier.size);
            }
        }
    }

    fn conclude(&mut self) -> Result<(), VerifyError> {
        if self.frontier.root() == self.checkpoint.root {
            return match (self.forked, self.bad_tile) {
                (Some(trusted), _) => Err(VerifyError::Forked { trusted }),
                (_, Some(path)) => Err(VerifyError::TileDamaged { path: path.to_string() }),
                _ => Ok(()),
            };
        }
        Err(match (self.bad_entry.take(), self.rewritten) {
            (Some((index, path, described)), _) => {
                VerifyError::EntryDamaged { index, path: path.to_string(), described }
            }
            (None, Some((first, last))) => VerifyError::EntriesRewritten { first, last },
            (None, None) => VerifyError::RootMismatch { size: self.checkpoint.size },
        })
    }
}

fn get(
    store: &dyn TileStore,
    path: &str,
    max_bytes: usize,
) -> Result<Option<Vec<u8>>, VerifyError> {
    store.read(path, max_bytes).map_err(io(path))
}

fn io(path: &str) -> impl Fn(std::io::Error) -> VerifyError {
    move |source| VerifyError::Io { path: path.to_owned(), source }
}
