//! What can go wrong with the store, sorted by what the caller can do about it.
//!
//! Must never know: which person or decision an operation served. Whatever the kind, an error
//! means that nothing may be allowed on the strength of the answer: callers fail closed.

use thiserror::Error;

/// The cause an error carries, whatever the database driver.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database does not answer in time, is full or cannot be reached. When this comes from
    /// a write, it may have happened or not: read before trying again.
    #[error("the store does not answer; check that the database runs and has space")]
    Unavailable(#[source] Cause),
    /// Something of this identity exists already, or another writer came first.
    #[error("{what} conflicts with what the store holds; read it again and retry")]
    Conflict {
        /// What was being written.
        what: String,
    },
    /// There is no such thing.
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for, the name in backticks.
        what: String,
    },
    /// The store holds what this version cannot read.
    #[error("the store holds an unreadable {what}; restore a backup or report this")]
    Corrupt {
        /// What was being read.
        what: String,
        /// What the reader said.
        #[source]
        source: Cause,
    },
    /// A sealed value does not open under the master key at the place it was found: it was
    /// altered, moved, or the master key has been rotated by another node.
    #[error("the sealed {what} does not open; check the master key, or store the secret again")]
    Sealed {
        /// Which value.
        what: String,
    },
    /// The value cannot be stored: too long, or it has a NUL character.
    #[error("{what} cannot be stored: {why}")]
    Invalid {
        /// What was being written.
        what: String,
        /// The rule it breaks.
        why: String,
    },
}

impl StoreError {
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    pub(crate) fn corrupt(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Corrupt { what: what.into(), source: source.into() }
    }

    pub(crate) fn sealed(what: impl Into<String>) -> Self {
        Self::Sealed { what: what.into() }
    }

    pub(crate) fn invalid(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), why: why.into() }
    }

    pub(crate) fn unavailable(source: impl Into<Cause>) -> Self {
        Self::Unavailable(source.into())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(answer) if answer.is_unique_violation() => {
                Self::conflict("this entry")
            }
            sqlx::Error::Database(answer) => {
                let code = answer.code().unwrap_or_default().into_owned();
                let sqlite = answer.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
                let passing = if sqlite { sqlite_passes(&code) } else { postgres_passes(&code) };
                if passing { Self::unavailable(error) } else { Self::corrupt("entry", error) }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Configuration(_) => Self::unavailable(error),
            _ => Self::corrupt("entry", error),
        }
    }
}

/// SQLite result codes (<https://www.sqlite.org/rescode.html>) that say something about the
/// machine rather than the data: PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL,
/// CANTOPEN, PROTOCOL.
fn sqlite_passes(code: &str) -> bool {
    let primary = code.parse::<u32>().map(|code| code & 0xff);
    matches!(primary, Ok(3 | 5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15))
}

/// SQLSTATE classes (PostgreSQL manual, appendix A) that say something about the server rather
/// than the data: connection, authorization, read only, rollback, resources, operator
/// intervention, system error.
fn postgres_passes(code: &str) -> bool {
    ["08", "28", "25006", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
}
