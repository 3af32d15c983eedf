//! Programs on machines without a browser that wait for a person to sign them in.

use portcullis_domain::device::{DeviceSignIn, DeviceState};
use portcullis_domain::{Timestamp, UserCode};

use crate::Store;
use crate::database::{args, document};
use crate::error::StoreError;
use crate::requests::TransitionFailure;

/// Most programs that wait at a time.
pub const MAX_DEVICES: u64 = 10_000;

impl Store {
    /// Notes that a program waits, under the hash of a secret only it has; `false` while too many do.
    pub async fn begin_device(
        &self,
        hash: &[u8; 32],
        new: &DeviceSignIn,
    ) -> Result<bool, StoreError> {
        let mut tx = self.inner.database.write().await?;
        tx.execute("DELETE FROM devices WHERE expires_at <= $1", args![new.at]).await?;
        let count = tx.row("SELECT COUNT(*) FROM devices", args![]).await?;
        if count.map_or(Ok(0), |row| row.count(0))? >= MAX_DEVICES {
            return Ok(false);
        }
        let sql = "INSERT INTO devices (hash, code, expires_at, document) VALUES ($1, $2, $3, $4)";
        let arguments = args![hash, new.code.to_string(), new.expires(), document(new)?];
        tx.execute(sql, arguments).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The program that waits under this code.
    pub async fn waiting_device(
        &self,
        code: &UserCode,
        now: Timestamp,
    ) -> Result<Option<DeviceSignIn>, StoreError> {
        let sql = "SELECT document FROM devices WHERE code = $1 AND expires_at > $2";
        let rows = self.inner.database.rows(sql, args![code.to_string(), now]).await?;
        rows.first().map(|row| row.json(0, "device")).transpose()
    }

    /// Decides about a program: `decide` gets it as it is, alone, so that of many at once one decides.
    pub async fn decide_device<E: std::error::Error + 'static>(
        &self,
        code: &UserCode,
        decide: impl FnOnce(DeviceSignIn) -> Result<DeviceSignIn, E>,
    ) -> Result<DeviceSignIn, TransitionFailure<E>> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document FROM devices WHERE code = $1";
        let row = ordered.tx.row(sql, args![code.to_string()]).await?;
        let missing = || StoreError::not_found("machine that waits under this code");
        let found: DeviceSignIn = row.ok_or_else(missing)?.json(0, "device")?;
        let next = decide(found).map_err(TransitionFailure::Refused)?;
        let sql = "UPDATE devices SET document = $2 WHERE code = $1";
        ordered.tx.execute(sql, args![code.to_string(), document(&next)?]).await?;
        ordered.commit_quietly().await?;
        Ok(next)
    }

    /// How a program stands, by the hash of its secret. Decided, it is used up: an approval comes out
    /// for exactly one caller.
    pub async fn ask_device(
        &self,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<DeviceSignIn>, StoreError> {
        let mut tx = self.inner.database.write().await?;
        let sql = "SELECT document FROM devices WHERE hash = $1 AND expires_at > $2";
        let Some(row) = tx.row(sql, args![hash, now]).await? else { return Ok(None) };
        let found: DeviceSignIn = row.json(0, "device")?;
        if found.state != DeviceState::Waiting {
            let used = tx.execute("DELETE FROM devices WHERE hash = $1", args![hash]).await?;
            if used == 0 {
                return Ok(None);
            }
        }
        tx.commit().await?;
        Ok(Some(found))
    }
}
