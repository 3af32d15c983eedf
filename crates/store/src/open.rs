//! Opening a store: the database, its tables, and the master key that belongs to it.

use std::sync::{Arc, RwLock};

use portcullis_domain::Timestamp;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::sync::watch;

use crate::database::{Database, DatabaseError, UrlError};
use crate::error::StoreError;
use crate::master_key::{MasterKey, MasterKeyError, MasterKeyId, MasterKeySource};
use crate::schema::{self, MigrateError};
use crate::{Inner, Store, rotation};

/// Why a store did not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL names no database we can open.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A newer program has written the store.
    #[error(
        "the store is at version {found}, this program knows up to {known}; run the newer program"
    )]
    TooNew {
        /// The version of the store.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The key is another one than the store's.
    #[error(
        "the master key given is `{given}`, but this store's is `{expected}`; point the configuration to the right key"
    )]
    WrongMasterKey {
        /// The key that was given.
        given: MasterKeyId,
        /// The key that is needed.
        expected: MasterKeyId,
    },
    /// The key was the store's once.
    #[error(
        "the master key given, `{given}`, was retired at {retired_at}; this store's is `{expected}` now"
    )]
    RetiredMasterKey {
        /// The key that was given.
        given: MasterKeyId,
        /// When it was retired.
        retired_at: Timestamp,
        /// The key that is needed.
        expected: MasterKeyId,
    },
    /// There is no key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Url(error) => Self::Url(error),
            DatabaseError::Store(error) => Self::Store(error),
        }
    }
}

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::TooNew { found } => Self::TooNew { found, known: schema::VERSION },
            MigrateError::Store(error) => Self::Store(error),
        }
    }
}

impl Store {
    /// Opens `sqlite:///path/portcullis.db` or `postgres://user@host/database`, creating the
    /// tables when they are not there. The first key a new store is opened with becomes its own.
    ///
    /// Runs on a tokio runtime, which also carries the change feed for as long as a clone lives.
    pub async fn open(url: &str, key: MasterKey, now: Timestamp) -> Result<Self, OpenError> {
        let database = Database::open(url).await?;
        schema::migrate(&database, now).await?;
        adopt(&database, &key, now).await?;
        Self::start(database, key).await
    }

    /// Opens a store with the key its source gives. A key file is made for a new store, never
    /// for one that has a key already; a rotation that was broken off is completed.
    pub async fn open_with(
        url: &str,
        source: &MasterKeySource,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let database = Database::open(url).await?;
        schema::migrate(&database, now).await?;
        let key = match source.load().await {
            Err(MasterKeyError::Missing(path)) => {
                let mut tx = database.read().await?;
                if rotation::current(&mut tx).await?.is_some() {
                    return Err(MasterKeyError::Missing(path).into());
                }
                drop(tx);
                source.create()?.ok_or(MasterKeyError::Missing(path))?
            }
            found => found?,
        };
        let key = match (adopt(&database, &key, now).await, source.staged()?) {
            (Ok(()), _) => key,
            // The rotation was committed, and the key file not yet replaced.
            (Err(error @ OpenError::RetiredMasterKey { .. }), Some(staged)) => {
                adopt(&database, &staged, now).await.map_err(|_| error)?;
                source.promote_staged()?;
                staged
            }
            (Err(error), _) => return Err(error),
        };
        Self::start(database, key).await
    }

    /// Whether several nodes may work on it at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.inner.database.postgres().is_some()
    }

    /// Waits for what is under way and closes all connections. Every later call fails.
    pub async fn close(&self) {
        self.inner.database.close().await;
    }

    async fn start(database: Database, key: MasterKey) -> Result<Self, OpenError> {
        let (changes, _) = watch::channel(0);
        let inner = Inner { database, master_key: RwLock::new(key), changes };
        let store = Self { inner: Arc::new(inner) };
        store.inner.announce(store.revision().await?);
        store.watch();
        Ok(store)
    }
}

/// Checks that the key is the store's, or makes it so if the store has none.
async fn adopt(database: &Database, key: &MasterKey, now: Timestamp) -> Result<(), OpenError> {
    let mut tx = database.write().await?;
    // Two nodes that open a new store at once: the second waits here and finds the first's key.
    tx.execute("UPDATE revision SET value = value WHERE id = 1", &[]).await?;
    let Some((expected, check_value)) = rotation::current(&mut tx).await? else {
        rotation::insert(&mut tx, key, now).await?;
        return Ok(tx.commit().await?);
    };
    if bool::from(check_value.ct_eq(&key.check_value())) {
        return Ok(());
    }
    let given = key.id();
    Err(match rotation::retired_at(&mut tx, &given).await? {
        Some(retired_at) => OpenError::RetiredMasterKey { given, retired_at, expected },
        None => OpenError::WrongMasterKey { given, expected },
    })
}
