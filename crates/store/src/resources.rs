//! Declarative resources, applied all or nothing, and the facts decisions are made on.

use std::collections::BTreeSet;

use portcullis_domain::canonical::to_canonical_json;
use portcullis_domain::{
    Facts, Grant, GrantEnd, Kind, Lock, Resource, ResourceKey, TargetName, Timestamp, UserName,
};
use thiserror::Error;

use crate::Store;
use crate::database::{Row, Tx, args};
use crate::error::StoreError;
use crate::grants::end_grants;
use crate::requests::{cancel_requests_for, cancel_requests_of};

/// Most resources changed by one `apply`.
pub const MAX_CHANGES: usize = 50_000;

/// What `apply` is to do: resources to have as given, and keys to have no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Created, or replaced when there is one of the same key.
    pub upserts: Vec<Resource>,
    /// Removed; removing what is not there is no change.
    pub deletes: Vec<ResourceKey>,
}

/// A resource as stored, with who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResource {
    /// The resource.
    pub resource: Resource,
    /// Who applied it.
    pub author: UserName,
    /// When.
    pub updated_at: Timestamp,
}

/// Why changes were not applied. None of them was.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The store has moved on since the changes were planned.
    #[error(
        "the store is at revision {found}, the plan was made at {expected}; run `portcullis plan` again"
    )]
    Conflict {
        /// The revision the plan was made at.
        expected: u64,
        /// The revision the store is at.
        found: u64,
    },
    /// More changes than the bound.
    #[error("{count} changes at once are too many; apply at most {MAX_CHANGES}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A key is both written and removed, or written twice.
    #[error("`{0}` is named twice in one change; keep one")]
    Twice(ResourceKey),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Applies changes atomically and answers with the revision after them. Changes that change
    /// nothing leave the revision as it is.
    ///
    /// A removed user loses credentials, tokens, certificates, grants and pending requests, so
    /// that a later user of the same name starts with nothing. A target that is removed or moves
    /// to another environment loses its grants: they were approved under other rules.
    ///
    /// With `expected`, refuses when the store is at any other revision.
    pub async fn apply(
        &self,
        changes: &Changes,
        expected: Option<u64>,
        author: &UserName,
        now: Timestamp,
    ) -> Result<u64, ApplyError> {
        check(changes)?;
        let mut ordered = self.ordered().await?;
        let found = ordered.revision();
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(ApplyError::Conflict { expected, found });
        }
        let mut changed = false;
        for resource in &changes.upserts {
            changed |= upsert(&mut ordered.tx, resource, author, now).await?;
        }
        for key in &changes.deletes {
            changed |= delete(&mut ordered.tx, key, author, now).await?;
        }
        if !changed {
            return Ok(found);
        }
        Ok(ordered.commit_changed().await?)
    }

    /// Every resource in force with its author, and the revision they were read at.
    pub async fn resources(&self) -> Result<(u64, Vec<StoredResource>), StoreError> {
        let mut tx = self.inner.database.read().await?;
        let revision = revision_of(&mut tx).await?;
        let sql = "SELECT document, kind, author, updated_at FROM resources ORDER BY kind, name";
        let resources = tx.rows(sql, args![]).await?;
        let resources = resources.iter().map(|row| {
            Ok(StoredResource {
                resource: row.json(0, row.text(1)?)?,
                author: row.parsed(2, "author")?,
                updated_at: row.time(3)?,
            })
        });
        Ok((revision, resources.collect::<Result<_, StoreError>>()?))
    }

    /// Everything a decision may depend on, from one consistent state: all resources, grants
    /// that have not ended and whose window is not over at `now`, locks that hold at `now`, and who
    /// stays out of production because their factors changed.
    ///
    /// Any entry that cannot be read fails the whole: facts with a hole could leave out a deny.
    pub async fn load_facts(&self, now: Timestamp) -> Result<Facts, StoreError> {
        let mut tx = self.inner.database.read().await?;
        let mut facts = Facts { revision: revision_of(&mut tx).await?, ..Facts::default() };
        for row in tx.rows("SELECT document, kind FROM resources", args![]).await? {
            facts.insert(row.json(0, row.text(1)?)?);
        }
        let sql = "SELECT document FROM grants WHERE ended_at IS NULL AND ends_at > $1 ORDER BY id";
        for row in tx.rows(sql, args![now]).await? {
            let grant: Grant = row.json(0, "grant")?;
            facts.grants.entry(grant.user.clone()).or_default().push(grant);
        }
        let sql = "SELECT document FROM locks
            WHERE lifted_at IS NULL AND (expires_at IS NULL OR expires_at > $1) ORDER BY id";
        let locks = tx.rows(sql, args![now]).await?;
        facts.locks = locks.iter().map(|row| row.json(0, "lock")).collect::<Result<_, _>>()?;
        facts.locks.retain(|lock: &Lock| lock.holds(now));
        let sql = "SELECT user_name, until FROM factor_waits WHERE until > $1";
        for row in tx.rows(sql, args![now]).await? {
            facts.factor_waits.insert(row.parsed(0, "user name")?, row.time(1)?);
        }
        Ok(facts)
    }
}

fn check(changes: &Changes) -> Result<(), ApplyError> {
    let count = changes.upserts.len().saturating_add(changes.deletes.len());
    if count > MAX_CHANGES {
        return Err(ApplyError::TooMany { count });
    }
    let mut seen = BTreeSet::new();
    for key in changes.upserts.iter().map(Resource::key).chain(changes.deletes.iter().cloned()) {
        if !seen.insert(key.clone()) {
            return Err(ApplyError::Twice(key));
        }
    }
    Ok(())
}

async fn revision_of(tx: &mut Tx) -> Result<u64, StoreError> {
    let row = tx.row("SELECT value FROM revision WHERE id = 1", args![]).await?;
    row.ok_or_else(|| StoreError::not_found("revision"))?.count(0)
}

async fn find(tx: &mut Tx, key: &ResourceKey) -> Result<Option<Row>, StoreError> {
    let sql = "SELECT document FROM resources WHERE kind = $1 AND name = $2";
    tx.row(sql, args![key.kind.as_str(), key.name.as_str()]).await
}

async fn upsert(
    tx: &mut Tx,
    resource: &Resource,
    author: &UserName,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let key = resource.key();
    let value = serde_json::to_value(resource)
        .map_err(|error| StoreError::invalid(format!("`{key}`"), error.to_string()))?;
    let document = String::from_utf8(to_canonical_json(&value))
        .map_err(|error| StoreError::invalid(format!("`{key}`"), error.to_string()))?;
    let before = find(tx, &key).await?;
    if let Some(row) = &before {
        if row.text(0)? == document {
            return Ok(false);
        }
        if let Resource::Target(target) = resource {
            // What is there may be unreadable; replacing it must still be possible.
            // What people asked for and agreed to was a host in an environment, not a name.
            let same_place = matches!(row.json(0, "target"), Ok(Resource::Target(before))
                if before.environment == target.environment
                    && before.host() == target.host()
                    && before.port() == target.port());
            if !same_place {
                let reason = "the target moved to another environment or address";
                end_grants_of_target(tx, &target.name, author, reason, now).await?;
                cancel_requests_for(tx, &target.name, now).await?;
            }
        }
    }
    let sql = "INSERT INTO resources (kind, name, document, author, updated_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (kind, name) DO UPDATE SET document = excluded.document,
            author = excluded.author, updated_at = excluded.updated_at";
    let kind = key.kind.as_str();
    tx.execute(sql, args![kind, key.name.as_str(), document, author, now]).await?;
    Ok(true)
}

async fn delete(
    tx: &mut Tx,
    key: &ResourceKey,
    author: &UserName,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM resources WHERE kind = $1 AND name = $2";
    if tx.execute(sql, args![key.kind.as_str(), key.name.as_str()]).await? == 0 {
        return Ok(false);
    }
    let named = |error| StoreError::corrupt("resource name", error);
    match key.kind {
        Kind::User => {
            let user = UserName::new(&key.name).map_err(named)?;
            forget_user(tx, &user, author, now).await?;
        }
        Kind::Target => {
            let target = TargetName::new(&key.name).map_err(named)?;
            end_grants_of_target(tx, &target, author, "the target was removed", now).await?;
            cancel_requests_for(tx, &target, now).await?;
        }
        _ => {}
    }
    Ok(true)
}

async fn end_grants_of_target(
    tx: &mut Tx,
    target: &TargetName,
    author: &UserName,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let end = GrantEnd { at: now, by: author.clone(), reason: reason.to_owned() };
    end_grants(tx, None, Some(target), &end).await
}

/// INVARIANT: nothing a removed user had is waiting for the next user of that name.
async fn forget_user(
    tx: &mut Tx,
    user: &UserName,
    author: &UserName,
    now: Timestamp,
) -> Result<(), StoreError> {
    let reason = "the user was removed".to_owned();
    end_grants(tx, Some(user), None, &GrantEnd { at: now, by: author.clone(), reason }).await?;
    cancel_requests_of(tx, user, now).await?;
    tx.execute("DELETE FROM credentials WHERE user_name = $1", args![user]).await?;
    tx.execute("DELETE FROM recovery_codes WHERE user_name = $1", args![user]).await?;
    for sql in [
        "DELETE FROM passkeys WHERE user_name = $1",
        "DELETE FROM confirmations WHERE user_name = $1",
        "DELETE FROM factor_waits WHERE user_name = $1",
    ] {
        tx.execute(sql, args![user]).await?;
    }
    let sql = "DELETE FROM sealed_values WHERE kind = $1 AND owner = $2";
    tx.execute(sql, args![crate::credentials::TOTP_KIND, user]).await?;
    for sql in [
        "UPDATE tokens SET revoked_at = $2 WHERE user_name = $1 AND revoked_at IS NULL",
        "UPDATE certificates SET revoked_at = $2 WHERE user_name = $1 AND revoked_at IS NULL",
    ] {
        tx.execute(sql, args![user, now]).await?;
    }
    Ok(())
}
