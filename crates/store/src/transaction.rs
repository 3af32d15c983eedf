//! Transactions that change what decisions depend on: in order, and seen by everyone.

use crate::Store;
use crate::database::{Dialect, Tx, args};
use crate::error::StoreError;

/// The PostgreSQL notification channel that carries new revisions.
pub(crate) const CHANNEL: &str = "portcullis_revision";

/// A write transaction that holds the revision's row lock.
///
/// INVARIANT: every transaction that writes resources, requests, grants or locks, and every one
/// that seals a secret, takes this lock before any other, so that they cannot deadlock and a
/// check made inside one is still true when it commits.
pub(crate) struct Ordered<'a> {
    pub(crate) tx: Tx,
    revision: u64,
    store: &'a Store,
}

impl Store {
    /// Begins a transaction that excludes every other of its kind.
    pub(crate) async fn ordered(&self) -> Result<Ordered<'_>, StoreError> {
        let mut tx = self.inner.database.write().await?;
        let lock = match tx.dialect() {
            Dialect::Sqlite => "SELECT value FROM revision WHERE id = 1",
            Dialect::Postgres => "SELECT value FROM revision WHERE id = 1 FOR UPDATE",
        };
        let row = tx.row(lock, args![]).await?;
        let revision = row.ok_or_else(|| StoreError::not_found("revision"))?.count(0)?;
        Ok(Ordered { tx, revision, store: self })
    }

    /// The store's revision: cheap, and never older than the last change acknowledged here.
    pub async fn revision(&self) -> Result<u64, StoreError> {
        let sql = "SELECT value FROM revision WHERE id = 1";
        let rows = self.inner.database.rows(sql, args![]).await?;
        rows.first().ok_or_else(|| StoreError::not_found("revision"))?.count(0)
    }
}

impl Ordered<'_> {
    /// The revision before this transaction.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Commits what decisions do not depend on.
    pub(crate) async fn commit_quietly(self) -> Result<(), StoreError> {
        self.tx.commit().await
    }

    /// Grows the revision, commits, and tells everyone; the new revision.
    pub(crate) async fn commit_changed(mut self) -> Result<u64, StoreError> {
        let sql = "UPDATE revision SET value = value + 1 WHERE id = 1 RETURNING value";
        let row = self.tx.row(sql, args![]).await?;
        let revision = row.ok_or_else(|| StoreError::not_found("revision"))?.count(0)?;
        if self.tx.dialect() == Dialect::Postgres {
            let sql = "SELECT CAST(pg_notify($1, $2) AS TEXT)";
            self.tx.rows(sql, args![CHANNEL, revision.to_string()]).await?;
        }
        self.tx.commit().await?;
        self.store.inner.announce(revision);
        Ok(revision)
    }
}
