//! Tokens of sign-ins, known by their hash only, and the certificates the gate has issued.

use std::time::Duration;

use portcullis_domain::factor::Factor;
use portcullis_domain::{SignInId, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::database::{Row, args, document};
use crate::error::StoreError;
use crate::page::MAX_PAGE;

/// How a token travels. One that was issued for one way is good for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// In an `Authorization` header; a program keeps it.
    Bearer,
    /// In a cookie no script can read; a browser keeps it.
    Cookie,
}

/// A token the gate issued. The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The sign-in it stands for.
    pub id: SignInId,
    /// Whose it is.
    pub user: UserName,
    /// How it travels.
    pub carrier: Carrier,
    /// Ends when it was not used for so many seconds.
    pub idle_seconds: Option<u64>,
    /// The address of whoever signed in.
    pub source: String,
    /// What their program calls itself; a claim.
    pub client: Option<String>,
    /// Serial of the certificate that was issued with it.
    pub certificate: Option<u64>,
    /// Serial of the certificate for TLS that was issued with it.
    #[serde(default)]
    pub tls_certificate: Option<u64>,
    /// What was proved at the sign-in it comes from.
    pub factors: Vec<Factor>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Token {
    /// When it ends unless it is used after `now`.
    fn idle_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.idle_seconds.map(|seconds| now.plus(Duration::from_secs(seconds)))
    }
}

/// A token in force, and when it was last used, give or take what [`Store::see_token`] is spared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenToken {
    /// The token.
    pub token: Token,
    /// When it was last used.
    pub seen_at: Timestamp,
}

/// A certificate the gate issued to a person, for SSH or TLS.
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
        let sql = "INSERT INTO tokens
            (hash, id, user_name, document, expires_at, seen_at, idle_at, revoked_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, NULL)";
        let arguments = args![
            hash,
            &token.id,
            &token.user,
            document(token)?,
            token.expires_at,
            token.issued_at,
            token.idle_at(token.issued_at),
        ];
        self.write_one(sql, arguments).await.map(drop)
    }

    /// The token of this hash, unless it is unknown, revoked, over or idle for too long at `now`.
    pub async fn token(
        &self,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<SeenToken>, StoreError> {
        let sql = "SELECT document, seen_at FROM tokens WHERE hash = $1 AND revoked_at IS NULL
            AND expires_at > $2 AND (idle_at IS NULL OR idle_at > $2)";
        let rows = self.inner.database.rows(sql, args![hash, now]).await?;
        rows.first().map(seen).transpose()
    }

    /// Writes down that a token is in use. Not on every call: a minute more or less is no matter.
    pub async fn see_token(
        &self,
        hash: &[u8; 32],
        token: &Token,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // What has ended meanwhile stays ended.
        let sql = "UPDATE tokens SET seen_at = $2, idle_at = $3 WHERE hash = $1
            AND revoked_at IS NULL AND seen_at < $2 AND (idle_at IS NULL OR idle_at > $2)";
        self.write_one(sql, args![hash, now, token.idle_at(now)]).await.map(drop)
    }

    /// What a person is signed in with, newest first; at most [`MAX_PAGE`].
    pub async fn sign_ins_of(
        &self,
        user: &UserName,
        now: Timestamp,
    ) -> Result<Vec<SeenToken>, StoreError> {
        let sql = "SELECT document, seen_at FROM tokens WHERE user_name = $1
            AND revoked_at IS NULL AND expires_at > $2 AND (idle_at IS NULL OR idle_at > $2)
            ORDER BY id DESC LIMIT $3";
        let most = i64::try_from(MAX_PAGE).unwrap_or(i64::MAX);
        let rows = self.inner.database.rows(sql, args![user, now, most]).await?;
        rows.iter().map(seen).collect()
    }

    /// Ends one of a person's sign-ins, with the certificate issued with it; `false` if they have
    /// no such sign-in in force.
    pub async fn end_sign_in(
        &self,
        user: &UserName,
        id: SignInId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.inner.database.write().await?;
        let sql = "UPDATE tokens SET revoked_at = $3 WHERE id = $1 AND user_name = $2
            AND revoked_at IS NULL AND expires_at > $3 RETURNING document";
        let Some(row) = tx.row(sql, args![&id, user, now]).await? else { return Ok(false) };
        let token: Token = row.json(0, "token")?;
        for serial in token.certificate.into_iter().chain(token.tls_certificate) {
            let sql = "UPDATE certificates SET revoked_at = $2
                WHERE serial = $1 AND revoked_at IS NULL";
            tx.execute(sql, args![serial.to_string(), now]).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Notes a factor proved anew in the sign-in of a token; `false` if the token is not good.
    pub async fn freshen_token(
        &self,
        hash: &[u8; 32],
        factor: Factor,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document FROM tokens WHERE hash = $1 AND revoked_at IS NULL
            AND expires_at > $2 AND (idle_at IS NULL OR idle_at > $2)";
        let Some(row) = ordered.tx.row(sql, args![hash, now]).await? else { return Ok(false) };
        let mut token: Token = row.json(0, "token")?;
        token.factors.retain(|known| known.kind != factor.kind);
        token.factors.push(factor);
        let sql = "UPDATE tokens SET document = $2 WHERE hash = $1";
        ordered.tx.execute(sql, args![hash, document(&token)?]).await?;
        ordered.commit_quietly().await?;
        Ok(true)
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

fn seen(row: &Row) -> Result<SeenToken, StoreError> {
    Ok(SeenToken { token: row.json(0, "token")?, seen_at: Timestamp::from_millis(row.int(1)?) })
}
