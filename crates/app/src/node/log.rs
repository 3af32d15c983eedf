//! The audit log of this node: its own on an embedded store, the common one of all nodes on
//! PostgreSQL.
//!
//! In: where the store and the directory are. Out: a [`Log`]. The sequence the nodes share is kept
//! by the store; its entries travel in the framing of tlog-tiles entry bundles.

use std::sync::Arc;

use portcullis_domain::Timestamp;
use portcullis_evidence::log::tile::{BundleEntries, push_entry};
use portcullis_evidence::log::{Log, LogOptions, Sequence, SequenceError, Sequenced, Sequencing};
use portcullis_store::{LogSequence, SequenceBatch, Store};

use super::signing::log_signer;
use crate::config::Config;
use crate::failure::Failure;

/// What all nodes of one store sign their one log as.
const COMMON: &str = "common";

/// Opens the log.
pub(super) async fn open(config: &Config, store: &Store, now: Timestamp) -> Result<Log, Failure> {
    let failed =
        |error: &dyn std::error::Error| Failure::because("the audit log cannot be opened", error);
    let directory = config.log_dir();
    if !store.is_shared() {
        let signer = log_signer(store, &config.name, now).await?;
        let opened = tokio::task::spawn_blocking(move || {
            Log::open(&directory, signer, LogOptions::default())
        });
        let opened = opened.await.map_err(|error| failed(&error))?;
        return opened.map_err(|error| failed(&error));
    }
    let signer = log_signer(store, COMMON, now).await?;
    let sequence = LogSequence::open(&config.store_url).await.map_err(|error| failed(&error))?;
    let sequence = Arc::new(Common(sequence));
    let opened = Log::open_shared(&directory, signer, LogOptions::default(), sequence).await;
    opened.map_err(|error| failed(&error))
}

/// The store's sequence, for the log.
struct Common(LogSequence);

impl Sequence for Common {
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
