//! Changes of resources that wait for a second person: noted by whichever node the first came to,
//! decided once by whichever the second comes to.

use portcullis_domain::{ChangeId, ChangeSubject, PendingChange, Timestamp};

use crate::Store;
use crate::database::{Tx, args, document};
use crate::error::StoreError;
use crate::page::Page;
use crate::requests::TransitionFailure;

/// Most changes that wait at a time; the oldest makes room.
pub const MAX_OPEN_CHANGES: i64 = 64;

impl Store {
    /// Notes a change, unless the same person has noted the same one and it still waits; the one
    /// that waits then.
    pub async fn note_change(&self, change: &PendingChange) -> Result<PendingChange, StoreError> {
        let mut ordered = self.ordered().await?;
        for known in open_changes(&mut ordered.tx, change.at).await? {
            if known.author == change.author && known.digest == change.digest {
                return Ok(known);
            }
            // Of what somebody changed about themselves, the newest counts, and it is one entry.
            let own = |subject: &ChangeSubject| matches!(subject, ChangeSubject::Factors { .. });
            if known.author == change.author && own(&known.subject) && own(&change.subject) {
                let sql = "DELETE FROM pending_changes WHERE id = $1";
                ordered.tx.execute(sql, args![&known.id]).await?;
            }
        }
        let sql = "DELETE FROM pending_changes WHERE state = 'pending' AND id NOT IN
            (SELECT id FROM pending_changes WHERE state = 'pending' ORDER BY id DESC LIMIT $1)";
        ordered.tx.execute(sql, args![MAX_OPEN_CHANGES - 1]).await?;
        let sql = "INSERT INTO pending_changes (id, state, expires_at, document)
            VALUES ($1, $2, $3, $4)";
        let text = document(change)?;
        let arguments = args![&change.id, change.state.as_str(), change.expires(), text];
        ordered.tx.execute(sql, arguments).await?;
        ordered.commit_quietly().await?;
        Ok(change.clone())
    }

    /// Changes that wait for a second person now, oldest first.
    pub async fn open_changes(&self, now: Timestamp) -> Result<Vec<PendingChange>, StoreError> {
        let mut tx = self.inner.database.read().await?;
        open_changes(&mut tx, now).await
    }

    /// Changes in any state, newest first.
    pub async fn changes_noted(
        &self,
        page: Page<ChangeId>,
    ) -> Result<Vec<PendingChange>, StoreError> {
        let sql = "SELECT document FROM pending_changes WHERE ($1 IS NULL OR id < $1)
            ORDER BY id DESC LIMIT $2";
        let arguments = args![page.before.as_ref(), page.rows()];
        let rows = self.inner.database.rows(sql, arguments).await?;
        rows.iter().map(|row| row.json(0, "change")).collect()
    }

    /// Decides a change: `decide` gets it as it is, alone, so that of many at once one decides.
    pub async fn decide_change<E: std::error::Error + 'static>(
        &self,
        id: ChangeId,
        decide: impl FnOnce(PendingChange) -> Result<PendingChange, E>,
    ) -> Result<PendingChange, TransitionFailure<E>> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document FROM pending_changes WHERE id = $1";
        let row = ordered.tx.row(sql, args![&id]).await?;
        let missing = || StoreError::not_found(format!("change `{id}`"));
        let change: PendingChange = row.ok_or_else(missing)?.json(0, "change")?;
        let before = change.clone();
        let next = decide(change).map_err(TransitionFailure::Refused)?;
        // INVARIANT: what somebody agrees to is what the other proposed.
        if (PendingChange { state: before.state.clone(), ..next.clone() }) != before {
            let why = "a decision changes the state only";
            return Err(StoreError::invalid(format!("change `{id}`"), why).into());
        }
        let sql = "UPDATE pending_changes SET state = $2, document = $3 WHERE id = $1";
        let arguments = args![&id, next.state.as_str(), document(&next)?];
        ordered.tx.execute(sql, arguments).await?;
        ordered.commit_quietly().await?;
        Ok(next)
    }
}

async fn open_changes(tx: &mut Tx, now: Timestamp) -> Result<Vec<PendingChange>, StoreError> {
    let sql = "SELECT document FROM pending_changes WHERE state = 'pending' AND expires_at > $1
        ORDER BY id LIMIT $2";
    let rows = tx.rows(sql, args![now, MAX_OPEN_CHANGES]).await?;
    let found: Vec<PendingChange> =
        rows.iter().map(|row| row.json(0, "change")).collect::<Result<_, _>>()?;
    Ok(found.into_iter().filter(|change| change.open(now)).collect())
}
