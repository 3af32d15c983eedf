//! Replacing the master key.

use portcullis_domain::Timestamp;

use crate::Store;
use crate::database::{Tx, args};
use crate::error::StoreError;
use crate::master_key::{MasterKey, MasterKeyId};
use crate::seal::{Place, rewrap};
use crate::secrets::unsealable;

/// Sealed values rewrapped between two reads of the table.
const BATCH: i64 = 500;

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The key retired.
    pub from: MasterKeyId,
    /// The key in use.
    pub to: MasterKeyId,
    /// How many data keys were wrapped anew.
    pub values: u64,
}

impl Store {
    /// Wraps every data key under `new` and retires the current master key, in one transaction:
    /// a crash leaves the store wholly under the old key or wholly under the new.
    ///
    /// For a key file call [`stage_next`](crate::MasterKeySource::stage_next) before and
    /// [`promote_staged`](crate::MasterKeySource::promote_staged) after;
    /// [`Store::open_with`] completes a rotation that was broken off between the two. Other
    /// nodes go on reading nothing sealed until they are restarted with the new key.
    pub async fn rotate_master_key(
        &self,
        new: MasterKey,
        now: Timestamp,
    ) -> Result<Rotated, StoreError> {
        let old = self.master_key()?;
        let (from, to) = (old.id(), new.id());
        let mut ordered = self.ordered().await?;
        if current(&mut ordered.tx).await?.is_none_or(|(id, _)| id != from) {
            return Err(StoreError::conflict("the rotation of the master key"));
        }
        let sql = "UPDATE master_keys SET retired_at = $2 WHERE id = $1";
        ordered.tx.execute(sql, args![from.0.as_str(), now]).await?;
        // A retired key does not come back: its id is taken, and this conflicts.
        insert(&mut ordered.tx, &new, now).await?;
        let mut values = 0;
        loop {
            let done = rewrap_batch(&mut ordered.tx, &old, &new).await?;
            if done == 0 {
                break;
            }
            values += done;
        }
        ordered.commit_quietly().await?;
        match self.inner.master_key.write() {
            Ok(mut key) => *key = new,
            Err(_) => return Err(StoreError::conflict("the master key in memory")),
        }
        Ok(Rotated { from, to, values })
    }
}

/// The master key in use: its id and check value.
pub(crate) async fn current(tx: &mut Tx) -> Result<Option<(MasterKeyId, Vec<u8>)>, StoreError> {
    let sql = "SELECT id, check_value FROM master_keys WHERE retired_at IS NULL";
    let row = tx.row(sql, args![]).await?;
    row.map(|row| Ok((MasterKeyId(row.text(0)?.to_owned()), row.bytes(1)?.to_vec()))).transpose()
}

/// When a master key was retired, if it ever was.
pub(crate) async fn retired_at(
    tx: &mut Tx,
    id: &MasterKeyId,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT retired_at FROM master_keys WHERE id = $1";
    let row = tx.row(sql, args![id.0.as_str()]).await?;
    row.map_or(Ok(None), |row| row.optional_time(0))
}

/// Makes a key the current one.
pub(crate) async fn insert(tx: &mut Tx, key: &MasterKey, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO master_keys (id, check_value, created_at, retired_at)
        VALUES ($1, $2, $3, NULL)";
    tx.execute(sql, args![key.id().0, key.check_value(), now]).await.map(drop)
}

async fn rewrap_batch(tx: &mut Tx, old: &MasterKey, new: &MasterKey) -> Result<u64, StoreError> {
    let (from, to) = (old.id(), new.id());
    let sql = "SELECT kind, owner, name, wrapped_key FROM sealed_values
        WHERE master_key = $1 LIMIT $2";
    let rows = tx.rows(sql, args![from.0.as_str(), BATCH]).await?;
    for row in &rows {
        let place = Place { kind: row.text(0)?, owner: row.text(1)?, name: row.text(2)? };
        let wrapped = rewrap(old, new, place, row.bytes(3)?).map_err(|_| unsealable(place))?;
        let sql = "UPDATE sealed_values SET master_key = $4, wrapped_key = $5
            WHERE kind = $1 AND owner = $2 AND name = $3";
        let arguments = args![place.kind, place.owner, place.name, to.0.as_str(), wrapped];
        tx.execute(sql, arguments).await?;
    }
    Ok(rows.len() as u64)
}
