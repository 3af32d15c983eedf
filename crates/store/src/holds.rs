//! Evidence holds: placed by one person, lifted by another.

use portcullis_domain::{Hold, HoldId, Timestamp, UserName};
use thiserror::Error;

use crate::Store;
use crate::database::{Tx, args, document};
use crate::error::StoreError;

/// Most holds in force at once: whoever deletes evidence reads all of them first.
pub const MAX_HOLDS: usize = 1000;

/// Why a hold was not placed or lifted.
#[derive(Debug, Error)]
pub enum HoldError {
    /// There are as many as may be.
    #[error("{MAX_HOLDS} holds are in force, which is the most there can be; lift one first")]
    TooMany,
    /// It takes another person than the one who placed it.
    #[error("hold `{id}` was placed by `{by}`; it takes another person to lift it")]
    SamePerson {
        /// The hold.
        id: HoldId,
        /// Who placed it.
        by: UserName,
    },
    /// The store failed, or no such hold is in force.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Places a hold.
    pub async fn place_hold(&self, hold: &Hold) -> Result<(), HoldError> {
        let mut ordered = self.ordered().await?;
        if holds_in(&mut ordered.tx).await?.len() >= MAX_HOLDS {
            return Err(HoldError::TooMany);
        }
        let sql = "INSERT INTO holds (id, scope_kind, scope_name, lifted_at, lifted_by, document)
            VALUES ($1, $2, $3, NULL, NULL, $4)";
        let arguments = args![&hold.id, hold.scope.kind(), hold.scope.name(), document(hold)?];
        ordered.tx.execute(sql, arguments).await?;
        ordered.commit_changed().await?;
        Ok(())
    }

    /// All holds in force, newest first; at most [`MAX_HOLDS`].
    pub async fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        let mut tx = self.inner.database.read().await?;
        holds_in(&mut tx).await
    }

    /// Lifts a hold that somebody else placed.
    pub async fn lift_hold(
        &self,
        id: HoldId,
        by: &UserName,
        now: Timestamp,
    ) -> Result<Hold, HoldError> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document FROM holds WHERE id = $1 AND lifted_at IS NULL";
        let row = ordered.tx.row(sql, args![&id]).await?;
        let row = row.ok_or_else(|| StoreError::not_found(format!("hold `{id}`")))?;
        let hold: Hold = row.json(0, "hold")?;
        if hold.by == *by {
            return Err(HoldError::SamePerson { id, by: hold.by });
        }
        let sql = "UPDATE holds SET lifted_at = $2, lifted_by = $3 WHERE id = $1";
        ordered.tx.execute(sql, args![&id, now, by]).await?;
        ordered.commit_changed().await?;
        Ok(hold)
    }
}

/// The holds in force, seen by a transaction.
pub(crate) async fn holds_in(tx: &mut Tx) -> Result<Vec<Hold>, StoreError> {
    let sql = "SELECT document FROM holds WHERE lifted_at IS NULL ORDER BY id DESC LIMIT $1";
    let limit = i64::try_from(MAX_HOLDS).unwrap_or(i64::MAX);
    let rows = tx.rows(sql, args![limit]).await?;
    rows.iter().map(|row| row.json(0, "hold")).collect()
}
