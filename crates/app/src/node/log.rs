//! The audit log of this node: its own on an embedded store, the common one of all nodes on
//! PostgreSQL.
//!
//! In: where the store and the directory are. Out: a [`Log`].

use std::sync::Arc;

use portcullis_domain::Timestamp;
use portcullis_evidence::log::{Log, LogOptions};
use portcullis_gateway::CommonSequence;
use portcullis_store::{LogSequence, Store};

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
        let signer = log_signer(store, &config.name, &directory, now).await?;
        let opened = tokio::task::spawn_blocking(move || {
            Log::open(&directory, signer, LogOptions::default())
        });
        let opened = opened.await.map_err(|error| failed(&error))?;
        return opened.map_err(|error| failed(&error));
    }
    let signer = log_signer(store, COMMON, &directory, now).await?;
    let sequence = LogSequence::open(&config.store_url).await.map_err(|error| failed(&error))?;
    let sequence = Arc::new(CommonSequence::new(sequence));
    let opened = Log::open_shared(&directory, signer, LogOptions::default(), sequence).await;
    opened.map_err(|error| failed(&error))
}
