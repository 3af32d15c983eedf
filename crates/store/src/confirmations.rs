//! Clients that wait for their person to prove a second factor elsewhere, on whichever node that
//! happens.

use portcullis_domain::{Confirmation, ConfirmationId, Timestamp, UserCode, UserName};

use crate::Store;
use crate::database::{args, document};
use crate::error::StoreError;
use crate::requests::TransitionFailure;

/// Most clients that wait at a time, for all people together.
pub const MAX_WAITING: u64 = 10_000;

impl Store {
    /// Notes that a client waits. One that waited for the same person at the same source does not
    /// any more: its code is no good.
    pub async fn begin_confirmation(&self, new: &Confirmation) -> Result<(), StoreError> {
        let mut ordered = self.ordered().await?;
        let sql = "DELETE FROM confirmations
            WHERE (user_name = $1 AND source = $2 AND state = 'waiting') OR expires_at <= $3";
        ordered.tx.execute(sql, args![&new.user, new.source.to_string(), new.at]).await?;
        let sql = "SELECT COUNT(*) FROM confirmations";
        let open = ordered.tx.row(sql, args![]).await?.map_or(Ok(0), |row| row.count(0))?;
        if open >= MAX_WAITING {
            let why = format!("{MAX_WAITING} clients wait already; try again in two minutes");
            return Err(StoreError::invalid("a confirmation", why));
        }
        let sql = "INSERT INTO confirmations
            (id, user_name, source, code, state, expires_at, document)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let arguments = args![
            &new.id,
            &new.user,
            new.source.to_string(),
            new.code.to_string(),
            new.state.as_str(),
            new.expires(),
            document(new)?,
        ];
        ordered.tx.execute(sql, arguments).await?;
        ordered.commit_quietly().await
    }

    /// The client that waits for this person under this code.
    pub async fn waiting_confirmation(
        &self,
        user: &UserName,
        code: &UserCode,
        now: Timestamp,
    ) -> Result<Option<Confirmation>, StoreError> {
        let sql = "SELECT document FROM confirmations
            WHERE user_name = $1 AND code = $2 AND state = 'waiting' AND expires_at > $3";
        let rows = self.inner.database.rows(sql, args![user, code.to_string(), now]).await?;
        rows.first().map(|row| row.json(0, "confirmation")).transpose()
    }

    /// How a confirmation stands; `None` where it was withdrawn, superseded or is long over.
    pub async fn confirmation(
        &self,
        id: ConfirmationId,
    ) -> Result<Option<Confirmation>, StoreError> {
        let sql = "SELECT document FROM confirmations WHERE id = $1";
        let rows = self.inner.database.rows(sql, args![&id]).await?;
        rows.first().map(|row| row.json(0, "confirmation")).transpose()
    }

    /// Decides a confirmation: `decide` gets it as it is, alone, so that of many at once one decides.
    pub async fn decide_confirmation<E: std::error::Error + 'static>(
        &self,
        id: ConfirmationId,
        decide: impl FnOnce(Confirmation) -> Result<Confirmation, E>,
    ) -> Result<Confirmation, TransitionFailure<E>> {
        let mut ordered = self.ordered().await?;
        let sql = "SELECT document FROM confirmations WHERE id = $1";
        let row = ordered.tx.row(sql, args![&id]).await?;
        let missing = || StoreError::not_found("client that waits under this code");
        let found: Confirmation = row.ok_or_else(missing)?.json(0, "confirmation")?;
        let before = found.clone();
        let next = decide(found).map_err(TransitionFailure::Refused)?;
        // INVARIANT: what somebody confirms is what the client waits for.
        if (Confirmation { state: before.state.clone(), ..next.clone() }) != before {
            let why = "a decision changes the state only";
            return Err(StoreError::invalid(format!("confirmation `{id}`"), why).into());
        }
        let sql = "UPDATE confirmations SET state = $2, document = $3 WHERE id = $1";
        let arguments = args![&id, next.state.as_str(), document(&next)?];
        ordered.tx.execute(sql, arguments).await?;
        ordered.commit_quietly().await?;
        Ok(next)
    }

    /// Uses up a confirmation, or withdraws it. `Some` for exactly one caller.
    pub async fn take_confirmation(
        &self,
        id: ConfirmationId,
    ) -> Result<Option<Confirmation>, StoreError> {
        let mut tx = self.inner.database.write().await?;
        let sql = "DELETE FROM confirmations WHERE id = $1 RETURNING document";
        let row = tx.row(sql, args![&id]).await?;
        let taken = row.map(|row| row.json(0, "confirmation")).transpose()?;
        tx.commit().await?;
        Ok(taken)
    }
}
