//! Recordings whose time is over: the half of each one's key that rests here, and how far a node
//! got with removing it.
//!
//! The key of a recording is split: one half stands, wrapped, in the recording's own file and in
//! every copy of it; the other is here, sealed under the master key. Without both nothing of the
//! recording can be read, so that deleting the row takes every copy with it, also those nobody
//! knows of.
//!
//! Also here: the time a node has taken for settled when it says that something is old.

use portcullis_domain::hold::{Evidence, Hold, covering};
use portcullis_domain::{EnvironmentName, EventId, Secret, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Store;
use crate::database::{args, document};
use crate::error::StoreError;
use crate::holds::holds_in;
use crate::master_key::KEY_BYTES;
use crate::seal::Place;
use crate::secrets::{delete_sealed, put_sealed};
use crate::sessions::SessionRecord;

const KIND: &str = "recording_key";
/// Most recordings listed at a time.
pub const MAX_DUE: usize = 200;

/// That the log says a recording is removed, and its key is destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingRemoval {
    /// When.
    pub at: Timestamp,
    /// The entry of the log that says so.
    pub event: EventId,
}

/// Why a recording's key was not destroyed.
#[derive(Debug, Error)]
pub enum RemoveError {
    /// A hold covers it.
    #[error("hold `{}` on {} keeps this", .0.id, .0.scope)]
    Held(Box<Hold>),
    /// The store failed, or there is no such session.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Makes the half of a recording's key that rests here.
    pub async fn make_recording_half(
        &self,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, StoreError> {
        let mut half = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *half).map_err(|_| StoreError::unavailable("no randomness"))?;
        let master = self.master_key()?;
        let mut ordered = self.ordered().await?;
        put_sealed(&mut ordered.tx, &master, place(&session.to_string()), &*half, now).await?;
        ordered.commit_quietly().await?;
        Ok(Secret::new(half.to_vec()))
    }

    /// The half of a recording's key that rests here; `None` once it is destroyed.
    pub async fn recording_half(
        &self,
        session: SessionId,
    ) -> Result<Option<Secret<Vec<u8>>>, StoreError> {
        self.find_sealed(place(&session.to_string())).await
    }

    /// Recordings in an environment of sessions that ended before a time, of which something may
    /// be left, in the order of their sessions' ids.
    pub async fn recordings_due(
        &self,
        environment: &EnvironmentName,
        ended_before: Timestamp,
        after: Option<SessionId>,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = "SELECT document FROM sessions WHERE environment = $1 AND ended_at < $2
            AND recording_over_at IS NULL AND ($3 IS NULL OR id > $3) ORDER BY id LIMIT $4";
        let limit = i64::try_from(MAX_DUE).unwrap_or(i64::MAX);
        let arguments = args![environment, ended_before, after.as_ref(), limit];
        let rows = self.inner.database.rows(sql, arguments).await?;
        rows.iter().map(|row| row.json(0, "session")).collect()
    }

    /// Destroys the half of a recording's key that rests here, and notes which entry of the log
    /// says so, unless a hold covers the recording.
    ///
    /// INVARIANT: holds are read in the same transaction, so that a hold placed before is seen.
    pub async fn destroy_recording_half(
        &self,
        session: SessionId,
        removal: RecordingRemoval,
    ) -> Result<(), RemoveError> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document FROM sessions WHERE id = $1";
        let row = ordered.tx.row(sql, args![&session]).await?;
        let missing = || StoreError::not_found(format!("session `{session}`"));
        let record: SessionRecord = row.ok_or_else(missing)?.json(0, "session")?;
        let holds = holds_in(&mut ordered.tx).await?;
        if let Some(hold) = covering(&holds, &evidence_of(&record)) {
            return Err(RemoveError::Held(Box::new(hold.clone())));
        }
        delete_sealed(&mut ordered.tx, place(&session.to_string())).await?;
        let record = SessionRecord { removal: Some(removal), ..record };
        let sql = "UPDATE sessions SET document = $2 WHERE id = $1";
        ordered.tx.execute(sql, args![&session, document(&record)?]).await?;
        ordered.commit_quietly().await?;
        Ok(())
    }

    /// Notes that nothing of a recording is left: it is not listed as due any more.
    pub async fn recording_over(
        &self,
        session: SessionId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET recording_over_at = $2 WHERE id = $1";
        self.write_one(sql, args![&session, now]).await.map(drop)
    }

    /// The time a node has taken for settled, if it ever did.
    pub async fn settled_time(&self, node: &str) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT settled_at FROM settled_times WHERE node = $1";
        let rows = self.inner.database.rows(sql, args![node]).await?;
        rows.first().map(|row| row.time(0)).transpose()
    }

    /// Notes the time a node has taken for settled.
    pub async fn settle_time(&self, node: &str, at: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO settled_times (node, settled_at) VALUES ($1, $2)
            ON CONFLICT (node) DO UPDATE SET settled_at = excluded.settled_at";
        self.write_one(sql, args![node, at]).await.map(drop)
    }
}

/// What holds on a session's evidence go by.
pub fn evidence_of(record: &SessionRecord) -> Evidence {
    Evidence {
        subject: Some(record.user.clone()),
        target: Some(record.target.clone()),
        environment: Some(record.environment.clone()),
        session: Some(record.id),
    }
}

fn place(session: &str) -> Place<'_> {
    Place { kind: KIND, owner: "", name: session }
}
