//! One way to talk to two databases: the same statement text with `$1` parameters, integers,
//! texts and bytes in, rows of the same out.
//!
//! Everything that differs between SQLite and PostgreSQL is here and in `schema`: how a
//! connection opens, how a transaction begins, how a value is decoded. An enum of two drivers
//! and not sqlx's `Any`, because that can neither begin a transaction with the write lock nor
//! set what a connection must have (durability, TLS, timeouts), and guesses the type of nulls.
//!
//! Must never know: what the tables mean.

mod value;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode, Postgres};
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{SqlStr, Transaction};

use crate::error::StoreError;
pub(crate) use value::{Arg, Row, args, document};

/// Longest wait for the one connection that all writes to SQLite share, or for a reader.
const SQLITE_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for a connection to PostgreSQL, new or free.
const POSTGRES_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for one statement or commit; a database that is slower counts as gone.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long SQLite waits for another process that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers of one SQLite file.
const SQLITE_READERS: u32 = 4;
/// Connections to PostgreSQL per node; one of them listens.
const POSTGRES_CONNECTIONS: u32 = 16;

/// Which database this is, where statements must differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// An open database.
pub(crate) enum Database {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

/// A transaction; dropped without [`Tx::commit`] it leaves no trace.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Why a URL names no database we can open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither scheme.
    #[error("a store is `sqlite:///path/portcullis.db` or `postgres://user@host/database`")]
    Scheme,
    /// SQLite without a file.
    #[error("an SQLite store needs a file: `sqlite:///path/portcullis.db`")]
    NoFile,
    /// The PostgreSQL URL does not parse. Its text may hold a password and is not repeated.
    #[error("the `postgres://` url of the store cannot be read; see libpq's connection URIs")]
    Postgres,
}

impl Database {
    pub(crate) async fn open(url: &str) -> Result<Self, DatabaseError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Self::open_postgres(url).await;
        }
        let path = url.strip_prefix("sqlite:").ok_or(UrlError::Scheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            return Err(UrlError::NoFile.into());
        }
        Self::open_sqlite(Path::new(path)).await
    }

    async fn open_sqlite(path: &Path) -> Result<Self, DatabaseError> {
        create_private(path).map_err(StoreError::unavailable)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(SqliteSynchronous::Full)
            .pragma("secure_delete", "ON")
            .pragma("trusted_schema", "OFF");
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(SQLITE_ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writer = pool()
            .max_connections(1)
            .connect_with(options.clone().journal_mode(SqliteJournalMode::Wal))
            .await
            .map_err(StoreError::from)?;
        let readers = pool()
            .max_connections(SQLITE_READERS)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(StoreError::from)?;
        Ok(Self::Sqlite { writer, readers })
    }

    async fn open_postgres(url: &str) -> Result<Self, DatabaseError> {
        let options = postgres_options(url)?;
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(POSTGRES_ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(StoreError::from)?;
        Ok(Self::Postgres(pool))
    }

    /// A transaction that reads one consistent state.
    pub(crate) async fn read(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite { readers, .. } => within(readers.begin()).await.map(Tx::Sqlite),
            Self::Postgres(pool) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                within(pool.begin_with(begin)).await.map(Tx::Postgres)
            }
        }
    }

    /// A transaction that writes. On SQLite it has the write lock from the start, so that it
    /// never fails half way because another writer came first.
    pub(crate) async fn write(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite { writer, .. } => {
                within(writer.begin_with("BEGIN IMMEDIATE")).await.map(Tx::Sqlite)
            }
            Self::Postgres(pool) => within(pool.begin()).await.map(Tx::Postgres),
        }
    }

    /// One statement that reads, outside any transaction.
    pub(crate) async fn rows(
        &self,
        sql: &'static str,
        arguments: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        let sql = SqlStr::from_static(sql);
        match self {
            Self::Sqlite { readers, .. } => {
                let rows = within(value::sqlite(sql, arguments)?.fetch_all(readers)).await?;
                rows.iter().map(Row::from_sqlite).collect()
            }
            Self::Postgres(pool) => {
                let rows = within(value::postgres(sql, arguments)?.fetch_all(pool)).await?;
                rows.iter().map(Row::from_postgres).collect()
            }
        }
    }

    /// The pool of PostgreSQL, for listening.
    pub(crate) fn postgres(&self) -> Option<&PgPool> {
        match self {
            Self::Sqlite { .. } => None,
            Self::Postgres(pool) => Some(pool),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs one statement; how many rows it touched.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        arguments: &[Arg],
    ) -> Result<u64, StoreError> {
        self.execute_text(SqlStr::from_static(sql), arguments).await
    }

    /// The same for a statement put together by `schema` out of its own constants.
    pub(crate) async fn execute_text(
        &mut self,
        sql: SqlStr,
        arguments: &[Arg],
    ) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(tx) => within(value::sqlite(sql, arguments)?.execute(&mut **tx))
                .await
                .map(|done| done.rows_affected()),
            Self::Postgres(tx) => within(value::postgres(sql, arguments)?.execute(&mut **tx))
                .await
                .map(|done| done.rows_affected()),
        }
    }

    /// Runs one statement and reads all of its rows; the statement itself bounds their number.
    pub(crate) async fn rows(
        &mut self,
        sql: &'static str,
        arguments: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        let sql = SqlStr::from_static(sql);
        match self {
            Self::Sqlite(tx) => {
                let rows = within(value::sqlite(sql, arguments)?.fetch_all(&mut **tx)).await?;
                rows.iter().map(Row::from_sqlite).collect()
            }
            Self::Postgres(tx) => {
                let rows = within(value::postgres(sql, arguments)?.fetch_all(&mut **tx)).await?;
                rows.iter().map(Row::from_postgres).collect()
            }
        }
    }

    /// The same for a statement that finds at most one row.
    pub(crate) async fn row(
        &mut self,
        sql: &'static str,
        arguments: &[Arg],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, arguments).await?.into_iter().next())
    }

    /// Makes it durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => within(tx.commit()).await,
            Self::Postgres(tx) => within(tx.commit()).await,
        }
    }
}

/// Why a database did not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Bounds one exchange with the database, for when it neither answers nor hangs up: pools bound
/// the wait for a connection and PostgreSQL bounds statements, but not a network that is silent.
async fn within<T, F>(work: F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    match tokio::time::timeout(SQLITE_ACQUIRE_TIMEOUT + STATEMENT_TIMEOUT, work).await {
        Ok(result) => result.map_err(StoreError::from),
        Err(elapsed) => Err(StoreError::unavailable(elapsed)),
    }
}

/// SQLite gives its journal files the mode of the database, so that 0600 here covers them all.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Beyond this machine the server must prove its name by a certificate, unless the URL says
/// otherwise with `sslmode`: libpq's default would fall back to plain text without a word.
fn postgres_options(url: &str) -> Result<PgConnectOptions, UrlError> {
    let mut options = PgConnectOptions::from_str(url).map_err(|_| UrlError::Postgres)?;
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']');
    let local = options.get_socket().map(PathBuf::as_path).is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if !local && !query.contains("sslmode=") && !query.contains("ssl-mode=") {
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    let millis = STATEMENT_TIMEOUT.as_millis().to_string();
    Ok(options.application_name("portcullis").options([
        ("statement_timeout", millis.as_str()),
        ("lock_timeout", millis.as_str()),
        ("idle_in_transaction_session_timeout", millis.as_str()),
        // A revocation that was answered survives the database's crash, however the server is set.
        ("synchronous_commit", "on"),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_another_machine_must_prove_its_name_unless_the_url_says_otherwise() {
        let mode = |url: &str| postgres_options(url).unwrap().get_ssl_mode();
        assert!(matches!(mode("postgres://u@db.example/p"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://u@192.0.2.1/p"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://u@db.example/p?sslmode=require"), PgSslMode::Require));
        assert!(matches!(mode("postgres://u:sslmode=x@db.example/p"), PgSslMode::VerifyFull));
        for local in ["127.0.0.1", "localhost", "[::1]", "%2Frun%2Fpostgresql"] {
            let mode = mode(&format!("postgres://u@{local}/p"));
            assert!(!matches!(mode, PgSslMode::VerifyFull), "{local}");
        }
    }

    #[tokio::test]
    async fn an_sqlite_store_is_durable_private_and_enforces_references() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let database = Database::open(&format!("sqlite://{}", path.display())).await.unwrap();
        let mut tx = database.write().await.unwrap();
        for (pragma, expected) in [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1)] {
            let row = tx.row(pragma, args![]).await.unwrap().unwrap();
            assert_eq!(row.int(0).unwrap(), expected, "{pragma}");
        }
        let row = tx.row("PRAGMA journal_mode", args![]).await.unwrap().unwrap();
        assert_eq!(row.text(0).unwrap(), "wal");
        tx.execute("CREATE TABLE t (n INTEGER)", args![]).await.unwrap();
        tx.commit().await.unwrap();
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o077, 0);
        }
        let refused = database.rows("DELETE FROM t RETURNING n", args![]).await;
        assert!(refused.is_err(), "readers cannot write");
    }
}
