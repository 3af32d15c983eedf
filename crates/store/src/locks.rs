//! Locks: placed and lifted by one person; a dropped gate is raised by two.

use portcullis_domain::lock::{LockKind, PEOPLE_TO_RAISE};
use portcullis_domain::{EnvironmentName, Lock, LockId, LockSubject, Timestamp, UserName};
use thiserror::Error;

use crate::Store;
use crate::database::{Tx, args, document};
use crate::error::StoreError;
use crate::page::Page;

/// What placing a lock came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Placed {
    /// It holds from now on.
    Placed,
    /// The gate of this environment had been dropped already, by this lock; nothing changed.
    AlreadyDropped(Lock),
}

/// What lifting a lock came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Lifted {
    /// It held and does not any more.
    Lifted(Lock),
    /// It had been lifted before, or had expired; nothing changed.
    AlreadyOver(Lock),
}

/// Why a lock was not lifted.
#[derive(Debug, Error)]
pub enum LiftError {
    /// One person cannot undo a drop.
    #[error(
        "lock `{id}` is a dropped gate, which one person cannot lift; two people raise it with `portcullis raise {environment}`"
    )]
    Dropped {
        /// The lock.
        id: LockId,
        /// The environment whose gate is dropped.
        environment: String,
    },
    /// The store failed, or there is no such lock.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What asking for a gate to be raised came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Raised {
    /// More people must ask; the lock says who has.
    Waiting(Lock),
    /// Enough people asked: the gate is up.
    Raised(Lock),
}

/// Why a gate was not raised.
#[derive(Debug, Error)]
pub enum RaiseError {
    /// It is not down.
    #[error("the gate of environment `{0}` is not dropped")]
    NotDropped(EnvironmentName),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Places a lock. Dropping a gate that is down already changes nothing.
    pub async fn place_lock(&self, lock: &Lock) -> Result<Placed, StoreError> {
        let (kind, name) = subject(lock);
        let mut ordered = self.ordered().await?;
        let drops = matches!(lock.kind, LockKind::Drop { .. });
        if drops {
            let LockSubject::Environment(environment) = &lock.subject else {
                let why = "only the gate of an environment can be dropped";
                return Err(StoreError::invalid(lock.subject.to_string(), why));
            };
            let fresh = LockKind::Drop { raised_by: Vec::new() };
            if lock.expires.is_some() || lock.kind != fresh {
                let why = "it stays down until two people raise it, and nobody has yet";
                return Err(StoreError::invalid("a dropped gate", why));
            }
            if let Some(found) = find_dropped(&mut ordered.tx, environment).await? {
                return Ok(Placed::AlreadyDropped(found));
            }
        }
        let sql = "INSERT INTO locks
            (id, subject_kind, subject_name, dropped, expires_at, lifted_at, lifted_by, document)
            VALUES ($1, $2, $3, $4, $5, NULL, NULL, $6)";
        let text = document(lock)?;
        let arguments = args![&lock.id, kind, name, i64::from(drops), lock.expires, text];
        ordered.tx.execute(sql, arguments).await?;
        ordered.commit_changed().await?;
        Ok(Placed::Placed)
    }

    /// The locks in force at `now`, newest first.
    pub async fn locks(&self, now: Timestamp, page: Page<LockId>) -> Result<Vec<Lock>, StoreError> {
        let sql = "SELECT document FROM locks
            WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
            AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
        let arguments = args![now, page.before.as_ref(), page.rows()];
        let rows = self.inner.database.rows(sql, arguments).await?;
        rows.iter().map(|row| row.json(0, "lock")).collect()
    }

    /// Lifts a lock that one person may lift.
    pub async fn lift_lock(
        &self,
        id: LockId,
        by: &UserName,
        now: Timestamp,
    ) -> Result<Lifted, LiftError> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document, lifted_at FROM locks WHERE id = $1";
        let row = ordered.tx.row(sql, args![&id]).await?;
        let row = row.ok_or_else(|| StoreError::not_found(format!("lock `{id}`")))?;
        let lock: Lock = row.json(0, "lock")?;
        if row.optional_time(1)?.is_some() || !lock.holds(now) {
            return Ok(Lifted::AlreadyOver(lock));
        }
        if matches!(lock.kind, LockKind::Drop { .. }) {
            let (_, environment) = subject(&lock);
            return Err(LiftError::Dropped { id, environment: environment.to_owned() });
        }
        lift(&mut ordered.tx, &lock, by, now).await?;
        ordered.commit_changed().await?;
        Ok(Lifted::Lifted(lock))
    }

    /// `by` asks for the dropped gate of an environment to be raised. With the last person
    /// needed it is raised in the same transaction. Asking twice counts once.
    pub async fn raise_gate(
        &self,
        environment: &EnvironmentName,
        by: &UserName,
        now: Timestamp,
    ) -> Result<Raised, RaiseError> {
        let mut ordered = self.ordered().await?;
        let found = find_dropped(&mut ordered.tx, environment).await?;
        let mut lock = found.ok_or_else(|| RaiseError::NotDropped(environment.clone()))?;
        let LockKind::Drop { raised_by } = &mut lock.kind else {
            return Err(StoreError::corrupt("lock", "a plain lock is marked as a drop").into());
        };
        if raised_by.contains(by) {
            return Ok(Raised::Waiting(lock));
        }
        raised_by.push(by.clone());
        let enough = raised_by.len() >= PEOPLE_TO_RAISE;
        let sql = "UPDATE locks SET document = $2 WHERE id = $1";
        ordered.tx.execute(sql, args![&lock.id, document(&lock)?]).await?;
        if enough {
            lift(&mut ordered.tx, &lock, by, now).await?;
        }
        ordered.commit_changed().await?;
        Ok(if enough { Raised::Raised(lock) } else { Raised::Waiting(lock) })
    }
}

async fn find_dropped(
    tx: &mut Tx,
    environment: &EnvironmentName,
) -> Result<Option<Lock>, StoreError> {
    let sql = "SELECT document FROM locks
        WHERE subject_name = $1 AND dropped = 1 AND lifted_at IS NULL";
    let row = tx.row(sql, args![environment]).await?;
    row.map(|row| row.json(0, "lock")).transpose()
}

async fn lift(tx: &mut Tx, lock: &Lock, by: &UserName, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE locks SET lifted_at = $2, lifted_by = $3 WHERE id = $1";
    tx.execute(sql, args![&lock.id, now, by]).await.map(drop)
}

fn subject(lock: &Lock) -> (&'static str, &str) {
    match &lock.subject {
        LockSubject::User(name) => ("user", name.as_str()),
        LockSubject::Role(name) => ("role", name.as_str()),
        LockSubject::Target(name) => ("target", name.as_str()),
        LockSubject::Environment(name) => ("environment", name.as_str()),
    }
}
