//! Grants: written with the approval they come from, ended once.

use portcullis_domain::{Grant, GrantEnd, GrantId, RequestId, TargetName, Timestamp, UserName};

use crate::Store;
use crate::database::{Tx, args, document};
use crate::error::StoreError;
use crate::page::Page;

/// Most grants of one person that a decision inside a transaction is shown.
const MAX_GRANTS_SEEN: i64 = 1000;

/// Which grants to list; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// Only of this user.
    pub user: Option<UserName>,
    /// Only to this target, whichever of the grant's it is. A page may then be short.
    pub target: Option<TargetName>,
    /// Only those not ended and not over at this time.
    pub active_at: Option<Timestamp>,
    /// Which part of the list.
    pub page: Page<GrantId>,
}

/// What revoking a grant came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Revocation {
    /// It was in force and is not any more.
    Ended(Grant),
    /// It had been ended before, or its window was over; nothing changed.
    AlreadyOver(Grant),
}

impl Store {
    /// The grant of this id.
    pub async fn grant(&self, id: GrantId) -> Result<Grant, StoreError> {
        let sql = "SELECT document FROM grants WHERE id = $1";
        let rows = self.inner.database.rows(sql, args![&id]).await?;
        rows.first().ok_or_else(|| missing(id))?.json(0, "grant")
    }

    /// Grants, newest first.
    pub async fn grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError> {
        let sql = "SELECT document FROM grants
            WHERE ($1 IS NULL OR user_name = $1)
            AND ($2 IS NULL OR target = $2 OR document LIKE $6)
            AND ($3 IS NULL OR (ended_at IS NULL AND starts_at <= $3 AND ends_at > $3))
            AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5";
        let arguments = args![
            filter.user.as_ref(),
            filter.target.as_ref(),
            filter.active_at,
            filter.page.before.as_ref(),
            filter.page.rows(),
            filter.target.as_ref().map(|target| format!("%\"also\":[%\"{target}\"%")),
        ];
        let rows = self.inner.database.rows(sql, arguments).await?;
        let found: Vec<Grant> =
            rows.iter().map(|row| row.json(0, "grant")).collect::<Result<_, _>>()?;
        // The text of a grant may name the target as something else, too.
        let reaches =
            |grant: &Grant| filter.target.as_ref().is_none_or(|target| grant.reaches(target));
        Ok(found.into_iter().filter(reaches).collect())
    }

    /// Grants that ran to their end and of which [`Store::say_grant_over`] has not been called,
    /// the earliest first, a page of them.
    pub async fn grants_over(&self, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
        let sql = "SELECT document FROM grants WHERE over_said_at IS NULL AND ended_at IS NULL
            AND ends_at <= $1 ORDER BY ends_at, id LIMIT $2";
        let rows =
            self.inner.database.rows(sql, args![now, Page::<GrantId>::default().rows()]).await?;
        rows.iter().map(|row| row.json(0, "grant")).collect()
    }

    /// Remembers that the end of a grant is in the audit log. Changes no decision.
    pub async fn say_grant_over(&self, id: GrantId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE grants SET over_said_at = $2 WHERE id = $1 AND over_said_at IS NULL";
        self.write_one(sql, args![&id, now]).await.map(drop)
    }

    /// Ends a grant early. Ending one twice is no error; the answer says that it was over.
    pub async fn revoke_grant(&self, id: GrantId, end: GrantEnd) -> Result<Revocation, StoreError> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document FROM grants WHERE id = $1";
        let row = ordered.tx.row(sql, args![&id]).await?;
        let grant: Grant = row.ok_or_else(|| missing(id))?.json(0, "grant")?;
        if grant.ended.is_some() || grant.ends <= end.at {
            return Ok(Revocation::AlreadyOver(grant));
        }
        let grant = Grant { ended: Some(end), ..grant };
        write_end(&mut ordered.tx, &grant).await?;
        ordered.commit_changed().await?;
        Ok(Revocation::Ended(grant))
    }
}

pub(crate) async fn insert_grant(
    tx: &mut Tx,
    from: Option<RequestId>,
    grant: &Grant,
) -> Result<(), StoreError> {
    let request = grant.source.request();
    if request != from {
        let said = |id: Option<RequestId>| id.map_or("no request".to_owned(), |id| id.to_string());
        let why = format!("it says it comes of `{}`, not `{}`", said(request), said(from));
        return Err(StoreError::invalid(format!("grant `{}`", grant.id), why));
    }
    let sql = "INSERT INTO grants
        (id, request_id, user_name, target, starts_at, ends_at, ended_at, document)
        VALUES ($1, $2, $3, $4, $5, $6, NULL, $7)";
    let arguments = args![
        &grant.id,
        request.as_ref(),
        &grant.user,
        &grant.target,
        grant.starts,
        grant.ends,
        document(grant)?,
    ];
    tx.execute(sql, arguments).await.map(drop)
}

/// A user's grants that have not been ended, those that last longest first, within a transaction.
pub(crate) async fn grants_of(tx: &mut Tx, user: &UserName) -> Result<Vec<Grant>, StoreError> {
    let sql = "SELECT document FROM grants WHERE user_name = $1 AND ended_at IS NULL
        ORDER BY ends_at DESC LIMIT $2";
    let rows = tx.rows(sql, args![user, MAX_GRANTS_SEEN]).await?;
    rows.iter().map(|row| row.json(0, "grant")).collect()
}

/// Ends every grant of a user, of a target, or of both that is not over.
pub(crate) async fn end_grants(
    tx: &mut Tx,
    user: Option<&UserName>,
    target: Option<&TargetName>,
    end: &GrantEnd,
) -> Result<(), StoreError> {
    let sql = "SELECT document FROM grants
        WHERE ($1 IS NULL OR user_name = $1) AND ended_at IS NULL AND ends_at > $2";
    for row in tx.rows(sql, args![user, end.at]).await? {
        let grant: Grant = row.json(0, "grant")?;
        // A grant is of several targets as a whole: without one of them it was not agreed to.
        if target.is_some_and(|target| !grant.reaches(target)) {
            continue;
        }
        write_end(tx, &Grant { ended: Some(end.clone()), ..grant }).await?;
    }
    Ok(())
}

async fn write_end(tx: &mut Tx, grant: &Grant) -> Result<(), StoreError> {
    let sql = "UPDATE grants SET ended_at = $2, document = $3 WHERE id = $1";
    let at = grant.ended.as_ref().map(|end| end.at);
    tx.execute(sql, args![&grant.id, at, document(grant)?]).await.map(drop)
}

fn missing(id: GrantId) -> StoreError {
    StoreError::not_found(format!("grant `{id}`"))
}
