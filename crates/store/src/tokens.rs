//! API tokens, known by their hash only, and the certificates the gate has issued.

use portcullis_domain::factor::Factor;
use portcullis_domain::{Timestamp, UserName};
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::database::{Row, args, document};
use crate::error::StoreError;

/// A bearer token the gate issued. The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Whose it is.
    pub user: UserName,
    /// What was proved at the sign-in it comes from.
    pub factors: Vec<Factor>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// An SSH user certificate the gate issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its serial number, unique among all the gate issues.
    pub serial: u64,
    /// Whose it is.
    pub user: UserName,
    /// What was proved at the sign-in it comes from.
    pub factors: Vec<Factor>,
    /// Fingerprint of the certified key, `SHA256:...`.
    pub key_fingerprint: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Store {
    /// Stores a token under its SHA-256 hash.
    pub async fn put_token(&self, hash: &[u8; 32], token: &Token) -> Result<(), StoreError> {
        let sql = "INSERT INTO tokens (hash, user_name, document, expires_at, revoked_at)
            VALUES ($1, $2, $3, $4, NULL)";
        let arguments = args![hash, &token.user, document(token)?, token.expires_at];
        self.write_one(sql, arguments).await.map(drop)
    }

    /// The token of this hash, unless it is unknown, revoked or over at `now`.
    pub async fn token(
        &self,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<Token>, StoreError> {
        let sql = "SELECT document FROM tokens
            WHERE hash = $1 AND revoked_at IS NULL AND expires_at > $2";
        let rows = self.inner.database.rows(sql, args![hash, now]).await?;
        rows.first().map(|row| row.json(0, "token")).transpose()
    }

    /// Revokes a token; `false` if it was unknown or revoked already.
    pub async fn revoke_token(&self, hash: &[u8; 32], now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE tokens SET revoked_at = $2 WHERE hash = $1 AND revoked_at IS NULL";
        Ok(self.write_one(sql, args![hash, now]).await? > 0)
    }

    /// Records a certificate before it is handed out. A serial that is taken is a conflict.
    pub async fn record_certificate(&self, certificate: &Certificate) -> Result<(), StoreError> {
        let sql = "INSERT INTO certificates (serial, user_name, document, expires_at, revoked_at)
            VALUES ($1, $2, $3, $4, NULL)";
        let serial = certificate.serial.to_string();
        let text = document(certificate)?;
        let arguments = args![serial, &certificate.user, text, certificate.expires_at];
        self.write_one(sql, arguments).await.map(drop)
    }

    /// The certificate of this serial, unless it is unknown, revoked or over at `now`.
    pub async fn certificate(
        &self,
        serial: u64,
        now: Timestamp,
    ) -> Result<Option<Certificate>, StoreError> {
        let sql = "SELECT document FROM certificates
            WHERE serial = $1 AND revoked_at IS NULL AND expires_at > $2";
        let rows = self.inner.database.rows(sql, args![serial.to_string(), now]).await?;
        rows.first().map(|row| row.json(0, "certificate")).transpose()
    }

    /// Revokes a certificate; `false` if it was unknown or revoked already.
    pub async fn revoke_certificate(
        &self,
        serial: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE certificates SET revoked_at = $2
            WHERE serial = $1 AND revoked_at IS NULL";
        Ok(self.write_one(sql, args![serial.to_string(), now]).await? > 0)
    }

    /// Serials revoked and not over yet, for a key revocation list.
    pub async fn revoked_serials(&self, now: Timestamp) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT serial FROM certificates
            WHERE revoked_at IS NOT NULL AND expires_at > $1";
        let rows = self.inner.database.rows(sql, args![now]).await?;
        rows.iter().map(|row: &Row| row.parsed(0, "serial")).collect()
    }

    /// Revokes every token and certificate of a user; how many were in force.
    pub async fn revoke_sign_ins_of(
        &self,
        user: &UserName,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut tx = self.inner.database.write().await?;
        let mut revoked = 0;
        for sql in [
            "UPDATE tokens SET revoked_at = $2
                WHERE user_name = $1 AND revoked_at IS NULL AND expires_at > $2",
            "UPDATE certificates SET revoked_at = $2
                WHERE user_name = $1 AND revoked_at IS NULL AND expires_at > $2",
        ] {
            revoked += tx.execute(sql, args![user, now]).await?;
        }
        tx.commit().await?;
        Ok(revoked)
    }

    /// Forgets tokens and certificates that ended by themselves before `now`; how many.
    pub async fn purge_sign_ins(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.inner.database.write().await?;
        let tokens = tx.execute("DELETE FROM tokens WHERE expires_at <= $1", args![now]).await?;
        let sql = "DELETE FROM certificates WHERE expires_at <= $1";
        let certificates = tx.execute(sql, args![now]).await?;
        tx.commit().await?;
        Ok(tokens.saturating_add(certificates))
    }
}
