//! An empty database for one test, and ways to reach around the store into it.

use std::path::PathBuf;

use portcullis_store::{MasterKey, Store};
use portcullis_testkit::{PostgresServer, TempDir};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::samples::NOW;

pub(crate) struct Home {
    pub(crate) url: String,
    directory: TempDir,
}

impl Home {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("store.db").display());
        Self { url, directory }
    }

    pub(crate) async fn postgres() -> Self {
        let fresh = || PostgresServer::shared().fresh_database();
        let url = tokio::task::spawn_blocking(fresh).await.unwrap();
        Self { url, directory: tempfile::tempdir().unwrap() }
    }

    /// The store as one node has it; call it again for another node.
    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.url, key(1), NOW).await.unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs SQL past the store, as someone with the database's password could.
    pub(crate) async fn tamper(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.url.starts_with("sqlite") {
            let mut connection = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            connection.execute(sqlx::raw_sql(sql)).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = sqlx::PgConnection::connect(&self.url).await.unwrap();
            connection.execute(sqlx::raw_sql(sql)).await.unwrap();
            connection.close().await.unwrap();
        }
    }
}

pub(crate) fn key(byte: u8) -> MasterKey {
    MasterKey::from_bytes([byte; 32])
}
