//! Reading a log: entries by index, ranges with bounded memory, checkpoints, proofs. Works on a
//! running log, on a stopped one and on an exported copy.
//!
//! A reader believes what it reads; [`super::verify`] does not.

use std::io::BufReader;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::edge::{TileError, TileHashes, bundle_of, read_bundle};
use super::holding::minimum_index;
use super::merkle::Hash;
use super::note::MAX_NOTE_BYTES;
use super::proof;
use super::segment::{Scanned, SegmentScanner};
use super::storage::{CHECKPOINT_PATH, Directory, SegmentStore, TileStore};

/// Times a read is begun anew because the writer moved entries from segments to tiles meanwhile.
const MAX_RETRIES: usize = 8;

/// Why something cannot be read from a log.
#[derive(Debug, Error)]
pub enum LogReadError {
    /// There is no checkpoint, so no log.
    #[error("there is no log: the file `checkpoint` is missing")]
    NoCheckpoint,
    /// The checkpoint cannot be read.
    #[error("the log's checkpoint is refused")]
    Checkpoint(#[from] CheckpointError),
    /// A tile or bundle cannot be read.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The storage failed.
    #[error("the log cannot be read")]
    Io(#[from] std::io::Error),
    /// The entry was archived.
    #[error("entry `{index}` was archived; the log begins at `{first}`")]
    Archived {
        /// Index asked for.
        index: u64,
        /// The first entry that is held.
        first: u64,
    },
    /// There is no such entry (yet).
    #[error("there is no entry `{index}` in a log of {size}")]
    OutOfRange {
        /// Index asked for.
        index: u64,
        /// Entries there are.
        size: u64,
    },
}

/// Reads a log. Clones are cheap.
#[derive(Clone)]
pub struct LogReader {
    tiles: Arc<dyn TileStore>,
    segments: Arc<dyn SegmentStore>,
    durable: Option<Arc<AtomicU64>>,
}

impl LogReader {
    /// Opens the log, or the exported copy of one, in `directory`.
    ///
    /// Where another process is writing, the newest entries seen may be durable only in a
    /// moment; those under the checkpoint are.
    ///
    /// # Errors
    /// [`LogReadError::NoCheckpoint`], [`LogReadError::Checkpoint`], [`LogReadError::Io`].
    pub fn open(directory: &Path) -> Result<Self, LogReadError> {
        let store = Arc::new(Directory::new(directory));
        let reader = Self::on(store.clone(), store, None);
        reader.checkpoint()?;
        Ok(reader)
    }

    pub(super) fn on(
        tiles: Arc<dyn TileStore>,
        segments: Arc<dyn SegmentStore>,
        durable: Option<Arc<AtomicU64>>,
    ) -> Self {
        Self { tiles, segments, durable }
    }

    /// The tiles, bundles and checkpoint.
    #[must_use]
    pub fn tiles(&self) -> &dyn TileStore {
        self.tiles.as_ref()
    }

    /// The first entry that was not archived.
    ///
    /// # Errors
    /// [`LogReadError::Io`].
    pub fn first(&self) -> Result<u64, LogReadError> {
        Ok(minimum_index(self.tiles.as_ref())?)
    }

    /// The latest checkpoint. Its signature is not checked: see [`LogReader::checkpoint_note`].
    ///
    /// # Errors
    /// [`LogReadError::NoCheckpoint`], [`LogReadError::Checkpoint`], [`LogReadError::Io`].
    pub fn checkpoint(&self) -> Result<Checkpoint, LogReadError> {
        Ok(Checkpoint::read_unverified(&self.checkpoint_note()?)?)
    }

    /// The latest checkpoint as the signed note it is.
    ///
    /// # Errors
    /// [`LogReadError::NoCheckpoint`], [`LogReadError::Io`].
    pub fn checkpoint_note(&self) -> Result<Vec<u8>, LogReadError> {
        self.tiles.read(CHECKPOINT_PATH, MAX_NOTE_BYTES)?.ok_or(LogReadError::NoCheckpoint)
    }

    /// Entries there are, those not yet under a checkpoint included.
    ///
    /// # Errors
    /// [`LogReadError`].
    pub fn size(&self) -> Result<u64, LogReadError> {
        if let Some(durable) = &self.durable {
            return Ok(durable.load(Ordering::SeqCst));
        }
        let covered = self.checkpoint()?.size;
        let Some(last) = self.segments.list()?.last().copied() else {
            return Ok(covered);
        };
        let mut tail = Tail::open(self.segments.as_ref(), last)?;
        while tail.advance()? {}
        Ok(covered.max(tail.end))
    }

    /// One entry.
    ///
    /// # Errors
    /// [`LogReadError`].
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, LogReadError> {
        let first = self.first()?;
        if index < first {
            return Err(LogReadError::Archived { index, first });
        }
        match self.entries(index..index.saturating_add(1)).next() {
            Some(entry) => entry.map(|(_, entry)| entry),
            None => Err(LogReadError::OutOfRange { index, size: self.size()? }),
        }
    }

    /// The entries of a range, as far as they are held, in order, with their indices. Holds one
    /// bundle or batch at a time. Ends after the first error.
    #[must_use]
    pub fn entries(&self, range: Range<u64>) -> Entries {
        Entries {
            reader: self.clone(),
            next: range.start,
            end: range.end,
            covered: 0,
            ready: Vec::new().into_iter(),
            tail: None,
        }
    }

    /// The proof that entry `index` is in the tree of `size` entries, where `size` is of a
    /// checkpoint.
    ///
    /// # Errors
    /// [`LogReadError::Tile`], [`LogReadError::OutOfRange`].
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogReadError> {
        if index >= size {
            return Err(LogReadError::OutOfRange { index, size });
        }
        let mut hashes = TileHashes::new(self.tiles.as_ref(), size);
        Ok(proof::inclusion(&mut hashes, index, size)?)
    }

    /// The proof that the tree of `old` entries is a prefix of the one of `new`, both sizes of
    /// checkpoints.
    ///
    /// # Errors
    /// [`LogReadError::Tile`], [`LogReadError::OutOfRange`].
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogReadError> {
        if old > new {
            return Err(LogReadError::OutOfRange { index: old, size: new });
        }
        let mut hashes = TileHashes::new(self.tiles.as_ref(), new);
        Ok(proof::consistency(&mut hashes, old, new)?)
    }
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader").finish_non_exhaustive()
    }
}

/// Entries in order: [`LogReader::entries`].
pub struct Entries {
    reader: LogReader,
    next: u64,
    end: u64,
    covered: u64,
    ready: std::vec::IntoIter<Vec<u8>>,
    tail: Option<Tail>,
}

impl Entries {
    /// Loads the entries from `next` on; `false` where there are none.
    fn refill(&mut self) -> Result<bool, LogReadError> {
        if self.covered == 0 {
            self.covered = self.reader.checkpoint()?.size;
            // Those archived are passed over.
            self.next = self.next.max(self.reader.first()?);
            if self.next >= self.end {
                return Ok(false);
            }
        }
        for _ in 0..MAX_RETRIES {
            if self.next < self.covered {
                return self.refill_from_tiles();
            }
            if let Some(durable) = &self.reader.durable
                && self.next >= durable.load(Ordering::SeqCst)
            {
                return Ok(false);
            }
            match self.refill_from_tail() {
                Ok(true) => return Ok(true),
                Ok(false) => {
                    // Not in the segments: not yet there at all, or already trimmed.
                    self.tail = None;
                    self.covered = self.reader.checkpoint()?.size;
                    if self.next >= self.covered {
                        return Ok(false);
                    }
                }
                // A segment trimmed between listing and opening it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.tail = None;
                    self.covered = self.reader.checkpoint()?.size;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    fn refill_from_tiles(&mut self) -> Result<bool, LogReadError> {
        let (path, place) = bundle_of(self.next, self.covered);
        let bundle = read_bundle(self.reader.tiles.as_ref(), path)?;
        let wanted = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        self.ready = bundle
            .entries()
            .skip(usize::from(place))
            .take(wanted)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
            .into_iter();
        Ok(true)
    }

    fn refill_from_tail(&mut self) -> std::io::Result<bool> {
        let segments = self.reader.segments.as_ref();
        // At the end of a segment the next one begins; look for it once.
        for _ in 0..2 {
            if self.tail.is_none() {
                let firsts = segments.list()?;
                let Some(first) = firsts.into_iter().rfind(|first| *first <= self.next) else {
                    return Ok(false);
                };
                self.tail = Some(Tail::open(segments, first)?);
            }
            let Some(tail) = &mut self.tail else { break };
            while tail.end <= self.next && tail.advance()? {}
            if tail.first <= self.next && self.next < tail.end {
                let skip = usize::try_from(self.next - tail.first).unwrap_or(usize::MAX);
                self.ready = tail.entries.split_off(skip.min(tail.entries.len())).into_iter();
                return Ok(true);
            }
            let opened = tail.opened;
            self.tail = None;
            let newest = segments.list()?.into_iter().rfind(|first| *first <= self.next);
            if newest.is_none_or(|newest| newest <= opened) {
                break;
            }
        }
        Ok(false)
    }
}

impl Iterator for Entries {
    type Item = Result<(u64, Vec<u8>), LogReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        if let Some(durable) = &self.reader.durable
            && self.next >= durable.load(Ordering::SeqCst)
        {
            return None;
        }
        loop {
            if let Some(entry) = self.ready.next() {
                let index = self.next;
                self.next += 1;
                return Some(Ok((index, entry)));
            }
            match self.refill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.end = self.next;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// A segment being read, with its latest batch.
struct Tail {
    scanner: SegmentScanner<BufReader<Box<dyn std::io::Read + Send>>>,
    /// The segment's first index.
    opened: u64,
    /// First index of the batch, and the index behind it.
    first: u64,
    end: u64,
    entries: Vec<Vec<u8>>,
}

impl Tail {
    fn open(segments: &dyn SegmentStore, first: u64) -> std::io::Result<Self> {
        Ok(Self {
            scanner: SegmentScanner::new(BufReader::new(segments.read(first)?)),
            opened: first,
            first,
            end: first,
            entries: Vec::new(),
        })
    }

    /// Reads the next batch; `false` where there is no whole one.
    fn advance(&mut self) -> std::io::Result<bool> {
        let Scanned::Batch(batch) = self.scanner.next_batch()? else {
            return Ok(false);
        };
        self.first = batch.first;
        self.end = batch.end();
        self.entries = batch.entries.into_iter().map(|(entry, _)| entry).collect();
        Ok(true)
    }
}
