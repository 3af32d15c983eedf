//! Uses of break-glass roles and their reviews: a grant and its review are one step, and at most one
//! review of a role is open.

use std::future::Future;

use portcullis_domain::break_glass::Broken;
use portcullis_domain::{Grant, Review, ReviewId, ReviewState, RoleName, UserName};

use crate::Store;
use crate::database::{Tx, args, document};
use crate::error::StoreError;
use crate::grants::{grants_of, insert_grant};
use crate::page::Page;
use crate::requests::TransitionFailure;

/// Which reviews to list; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReviewFilter {
    /// Only open or only closed ones.
    pub open: Option<bool>,
    /// Which part of the list.
    pub page: Page<ReviewId>,
}

impl Store {
    /// Takes a break-glass role out: `decide` gets the open review of the role, if there is one, and
    /// the user's grants, and says what comes of it. `before_commit` writes the audit events.
    ///
    /// Whatever number of people do so at once, each `decide` sees what the one before left.
    pub async fn break_glass<E, F>(
        &self,
        role: &RoleName,
        user: &UserName,
        decide: impl FnOnce(Option<Review>, &[Grant]) -> Result<Broken, E>,
        before_commit: impl FnOnce(Broken) -> F,
    ) -> Result<Broken, TransitionFailure<E>>
    where
        E: std::error::Error + 'static,
        F: Future<Output = Result<(), E>>,
    {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document FROM reviews WHERE role_name = $1 AND state = 'open'";
        let row = ordered.tx.row(sql, args![role]).await?;
        let open = row.map(|row| row.json(0, "review")).transpose()?;
        let held = grants_of(&mut ordered.tx, user).await?;
        let broken = decide(open, &held).map_err(TransitionFailure::Refused)?;
        check(role, user, &broken)?;
        insert_grant(&mut ordered.tx, None, &broken.grant).await?;
        insert_review(&mut ordered.tx, &broken.review).await?;
        before_commit(broken.clone()).await.map_err(TransitionFailure::Refused)?;
        ordered.commit_changed().await?;
        Ok(broken)
    }

    /// Closes a review: `decide` gets it and its grant as they are, alone.
    pub async fn close_review<E, F>(
        &self,
        id: ReviewId,
        decide: impl FnOnce(Review, &Grant) -> Result<Review, E>,
        before_commit: impl FnOnce(Review) -> F,
    ) -> Result<Review, TransitionFailure<E>>
    where
        E: std::error::Error + 'static,
        F: Future<Output = Result<(), E>>,
    {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT r.document, g.document FROM reviews r JOIN grants g ON g.id = r.grant_id
            WHERE r.id = $1";
        let row = ordered.tx.row(sql, args![&id]).await?.ok_or_else(|| missing(id))?;
        let (review, grant): (Review, Grant) = (row.json(0, "review")?, row.json(1, "grant")?);
        let before = review.clone();
        let next = decide(review, &grant).map_err(TransitionFailure::Refused)?;
        // INVARIANT: whose use it was stays what it was.
        if (Review { state: before.state.clone(), ..next.clone() }) != before {
            let why = "closing changes the state only";
            return Err(StoreError::invalid(format!("review `{id}`"), why).into());
        }
        let sql = "UPDATE reviews SET state = $2, document = $3 WHERE id = $1";
        let arguments = args![&id, next.state.as_str(), document(&next)?];
        ordered.tx.execute(sql, arguments).await?;
        before_commit(next.clone()).await.map_err(TransitionFailure::Refused)?;
        ordered.commit_quietly().await?;
        Ok(next)
    }

    /// The review of this id.
    pub async fn review(&self, id: ReviewId) -> Result<Review, StoreError> {
        let sql = "SELECT document FROM reviews WHERE id = $1";
        let rows = self.inner.database.rows(sql, args![&id]).await?;
        rows.first().ok_or_else(|| missing(id))?.json(0, "review")
    }

    /// Reviews, newest first.
    pub async fn reviews(&self, filter: &ReviewFilter) -> Result<Vec<Review>, StoreError> {
        let sql = "SELECT document FROM reviews WHERE ($1 IS NULL OR state = $1)
            AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
        let state = filter.open.map(|open| if open { "open" } else { "closed" });
        let arguments = args![state, filter.page.before.as_ref(), filter.page.rows()];
        let rows = self.inner.database.rows(sql, arguments).await?;
        rows.iter().map(|row| row.json(0, "review")).collect()
    }
}

/// INVARIANT: grant and review are of one use, of this role by this person.
fn check(role: &RoleName, user: &UserName, broken: &Broken) -> Result<(), StoreError> {
    let Broken { review, grant } = broken;
    let one = review.grant == grant.id
        && grant.source.is_break_glass()
        && review.state == ReviewState::Open
        && [&review.user, &grant.user] == [user, user]
        && review.role == *role
        && grant.role.as_ref() == Some(role);
    if one {
        return Ok(());
    }
    let why = "a use of a break-glass role is one grant and one open review of that role";
    Err(StoreError::invalid(format!("review `{}`", review.id), why))
}

async fn insert_review(tx: &mut Tx, review: &Review) -> Result<(), StoreError> {
    let sql = "INSERT INTO reviews (id, role_name, user_name, grant_id, state, document)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let arguments = args![
        &review.id,
        &review.role,
        &review.user,
        &review.grant,
        review.state.as_str(),
        document(review)?,
    ];
    tx.execute(sql, arguments).await.map(drop)
}

fn missing(id: ReviewId) -> StoreError {
    StoreError::not_found(format!("review `{id}`"))
}
