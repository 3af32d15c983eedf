//! Whether a caller may do something with Portcullis itself. A refusal is an audit event like any
//! other.

use std::time::Duration;

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{ControlAction, UserName};
use portcullis_gateway::Authenticated;
use portcullis_policy::control::{ControlDecision, allowed};

use crate::{Control, ControlError, ErrorKind};

/// How long a second factor must have been set up before its owner decides for others.
pub(crate) const FACTOR_SETTLES: Duration = Duration::from_secs(24 * 3600);
/// Longest reason, in bytes.
pub(crate) use portcullis_domain::request::MAX_REASON_BYTES;

impl Control {
    /// Whether `who` holds `action` now.
    pub(crate) fn holds(&self, who: &Authenticated, action: ControlAction) -> bool {
        let snapshot = self.gateway().snapshot();
        allowed(&snapshot.facts, who.user(), action, self.gateway().now()).is_allowed()
    }

    /// Refuses, with an audit event, unless `who` holds `action` now.
    pub(crate) async fn must_hold(
        &self,
        who: &Authenticated,
        action: ControlAction,
        activity: Activity,
    ) -> Result<(), ControlError> {
        let snapshot = self.gateway().snapshot();
        let denial = match allowed(&snapshot.facts, who.user(), action, self.gateway().now()) {
            ControlDecision::Allow { .. } => return Ok(()),
            ControlDecision::Deny(denial) => denial,
        };
        let why = format!("this needs the control right `{action}`: {denial}");
        self.refuse(self.event(who, activity).detail("right", action.as_str()), &why).await
    }

    /// Audits a refusal and returns it as the error.
    pub(crate) async fn refuse<T>(&self, event: Event, why: &str) -> Result<T, ControlError> {
        self.audit(event.outcome(Outcome::Refused(why.to_owned()))).await?;
        Err(ControlError::forbidden(why))
    }

    /// An event by this caller.
    pub(crate) fn event(&self, who: &Authenticated, activity: Activity) -> Event {
        Event::new(activity, self.gateway().now()).user(who.user()).source(who.source())
    }

    /// Writes an event; durable when it returns.
    pub(crate) async fn audit(&self, event: Event) -> Result<(), ControlError> {
        self.gateway().auditor().write(event).await?;
        Ok(())
    }

    /// A caller who is known, enabled and not locked; everything a person does for themselves
    /// needs at least this.
    pub(crate) fn must_be_active(&self, who: &Authenticated) -> Result<(), ControlError> {
        let snapshot = self.gateway().snapshot();
        let now = self.gateway().now();
        let known = snapshot.facts.users.get(who.user()).is_some_and(|user| !user.disabled);
        let locked = snapshot.facts.locks.iter().any(|lock| {
            lock.holds(now)
                && lock.subject == portcullis_domain::LockSubject::User(who.user().clone())
        });
        if known && !locked {
            return Ok(());
        }
        Err(ControlError::forbidden("your account is locked or disabled; ask your administrator"))
    }
}

impl Control {
    /// INVARIANT (nobody alone): who decides for others does so by a second factor of their own
    /// that has settled. Otherwise an administrator could reset a colleague's credentials, set up
    /// a second factor in their name and approve their own request with it.
    pub(crate) async fn must_have_settled_factor(
        &self,
        who: &Authenticated,
        event: Event,
    ) -> Result<(), ControlError> {
        let proved_at = who.authentication().second_factor_at();
        let proved = proved_at.is_some();
        let status = self.gateway().store().credential_status(who.user()).await?;
        let passkeys = self.gateway().store().passkeys(who.user()).await?;
        let now = self.gateway().now();
        // The newest counts: one that was added an hour ago could be somebody else's.
        let set_up = passkeys.iter().map(|passkey| passkey.created_at);
        let newest = set_up.chain(status.totp_confirmed_at).max();
        let settled = newest.is_some_and(|at| now.since(at) >= FACTOR_SETTLES);
        let fresh = self.gateway().rules().step_up;
        if settled && proved_at.is_some_and(|at| now.since(at) > fresh) {
            let why = format!(
                "this needs a second factor proved within {}; prove one again with `portcullis factors prove`",
                portcullis_domain::format_duration(fresh)
            );
            self.audit(event.outcome(Outcome::Refused(why.clone()))).await?;
            return Err(ControlError::new(ErrorKind::Forbidden, "step_up_required", why));
        }
        let why = match (proved, settled) {
            (true, true) => return Ok(()),
            (false, _) => {
                "deciding for others needs a second factor; set one up with `portcullis factor enrol` \
                 and sign in with it"
                    .to_owned()
            }
            (true, false) => format!(
                "your second factor was set up less than {} ago; until then you cannot decide for \
                 others, so that nobody can decide in your name with a factor of their own",
                portcullis_domain::format_duration(FACTOR_SETTLES)
            ),
        };
        self.refuse(event, &why).await
    }
}

/// A reason people write: not empty, bounded, without control characters.
pub(crate) fn reason(text: &str) -> Result<String, ControlError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ControlError::invalid("say why: the reason is empty"));
    }
    if text.len() > MAX_REASON_BYTES {
        return Err(ControlError::invalid(format!(
            "the reason is {} bytes long; at most {MAX_REASON_BYTES} are allowed",
            text.len()
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(ControlError::invalid("the reason has control characters; leave them out"));
    }
    Ok(text.to_owned())
}

/// A user's name as someone typed it.
pub(crate) fn user_name(text: &str) -> Result<UserName, ControlError> {
    UserName::new(text).map_err(ControlError::invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_not_empty_bounded_and_printable() {
        assert_eq!(reason("  restart ").unwrap(), "restart");
        for wrong in ["", "   ", "a\u{1b}[2J", "a\nb"] {
            assert!(reason(wrong).is_err(), "{wrong:?}");
        }
        assert!(reason(&"x".repeat(MAX_REASON_BYTES + 1)).is_err());
    }
}
