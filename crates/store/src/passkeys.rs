//! Passkeys and security keys, and the challenges that are open while one is used.
//!
//! Must never know: what a signature or an authenticator is.

use portcullis_domain::{FactorId, Timestamp, UserName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::database::{Row, args, document};
use crate::error::StoreError;

/// Most passkeys and security keys of one person.
pub const MAX_PASSKEYS_PER_USER: u64 = 16;
/// Most challenges open at a time, for everybody together.
pub const MAX_CEREMONIES: u64 = 10_000;

/// A credential somebody registered, with what they call it. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    /// Its id among our own.
    pub id: FactorId,
    /// Whose it is.
    pub user: UserName,
    /// What they call it.
    pub name: String,
    /// The authenticator's id for it.
    pub credential: Vec<u8>,
    /// Verifies its signatures; a COSE key.
    pub public_key: Vec<u8>,
    /// What the authenticator calls the person.
    pub user_handle: Vec<u8>,
    /// Whether it signs in alone.
    pub signs_in_alone: bool,
    /// Whether it may be on more than one device.
    pub backup_eligible: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// How often it has signed; zero where it does not count.
    #[serde(skip)]
    pub sign_count: u32,
    /// When it was last used.
    #[serde(skip)]
    pub used_at: Option<Timestamp>,
}

/// What came of a signature counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It went on, or the authenticator does not count.
    Forward,
    /// It did not: somebody else may have a copy, or the credential is gone.
    Stuck,
}

fn read(row: &Row) -> Result<Passkey, StoreError> {
    let mut passkey: Passkey = row.json(0, "passkey")?;
    passkey.sign_count = u32::try_from(row.count(1)?).unwrap_or(u32::MAX);
    passkey.used_at = row.optional_time(2)?;
    Ok(passkey)
}

impl Store {
    /// Registers a passkey. An authenticator's id that is registered already is a conflict, whoever
    /// has it.
    pub async fn add_passkey(&self, new: &Passkey) -> Result<(), StoreError> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT COUNT(*) FROM passkeys WHERE user_name = $1";
        let known =
            ordered.tx.row(sql, args![&new.user]).await?.map_or(Ok(0), |row| row.count(0))?;
        if known >= MAX_PASSKEYS_PER_USER {
            let why = format!("one person has at most {MAX_PASSKEYS_PER_USER}; remove one first");
            return Err(StoreError::invalid("another passkey", why));
        }
        let sql = "INSERT INTO passkeys (credential, id, user_name, sign_count, used_at, document)
            VALUES ($1, $2, $3, $4, NULL, $5)";
        let count = i64::from(new.sign_count);
        let arguments = args![new.credential.as_slice(), &new.id, &new.user, count, document(new)?];
        ordered.tx.execute(sql, arguments).await?;
        ordered.commit_quietly().await
    }

    /// A person's passkeys, oldest first.
    pub async fn passkeys(&self, user: &UserName) -> Result<Vec<Passkey>, StoreError> {
        let sql = "SELECT document, sign_count, used_at FROM passkeys
            WHERE user_name = $1 ORDER BY id";
        let rows = self.inner.database.rows(sql, args![user]).await?;
        rows.iter().map(read).collect()
    }

    /// The passkey an authenticator has this id for.
    pub async fn passkey(&self, credential: &[u8]) -> Result<Option<Passkey>, StoreError> {
        let sql = "SELECT document, sign_count, used_at FROM passkeys WHERE credential = $1";
        let rows = self.inner.database.rows(sql, args![credential]).await?;
        rows.first().map(read).transpose()
    }

    /// Notes a use. The counter must have gone on, unless the authenticator has never counted, so
    /// that of a credential and its copy one is noticed, whichever node they come to.
    pub async fn use_passkey(
        &self,
        credential: &[u8],
        sign_count: u32,
        now: Timestamp,
    ) -> Result<Counted, StoreError> {
        let sql = "UPDATE passkeys SET sign_count = $2, used_at = $3
            WHERE credential = $1 AND (sign_count < $2 OR (sign_count = 0 AND $2 = 0))";
        let arguments = args![credential, i64::from(sign_count), now];
        Ok(match self.write_one(sql, arguments).await? {
            0 => Counted::Stuck,
            _ => Counted::Forward,
        })
    }

    /// Gives a passkey another name; `false` if the person has none of this id.
    pub async fn rename_passkey(
        &self,
        user: &UserName,
        id: FactorId,
        name: &str,
    ) -> Result<bool, StoreError> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document, sign_count, used_at FROM passkeys
            WHERE id = $1 AND user_name = $2";
        let Some(row) = ordered.tx.row(sql, args![&id, user]).await? else { return Ok(false) };
        let renamed = Passkey { name: name.to_owned(), ..read(&row)? };
        let sql = "UPDATE passkeys SET document = $2 WHERE id = $1";
        ordered.tx.execute(sql, args![&id, document(&renamed)?]).await?;
        ordered.commit_quietly().await?;
        Ok(true)
    }

    /// Takes a passkey away; `false` if the person has none of this id.
    pub async fn remove_passkey(&self, user: &UserName, id: FactorId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM passkeys WHERE id = $1 AND user_name = $2";
        Ok(self.write_one(sql, args![&id, user]).await? > 0)
    }

    /// Takes all of a person's passkeys away; how many.
    pub async fn remove_passkeys(&self, user: &UserName) -> Result<u64, StoreError> {
        self.write_one("DELETE FROM passkeys WHERE user_name = $1", args![user]).await
    }

    /// Keeps a person out of production until then, because their factors changed. The later of two
    /// counts.
    pub async fn wait_for_factor(
        &self,
        user: &UserName,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let mut ordered = self.ordered().await?;
        let sql = "INSERT INTO factor_waits (user_name, until) VALUES ($1, $2)
            ON CONFLICT (user_name) DO UPDATE SET until = excluded.until
            WHERE factor_waits.until < excluded.until";
        ordered.tx.execute(sql, args![user, until]).await?;
        ordered.commit_changed().await.map(drop)
    }

    /// A second person agreed to a change of factors; `false` if the person does not wait, or waits
    /// for another change by now.
    pub async fn end_factor_wait(
        &self,
        user: &UserName,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut ordered = self.ordered().await?;
        let sql = "DELETE FROM factor_waits WHERE user_name = $1 AND until = $2";
        let ended = ordered.tx.execute(sql, args![user, until]).await? > 0;
        ordered.commit_changed().await?;
        Ok(ended)
    }

    /// Opens a challenge; `about` says what for. `false` while too many are open.
    pub async fn open_ceremony<T: Serialize>(
        &self,
        challenge: &[u8; 32],
        about: &T,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.inner.database.write().await?;
        tx.execute("DELETE FROM ceremonies WHERE expires_at <= $1", args![now]).await?;
        let sql = "SELECT COUNT(*) FROM ceremonies";
        if tx.row(sql, args![]).await?.map_or(Ok(0), |row| row.count(0))? >= MAX_CEREMONIES {
            return Ok(false);
        }
        let sql = "INSERT INTO ceremonies (challenge, expires_at, document) VALUES ($1, $2, $3)";
        tx.execute(sql, args![challenge, expires, document(about)?]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Uses up a challenge; what it was for, if it was open. `Some` for exactly one caller.
    pub async fn take_ceremony<T: DeserializeOwned>(
        &self,
        challenge: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<T>, StoreError> {
        let mut tx = self.inner.database.write().await?;
        let sql = "DELETE FROM ceremonies WHERE challenge = $1 RETURNING document, expires_at";
        let row = tx.row(sql, args![challenge]).await?;
        let taken = match row {
            Some(row) if row.time(1)? > now => Some(row.json(0, "ceremony")?),
            _ => None,
        };
        tx.commit().await?;
        Ok(taken)
    }
}
