//! Clients that wait for their person to prove a second factor elsewhere: what the person sees, and
//! what they answer.
//!
//! INVARIANT: a code is known to the person it was shown to. One of somebody else's, and one that is
//! wrong, are the same to whoever asks; asking is counted like a wrong one-time code.

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::confirmation::ConfirmationError;
use portcullis_domain::{Confirmation, UserCode};
use portcullis_gateway::Authenticated;

use crate::view::{ConfirmationView, ProofBody};
use crate::{Control, ControlError, ErrorKind};

impl From<ConfirmationError> for ControlError {
    fn from(error: ConfirmationError) -> Self {
        match error {
            ConfirmationError::OtherUser => not_waiting(),
            other => Self::new(ErrorKind::Conflict, "not_waiting", other.to_string()),
        }
    }
}

fn not_waiting() -> ControlError {
    ControlError::not_found("client of yours that waits under this code; look at it again")
}

impl Control {
    /// The client that waits under this code.
    pub async fn confirmation(
        &self,
        who: &Authenticated,
        code: &str,
    ) -> Result<ConfirmationView, ControlError> {
        let found = self.waiting_client(who, code).await?;
        let expires = found.expires();
        let Confirmation { code, device, source, target, at, .. } = found;
        Ok(ConfirmationView { code, device, source, target, at, expires })
    }

    /// Proves a factor for the client that waits under this code.
    pub async fn confirm(
        &self,
        who: &Authenticated,
        token: &str,
        code: &str,
        proof: ProofBody,
    ) -> Result<(), ControlError> {
        let found = self.waiting_client(who, code).await?;
        let factor = self.prove_factor(who, token, proof).await?;
        let event = self
            .event(who, Activity::Authenticate)
            .detail("what", "confirmation")
            .detail("factor", factor.kind.as_str())
            .detail("device", found.device.clone())
            .detail("client", found.source.to_string());
        let event = match &found.target {
            Some(target) => event.target(target),
            None => event,
        };
        self.audit(event).await?;
        let now = self.gateway().now();
        let decide = |waiting: Confirmation| waiting.confirm(who.user(), factor, who.source(), now);
        self.gateway().store().decide_confirmation(found.id, decide).await?;
        Ok(())
    }

    /// Says that it is not them who waits: whoever it is has a first factor of theirs.
    pub async fn refuse_confirmation(
        &self,
        who: &Authenticated,
        code: &str,
    ) -> Result<(), ControlError> {
        let found = self.waiting_client(who, code).await?;
        let why =
            "the person says that the client which waits for their second factor is not theirs";
        let event = self
            .event(who, Activity::Finding)
            .detail("finding", "confirmation_refused")
            .detail("device", found.device.clone())
            .detail("client", found.source.to_string())
            .outcome(Outcome::Refused(why.into()));
        self.audit(event).await?;
        let now = self.gateway().now();
        let decide = |waiting: Confirmation| waiting.refuse(who.user(), who.source(), now);
        self.gateway().store().decide_confirmation(found.id, decide).await?;
        Ok(())
    }

    async fn waiting_client(
        &self,
        who: &Authenticated,
        code: &str,
    ) -> Result<Confirmation, ControlError> {
        self.must_be_active(who)?;
        let code: UserCode = code.parse().map_err(|_| not_waiting())?;
        let now = self.gateway().now();
        let store = self.gateway().store();
        match store.waiting_confirmation(who.user(), &code, now).await? {
            Some(found) if found.open(now) => Ok(found),
            _ => {
                self.gateway().count_wrong_code(who).await?;
                Err(not_waiting())
            }
        }
    }
}
