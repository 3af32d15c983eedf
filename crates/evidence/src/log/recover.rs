//! Opening a log: what is on disk is held against the checkpoint, and what was durable but not
//! yet in tiles is brought there.
//!
//! Nothing is written before everything that was acknowledged has been found whole.

use std::io::Read;
use std::sync::Arc;

use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::edge::{self, TileError};
use super::integrate::Integrator;
use super::note::{MAX_NOTE_BYTES, NoteSigner};
use super::segment::{Scanned, SegmentScanner, holds_batch};
use super::storage::{CHECKPOINT_PATH, SegmentFile, SegmentStore, TileStore};
use super::tile::Frontier;

/// Bytes of the largest segment read at once, to tell a torn end from damage.
const MAX_SEGMENT_BYTES: u64 = 256 * 1024 * 1024;

/// Why a log cannot be opened. Each is a reason to keep the gate closed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be used.
    #[error("the log cannot be opened: {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the log open.
    #[error("the log in `{directory}` is open in another process; stop that one first")]
    Locked {
        /// The log's directory.
        directory: String,
    },
    /// There are entries, but no checkpoint.
    #[error(
        "the log has entries but no checkpoint; restore the file `checkpoint` from a copy, or start a new log in an empty directory"
    )]
    MissingCheckpoint,
    /// The checkpoint is not one of this log by this key.
    #[error("the log's checkpoint is refused")]
    Checkpoint(#[from] CheckpointError),
    /// The entries are not those the checkpoint was signed over.
    #[error(
        "the log does not match its checkpoint of {size} entries; run the offline verification to find the first bad entry"
    )]
    RootMismatch {
        /// Entries the checkpoint covers.
        size: u64,
    },
    /// An entry that had been acknowledged is damaged.
    #[error(
        "entry `{index}` is damaged in the write-ahead segment `{segment}`; restore the log from a copy"
    )]
    EntryDamaged {
        /// The first bad entry.
        index: u64,
        /// First index of the segment it stands in.
        segment: u64,
    },
    /// An entry that had been acknowledged is gone.
    #[error("entry `{index}` is missing; restore the log from a copy")]
    EntryMissing {
        /// The first missing entry.
        index: u64,
    },
    /// The common sequence of several nodes cannot be asked.
    #[error("the common sequence of the log cannot be reached: {reason}")]
    Sequence {
        /// What went wrong.
        reason: String,
    },
    /// This node has seen more of the log than the common sequence has.
    #[error(
        "this node has {size} entries of the log and the common sequence only {end}: the database was set back, or the directory holds another log; restore the database, or move the directory away (it stays verifiable) to follow anew"
    )]
    SetBack {
        /// Entries here.
        size: u64,
        /// Entries there.
        end: u64,
    },
    /// This node's copy is not a beginning of the common sequence.
    #[error(
        "entry `{index}` is not the same here and in the common sequence: one of them was changed; keep both for the investigation, and move the directory away to follow anew"
    )]
    Diverged {
        /// The entry they were compared at.
        index: u64,
    },
    /// A tile at the right edge of the tree cannot be used.
    #[error("the log's tiles cannot be taken up again")]
    Tile(#[from] TileError),
}

pub(super) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> OpenError {
    move |source| OpenError::Io { what, source }
}

/// A log ready to be written.
pub(super) struct Recovered {
    pub(super) integrator: Integrator,
    pub(super) checkpoint: Checkpoint,
    pub(super) segment: Box<dyn SegmentFile>,
}

/// Brings the log to where every acknowledged entry is in durable tiles under a checkpoint, and
/// starts an empty segment behind them.
pub(super) fn recover(
    tiles: &Arc<dyn TileStore>,
    segments: &Arc<dyn SegmentStore>,
    signer: &Arc<NoteSigner>,
) -> Result<Recovered, OpenError> {
    let firsts = segments.list().map_err(io("its segments cannot be listed"))?;
    let known = read_checkpoint(tiles.as_ref(), signer, &firsts)?;
    let size = known.as_ref().map_or(0, |checkpoint| checkpoint.size);
    let base = match firsts.first() {
        Some(first) => *first,
        None if size == 0 => 0,
        None => return Err(OpenError::EntryMissing { index: size }),
    };
    if base > size {
        return Err(OpenError::EntryMissing { index: size });
    }
    let mut survey = Survey::new(edge::resume(tiles.as_ref(), base)?.0, known.clone());
    survey.run(segments.as_ref(), &firsts)?;

    let mut integrator = Integrator::resume(tiles.clone(), signer.clone(), base)?;
    for first in &firsts {
        // INVARIANT: the right edge is durable at the start of every segment, so that the log can
        // be taken up again at any of them, whichever a crash during their removal leaves.
        if *first > base {
            integrator.write_partial().map_err(io("its tiles cannot be written"))?;
        }
        replay(segments.as_ref(), *first, &mut integrator)?;
    }
    // INVARIANT: the survey saw the same bytes. Anything else is another writer without the lock.
    if integrator.frontier() != &survey.frontier {
        return Err(OpenError::RootMismatch { size });
    }
    let checkpoint = match known {
        Some(known) if known.size == integrator.size() => {
            integrator.write_partial().map(|()| known)
        }
        _ => integrator.publish(),
    }
    .map_err(io("its checkpoint cannot be written"))?;
    integrator.recovered();
    let end = integrator.size();
    let segment = segments.append_to(end, 0).map_err(io("a segment cannot be created"))?;
    for first in firsts.iter().filter(|first| **first != end) {
        segments.remove(*first).map_err(io("a segment cannot be removed"))?;
    }
    // Last: a crash in the middle of this must not leave a segment that begins at one of the
    // partial tiles already gone.
    integrator
        .take_unsynced()
        .sync(tiles.as_ref())
        .map_err(io("its partial tiles cannot be removed"))?;
    Ok(Recovered { integrator, checkpoint, segment })
}

fn read_checkpoint(
    tiles: &dyn TileStore,
    signer: &NoteSigner,
    segments: &[u64],
) -> Result<Option<Checkpoint>, OpenError> {
    let note =
        tiles.read(CHECKPOINT_PATH, MAX_NOTE_BYTES).map_err(io("its checkpoint cannot be read"))?;
    if let Some(note) = note {
        return Ok(Some(Checkpoint::open(&note, &signer.verifier())?));
    }
    // A log's first act is to publish the checkpoint of the empty tree.
    let tiles = tiles.list("tile").map_err(io("its tiles cannot be listed"))?;
    if segments.is_empty() && tiles.is_empty() {
        Ok(None)
    } else {
        Err(OpenError::MissingCheckpoint)
    }
}

/// The first pass over the segments: finds their whole parts, changes nothing but a torn end.
struct Survey {
    frontier: Frontier,
    checkpoint: Option<Checkpoint>,
}

impl Survey {
    fn new(frontier: Frontier, checkpoint: Option<Checkpoint>) -> Self {
        Self { frontier, checkpoint }
    }

    fn covered(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size)
    }

    fn run(&mut self, segments: &dyn SegmentStore, firsts: &[u64]) -> Result<(), OpenError> {
        self.compare()?;
        let mut torn = None;
        for first in firsts {
            if *first != self.frontier.size() {
                return Err(OpenError::EntryMissing { index: self.frontier.size() });
            }
            let last = firsts.last() == Some(first);
            torn = self.scan(segments, *first, last)?;
        }
        if self.frontier.size() < self.covered() {
            return Err(OpenError::EntryMissing { index: self.frontier.size() });
        }
        if let Some((first, whole_bytes)) = torn {
            tracing::warn!(
                entry = self.frontier.size(),
                "dropping a torn record at the end of the log that was never acknowledged"
            );
            segments.append_to(first, whole_bytes).map_err(io("a torn segment cannot be cut"))?;
        }
        Ok(())
    }

    /// Compares the tree with the checkpoint when it has just reached its size.
    fn compare(&self) -> Result<(), OpenError> {
        match &self.checkpoint {
            Some(known)
                if known.size == self.frontier.size() && known.root != self.frontier.root() =>
            {
                Err(OpenError::RootMismatch { size: known.size })
            }
            _ => Ok(()),
        }
    }

    /// Scans one segment; returns where it is torn.
    fn scan(
        &mut self,
        segments: &dyn SegmentStore,
        first: u64,
        last: bool,
    ) -> Result<Option<(u64, u64)>, OpenError> {
        let unreadable = || io("a segment cannot be read");
        let input = segments.read(first).map_err(unreadable())?;
        let mut scanner = SegmentScanner::new(std::io::BufReader::new(input));
        loop {
            match scanner.next_batch().map_err(unreadable())? {
                Scanned::End => return Ok(None),
                Scanned::Batch(batch) => {
                    if batch.first != self.frontier.size() {
                        return Err(OpenError::EntryMissing { index: self.frontier.size() });
                    }
                    for (_, leaf) in &batch.entries {
                        let Ok(()) =
                            self.frontier.push(*leaf, |_, _| Ok::<_, std::convert::Infallible>(()));
                        self.compare()?;
                    }
                }
                Scanned::Damaged { whole } => {
                    let index = self.frontier.size() + whole;
                    let damaged = OpenError::EntryDamaged { index, segment: first };
                    if !last || self.frontier.size() < self.covered() {
                        return Err(damaged);
                    }
                    let mut bytes = Vec::new();
                    segments
                        .read(first)
                        .and_then(|input| input.take(MAX_SEGMENT_BYTES).read_to_end(&mut bytes))
                        .map_err(unreadable())?;
                    if holds_batch(&bytes, self.frontier.size() + 1) {
                        return Err(damaged);
                    }
                    return Ok(Some((first, scanner.position())));
                }
            }
        }
    }
}

fn replay(
    segments: &dyn SegmentStore,
    first: u64,
    integrator: &mut Integrator,
) -> Result<(), OpenError> {
    let unreadable = || io("a segment cannot be read");
    let input = segments.read(first).map_err(unreadable())?;
    let mut scanner = SegmentScanner::new(std::io::BufReader::new(input));
    while let Scanned::Batch(batch) = scanner.next_batch().map_err(unreadable())? {
        for (entry, leaf) in &batch.entries {
            integrator.add(entry, *leaf).map_err(io("its tiles cannot be written"))?;
        }
    }
    Ok(())
}
