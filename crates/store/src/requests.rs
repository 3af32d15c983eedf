//! Access requests: created within bounds, changed one at a time, and approved together with
//! the one grant that comes of it.

use std::convert::Infallible;
use std::future::Future;

use portcullis_domain::request::Approved;
use portcullis_domain::{
    AccessRequest, Grant, RequestId, RequestState, TargetName, Timestamp, UserName,
};
use thiserror::Error;

use crate::Store;
use crate::database::{Tx, args, document};
use crate::error::StoreError;
use crate::grants::{grants_of, insert_grant};
use crate::page::Page;

/// Most requests of one user that can be pending at a time.
pub const MAX_PENDING_PER_USER: u64 = 50;
/// Most requests [`Store::expire_requests`] marks in one go.
const EXPIRE_BATCH: i64 = 500;

/// Why a request was not created.
#[derive(Debug, Error)]
pub enum CreateRequestError {
    /// The user has too many already.
    #[error(
        "`{user}` has {MAX_PENDING_PER_USER} pending requests, the most allowed; cancel one with `portcullis cancel`"
    )]
    TooManyPending {
        /// Who asked.
        user: UserName,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The states to list, without their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestStateName {
    /// Waiting for approvals.
    Pending,
    /// Enough people agreed.
    Approved,
    /// Someone refused.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// The requester withdrew it.
    Cancelled,
}

impl RequestStateName {
    /// The word [`RequestState::as_str`] uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which requests to list; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Only of this user.
    pub user: Option<UserName>,
    /// Only for this target.
    pub target: Option<TargetName>,
    /// Only in this state as stored: a pending request whose lifetime is over is still pending
    /// until [`Store::expire_requests`] marks it.
    pub state: Option<RequestStateName>,
    /// Which part of the list.
    pub page: Page<RequestId>,
}

/// What a request becomes, with the grant that comes of it if it was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The request in its next state.
    pub request: AccessRequest,
    /// Written in the same transaction.
    pub grant: Option<Grant>,
}

impl From<AccessRequest> for Transition {
    fn from(request: AccessRequest) -> Self {
        Self { request, grant: None }
    }
}

impl From<Approved> for Transition {
    fn from(approved: Approved) -> Self {
        match approved {
            Approved::Waiting(request) => Self { request: *request, grant: None },
            Approved::Granted(request, grant) => Self { request: *request, grant: Some(*grant) },
        }
    }
}

/// Why a request did not change.
#[derive(Debug, Error)]
pub enum TransitionFailure<E: std::error::Error + 'static> {
    /// The state machine, or what must happen before the change, refused.
    #[error(transparent)]
    Refused(E),
    /// The store failed, or there is no such request.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Stores a new request.
    pub async fn create_request(&self, request: &AccessRequest) -> Result<(), CreateRequestError> {
        if request.state != (RequestState::Pending { approvals: Vec::new() }) {
            let why = "a new request is pending and nobody has approved it";
            return Err(StoreError::invalid(format!("request `{}`", request.id), why).into());
        }
        let mut ordered = self.ordered().await?;
        let sql = "SELECT COUNT(*) FROM requests WHERE user_name = $1 AND state = 'pending'
            AND expires_at > $2";
        let row = ordered.tx.row(sql, args![&request.user, request.asked_at]).await?;
        if row.map_or(Ok(0), |row| row.count(0))? >= MAX_PENDING_PER_USER {
            return Err(CreateRequestError::TooManyPending { user: request.user.clone() });
        }
        let sql = "INSERT INTO requests
            (id, user_name, target, environment, state, expires_at, document)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let arguments = args![
            &request.id,
            &request.user,
            &request.target,
            &request.environment,
            request.state.as_str(),
            request.expires(),
            document(request)?,
        ];
        ordered.tx.execute(sql, arguments).await?;
        Ok(ordered.commit_quietly().await?)
    }

    /// The request of this id.
    pub async fn request(&self, id: RequestId) -> Result<AccessRequest, StoreError> {
        let sql = "SELECT document FROM requests WHERE id = $1";
        let rows = self.inner.database.rows(sql, args![&id]).await?;
        rows.first().ok_or_else(|| missing(id))?.json(0, "request")
    }

    /// Requests, newest first.
    pub async fn requests(&self, filter: &RequestFilter) -> Result<Vec<AccessRequest>, StoreError> {
        let sql = "SELECT document FROM requests
            WHERE ($1 IS NULL OR user_name = $1) AND ($2 IS NULL OR target = $2)
            AND ($3 IS NULL OR state = $3) AND ($4 IS NULL OR id < $4)
            ORDER BY id DESC LIMIT $5";
        let arguments = args![
            filter.user.as_ref(),
            filter.target.as_ref(),
            filter.state.map(RequestStateName::as_str),
            filter.page.before.as_ref(),
            filter.page.rows(),
        ];
        let rows = self.inner.database.rows(sql, arguments).await?;
        rows.iter().map(|row| row.json(0, "request")).collect()
    }

    /// Changes a request: `decide` gets it as it is, alone, and says what it becomes.
    ///
    /// The request and the grant that comes of it are written in one transaction. Whatever
    /// number of people approve at once, each `decide` sees what the one before left, so one
    /// request yields at most one grant.
    pub async fn transition<N, E>(
        &self,
        id: RequestId,
        decide: impl FnOnce(AccessRequest) -> Result<N, E>,
    ) -> Result<Transition, TransitionFailure<E>>
    where
        N: Into<Transition>,
        E: std::error::Error + 'static,
    {
        let alone = |request, _: &[Grant]| decide(request);
        self.transition_after(id, alone, |_| std::future::ready(Ok(()))).await
    }

    /// [`Store::transition`] with something that must succeed before the change can be seen:
    /// `before_commit` writes the audit event of exactly the change that is about to happen.
    /// It must not use the store, and must be quick: other writers wait. `decide` also gets the
    /// requester's grants that have not been ended.
    pub async fn transition_after<N, E, F>(
        &self,
        id: RequestId,
        decide: impl FnOnce(AccessRequest, &[Grant]) -> Result<N, E>,
        before_commit: impl FnOnce(Transition) -> F,
    ) -> Result<Transition, TransitionFailure<E>>
    where
        N: Into<Transition>,
        E: std::error::Error + 'static,
        F: Future<Output = Result<(), E>>,
    {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document FROM requests WHERE id = $1";
        let row = ordered.tx.row(sql, args![&id]).await?;
        let request: AccessRequest = row.ok_or_else(|| missing(id))?.json(0, "request")?;
        let before = request.clone();
        let held = grants_of(&mut ordered.tx, &request.user).await?;
        let next: Transition = decide(request, &held).map_err(TransitionFailure::Refused)?.into();
        check(&before, &next)?;
        write_state(&mut ordered.tx, &next.request).await?;
        if let Some(grant) = &next.grant {
            insert_grant(&mut ordered.tx, Some(id), grant).await?;
        }
        before_commit(next.clone()).await.map_err(TransitionFailure::Refused)?;
        if next.grant.is_some() {
            ordered.commit_changed().await?;
        } else {
            ordered.commit_quietly().await?;
        }
        Ok(next)
    }

    /// Marks pending requests whose lifetime is over, and returns those it marked: at most a
    /// few hundred at a time, so call it again until it returns none.
    pub async fn expire_requests(&self, now: Timestamp) -> Result<Vec<AccessRequest>, StoreError> {
        let sql = "SELECT id FROM requests WHERE state = 'pending' AND expires_at <= $1
            ORDER BY id LIMIT $2";
        let mut marked = Vec::new();
        for row in self.inner.database.rows(sql, args![now, EXPIRE_BATCH]).await? {
            let id: RequestId = row.parsed(0, "request id")?;
            // Decided or marked by another node in the meantime: leave it.
            let expired = |request: AccessRequest| {
                let unchanged = request.clone();
                Ok::<_, Infallible>(request.expire(now).unwrap_or(unchanged))
            };
            match self.transition(id, expired).await {
                Ok(next) if next.request.state == (RequestState::Expired { at: now }) => {
                    marked.push(next.request);
                }
                Ok(_) => {}
                Err(TransitionFailure::Store(error)) => return Err(error),
                Err(TransitionFailure::Refused(never)) => match never {},
            }
        }
        Ok(marked)
    }
}

/// INVARIANT: a transition changes the state of the request it was begun for and nothing else,
/// and a grant belongs to the request's own user and target.
fn check(before: &AccessRequest, next: &Transition) -> Result<(), StoreError> {
    let same = AccessRequest { state: before.state.clone(), ..next.request.clone() } == *before;
    let own = next.grant.as_ref().is_none_or(|grant| {
        grant.user == before.user
            && grant.targets().eq(before.targets())
            && matches!(&next.request.state, RequestState::Approved { grant: id, .. } if *id == grant.id)
    });
    if same && own {
        return Ok(());
    }
    let why = "a transition may change the state only, and grant only what was asked for";
    Err(StoreError::invalid(format!("request `{}`", before.id), why))
}

async fn write_state(tx: &mut Tx, request: &AccessRequest) -> Result<(), StoreError> {
    let sql = "UPDATE requests SET state = $2, document = $3 WHERE id = $1";
    let text = document(request)?;
    tx.execute(sql, args![&request.id, request.state.as_str(), text]).await.map(drop)
}

/// Withdraws what a removed user had asked for.
pub(crate) async fn cancel_requests_of(
    tx: &mut Tx,
    user: &UserName,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "SELECT document FROM requests WHERE user_name = $1 AND state = 'pending'";
    let rows = tx.rows(sql, args![user]).await?;
    let requests = rows.iter().map(|row| row.json(0, "request")).collect::<Result<Vec<_>, _>>()?;
    cancel(tx, requests, now).await
}

/// Withdraws what people had asked for on a target that is another one now.
pub(crate) async fn cancel_requests_for(
    tx: &mut Tx,
    target: &TargetName,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "SELECT document FROM requests WHERE state = 'pending'";
    let mut concerned = Vec::new();
    for row in tx.rows(sql, args![]).await? {
        let request: AccessRequest = row.json(0, "request")?;
        if request.targets().any(|name| name == target) {
            concerned.push(request);
        }
    }
    cancel(tx, concerned, now).await
}

async fn cancel(
    tx: &mut Tx,
    requests: Vec<AccessRequest>,
    now: Timestamp,
) -> Result<(), StoreError> {
    for request in requests {
        let state = RequestState::Cancelled { at: now };
        write_state(tx, &AccessRequest { state, ..request }).await?;
    }
    Ok(())
}

fn missing(id: RequestId) -> StoreError {
    StoreError::not_found(format!("request `{id}`"))
}
