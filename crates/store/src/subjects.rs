//! The keys that personal fields of the audit log are sealed under: one per person, by pseudonym.
//!
//! A key is stored, sealed under the master key like every secret, before anything is sealed with
//! it. Forgetting a person deletes the key and their name here; the pseudonym stays, marked, so
//! that what was erased is told from what was lost.
//!
//! A name that signs in and is no user gets a key too, at most [`MAX_CLAIMED_PER_DAY`] of them a
//! day; beyond that, and for events that concern nobody known, there is one shared by all of the
//! day, so that a flood of invented names makes no flood of keys.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_domain::{Hold, HoldScope, Kind, Secret, SubjectId, Timestamp, UserName};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Store;
use crate::database::{Row, Tx, args};
use crate::error::StoreError;
use crate::holds::holds_in;
use crate::keys::INDEX_KEY;
use crate::master_key::KEY_BYTES;
use crate::seal::Place;
use crate::secrets::{delete_sealed, find_sealed_in, put_sealed};

const KIND: &str = "subject_key";
/// Names that are no users' which get a key of their own, per day.
pub const MAX_CLAIMED_PER_DAY: u64 = 64;
/// Most users that are given keys in one transaction.
const BATCH: i64 = 200;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A subject with the key to seal with.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The pseudonym.
    pub id: SubjectId,
    /// The key.
    pub key: Secret<Vec<u8>>,
    /// Whether it is the one all unknown names of a day share.
    pub shared: bool,
}

/// What is known of a pseudonym.
#[derive(Debug, Clone)]
pub enum SubjectState {
    /// It can be read.
    Known(Secret<Vec<u8>>),
    /// Its key was destroyed.
    Forgotten,
}

/// Why a subject was not forgotten.
#[derive(Debug, Error)]
pub enum ForgetError {
    /// A hold on this person is in force.
    #[error("hold `{}` on {} keeps this", .0.id, .0.scope)]
    Held(Box<Hold>),
    /// The store failed, or there is no such subject, or it is forgotten already.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// The subject of this name; made when there is none. For a name that is no user's it may be
    /// the one that all such names of the day share.
    pub async fn subject_for(
        &self,
        name: &UserName,
        now: Timestamp,
    ) -> Result<Subject, StoreError> {
        if let Some(found) = self.subject_named(name.as_str()).await? {
            return Ok(found);
        }
        let mut ordered = self.ordered().await?;
        let day = day_of(now);
        let known = is_user(&mut ordered.tx, name).await?;
        let room = known || claimed_on(&mut ordered.tx, day).await? < MAX_CLAIMED_PER_DAY;
        if !room {
            drop(ordered);
            return self.shared_subject(now).await;
        }
        let claimed = (!known).then_some(day);
        let made = self.make(&mut ordered.tx, name.as_str(), claimed, now).await?;
        ordered.commit_quietly().await?;
        Ok(made)
    }

    /// The subject that all unknown names of this day share, made when there is none.
    pub async fn shared_subject(&self, now: Timestamp) -> Result<Subject, StoreError> {
        let name = shared_name(day_of(now));
        if let Some(found) = self.subject_named(&name).await? {
            return Ok(found);
        }
        let mut ordered = self.ordered().await?;
        let made = self.make(&mut ordered.tx, &name, None, now).await?;
        ordered.commit_quietly().await?;
        Ok(made)
    }

    /// Sees to it that every user has a subject before the first event about them.
    pub async fn enrol_subjects(&self, now: Timestamp) -> Result<(), StoreError> {
        let sql = "SELECT r.name FROM resources r LEFT JOIN subjects s ON s.name = r.name
            WHERE r.kind = $1 AND s.id IS NULL LIMIT $2";
        loop {
            let arguments = args![Kind::User.as_str(), BATCH];
            let rows = self.inner.database.rows(sql, arguments).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut ordered = self.ordered().await?;
            for row in &rows {
                self.make(&mut ordered.tx, row.text(0)?, None, now).await?;
            }
            ordered.commit_quietly().await?;
        }
    }

    /// The pseudonym in use for a name now, if there is one.
    pub async fn pseudonym_of(&self, name: &UserName) -> Result<Option<SubjectId>, StoreError> {
        let sql = "SELECT id FROM subjects WHERE name = $1";
        let rows = self.inner.database.rows(sql, args![name]).await?;
        rows.first().map(|row| row.parsed(0, "subject")).transpose()
    }

    /// The name a pseudonym stands for; `None` where it is forgotten, shared or unknown.
    pub async fn name_of_subject(&self, id: SubjectId) -> Result<Option<UserName>, StoreError> {
        let sql = "SELECT name FROM subjects WHERE id = $1 AND name IS NOT NULL";
        let rows = self.inner.database.rows(sql, args![&id]).await?;
        Ok(rows.first().map(|row| row.text(0)).transpose()?.and_then(|name| name.parse().ok()))
    }

    /// The pseudonyms that names without a subject of their own share, newest first.
    pub async fn shared_subjects(&self) -> Result<Vec<SubjectId>, StoreError> {
        let sql = "SELECT id FROM subjects WHERE name LIKE $1 ORDER BY id DESC";
        let rows = self.inner.database.rows(sql, args![format!("{SHARED}%")]).await?;
        rows.iter().map(|row| row.parsed(0, "subject")).collect()
    }

    /// What is known of these pseudonyms; unknown ones are missing in the answer.
    pub async fn subject_keys(
        &self,
        ids: &[SubjectId],
    ) -> Result<BTreeMap<SubjectId, SubjectState>, StoreError> {
        let mut found = BTreeMap::new();
        for id in ids {
            let sql = "SELECT forgotten_at FROM subjects WHERE id = $1";
            let rows = self.inner.database.rows(sql, args![id]).await?;
            let Some(row) = rows.first() else { continue };
            let state = if row.optional_time(0)?.is_some() {
                SubjectState::Forgotten
            } else {
                match self.find_sealed(place(&id.to_string())).await? {
                    Some(key) => SubjectState::Known(key),
                    // Forgotten between the two reads, or lost: the row tells which.
                    None if self.is_forgotten(*id).await? => SubjectState::Forgotten,
                    None => continue,
                }
            };
            found.insert(*id, state);
        }
        Ok(found)
    }

    /// How many subjects are forgotten: grows with every one.
    pub async fn forgotten_subjects(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM subjects WHERE forgotten_at IS NOT NULL";
        let rows = self.inner.database.rows(sql, args![]).await?;
        rows.first().ok_or_else(|| StoreError::not_found("subjects"))?.count(0)
    }

    /// Destroys the key of a subject, unless a hold on the person is in force.
    ///
    /// INVARIANT: holds are read in the same transaction, so that a hold placed before is seen.
    pub async fn forget_subject(&self, id: SubjectId, now: Timestamp) -> Result<(), ForgetError> {
        let mut ordered = self.ordered().await?;
        let missing = || StoreError::not_found(format!("subject `{id}` that can be forgotten"));
        let sql = "SELECT name FROM subjects WHERE id = $1 AND forgotten_at IS NULL";
        let row = ordered.tx.row(sql, args![&id]).await?.ok_or_else(missing)?;
        if let Some(name) = row.optional_text(0)?.and_then(|name| name.parse::<UserName>().ok()) {
            let scope = HoldScope::Subject(name);
            let holds = holds_in(&mut ordered.tx).await?;
            if let Some(hold) = holds.into_iter().find(|hold| hold.scope == scope) {
                return Err(ForgetError::Held(Box::new(hold)));
            }
        }
        delete_sealed(&mut ordered.tx, place(&id.to_string())).await?;
        // What was indexed while it could be read is not searched any more, on any node.
        ordered.tx.execute("DELETE FROM sealed_values WHERE kind = $1", args![INDEX_KEY]).await?;
        let sql = "UPDATE subjects SET name = NULL, forgotten_at = $2 WHERE id = $1";
        ordered.tx.execute(sql, args![&id, now]).await?;
        ordered.commit_changed().await?;
        Ok(())
    }

    async fn is_forgotten(&self, id: SubjectId) -> Result<bool, StoreError> {
        let sql = "SELECT forgotten_at FROM subjects WHERE id = $1";
        let rows = self.inner.database.rows(sql, args![&id]).await?;
        rows.first().map_or(Ok(false), |row| Ok(row.optional_time(0)?.is_some()))
    }

    async fn subject_named(&self, name: &str) -> Result<Option<Subject>, StoreError> {
        let rows = self.inner.database.rows(NAMED, args![name]).await?;
        let Some(id) = rows.first().map(id_of).transpose()? else { return Ok(None) };
        let key = self.find_sealed(place(&id.to_string())).await?;
        Ok(key.map(|key| Subject { id, key, shared: name.starts_with(SHARED) }))
    }

    /// The subject of this name inside an ordered transaction, which nobody else can make.
    async fn make(
        &self,
        tx: &mut Tx,
        name: &str,
        claimed_on: Option<i64>,
        now: Timestamp,
    ) -> Result<Subject, StoreError> {
        let master = self.master_key()?;
        let shared = name.starts_with(SHARED);
        if let Some(id) = tx.row(NAMED, args![name]).await?.as_ref().map(id_of).transpose()? {
            let lost = || StoreError::corrupt("subject", "its key is missing");
            let key = find_sealed_in(tx, &master, place(&id.to_string())).await?;
            return Ok(Subject { id, key: key.ok_or_else(lost)?, shared });
        }
        let id = SubjectId::generate(now);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *key).map_err(|_| StoreError::unavailable("no randomness"))?;
        put_sealed(tx, &master, place(&id.to_string()), &*key, now).await?;
        let sql = "INSERT INTO subjects (id, name, claimed_on, created_at, forgotten_at)
            VALUES ($1, $2, $3, $4, NULL)";
        tx.execute(sql, args![&id, name, claimed_on, now]).await?;
        Ok(Subject { id, key: Secret::new(key.to_vec()), shared })
    }
}

const NAMED: &str = "SELECT id FROM subjects WHERE name = $1";
/// What the names of shared subjects begin with; no user's does.
const SHARED: &str = "~unknown-";

fn shared_name(day: i64) -> String {
    format!("{SHARED}{day}")
}

fn day_of(now: Timestamp) -> i64 {
    let day = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
    now.as_millis().div_euclid(day)
}

fn place(id: &str) -> Place<'_> {
    Place { kind: KIND, owner: "", name: id }
}

fn id_of(row: &Row) -> Result<SubjectId, StoreError> {
    row.parsed(0, "subject")
}

async fn is_user(tx: &mut Tx, name: &UserName) -> Result<bool, StoreError> {
    let sql = "SELECT name FROM resources WHERE kind = $1 AND name = $2";
    Ok(tx.row(sql, args![Kind::User.as_str(), name]).await?.is_some())
}

async fn claimed_on(tx: &mut Tx, day: i64) -> Result<u64, StoreError> {
    let row = tx.row("SELECT COUNT(*) FROM subjects WHERE claimed_on = $1", args![day]).await?;
    row.ok_or_else(|| StoreError::not_found("subjects"))?.count(0)
}
