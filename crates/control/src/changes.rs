//! Changes that wait for a second person: list, show, approve, deny.
//!
//! Approving plans the same files again, by the second person and against what is in force now: if
//! that is not exactly what the first proposed, it is not what they agreed to.

use std::str::FromStr;

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::{ChangeId, ChangeState, ChangeSubject, ControlAction, PendingChange};
use portcullis_gateway::Authenticated;
use portcullis_store::{MAX_PAGE, Page};

use crate::access::ends_with;
use crate::forget::forgets;
use crate::pages::{of_store, paged};
use crate::resources::view;
use crate::right::reason;
use crate::view::{
    NotedChangeView, PageAsked, Paged, PlanBody, PlanView, ReasonBody, ResourceFile,
};
use crate::{Control, ControlError, ErrorKind};

impl Control {
    /// Changes that wait; all of the latest, with `all`.
    pub async fn changes(
        &self,
        who: &Authenticated,
        all: bool,
        page: &PageAsked,
    ) -> Result<Paged<NotedChangeView>, ControlError> {
        self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        let now = self.gateway().now();
        let store = self.gateway().store();
        if !all {
            // A page of them at most is ever open.
            let found = store.open_changes(now).await?;
            let items = found.iter().map(|change| self.noted(who, change)).collect();
            return Ok(Paged { items, next: None });
        }
        let page = of_store(page)?;
        let found = store.changes_noted(page).await?;
        Ok(paged(found, page.limit, |change| change.id, |change| Some(self.noted(who, &change))))
    }

    /// One change, with what it would do now.
    pub async fn change(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<NotedChangeView, ControlError> {
        self.must_hold(who, ControlAction::ReadResources, Activity::AuditRead).await?;
        let change = self.find_change(id).await?;
        let mut noted = self.noted(who, &change);
        let about_resources = change.subject == ChangeSubject::Resources;
        noted.is_current = !about_resources;
        let open = change.open(self.gateway().now());
        if about_resources && open && forgets(&change).is_none() {
            let proposal = self.propose(who, body(&change)).await?;
            noted.is_current = proposal.guard.digest == change.digest;
            noted.plan = Some(view(&proposal, proposal.revision));
        }
        Ok(noted)
    }

    /// Agrees to a change another person proposed, and puts it in force.
    ///
    /// INVARIANT (nobody alone): the author never approves it, nor does who gains by it; and what is
    /// applied is what was proposed, to the letter.
    pub async fn approve_change(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<PlanView, ControlError> {
        let change = self.change_to_decide(who, id).await?;
        let activity = activity_of(&change);
        let event = self.event(who, activity).detail("change", change.id.to_string());
        if let Some(subject) = forgets(&change) {
            let why =
                format!("run `portcullis audit forget {subject}` to agree that it is forgotten");
            return self.refuse(event, &why).await;
        }
        self.must_have_settled_factor(who, event.clone()).await?;
        let now = self.gateway().now();
        if let Err(error) = change.clone().approve(who.user().clone(), now) {
            self.audit(event.outcome(Outcome::Refused(error.to_string()))).await?;
            return Err(error.into());
        }
        if change.subject != ChangeSubject::Resources {
            return self.approve_credentials(who, change, event).await;
        }
        let proposal = self.propose(who, body(&change)).await?;
        if proposal.guard.digest != change.digest {
            let why = format!(
                "the resources have changed since `{}` proposed this; they must apply the files again",
                change.author
            );
            self.audit(event.outcome(Outcome::Refused(why.clone()))).await?;
            return Err(ControlError::new(ErrorKind::Conflict, "change_outdated", why));
        }
        let in_the_way = proposal.guard.own_gain().map(str::to_owned);
        if let Some(why) = in_the_way.or_else(|| proposal.nobody_left.clone()) {
            return self.refuse(event, &why).await;
        }
        self.must_be_proved(who, &proposal).await?;
        let settled = self.settle_change(who, change.id).await?;
        self.carry_out(who, &proposal, Some(settled.author)).await
    }

    /// Refuses a change, or withdraws one's own.
    pub async fn deny_change(
        &self,
        who: &Authenticated,
        id: &str,
        body: ReasonBody,
    ) -> Result<NotedChangeView, ControlError> {
        let why = reason(&body.reason)?;
        let change = self.change_to_decide(who, id).await?;
        let event = self
            .event(who, activity_of(&change))
            .detail("change", change.id.to_string())
            .detail("denied", true)
            .detail("reason", why.clone());
        self.audit(event).await?;
        let (by, now) = (who.user().clone(), self.gateway().now());
        let decide = |change: PendingChange| change.deny(by, why, now);
        let denied = self.gateway().store().decide_change(change.id, decide).await?;
        Ok(self.noted(who, &denied))
    }

    /// A change the caller has the right to decide. Whoever has none of the rights learns nothing.
    async fn change_to_decide(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<PendingChange, ControlError> {
        if !self.holds(who, ControlAction::ManageCredentials) {
            let right = ControlAction::ApplyResources;
            self.must_hold(who, right, Activity::ResourceApply).await?;
        }
        let change = self.find_change(id).await?;
        self.must_hold(who, right_for(&change), activity_of(&change)).await?;
        Ok(change)
    }

    fn noted(&self, who: &Authenticated, change: &PendingChange) -> NotedChangeView {
        let now = self.gateway().now();
        let state = match (&change.state, change.open(now)) {
            (ChangeState::Pending, false) => "expired",
            (state, _) => state.as_str(),
        };
        NotedChangeView {
            id: change.id,
            author: change.author.clone(),
            why: change.why.clone(),
            at: change.at,
            expires: change.expires(),
            state: state.to_owned(),
            decided_by: match &change.state {
                ChangeState::Pending => None,
                ChangeState::Approved { by, .. } | ChangeState::Denied { by, .. } => {
                    Some(by.clone())
                }
            },
            can_decide: change.open(now)
                && forgets(change).is_none()
                && change.author != *who.user()
                && self.holds(who, right_for(change)),
            is_current: false,
            plan: None,
        }
    }

    async fn find_change(&self, id: &str) -> Result<PendingChange, ControlError> {
        let page = Page { before: None, limit: MAX_PAGE };
        let all = self.gateway().store().changes_noted(page).await?;
        let exact = ChangeId::from_str(id).ok();
        let named = |change: &PendingChange| match exact {
            Some(exact) => change.id == exact,
            None => ends_with(&change.id.to_string(), id),
        };
        let mut found = all.into_iter().filter(named);
        match (found.next(), found.next()) {
            (Some(change), None) => Ok(change),
            (Some(_), Some(_)) => Err(ControlError::invalid("give more of the change's id")),
            (None, _) => Err(ControlError::not_found(format!("change `{}`", id.escape_debug()))),
        }
    }
}

/// What deciding a change takes.
fn right_for(change: &PendingChange) -> ControlAction {
    match change.subject {
        ChangeSubject::Resources => ControlAction::ApplyResources,
        ChangeSubject::Factors { .. } | ChangeSubject::Reset { .. } => {
            ControlAction::ManageCredentials
        }
    }
}

/// What a change is in the log.
fn activity_of(change: &PendingChange) -> Activity {
    match change.subject {
        ChangeSubject::Resources => Activity::ResourceApply,
        ChangeSubject::Factors { .. } | ChangeSubject::Reset { .. } => Activity::CredentialChange,
    }
}

fn body(change: &PendingChange) -> PlanBody {
    let file = |file: &portcullis_domain::ChangeFile| ResourceFile {
        name: file.name.clone(),
        text: file.text.clone(),
    };
    PlanBody {
        files: change.files.iter().map(file).collect(),
        prune: change.prune,
        expected_revision: None,
    }
}
