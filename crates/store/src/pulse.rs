//! Whether something people look at has changed, cheaply: on whichever node it was.

use portcullis_domain::{SessionId, UserName};

use crate::Store;
use crate::database::args;
use crate::error::StoreError;
use crate::page::MAX_PAGE;

/// What people look at, as it is now; two that differ mean that something changed in between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Grows with resources, grants and locks.
    pub revision: u64,
    /// How many requests wait, the newest of them, and the size of what is known of them, which
    /// grows with each approval.
    pub requests: (i64, String, i64),
    /// The same of changes that wait for a second person.
    pub changes: (i64, String, i64),
    /// The newest live sessions, at most [`MAX_PAGE`].
    pub sessions: Vec<(SessionId, UserName)>,
}

impl Store {
    /// Feels the pulse.
    pub async fn pulse(&self) -> Result<Pulse, StoreError> {
        let revision = self.revision().await?;
        let database = &self.inner.database;
        let waiting = "SELECT COUNT(*), COALESCE(MAX(id), ''),
            CAST(COALESCE(SUM(LENGTH(document)), 0) AS BIGINT)
            FROM requests WHERE state = 'pending'";
        let requests = database.rows(waiting, args![]).await?;
        let waiting = "SELECT COUNT(*), COALESCE(MAX(id), ''),
            CAST(COALESCE(SUM(LENGTH(document)), 0) AS BIGINT)
            FROM pending_changes WHERE state = 'pending'";
        let changes = database.rows(waiting, args![]).await?;
        let live = "SELECT id, user_name FROM sessions WHERE ended_at IS NULL
            ORDER BY id DESC LIMIT $1";
        let most = i64::try_from(MAX_PAGE).unwrap_or(i64::MAX);
        let sessions = database.rows(live, args![most]).await?;
        let waiting = |rows: &[crate::database::Row]| {
            let row = rows.first().ok_or_else(|| StoreError::not_found("count".to_owned()))?;
            Ok::<_, StoreError>((row.int(0)?, row.text(1)?.to_owned(), row.int(2)?))
        };
        Ok(Pulse {
            revision,
            requests: waiting(&requests)?,
            changes: waiting(&changes)?,
            sessions: sessions
                .iter()
                .map(|row| Ok((row.parsed(0, "session")?, row.parsed(1, "user")?)))
                .collect::<Result<_, StoreError>>()?,
        })
    }
}
