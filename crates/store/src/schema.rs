//! The tables, and the steps that bring a database of an older version up to them.
//!
//! One text for both databases: column types are written `TEXT`, `INT` and `BYTES` and become
//! each database's own. Times are milliseconds since 1970, ids and names are texts compared
//! byte by byte, documents are JSON.

use portcullis_domain::Timestamp;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::database::{Database, Dialect, Tx, args};
use crate::error::StoreError;

/// The version this code writes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Serialises migration on PostgreSQL (an arbitrary constant: "portcull" in ASCII).
const MIGRATION_LOCK: i64 = 0x706f_7274_6375_6c6c;

/// Migration `n` (counted from 1) brings version `n - 1` to `n`. INVARIANT: append only.
const MIGRATIONS: &[&[&str]] = &[
    FIRST,
    HOLDS,
    EXPIRY_SAID,
    SEQUENCE,
    SUBJECTS,
    PENDING_CHANGES,
    SIGN_INS,
    RETENTION,
    SESSION_PAGES,
    REVIEWS,
    FACTORS,
];

const FIRST: &[&str] = &[
    // Who holds the master key now and who held it before; `check_value` recognises a key.
    "CREATE TABLE master_keys (id TEXT PRIMARY KEY, check_value BYTES NOT NULL,
        created_at INT NOT NULL, retired_at INT)",
    // Every secret at rest. Kind, owner and name are authenticated with it, so that a value
    // opens only where it was put.
    "CREATE TABLE sealed_values (kind TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL,
        master_key TEXT NOT NULL REFERENCES master_keys (id), wrapped_key BYTES NOT NULL,
        body BYTES NOT NULL, updated_at INT NOT NULL, PRIMARY KEY (kind, owner, name))",
    // One row. Its value grows with every change a decision may depend on, and its row lock
    // puts those changes in order.
    "CREATE TABLE revision (id INT PRIMARY KEY CHECK (id = 1), value INT NOT NULL)",
    "INSERT INTO revision (id, value) VALUES (1, 0)",
    "CREATE TABLE resources (kind TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
        author TEXT NOT NULL, updated_at INT NOT NULL, PRIMARY KEY (kind, name))",
    "CREATE TABLE requests (id TEXT PRIMARY KEY, user_name TEXT NOT NULL, target TEXT NOT NULL,
        environment TEXT NOT NULL, state TEXT NOT NULL, expires_at INT NOT NULL,
        document TEXT NOT NULL)",
    "CREATE INDEX requests_by_user ON requests (user_name, state)",
    "CREATE INDEX requests_by_state ON requests (state, expires_at)",
    // INVARIANT: one approval, one grant: `request_id` is unique.
    "CREATE TABLE grants (id TEXT PRIMARY KEY, request_id TEXT NOT NULL UNIQUE
        REFERENCES requests (id), user_name TEXT NOT NULL, target TEXT NOT NULL,
        starts_at INT NOT NULL, ends_at INT NOT NULL, ended_at INT, document TEXT NOT NULL)",
    "CREATE INDEX grants_by_end ON grants (ends_at)",
    "CREATE INDEX grants_by_user ON grants (user_name)",
    "CREATE TABLE locks (id TEXT PRIMARY KEY, subject_kind TEXT NOT NULL,
        subject_name TEXT NOT NULL, dropped INT NOT NULL, expires_at INT, lifted_at INT,
        lifted_by TEXT, document TEXT NOT NULL)",
    // INVARIANT: the gate of an environment is dropped at most once at a time.
    "CREATE UNIQUE INDEX locks_dropped ON locks (subject_name)
        WHERE dropped = 1 AND lifted_at IS NULL",
    "CREATE INDEX locks_in_force ON locks (lifted_at)",
    "CREATE TABLE credentials (user_name TEXT PRIMARY KEY, password_hash TEXT,
        password_set_at INT, totp_set_at INT, totp_confirmed_at INT, totp_last_step INT)",
    "CREATE TABLE recovery_codes (user_name TEXT NOT NULL, hash TEXT NOT NULL,
        created_at INT NOT NULL, used_at INT, PRIMARY KEY (user_name, hash))",
    "CREATE TABLE attempts (scope TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
        updated_at INT NOT NULL, PRIMARY KEY (scope, name))",
    "CREATE INDEX attempts_by_age ON attempts (updated_at)",
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, user_name TEXT NOT NULL, target TEXT NOT NULL,
        environment TEXT NOT NULL, node TEXT NOT NULL, started_at INT NOT NULL, ended_at INT,
        document TEXT NOT NULL)",
    "CREATE INDEX sessions_live ON sessions (ended_at, node)",
    "CREATE INDEX sessions_by_user ON sessions (user_name, id)",
    "CREATE INDEX sessions_by_target ON sessions (target, id)",
    "CREATE TABLE tokens (hash BYTES PRIMARY KEY, user_name TEXT NOT NULL,
        document TEXT NOT NULL, expires_at INT NOT NULL, revoked_at INT)",
    "CREATE INDEX tokens_by_user ON tokens (user_name)",
    "CREATE INDEX tokens_by_end ON tokens (expires_at)",
    "CREATE TABLE certificates (serial TEXT PRIMARY KEY, user_name TEXT NOT NULL,
        document TEXT NOT NULL, expires_at INT NOT NULL, revoked_at INT)",
    "CREATE INDEX certificates_by_user ON certificates (user_name)",
    "CREATE INDEX certificates_by_end ON certificates (expires_at)",
    "CREATE TABLE nodes (name TEXT PRIMARY KEY, started_at INT NOT NULL, seen_at INT NOT NULL)",
];

const HOLDS: &[&str] = &[
    "CREATE TABLE holds (id TEXT PRIMARY KEY, scope_kind TEXT NOT NULL, scope_name TEXT NOT NULL,
        lifted_at INT, lifted_by TEXT, document TEXT NOT NULL)",
    "CREATE INDEX holds_in_force ON holds (lifted_at)",
];

/// That a grant is over is said once, also when nobody ran at that moment.
const EXPIRY_SAID: &[&str] = &[
    "ALTER TABLE grants ADD COLUMN over_said_at INT",
    "CREATE INDEX grants_to_say ON grants (ends_at)
        WHERE over_said_at IS NULL AND ended_at IS NULL",
];

/// The common sequence of the log of several nodes. Bodies go in before the one row of
/// `log_sequence` is locked, so that nodes wait for each other as briefly as can be.
const SEQUENCE: &[&str] = &[
    "CREATE TABLE log_bodies (id TEXT PRIMARY KEY, body BYTES NOT NULL)",
    "CREATE TABLE log_batches (first INT PRIMARY KEY, entries INT NOT NULL CHECK (entries > 0),
        body_id TEXT NOT NULL UNIQUE REFERENCES log_bodies (id))",
    "CREATE TABLE log_sequence (id INT PRIMARY KEY CHECK (id = 1), next INT NOT NULL)",
    "INSERT INTO log_sequence (id, next) VALUES (1, 0)",
];

const SUBJECTS: &[&str] = &[
    // INVARIANT: a forgotten subject has no name and no sealed value any more. `claimed_on` is
    // the day on which a name that is no user's got a key.
    "CREATE TABLE subjects (id TEXT PRIMARY KEY, name TEXT, claimed_on INT,
        created_at INT NOT NULL, forgotten_at INT)",
    "CREATE UNIQUE INDEX subjects_by_name ON subjects (name)",
    "CREATE INDEX subjects_by_claim ON subjects (claimed_on)",
];

/// Changes that wait for a second person, on whichever node that comes to.
const PENDING_CHANGES: &[&str] = &[
    "CREATE TABLE pending_changes (id TEXT PRIMARY KEY, state TEXT NOT NULL,
        expires_at INT NOT NULL, document TEXT NOT NULL)",
    "CREATE INDEX pending_changes_open ON pending_changes (state, expires_at)",
];

/// Sign-ins are listed, ended one by one, and end when nobody uses them. Those from before cannot
/// be listed, so they end; they would have lasted hours.
const SIGN_INS: &[&str] = &[
    "DELETE FROM tokens",
    "ALTER TABLE tokens ADD COLUMN id TEXT",
    // When it was last used, give or take a minute, and when it ends unless it is used again.
    "ALTER TABLE tokens ADD COLUMN seen_at INT",
    "ALTER TABLE tokens ADD COLUMN idle_at INT",
    "CREATE UNIQUE INDEX tokens_by_id ON tokens (id)",
];

/// What is left of recordings whose time is over, and the time by which a node says so.
const RETENTION: &[&str] = &[
    "ALTER TABLE sessions ADD COLUMN recording_over_at INT",
    "CREATE INDEX sessions_with_recordings ON sessions (environment, ended_at)
        WHERE recording_over_at IS NULL",
    "CREATE TABLE settled_times (node TEXT PRIMARY KEY, settled_at INT NOT NULL)",
];

/// Live sessions page by page, among however many past ones.
const SESSION_PAGES: &[&str] = &[
    "CREATE INDEX sessions_open ON sessions (id) WHERE ended_at IS NULL",
    "CREATE INDEX sessions_open_by_user ON sessions (user_name, id) WHERE ended_at IS NULL",
];

/// Grants that come of no request, and the reviews that follow them. The table of grants is made
/// anew because not every database can drop a `NOT NULL`.
const REVIEWS: &[&str] = &[
    "CREATE TABLE grants_anew (id TEXT PRIMARY KEY, request_id TEXT UNIQUE
        REFERENCES requests (id), user_name TEXT NOT NULL, target TEXT NOT NULL,
        starts_at INT NOT NULL, ends_at INT NOT NULL, ended_at INT, document TEXT NOT NULL,
        over_said_at INT)",
    "INSERT INTO grants_anew (id, request_id, user_name, target, starts_at, ends_at, ended_at,
        document, over_said_at) SELECT id, request_id, user_name, target, starts_at, ends_at,
        ended_at, document, over_said_at FROM grants",
    "DROP TABLE grants",
    "ALTER TABLE grants_anew RENAME TO grants",
    "CREATE INDEX grants_by_end ON grants (ends_at)",
    "CREATE INDEX grants_by_user ON grants (user_name)",
    "CREATE INDEX grants_to_say ON grants (ends_at)
        WHERE over_said_at IS NULL AND ended_at IS NULL",
    "CREATE TABLE reviews (id TEXT PRIMARY KEY, role_name TEXT NOT NULL, user_name TEXT NOT NULL,
        grant_id TEXT NOT NULL UNIQUE REFERENCES grants (id), state TEXT NOT NULL,
        document TEXT NOT NULL)",
    // INVARIANT: no use of a role before the last one has been reviewed.
    "CREATE UNIQUE INDEX reviews_open ON reviews (role_name) WHERE state = 'open'",
];

/// Passkeys, what is open while one is used, and clients that wait for a factor proved elsewhere.
const FACTORS: &[&str] = &[
    "CREATE TABLE passkeys (credential BYTES PRIMARY KEY, id TEXT NOT NULL UNIQUE,
        user_name TEXT NOT NULL, sign_count INT NOT NULL, used_at INT, document TEXT NOT NULL)",
    "CREATE INDEX passkeys_by_user ON passkeys (user_name, id)",
    "CREATE TABLE ceremonies (challenge BYTES PRIMARY KEY, expires_at INT NOT NULL,
        document TEXT NOT NULL)",
    "CREATE INDEX ceremonies_by_end ON ceremonies (expires_at)",
    "CREATE TABLE confirmations (id TEXT PRIMARY KEY, user_name TEXT NOT NULL,
        source TEXT NOT NULL, code TEXT NOT NULL, state TEXT NOT NULL, expires_at INT NOT NULL,
        document TEXT NOT NULL)",
    // INVARIANT: one person waits at one source for one code.
    "CREATE UNIQUE INDEX confirmations_waiting ON confirmations (user_name, source)
        WHERE state = 'waiting'",
    "CREATE INDEX confirmations_by_end ON confirmations (expires_at)",
    // Until when a person whose factors changed stays out of production.
    "CREATE TABLE factor_waits (user_name TEXT PRIMARY KEY, until INT NOT NULL)",
];

/// Why a database is not at this code's version.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    #[error("the store is at version {found}, this program knows up to {VERSION}")]
    TooNew { found: i64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Brings the database to [`VERSION`] in one transaction; does nothing when it is there.
pub(crate) async fn migrate(database: &Database, now: Timestamp) -> Result<(), MigrateError> {
    let mut tx = database.write().await?;
    if tx.dialect() == Dialect::Postgres {
        tx.rows("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)", args![MIGRATION_LOCK]).await?;
    }
    run(
        &mut tx,
        "CREATE TABLE IF NOT EXISTS schema_versions (version INT PRIMARY KEY,
            applied_at INT NOT NULL)",
    )
    .await?;
    let newest = tx.row("SELECT COALESCE(MAX(version), 0) FROM schema_versions", args![]).await?;
    let found = newest.map_or(Ok(0), |row| row.int(0))?;
    if found > VERSION {
        return Err(MigrateError::TooNew { found });
    }
    for (version, statements) in (1..).zip(MIGRATIONS).skip_while(|(n, _)| *n <= found) {
        for statement in *statements {
            run(&mut tx, statement).await?;
        }
        let note = "INSERT INTO schema_versions (version, applied_at) VALUES ($1, $2)";
        tx.execute(note, args![version, now]).await?;
    }
    tx.commit().await.map_err(Into::into)
}

async fn run(tx: &mut Tx, statement: &'static str) -> Result<(), StoreError> {
    let text = translate(statement, tx.dialect());
    tx.execute_text(text, args![]).await.map(drop)
}

fn translate(statement: &'static str, dialect: Dialect) -> SqlStr {
    if !statement.starts_with("CREATE TABLE") && !statement.starts_with("ALTER TABLE") {
        return SqlStr::from_static(statement);
    }
    let strict = if statement.starts_with("CREATE TABLE") { " STRICT" } else { "" };
    let (int, text, bytes, end) = match dialect {
        Dialect::Sqlite => ("INTEGER", "TEXT", "BLOB", strict),
        Dialect::Postgres => ("BIGINT", "TEXT COLLATE \"C\"", "BYTEA", ""),
    };
    let words = statement.replace(" INT", &format!(" {int}"));
    let words = words.replace(" TEXT", &format!(" {text}"));
    let words = words.replace(" BYTES", &format!(" {bytes}"));
    AssertSqlSafe(words + end).into_sql_str()
}
