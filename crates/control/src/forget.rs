//! Erasing a person from the evidence: their key is destroyed, and with it whatever the log says
//! of them that is personal. The log itself does not change, so every proof goes on to verify.
//!
//! INVARIANT (nobody alone): two people with the right and a settled second factor ask for it,
//! neither of them the person. It is refused while the person can sign in, and under a hold that
//! covers any entry about them.

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::change::CHANGE_LIFETIME;
use portcullis_domain::hold::{Evidence, Hold, HoldScope};
use portcullis_domain::{
    ChangeId, ChangeState, ChangeSubject, ControlAction, PendingChange, SubjectId, UserName,
    format_duration,
};
use portcullis_gateway::Authenticated;
use portcullis_store::{ForgetError, SubjectState};

use crate::right::reason;
use crate::view::{AuditQuery, ForgetBody, ForgetView};
use crate::{Control, ControlError, ErrorKind};

/// What the digest of a change begins with that forgets a subject and changes no resources.
const FORGETS: &str = "forget:";

/// The subject a change forgets, where it is such a change.
pub(crate) fn forgets(change: &PendingChange) -> Option<SubjectId> {
    change.digest.strip_prefix(FORGETS)?.parse().ok()
}

impl Control {
    /// Asks for a person, by name or pseudonym, to be forgotten; done when a second person has.
    pub async fn forget(
        &self,
        who: &Authenticated,
        body: ForgetBody,
    ) -> Result<ForgetView, ControlError> {
        self.must_hold(who, ControlAction::ForgetSubjects, Activity::SubjectForget).await?;
        let (id, name) = self.find_subject(&body.subject).await?;
        let event = self
            .event(who, Activity::SubjectForget)
            .detail("subject_id", id.to_string())
            .detail("reason", reason(&body.reason)?);
        self.must_have_settled_factor(who, event.clone()).await?;
        if let Some(name) = &name {
            self.must_be_gone(who, name, &event).await?;
        }
        if let Some(hold) = self.hold_over(id, name.as_ref()).await? {
            return Err(self.held_by(&hold, event).await?);
        }
        let first = self.second_to_forget(who, id, &event).await?;
        self.audit(event.clone().person("first_person", &first)).await?;
        match self.gateway().store().forget_subject(id, self.gateway().now()).await {
            Ok(()) => {}
            Err(ForgetError::Held(hold)) => return Err(self.held_by(&hold, event).await?),
            Err(ForgetError::Store(error)) => {
                self.audit(event.outcome(Outcome::Failed(error.to_string()))).await?;
                return Err(error.into());
            }
        }
        self.indexed().forget();
        self.gateway().refresh().await?;
        Ok(ForgetView { subject: id })
    }

    /// Who asked for it first; where nobody has, it is noted for the second person, in the store, for
    /// every node, and refused for now.
    async fn second_to_forget(
        &self,
        who: &Authenticated,
        id: SubjectId,
        event: &Event,
    ) -> Result<UserName, ControlError> {
        let now = self.gateway().now();
        let open = self.gateway().store().open_changes(now).await?;
        let of_this = |change: &PendingChange| forgets(change) == Some(id);
        let other = open.iter().find(|change| of_this(change) && change.author != *who.user());
        if let Some(change) = other {
            // It is good once: of several who agree at once, one goes on.
            return Ok(self.settle_change(who, change.id).await?.author);
        }
        let why = format!(
            "forgetting takes two people: another one must run `portcullis audit forget {id}` within {}",
            format_duration(CHANGE_LIFETIME)
        );
        let change = PendingChange {
            id: ChangeId::generate(now),
            author: who.user().clone(),
            digest: format!("{FORGETS}{id}"),
            why: why.clone(),
            files: Vec::new(),
            prune: false,
            subject: ChangeSubject::Resources,
            at: now,
            state: ChangeState::Pending,
        };
        let event = event.clone().detail("change", change.id.to_string());
        self.audit(event.outcome(Outcome::Refused(why.clone()))).await?;
        self.gateway().store().note_change(&change).await?;
        Err(ControlError::new(ErrorKind::Conflict, "second_person_required", why))
    }

    async fn find_subject(
        &self,
        text: &str,
    ) -> Result<(SubjectId, Option<UserName>), ControlError> {
        let store = self.gateway().store();
        if let Ok(id) = text.parse::<SubjectId>() {
            return match store.subject_keys(&[id]).await?.get(&id) {
                Some(SubjectState::Known(_)) => Ok((id, store.name_of_subject(id).await?)),
                _ => Err(ControlError::not_found(format!("subject `{id}` with a key"))),
            };
        }
        let name = UserName::new(text).map_err(ControlError::invalid)?;
        let unknown = || ControlError::not_found(format!("subject of the name `{name}`"));
        let id = store.pseudonym_of(&name).await?.ok_or_else(unknown)?;
        Ok((id, Some(name)))
    }

    /// Nobody erases themselves, nor anybody who still acts: they would begin anew at once.
    async fn must_be_gone(
        &self,
        who: &Authenticated,
        name: &UserName,
        event: &Event,
    ) -> Result<(), ControlError> {
        if name == who.user() {
            return self.refuse(event.clone(), "nobody erases themselves from the evidence").await;
        }
        let snapshot = self.gateway().snapshot();
        if snapshot.facts.users.get(name).is_some_and(|user| !user.disabled) {
            let why = "this person can still sign in; disable or remove the user first";
            return self.refuse(event.clone(), why).await;
        }
        Ok(())
    }

    /// The first hold in force that covers any entry about this subject.
    async fn hold_over(
        &self,
        id: SubjectId,
        name: Option<&UserName>,
    ) -> Result<Option<Hold>, ControlError> {
        let person = Evidence { subject: name.cloned(), ..Evidence::default() };
        for hold in self.gateway().store().holds().await? {
            let within = match &hold.scope {
                HoldScope::Subject(_) => {
                    if hold.scope.covers(&person) {
                        return Ok(Some(hold));
                    }
                    continue;
                }
                HoldScope::Target(target) => {
                    AuditQuery { target: Some(target.to_string()), ..AuditQuery::default() }
                }
                HoldScope::Environment(environment) => AuditQuery {
                    environment: Some(environment.to_string()),
                    ..AuditQuery::default()
                },
                HoldScope::Session(session) => {
                    AuditQuery { session: Some(*session), ..AuditQuery::default() }
                }
            };
            if self.mentions(id, within).await? {
                return Ok(Some(hold));
            }
        }
        Ok(None)
    }
}
