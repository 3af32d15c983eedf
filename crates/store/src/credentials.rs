//! What users prove themselves with: password hashes, TOTP secrets, recovery codes, and the
//! state of their failed attempts. Everything that works once is used up atomically here,
//! whichever node it arrives at.
//!
//! Must never know: how a password is hashed, a code is computed, or when someone is locked out.

use portcullis_domain::{Secret, Timestamp, UserName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Store;
use crate::database::{args, document};
use crate::error::StoreError;
use crate::page::MAX_PAGE;
use crate::seal::Place;
use crate::secrets::{delete_sealed, find_sealed_in, put_sealed, unsealable};

/// The kind of sealed value a TOTP secret is; its owner is the user.
pub(crate) const TOTP_KIND: &str = "totp";
/// Most recovery codes of one user.
const MAX_RECOVERY_CODES: usize = 32;
/// Longest source or user name attempts are counted under, in bytes.
const MAX_SCOPE_NAME_BYTES: usize = 128;

/// What a user has set up, without any secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialStatus {
    /// When the password was last set.
    pub password_set_at: Option<Timestamp>,
    /// When a TOTP secret was stored, whether confirmed or not.
    pub totp_set_at: Option<Timestamp>,
    /// When the user proved to have the TOTP secret; only then does it count.
    pub totp_confirmed_at: Option<Timestamp>,
    /// How many recovery codes are left.
    pub recovery_codes_left: u64,
    /// How many passkeys and security keys there are.
    pub passkeys: u64,
}

impl CredentialStatus {
    /// Whether a second factor is asked of this person.
    pub fn has_second_factor(&self) -> bool {
        self.totp_confirmed_at.is_some() || self.recovery_codes_left > 0 || self.passkeys > 0
    }
}

/// A user's TOTP secret and how far it has been used.
#[derive(Debug, Clone)]
pub struct Totp {
    /// The shared secret.
    pub secret: Secret<Vec<u8>>,
    /// Whether the user has proved to have it.
    pub confirmed: bool,
    /// The newest time step a code was accepted for.
    pub last_used_step: Option<u64>,
}

/// What failed attempts are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptScope {
    /// One user, from wherever.
    User,
    /// One source address or network, for whichever user.
    Source,
}

impl AttemptScope {
    const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Source => "source",
        }
    }
}

impl Store {
    /// What a user has set up.
    pub async fn credential_status(&self, user: &UserName) -> Result<CredentialStatus, StoreError> {
        let mut tx = self.inner.database.read().await?;
        let sql = "SELECT COUNT(*) FROM recovery_codes WHERE user_name = $1 AND used_at IS NULL";
        let left = tx.row(sql, args![user]).await?.map_or(Ok(0), |row| row.count(0))?;
        let sql = "SELECT password_set_at, totp_set_at, totp_confirmed_at FROM credentials
            WHERE user_name = $1";
        let mut status = CredentialStatus { recovery_codes_left: left, ..Default::default() };
        let passkeys = "SELECT COUNT(*) FROM passkeys WHERE user_name = $1";
        status.passkeys = tx.row(passkeys, args![user]).await?.map_or(Ok(0), |row| row.count(0))?;
        if let Some(row) = tx.row(sql, args![user]).await? {
            status.password_set_at = row.optional_time(0)?;
            status.totp_set_at = row.optional_time(1)?;
            status.totp_confirmed_at = row.optional_time(2)?;
        }
        Ok(status)
    }

    /// The status of every user who has set up anything, by name; at most [`MAX_PAGE`] after
    /// the user given.
    pub async fn credential_statuses(
        &self,
        after: Option<&UserName>,
    ) -> Result<Vec<(UserName, CredentialStatus)>, StoreError> {
        let sql = "SELECT user_name, password_set_at, totp_set_at, totp_confirmed_at,
            (SELECT COUNT(*) FROM recovery_codes r
                WHERE r.user_name = c.user_name AND r.used_at IS NULL),
            (SELECT COUNT(*) FROM passkeys p WHERE p.user_name = c.user_name)
            FROM credentials c WHERE ($1 IS NULL OR user_name > $1)
            ORDER BY user_name LIMIT $2";
        let limit = i64::try_from(MAX_PAGE).unwrap_or(i64::MAX);
        let rows = self.inner.database.rows(sql, args![after, limit]).await?;
        let statuses = rows.iter().map(|row| {
            let status = CredentialStatus {
                password_set_at: row.optional_time(1)?,
                totp_set_at: row.optional_time(2)?,
                totp_confirmed_at: row.optional_time(3)?,
                recovery_codes_left: row.count(4)?,
                passkeys: row.count(5)?,
            };
            Ok((row.parsed(0, "user name")?, status))
        });
        statuses.collect()
    }

    /// Sets a user's password hash (PHC string), replacing one that is there.
    pub async fn set_password_hash(
        &self,
        user: &UserName,
        hash: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO credentials (user_name, password_hash, password_set_at)
            VALUES ($1, $2, $3) ON CONFLICT (user_name) DO UPDATE SET
            password_hash = excluded.password_hash, password_set_at = excluded.password_set_at";
        self.write_one(sql, args![user, hash, now]).await.map(drop)
    }

    /// Takes a user's password away.
    pub async fn clear_password(&self, user: &UserName) -> Result<(), StoreError> {
        let sql = "UPDATE credentials SET password_hash = NULL, password_set_at = NULL
            WHERE user_name = $1";
        self.write_one(sql, args![user]).await.map(drop)
    }

    /// A user's password hash, if they have a password.
    pub async fn password_hash(
        &self,
        user: &UserName,
    ) -> Result<Option<Secret<String>>, StoreError> {
        let sql = "SELECT password_hash FROM credentials WHERE user_name = $1";
        let rows = self.inner.database.rows(sql, args![user]).await?;
        let hash = rows.first().map_or(Ok(None), |row| row.optional_text(0))?;
        Ok(hash.map(|hash| Secret::new(hash.to_owned())))
    }

    /// Stores a TOTP secret, not confirmed yet, in place of one that is there.
    pub async fn put_totp(
        &self,
        user: &UserName,
        secret: &Secret<Vec<u8>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut ordered = self.ordered().await?;
        let master = self.master_key()?;
        put_sealed(&mut ordered.tx, &master, totp_place(user), secret.expose(), now).await?;
        let sql = "INSERT INTO credentials (user_name, totp_set_at) VALUES ($1, $2)
            ON CONFLICT (user_name) DO UPDATE SET totp_set_at = excluded.totp_set_at,
                totp_confirmed_at = NULL, totp_last_step = NULL";
        ordered.tx.execute(sql, args![user, now]).await?;
        ordered.commit_quietly().await
    }

    /// Stores a TOTP secret beside the one in use, which goes on counting until the new one is
    /// confirmed: a set-up that is given up takes nobody's second factor away.
    pub async fn put_pending_totp(
        &self,
        user: &UserName,
        secret: &Secret<Vec<u8>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut ordered = self.ordered().await?;
        let master = self.master_key()?;
        put_sealed(&mut ordered.tx, &master, pending_place(user), secret.expose(), now).await?;
        ordered.commit_quietly().await
    }

    /// The TOTP secret a user has begun to set up.
    pub async fn pending_totp(
        &self,
        user: &UserName,
    ) -> Result<Option<Secret<Vec<u8>>>, StoreError> {
        self.find_sealed(pending_place(user)).await
    }

    /// The user proved to have the pending secret with a code for `step`: it takes the place of
    /// the one in use. `false` if there is none, or it was taken over already.
    pub async fn confirm_pending_totp(
        &self,
        user: &UserName,
        step: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut ordered = self.ordered().await?;
        let master = self.master_key()?;
        let pending = find_sealed_in(&mut ordered.tx, &master, pending_place(user)).await?;
        let Some(secret) = pending else { return Ok(false) };
        put_sealed(&mut ordered.tx, &master, totp_place(user), secret.expose(), now).await?;
        delete_sealed(&mut ordered.tx, pending_place(user)).await?;
        let sql = "INSERT INTO credentials
            (user_name, totp_set_at, totp_confirmed_at, totp_last_step) VALUES ($1, $2, $2, $3)
            ON CONFLICT (user_name) DO UPDATE SET totp_set_at = excluded.totp_set_at,
                totp_confirmed_at = excluded.totp_confirmed_at,
                totp_last_step = excluded.totp_last_step";
        ordered.tx.execute(sql, args![user, now, step_number(step)?]).await?;
        ordered.commit_quietly().await?;
        Ok(true)
    }

    /// A user's TOTP secret, confirmed or not.
    pub async fn totp(&self, user: &UserName) -> Result<Option<Totp>, StoreError> {
        let mut tx = self.inner.database.read().await?;
        let sql = "SELECT totp_set_at, totp_confirmed_at, totp_last_step FROM credentials
            WHERE user_name = $1";
        let Some(row) = tx.row(sql, args![user]).await? else { return Ok(None) };
        if row.optional_time(0)?.is_none() {
            return Ok(None);
        }
        // Set up, but the secret is gone: an error, not a user without a second factor.
        let secret = find_sealed_in(&mut tx, &self.master_key()?, totp_place(user)).await?;
        let secret = secret.ok_or_else(|| unsealable(totp_place(user)))?;
        let last_used_step = row.optional_int(2)?.and_then(|step| u64::try_from(step).ok());
        Ok(Some(Totp { secret, confirmed: row.optional_time(1)?.is_some(), last_used_step }))
    }

    /// The user proved to have the secret with a code for `step`; from now on it counts.
    /// `false` if it was confirmed already, or there is none.
    pub async fn confirm_totp(
        &self,
        user: &UserName,
        step: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE credentials SET totp_confirmed_at = $3, totp_last_step = $2
            WHERE user_name = $1 AND totp_set_at IS NOT NULL AND totp_confirmed_at IS NULL";
        Ok(self.write_one(sql, args![user, step_number(step)?, now]).await? > 0)
    }

    /// Uses up the code of a time step. `true` for exactly one caller per step: a step that is
    /// not newer than the last one used is refused, whichever node it comes from.
    pub async fn use_totp_step(&self, user: &UserName, step: u64) -> Result<bool, StoreError> {
        let sql = "UPDATE credentials SET totp_last_step = $2
            WHERE user_name = $1 AND totp_confirmed_at IS NOT NULL
            AND (totp_last_step IS NULL OR totp_last_step < $2)";
        Ok(self.write_one(sql, args![user, step_number(step)?]).await? > 0)
    }

    /// Takes a user's TOTP secret away; recovery codes stay.
    pub async fn remove_totp_secret(&self, user: &UserName) -> Result<(), StoreError> {
        self.remove_codes(user, false).await
    }

    /// Takes a user's TOTP secret and recovery codes away.
    pub async fn remove_totp(&self, user: &UserName) -> Result<(), StoreError> {
        self.remove_codes(user, true).await
    }

    async fn remove_codes(&self, user: &UserName, recovery: bool) -> Result<(), StoreError> {
        let mut ordered = self.ordered().await?;
        delete_sealed(&mut ordered.tx, totp_place(user)).await?;
        delete_sealed(&mut ordered.tx, pending_place(user)).await?;
        let sql = "UPDATE credentials SET totp_set_at = NULL, totp_confirmed_at = NULL,
            totp_last_step = NULL WHERE user_name = $1";
        ordered.tx.execute(sql, args![user]).await?;
        if recovery {
            let sql = "DELETE FROM recovery_codes WHERE user_name = $1";
            ordered.tx.execute(sql, args![user]).await?;
        }
        ordered.commit_quietly().await
    }

    /// Replaces all recovery codes of a user by new ones, given as hashes.
    pub async fn put_recovery_codes(
        &self,
        user: &UserName,
        hashes: &[String],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if hashes.len() > MAX_RECOVERY_CODES {
            let why = format!("at most {MAX_RECOVERY_CODES} are kept");
            return Err(StoreError::invalid("so many recovery codes", why));
        }
        let mut ordered = self.ordered().await?;
        ordered.tx.execute("DELETE FROM recovery_codes WHERE user_name = $1", args![user]).await?;
        for hash in hashes {
            let sql = "INSERT INTO recovery_codes (user_name, hash, created_at, used_at)
                VALUES ($1, $2, $3, NULL)";
            ordered.tx.execute(sql, args![user, hash.as_str(), now]).await?;
        }
        ordered.commit_quietly().await
    }

    /// The hashes of the recovery codes a user has left.
    pub async fn recovery_codes(&self, user: &UserName) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT hash FROM recovery_codes WHERE user_name = $1 AND used_at IS NULL";
        let rows = self.inner.database.rows(sql, args![user]).await?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    }

    /// Uses up a recovery code by its hash. `true` for exactly one caller.
    pub async fn use_recovery_code(
        &self,
        user: &UserName,
        hash: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE recovery_codes SET used_at = $3
            WHERE user_name = $1 AND hash = $2 AND used_at IS NULL";
        Ok(self.write_one(sql, args![user, hash, now]).await? > 0)
    }

    /// The state of failed attempts of a user or a source; the default when there is none.
    pub async fn attempts<T>(&self, scope: AttemptScope, name: &str) -> Result<T, StoreError>
    where
        T: DeserializeOwned + Default,
    {
        let sql = "SELECT document FROM attempts WHERE scope = $1 AND name = $2";
        let rows = self.inner.database.rows(sql, args![scope.as_str(), name]).await?;
        rows.first().map_or_else(|| Ok(T::default()), |row| row.json(0, "attempts"))
    }

    /// Changes the state of failed attempts: `change` gets it alone, so no attempt made at the
    /// same time on any node is lost. Returns what `change` returns.
    pub async fn update_attempts<T, R>(
        &self,
        scope: AttemptScope,
        name: &str,
        now: Timestamp,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<R, StoreError>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        if name.len() > MAX_SCOPE_NAME_BYTES {
            let why = format!("a name has at most {MAX_SCOPE_NAME_BYTES} bytes");
            return Err(StoreError::invalid("the attempt", why));
        }
        let mut tx = self.inner.database.write().await?;
        // Writing first takes the row's lock on PostgreSQL, whether the row is there or not.
        let sql = "INSERT INTO attempts (scope, name, document, updated_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (scope, name) DO UPDATE SET updated_at = excluded.updated_at
            RETURNING document";
        let fresh = document(&T::default())?;
        let row = tx.row(sql, args![scope.as_str(), name, fresh, now]).await?;
        let mut state: T = row.map_or_else(|| Ok(T::default()), |row| row.json(0, "attempts"))?;
        let result = change(&mut state);
        let sql = "UPDATE attempts SET document = $3 WHERE scope = $1 AND name = $2";
        tx.execute(sql, args![scope.as_str(), name, document(&state)?]).await?;
        tx.commit().await?;
        Ok(result)
    }

    /// Forgets attempts last touched before a time; how many were forgotten.
    pub async fn purge_attempts(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write_one("DELETE FROM attempts WHERE updated_at < $1", args![before]).await
    }

    /// One statement that writes, in a transaction of its own.
    pub(crate) async fn write_one(
        &self,
        sql: &'static str,
        arguments: &[crate::database::Arg],
    ) -> Result<u64, StoreError> {
        let mut tx = self.inner.database.write().await?;
        let touched = tx.execute(sql, arguments).await?;
        tx.commit().await?;
        Ok(touched)
    }
}

fn totp_place(user: &UserName) -> Place<'_> {
    Place { kind: TOTP_KIND, owner: user.as_str(), name: "" }
}

fn pending_place(user: &UserName) -> Place<'_> {
    Place { kind: TOTP_KIND, owner: user.as_str(), name: "pending" }
}

fn step_number(step: u64) -> Result<i64, StoreError> {
    i64::try_from(step).map_err(|error| StoreError::invalid("the time step", error.to_string()))
}
