//! The log itself in an S3-compatible bucket: tiles, entry bundles and the checkpoint, by their
//! C2SP tlog-tiles paths, so that a copy of the bucket verifies as the log's directory does.
//!
//! What is delivered is not the batch but the tree that covers it. Where the bucket stands it says
//! itself, by its checkpoint: tiles are written before the checkpoint that needs them, and that only
//! over the one seen before (conditional put), so that two writers do not take turns unnoticed.
//!
//! INVARIANT: a bucket whose checkpoint is not a prefix of this log is not written to.

use std::path::PathBuf;

use futures::future::BoxFuture;
use portcullis_domain::Timestamp;
use portcullis_evidence::log::edge::{read_bundle, read_hashes};
use portcullis_evidence::log::note::MAX_NOTE_BYTES;
use portcullis_evidence::log::proof::verify_consistency;
use portcullis_evidence::log::storage::CHECKPOINT_PATH;
use portcullis_evidence::log::tile::{
    MAX_TILE_LEVELS, TILE_HEIGHT, TILE_WIDTH, TilePath, encode_tile, partial_index, partial_width,
    push_entry,
};
use portcullis_evidence::log::{Checkpoint, LogReader};

use super::{DeliverError, Kind, Sink};
use crate::export::Batch;
use crate::s3::{Bucket, BucketError, Condition};

/// Writes the log's tree into a bucket.
pub struct TilesSink {
    bucket: Bucket,
    log: PathBuf,
}

/// The tree here, as its checkpoint says.
struct Here {
    reader: LogReader,
    note: Vec<u8>,
    checkpoint: Checkpoint,
}

impl TilesSink {
    /// A sink for this bucket, of the log in the directory `log`.
    #[must_use]
    pub fn new(bucket: Bucket, log: PathBuf) -> Self {
        Self { bucket, log }
    }

    async fn publish(&self) -> Result<(), DeliverError> {
        let log = self.log.clone();
        let here = blocking(move || open(&log)).await?;
        let found = self.bucket.get(CHECKPOINT_PATH, MAX_NOTE_BYTES).await.map_err(told)?;
        let (there, condition) = match found {
            None => (0, Condition::Absent),
            Some(object) => {
                let known = Checkpoint::read_unverified(&object.bytes).map_err(refused)?;
                let size = known.size;
                if known.origin == here.checkpoint.origin && size > here.checkpoint.size {
                    return Err(refused(format!(
                        "the bucket has {size} entries, more than this log: it was set back; keep both as evidence"
                    )));
                }
                // Witnesses sign a checkpoint after it was made: the same size, another note.
                if object.bytes == here.note {
                    return Ok(());
                }
                let here = here.clone_for_proof();
                blocking(move || continues(&here, &known)).await?;
                (size, object.etag.map_or(Condition::Always, Condition::Unchanged))
            }
        };
        let size = here.checkpoint.size;
        for path in new_tiles(there, size) {
            let reader = here.reader.clone();
            let bytes = blocking(move || read(&reader, path)).await?;
            self.bucket.put(&path.to_string(), bytes, &Condition::Always).await.map_err(told)?;
        }
        self.bucket.put(CHECKPOINT_PATH, here.note, &condition).await.map_err(told)?;
        for path in superseded(there, size) {
            let directory = path.partial_directory();
            for name in self.bucket.list(&directory).await.map_err(told)? {
                self.bucket.delete(&format!("{directory}/{name}")).await.map_err(told)?;
            }
        }
        Ok(())
    }
}

impl Here {
    fn clone_for_proof(&self) -> (LogReader, Checkpoint) {
        (self.reader.clone(), self.checkpoint.clone())
    }
}

impl Sink for TilesSink {
    fn kind(&self) -> Kind {
        Kind::Tiles
    }

    fn destination(&self) -> String {
        self.bucket.name()
    }

    fn deliver<'a>(
        &'a mut self,
        _batch: &'a Batch,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DeliverError>> {
        Box::pin(self.publish())
    }
}

fn open(log: &std::path::Path) -> Result<Here, DeliverError> {
    let reader = LogReader::open(log).map_err(refused)?;
    let note = reader.checkpoint_note().map_err(refused)?;
    let checkpoint = Checkpoint::read_unverified(&note).map_err(refused)?;
    Ok(Here { reader, note, checkpoint })
}

/// Whether this log continues what the bucket has.
fn continues(here: &(LogReader, Checkpoint), known: &Checkpoint) -> Result<(), DeliverError> {
    let (reader, checkpoint) = here;
    let other = || {
        refused(format!(
            "the bucket holds another history of {} entries, of the log `{}`; keep both as evidence, and name another bucket or prefix",
            known.size, known.origin
        ))
    };
    if known.origin != checkpoint.origin {
        return Err(other());
    }
    let proof = reader.consistency_proof(known.size, checkpoint.size).map_err(refused)?;
    let (old, new) = (known.size, checkpoint.size);
    match verify_consistency(old, new, &proof, &known.root, &checkpoint.root) {
        true => Ok(()),
        false => Err(other()),
    }
}

/// The tiles and bundles of a tree of `to` entries that one of `from` has not, those it needs
/// partial last of their level.
fn new_tiles(from: u64, to: u64) -> Vec<TilePath> {
    let mut paths = Vec::new();
    for level in 0..MAX_TILE_LEVELS {
        let below = |size: u64| size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0);
        if below(from) == below(to) {
            continue;
        }
        let mut push = |index, width| {
            if level == 0 {
                paths.push(TilePath::entries(index, width));
            }
            paths.push(TilePath::hashes(level, index, width));
        };
        for index in partial_index(from, level)..partial_index(to, level) {
            push(index, TILE_WIDTH);
        }
        if let width @ 1.. = partial_width(to, level) {
            push(partial_index(to, level), width);
        }
    }
    paths
}

/// Tiles that were partial in the tree of `from` and are full in that of `to`.
fn superseded(from: u64, to: u64) -> Vec<TilePath> {
    let mut paths = Vec::new();
    for level in 0..MAX_TILE_LEVELS {
        let index = partial_index(from, level);
        if partial_width(from, level) > 0 && index < partial_index(to, level) {
            paths.push(TilePath::hashes(level, index, TILE_WIDTH));
            if level == 0 {
                paths.push(TilePath::entries(index, TILE_WIDTH));
            }
        }
    }
    paths
}

fn read(reader: &LogReader, path: TilePath) -> Result<Vec<u8>, DeliverError> {
    use portcullis_evidence::log::tile::TileKind;
    match path.kind {
        TileKind::Hashes { .. } => {
            Ok(encode_tile(&read_hashes(reader.tiles(), path).map_err(refused)?))
        }
        TileKind::Entries => {
            let bundle = read_bundle(reader.tiles(), path).map_err(refused)?;
            let mut bytes = Vec::new();
            for entry in bundle.entries() {
                push_entry(&mut bytes, entry);
            }
            Ok(bytes)
        }
    }
}

fn refused(error: impl std::fmt::Display) -> DeliverError {
    DeliverError::Refused { why: error.to_string(), retry_after: None }
}

fn told(error: BucketError) -> DeliverError {
    match error {
        BucketError::Http(error) => DeliverError::unreachable(error),
        other => refused(other),
    }
}

async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, DeliverError> + Send + 'static,
) -> Result<T, DeliverError> {
    let done = tokio::task::spawn_blocking(run).await;
    done.unwrap_or_else(|error| Err(DeliverError::unreachable(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Step by step the same files come about as at once, but for partial tiles on the way.
        #[test]
        fn a_tree_grown_in_steps_has_every_tile(steps in proptest::collection::vec(0u64..700, 1..12)) {
            let (mut size, mut there) = (0, BTreeSet::new());
            for step in steps {
                there.extend(new_tiles(size, size + step));
                for gone in superseded(size, size + step) {
                    there.retain(|path: &TilePath| !path.is_partial() || path.full() != gone);
                }
                size += step;
                for path in new_tiles(0, size) {
                    prop_assert!(there.contains(&path), "{path} is missing at {size}");
                }
            }
            let full = there.iter().filter(|path| path.is_partial());
            for path in full {
                prop_assert!(!there.contains(&path.full()), "{path} should be gone");
            }
        }
    }
}
