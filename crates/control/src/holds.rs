//! Evidence holds: placing, listing and lifting them, and whether something is held.
//!
//! Whoever destroys evidence (a person's key, a recording) asks [`Control::must_not_be_held`]
//! first. Placing a hold takes one person at once; lifting it takes another one.

use std::str::FromStr;

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::hold::{Evidence, covering};
use portcullis_domain::{ControlAction, Hold, HoldId, HoldScope};
use portcullis_gateway::Authenticated;
use portcullis_store::HoldError;

use crate::access::ends_with;
use crate::right::reason;
use crate::view::HoldBody;
use crate::{Control, ControlError, ErrorKind};

impl Control {
    /// Places a hold. What is held need not exist any more.
    pub async fn place_hold(
        &self,
        who: &Authenticated,
        body: HoldBody,
    ) -> Result<Hold, ControlError> {
        self.must_hold(who, ControlAction::HoldEvidence, Activity::HoldPlace).await?;
        let now = self.gateway().now();
        let hold = Hold {
            id: HoldId::generate(now),
            scope: body.scope,
            reason: reason(&body.reason)?,
            owner: body.owner.unwrap_or_else(|| who.user().clone()),
            by: who.user().clone(),
            at: now,
        };
        if !self.gateway().snapshot().facts.users.contains_key(&hold.owner) {
            return Err(ControlError::not_found(format!("user `{}`", hold.owner)));
        }
        let event = about(self.event(who, Activity::HoldPlace), &hold)
            .detail("reason", hold.reason.clone())
            .person("owner", &hold.owner);
        self.audit(event).await?;
        self.gateway().store().place_hold(&hold).await?;
        self.gateway().refresh().await?;
        Ok(hold)
    }

    /// Holds in force, newest first.
    pub async fn evidence_holds(&self, who: &Authenticated) -> Result<Vec<Hold>, ControlError> {
        self.must_hold(who, ControlAction::HoldEvidence, Activity::AuditRead).await?;
        Ok(self.gateway().store().holds().await?)
    }

    /// Lifts a hold that somebody else placed.
    ///
    /// INVARIANT (nobody alone): a hold outlives the change of mind of whoever placed it.
    pub async fn lift_hold(&self, who: &Authenticated, id: &str) -> Result<Hold, ControlError> {
        self.must_hold(who, ControlAction::HoldEvidence, Activity::HoldLift).await?;
        let hold = self.find_hold(id).await?;
        let event = about(self.event(who, Activity::HoldLift), &hold);
        self.must_have_settled_factor(who, event.clone()).await?;
        if hold.by == *who.user() {
            let why = HoldError::SamePerson { id: hold.id, by: hold.by }.to_string();
            return self.refuse(event, &why).await;
        }
        if hold.scope == HoldScope::Subject(who.user().clone()) {
            return self.refuse(event, "nobody lifts a hold on their own evidence").await;
        }
        self.audit(event).await?;
        let now = self.gateway().now();
        let lifted = self.gateway().store().lift_hold(hold.id, who.user(), now).await?;
        self.gateway().refresh().await?;
        Ok(lifted)
    }

    /// The hold that covers this evidence, if one is in force now.
    pub async fn held(&self, evidence: &Evidence) -> Result<Option<Hold>, ControlError> {
        let holds = self.gateway().store().holds().await?;
        Ok(covering(&holds, evidence).cloned())
    }

    /// Refuses, with `event` as a refusal in the log, where a hold covers this evidence.
    pub async fn must_not_be_held(
        &self,
        evidence: &Evidence,
        event: Event,
    ) -> Result<(), ControlError> {
        match self.held(evidence).await? {
            None => Ok(()),
            Some(hold) => Err(self.held_by(&hold, event).await?),
        }
    }

    /// Audits that a hold was in the way; the error that says so.
    pub(crate) async fn held_by(
        &self,
        hold: &Hold,
        event: Event,
    ) -> Result<ControlError, ControlError> {
        let why = format!(
            "hold `{}` on {} keeps this; ask its owner `{}`, and have another person than `{}` lift it",
            hold.id, hold.scope, hold.owner, hold.by
        );
        let event = event.detail("hold", hold.id.to_string());
        self.audit(event.outcome(Outcome::Refused(why.clone()))).await?;
        Ok(ControlError::new(ErrorKind::Conflict, "held", why))
    }

    async fn find_hold(&self, id: &str) -> Result<Hold, ControlError> {
        let exact = HoldId::from_str(id).ok();
        let mut found: Vec<_> = self.gateway().store().holds().await?;
        found.retain(|hold| match exact {
            Some(exact) => hold.id == exact,
            None => ends_with(&hold.id.to_string(), id),
        });
        match (found.pop(), found.is_empty()) {
            (Some(hold), true) => Ok(hold),
            (Some(_), false) => Err(ControlError::invalid("give more of the hold's id")),
            (None, _) => Err(ControlError::not_found(format!("hold `{}`", id.escape_debug()))),
        }
    }
}

/// The event with what is held where readers look for it; a person's name goes under their key.
fn about(event: Event, hold: &Hold) -> Event {
    let event = event.detail("hold", hold.id.to_string()).detail("scope", hold.scope.kind());
    match &hold.scope {
        HoldScope::Subject(name) => event.person("of", name),
        HoldScope::Target(name) => event.target(name),
        HoldScope::Environment(name) => event.environment(name),
        HoldScope::Session(id) => event.session(*id),
    }
}

impl From<HoldError> for ControlError {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Store(error) => error.into(),
            error => Self::new(ErrorKind::Conflict, "held", error.to_string()),
        }
    }
}
