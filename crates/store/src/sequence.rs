//! The common sequence of the log: batches of entries at consecutive indices, for all nodes.
//!
//! In: bodies, opaque bytes that hold a known number of entries. Out: the same, in order.
//!
//! INVARIANT: the sequence row is locked last and until the commit, so that batches commit in the
//! order of their indices and nobody ever sees a gap.

use crate::database::{Database, args};
use crate::error::StoreError;
use crate::open::OpenError;

/// Most batches given at once.
const BATCHES: i64 = 8;

/// Random bytes that name a body until it has an index.
const ID_BYTES: usize = 16;

/// A batch: index of its first entry, and its body.
pub type SequenceBatch = (u64, Vec<u8>);

/// The common sequence, on connections of its own: an entry is appended also while everything
/// else waits for it.
pub struct LogSequence {
    database: Database,
}

impl LogSequence {
    /// Opens the sequence of a store that has been opened before.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        Ok(Self { database: Database::open(url).await? })
    }

    /// Appends a body of `entries` entries; the index of the first, once durable.
    pub async fn append(&self, body: Vec<u8>, entries: u64) -> Result<u64, StoreError> {
        let count = i64::try_from(entries).map_err(StoreError::unavailable)?;
        let mut id = [0_u8; ID_BYTES];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| StoreError::unavailable("no randomness"))?;
        let id = hex::encode(id);
        let mut tx = self.database.write().await?;
        let sql = "INSERT INTO log_bodies (id, body) VALUES ($1, $2)";
        tx.execute(sql, args![id.clone(), body]).await?;
        let sql = "UPDATE log_sequence SET next = next + $1 WHERE id = 1 RETURNING next - $1";
        let row = tx.row(sql, args![count]).await?;
        let first = row.ok_or_else(|| StoreError::not_found("log_sequence"))?.int(0)?;
        let sql = "INSERT INTO log_batches (first, entries, body_id) VALUES ($1, $2, $3)";
        tx.execute(sql, args![first, count, id]).await?;
        tx.commit().await?;
        u64::try_from(first).map_err(|_| StoreError::corrupt("log_sequence", "it is negative"))
    }

    /// Batches from the one that begins at `first` on, in order, at most a handful.
    pub async fn after(&self, first: u64) -> Result<Vec<SequenceBatch>, StoreError> {
        let sql = "SELECT first, body FROM log_batches JOIN log_bodies ON id = body_id
            WHERE first >= $1 ORDER BY first LIMIT $2";
        let rows = self.database.rows(sql, args![index(first)?, BATCHES]).await?;
        rows.iter().map(|row| Ok((row.count(0)?, row.bytes(1)?.to_vec()))).collect()
    }

    /// The batch that holds the entry `at`, if there is one.
    pub async fn holding(&self, at: u64) -> Result<Option<SequenceBatch>, StoreError> {
        let sql = "SELECT first, body FROM log_batches JOIN log_bodies ON id = body_id
            WHERE first <= $1 AND first + entries > $1 ORDER BY first DESC LIMIT 1";
        let rows = self.database.rows(sql, args![index(at)?]).await?;
        rows.first().map(|row| Ok((row.count(0)?, row.bytes(1)?.to_vec()))).transpose()
    }

    /// How many entries there are.
    pub async fn end(&self) -> Result<u64, StoreError> {
        let rows =
            self.database.rows("SELECT next FROM log_sequence WHERE id = 1", args![]).await?;
        rows.first().ok_or_else(|| StoreError::not_found("log_sequence"))?.count(0)
    }

    /// Closes its connections.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

fn index(at: u64) -> Result<i64, StoreError> {
    i64::try_from(at).map_err(StoreError::unavailable)
}
