//! Sealed values in their table, and the secrets of targets: each belongs to one environment.

use portcullis_domain::{EnvironmentName, Secret, Timestamp};

use crate::Store;
use crate::database::{Row, Tx, args};
use crate::error::StoreError;
use crate::master_key::MasterKey;
use crate::seal::{self, Place, Sealed};

const KIND: &str = "target_secret";
/// Longest name of a secret, in bytes.
const MAX_SECRET_NAME_BYTES: usize = 255;
/// Longest secret, in bytes: room for a private key with its certificate.
const MAX_SECRET_BYTES: usize = 64 * 1024;
/// Most secrets of one environment that are listed.
const MAX_LISTED: i64 = 10_000;

/// A secret of a target without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSecret {
    /// The one environment it belongs to.
    pub environment: EnvironmentName,
    /// Its name there.
    pub name: String,
    /// When it was last written.
    pub updated_at: Timestamp,
}

impl Store {
    /// Stores a secret under its name, replacing one that is there.
    pub async fn put_target_secret(
        &self,
        environment: &EnvironmentName,
        name: &str,
        value: &Secret<Vec<u8>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let place = target_place(environment, name);
        let mut ordered = self.ordered().await?;
        put_sealed(&mut ordered.tx, &self.master_key()?, place, value.expose(), now).await?;
        ordered.commit_quietly().await
    }

    /// The value of a secret.
    pub async fn target_secret(
        &self,
        environment: &EnvironmentName,
        name: &str,
    ) -> Result<Secret<Vec<u8>>, StoreError> {
        let found = self.find_sealed(target_place(environment, name)).await?;
        found.ok_or_else(|| missing(environment, name))
    }

    /// The secrets of one environment, or of all, without their values.
    pub async fn target_secrets(
        &self,
        environment: Option<&EnvironmentName>,
    ) -> Result<Vec<TargetSecret>, StoreError> {
        let sql = "SELECT owner, name, updated_at FROM sealed_values
            WHERE kind = $1 AND ($2 IS NULL OR owner = $2) ORDER BY owner, name LIMIT $3";
        let rows = self.inner.database.rows(sql, args![KIND, environment, MAX_LISTED]).await?;
        let secrets = rows.iter().map(|row| {
            Ok(TargetSecret {
                environment: row.parsed(0, "environment of a secret")?,
                name: row.text(1)?.to_owned(),
                updated_at: row.time(2)?,
            })
        });
        secrets.collect()
    }

    /// Removes a secret.
    pub async fn delete_target_secret(
        &self,
        environment: &EnvironmentName,
        name: &str,
    ) -> Result<(), StoreError> {
        let mut ordered = self.ordered().await?;
        if !delete_sealed(&mut ordered.tx, target_place(environment, name)).await? {
            return Err(missing(environment, name));
        }
        ordered.commit_quietly().await
    }

    /// Reads one sealed value.
    pub(crate) async fn find_sealed(
        &self,
        place: Place<'_>,
    ) -> Result<Option<Secret<Vec<u8>>>, StoreError> {
        let arguments = args![place.kind, place.owner, place.name];
        let rows = self.inner.database.rows(FIND, arguments).await?;
        rows.first().map(|row| open_row(&self.master_key()?, place, row)).transpose()
    }

    pub(crate) fn master_key(&self) -> Result<MasterKey, StoreError> {
        let poisoned = |_| StoreError::sealed("store, after a failed rotation; restart the node,");
        self.inner.master_key.read().map(|key| key.clone()).map_err(poisoned)
    }
}

const FIND: &str = "SELECT wrapped_key, body FROM sealed_values
    WHERE kind = $1 AND owner = $2 AND name = $3";

/// Reads one sealed value inside a transaction.
pub(crate) async fn find_sealed_in(
    tx: &mut Tx,
    master: &MasterKey,
    place: Place<'_>,
) -> Result<Option<Secret<Vec<u8>>>, StoreError> {
    let row = tx.row(FIND, args![place.kind, place.owner, place.name]).await?;
    row.map(|row| open_row(master, place, &row)).transpose()
}

/// Seals and writes one value. The transaction must be ordered.
///
/// INVARIANT: no value is sealed under a key that another node has retired: the current key is
/// read in the transaction that a rotation cannot overlap.
pub(crate) async fn put_sealed(
    tx: &mut Tx,
    master: &MasterKey,
    place: Place<'_>,
    value: &[u8],
    now: Timestamp,
) -> Result<(), StoreError> {
    check(place, value)?;
    let id = master.id();
    let sql = "SELECT id FROM master_keys WHERE id = $1 AND retired_at IS NULL";
    if tx.row(sql, args![id.0.as_str()]).await?.is_none() {
        let what = "store has a newer master key; restart this node with it, or a value that";
        return Err(StoreError::sealed(what));
    }
    let sealed = seal::seal(master, place, value).map_err(|_| unsealable(place))?;
    let sql = "INSERT INTO sealed_values
        (kind, owner, name, master_key, wrapped_key, body, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (kind, owner, name) DO UPDATE SET master_key = excluded.master_key,
            wrapped_key = excluded.wrapped_key, body = excluded.body,
            updated_at = excluded.updated_at";
    let arguments =
        args![place.kind, place.owner, place.name, id.0, sealed.wrapped_key, sealed.body, now];
    tx.execute(sql, arguments).await.map(drop)
}

pub(crate) async fn delete_sealed(tx: &mut Tx, place: Place<'_>) -> Result<bool, StoreError> {
    let sql = "DELETE FROM sealed_values WHERE kind = $1 AND owner = $2 AND name = $3";
    Ok(tx.execute(sql, args![place.kind, place.owner, place.name]).await? > 0)
}

pub(crate) fn unsealable(place: Place<'_>) -> StoreError {
    StoreError::sealed(format!("{} `{}` of `{}`", place.kind, place.name, place.owner))
}

fn open_row(
    master: &MasterKey,
    place: Place<'_>,
    row: &Row,
) -> Result<Secret<Vec<u8>>, StoreError> {
    let sealed = Sealed { wrapped_key: row.bytes(0)?.to_vec(), body: row.bytes(1)?.to_vec() };
    seal::open(master, place, &sealed).map_err(|_| unsealable(place))
}

fn check(place: Place<'_>, value: &[u8]) -> Result<(), StoreError> {
    let shown = || format!("secret `{}`", place.name.escape_debug().take(80).collect::<String>());
    if place.name.len() > MAX_SECRET_NAME_BYTES || place.name.chars().any(char::is_control) {
        let why = format!("a name has at most {MAX_SECRET_NAME_BYTES} printable characters");
        return Err(StoreError::invalid(shown(), why));
    }
    if value.len() > MAX_SECRET_BYTES {
        let why = format!("it has {} bytes, and at most {MAX_SECRET_BYTES} fit", value.len());
        return Err(StoreError::invalid(shown(), why));
    }
    Ok(())
}

fn target_place<'a>(environment: &'a EnvironmentName, name: &'a str) -> Place<'a> {
    Place { kind: KIND, owner: environment.as_str(), name }
}

fn missing(environment: &EnvironmentName, name: &str) -> StoreError {
    let name = name.escape_debug();
    StoreError::not_found(format!(
        "secret `{name}` in environment `{environment}`; store it with `portcullis secret set`"
    ))
}
