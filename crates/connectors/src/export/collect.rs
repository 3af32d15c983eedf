//! From the log to a batch. Blocks: it reads files.

use std::sync::Arc;

use portcullis_evidence::log::{LogReadError, LogReader};
use thiserror::Error;

use super::batch::{Batch, Limits, Offered};
use super::entry::{Exported, for_receiver};
use super::filter::Filter;

/// Entries looked at in one go, so that a filter that lets little through does not keep a thread.
const MAX_LOOKED_AT: u64 = 16_384;

/// Opens an entry for receivers: its bytes as a receiver may read them. Runs on a thread that may
/// block. An error keeps the export where it is.
pub type Opener = Arc<dyn Fn(u64, Vec<u8>) -> Result<Vec<u8>, OpenError> + Send + Sync>;

/// An entry cannot be opened for a receiver now.
#[derive(Debug, Clone, Error)]
#[error("entry `{index}` cannot be opened: {why}")]
pub struct OpenError {
    /// Which.
    pub index: u64,
    /// Why not.
    pub why: String,
}

/// Why a batch could not be collected.
#[derive(Debug, Error)]
pub(crate) enum CollectError {
    /// The log cannot be read there.
    #[error(transparent)]
    Read(#[from] LogReadError),
    /// An entry cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log ends before its checkpoint says.
    #[error(
        "entry `{index}` is not in the log, though its checkpoint covers it; `portcullis audit verify` says more"
    )]
    Missing {
        /// Which.
        index: u64,
    },
}

/// Entries go out as they are in the log.
#[must_use]
pub fn unopened() -> Opener {
    Arc::new(|_, entry| Ok(entry))
}

/// What an entry is to a receiver: the one way from the log to the outside.
fn open_for_export(
    open: &Opener,
    origin: &str,
    index: u64,
    entry: Vec<u8>,
) -> Result<Exported, OpenError> {
    Ok(for_receiver(origin, index, &open(index, entry)?))
}

/// The first entry from `from` on that waits to be exported, under the checkpoint of the log that
/// `reader` reads. Looks at no more entries than a filter can have held back since the cursor was
/// last written, and a few more. Blocks.
///
/// # Errors
/// [`LogReadError`].
pub fn first_waiting(
    reader: &LogReader,
    filter: &Filter,
    from: u64,
) -> Result<Option<Exported>, LogReadError> {
    let checkpoint = reader.checkpoint()?;
    let end = checkpoint.size.min(from.saturating_add(2 * super::pump::PASSED_OVER_UNSAVED));
    for read in reader.entries(from..end) {
        let (index, entry) = read?;
        let exported = for_receiver(&checkpoint.origin, index, &entry);
        if filter.lets_through(&exported) {
            return Ok(Some(exported));
        }
    }
    Ok(None)
}

/// What is read, and how.
pub(crate) struct Collector {
    pub(crate) reader: LogReader,
    pub(crate) origin: String,
    pub(crate) filter: Filter,
    pub(crate) open: Opener,
}

impl Collector {
    /// The next batch of the entries `from..size`, all of them under a checkpoint.
    pub(crate) fn collect(
        &self,
        from: u64,
        size: u64,
        limits: &Limits,
    ) -> Result<Batch, CollectError> {
        let mut batch = Batch::begin(from);
        let end = size.min(from.saturating_add(MAX_LOOKED_AT));
        for read in self.reader.entries(from..end) {
            let (index, entry) = read?;
            let exported = open_for_export(&self.open, &self.origin, index, entry)?;
            if !self.filter.lets_through(&exported) {
                batch.pass_over(index);
            } else if batch.offer(exported, limits) == Offered::Full {
                return Ok(batch);
            }
        }
        if batch.next == from && from < end {
            return Err(CollectError::Missing { index: from });
        }
        Ok(batch)
    }
}
