//! Sessions live and past, with what became of their recordings.

use portcullis_domain::{
    EnvironmentName, GrantId, Login, SessionId, TargetName, Timestamp, UserName,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Store;
use crate::database::{Row, args, document};
use crate::error::StoreError;
use crate::page::Page;
use crate::retention::RecordingRemoval;

/// A session through the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserName,
    /// To where.
    pub target: TargetName,
    /// Where the target was then.
    pub environment: EnvironmentName,
    /// As which account there.
    pub login: Option<Login>,
    /// Which room it runs in, such as `ssh`.
    pub protocol: String,
    /// Where the client came from.
    pub source: String,
    /// Under which grant, where one was needed.
    pub grant: Option<GrantId>,
    /// The node that carries it.
    pub node: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Index of its opening entry in the audit log. A hint where to begin to read: whoever uses
    /// it looks whether the entry is there.
    #[serde(default)]
    pub opened_entry: Option<u64>,
    /// How it ended; `None` while it lives.
    pub end: Option<SessionEnd>,
    /// That its recording is removed; what the files still hold cannot be read any more.
    #[serde(default)]
    pub removal: Option<RecordingRemoval>,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// When.
    pub at: Timestamp,
    /// Why, for people.
    pub reason: String,
    /// The recording's summary as its writer gives it; null when there is none.
    pub recording: Value,
}

/// Which sessions to list; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Only of this user.
    pub user: Option<UserName>,
    /// Only to this target.
    pub target: Option<TargetName>,
    /// Only in this environment.
    pub environment: Option<EnvironmentName>,
    /// Only those that had not ended before this.
    pub from: Option<Timestamp>,
    /// Only those that began before this.
    pub to: Option<Timestamp>,
    /// Only those that live (`true`) or have ended (`false`).
    pub live: Option<bool>,
    /// Which part of the list.
    pub page: Page<SessionId>,
}

/// Sorts after every id of a session.
const BEFORE_ALL: &str = "ses-~";

/// The statement for a page: its filter is part of the text, so that the database sees which index
/// serves it.
macro_rules! pages {
    ($filter:literal, $live:literal) => {
        concat!(
            "SELECT document FROM sessions WHERE id < $1
                AND ($3 IS NULL OR environment = $3)
                AND ($4 IS NULL OR ended_at IS NULL OR ended_at >= $4)
                AND ($5 IS NULL OR started_at < $5)",
            $filter,
            $live,
            " ORDER BY id DESC LIMIT $2"
        )
    };
    ($live:expr; $filter:literal) => {
        match $live {
            None => pages!($filter, ""),
            Some(true) => pages!($filter, " AND ended_at IS NULL"),
            Some(false) => pages!($filter, " AND ended_at IS NOT NULL"),
        }
    };
}

impl Store {
    /// Records that a session opens.
    pub async fn open_session(&self, session: &SessionRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO sessions
            (id, user_name, target, environment, node, started_at, ended_at, document)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let arguments = args![
            &session.id,
            &session.user,
            &session.target,
            &session.environment,
            session.node.as_str(),
            session.started_at,
            session.end.as_ref().map(|end| end.at),
            document(session)?,
        ];
        self.write_one(sql, arguments).await.map(drop)
    }

    /// Records how a session ended. `false` if that is known already: the first end stands.
    pub async fn close_session(&self, id: SessionId, end: SessionEnd) -> Result<bool, StoreError> {
        let mut tx = self.inner.database.write().await?;
        // Writing first takes the row's lock on PostgreSQL.
        let sql = "UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL
            RETURNING document";
        let Some(row) = tx.row(sql, args![&id, end.at]).await? else {
            drop(tx);
            return self.session(id).await.map(|_| false);
        };
        let session = SessionRecord { end: Some(end), ..read(&row)? };
        let sql = "UPDATE sessions SET document = $2 WHERE id = $1";
        tx.execute(sql, args![&id, document(&session)?]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The session of this id.
    pub async fn session(&self, id: SessionId) -> Result<SessionRecord, StoreError> {
        let sql = "SELECT document FROM sessions WHERE id = $1";
        let rows = self.inner.database.rows(sql, args![&id]).await?;
        read(rows.first().ok_or_else(|| StoreError::not_found(format!("session `{id}`")))?)
    }

    /// Sessions, newest first. However many there are, a page costs what the page holds: each kind
    /// of filter has an index that yields it in this order.
    pub async fn sessions(&self, filter: &SessionFilter) -> Result<Vec<SessionRecord>, StoreError> {
        let (user, target) = (filter.user.as_ref(), filter.target.as_ref());
        let environment = filter.environment.as_ref();
        let (from, to, page) = (filter.from, filter.to, filter.page);
        let before = page.before.map_or_else(|| BEFORE_ALL.to_owned(), |id| id.to_string());
        let rows = page.rows();
        let database = &self.inner.database;
        let rows = match (user, target) {
            (None, None) => {
                let sql = pages!(filter.live; "");
                database.rows(sql, args![before, rows, environment, from, to]).await?
            }
            (Some(user), None) => {
                let sql = pages!(filter.live; " AND user_name = $6");
                database.rows(sql, args![before, rows, environment, from, to, user]).await?
            }
            (None, Some(target)) => {
                let sql = pages!(filter.live; " AND target = $6");
                database.rows(sql, args![before, rows, environment, from, to, target]).await?
            }
            (Some(user), Some(target)) => {
                let sql = pages!(filter.live; " AND user_name = $6 AND target = $7");
                database.rows(sql, args![before, rows, environment, from, to, user, target]).await?
            }
        };
        rows.iter().map(read).collect()
    }

    /// Ends the sessions a node left open when it was killed: those that began before `before`,
    /// the node's present start. Returns their ids.
    pub async fn close_orphans(
        &self,
        node: &str,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        let mut tx = self.inner.database.write().await?;
        let sql = "UPDATE sessions SET ended_at = $2 WHERE node = $1 AND ended_at IS NULL
            AND started_at < $3 RETURNING document";
        let mut closed = Vec::new();
        for row in tx.rows(sql, args![node, now, before]).await? {
            let session = read(&row)?;
            let reason = "the node stopped without closing it".to_owned();
            let end = Some(SessionEnd { at: now, reason, recording: Value::Null });
            let session = SessionRecord { end, ..session };
            let sql = "UPDATE sessions SET document = $2 WHERE id = $1";
            tx.execute(sql, args![&session.id, document(&session)?]).await?;
            closed.push(session.id);
        }
        tx.commit().await?;
        Ok(closed)
    }
}

fn read(row: &Row) -> Result<SessionRecord, StoreError> {
    row.json(0, "session")
}
