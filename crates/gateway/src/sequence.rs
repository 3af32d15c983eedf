//! The common sequence of the log, kept by the store.
//!
//! In: entries of this node. Out: their places, and what all nodes appended. Entries travel in the
//! framing of tlog-tiles entry bundles; what they say is not known here.

use portcullis_evidence::log::tile::{BundleEntries, push_entry};
use portcullis_evidence::log::{Sequence, SequenceError, Sequenced, Sequencing};
use portcullis_store::{LogSequence, SequenceBatch};

/// The store's sequence, for the log.
pub struct CommonSequence(LogSequence);

impl CommonSequence {
    /// Over an open sequence.
    pub fn new(sequence: LogSequence) -> Self {
        Self(sequence)
    }
}

impl Sequence for CommonSequence {
    fn append(&self, entries: Vec<Vec<u8>>) -> Sequencing<'_, u64> {
        Box::pin(async move {
            let mut body = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 2).sum());
            for entry in &entries {
                if !push_entry(&mut body, entry) {
                    return Err(SequenceError::new("an entry is too long"));
                }
            }
            self.0.append(body, entries.len() as u64).await.map_err(SequenceError::new)
        })
    }

    fn after(&self, first: u64) -> Sequencing<'_, Vec<Sequenced>> {
        Box::pin(async move {
            let batches = self.0.after(first).await.map_err(SequenceError::new)?;
            batches.into_iter().map(read).collect()
        })
    }

    fn holding(&self, index: u64) -> Sequencing<'_, Option<Sequenced>> {
        Box::pin(async move {
            let batch = self.0.holding(index).await.map_err(SequenceError::new)?;
            batch.map(read).transpose()
        })
    }

    fn end(&self) -> Sequencing<'_, u64> {
        Box::pin(async move { self.0.end().await.map_err(SequenceError::new) })
    }
}

fn read((first, body): SequenceBatch) -> Result<Sequenced, SequenceError> {
    let entries = BundleEntries::new(&body).map(|entry| entry.map(<[u8]>::to_vec));
    let entries = entries.collect::<Result<Vec<_>, _>>();
    let entries = entries.map_err(|_| SequenceError::new(format!("batch {first} is cut short")))?;
    Ok(Sequenced { first, entries })
}
