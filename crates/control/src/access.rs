//! Access requests: ask, approve, deny, withdraw. What exactly is asked for is worked out in `asking`.

use std::str::FromStr;

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::request::{Approved, InForce};
use portcullis_domain::{
    AccessRequest, ControlAction, Grant, GrantId, GroupName, RequestId, RequestState, Timestamp,
    TransitionError, UserName, format_duration,
};
use portcullis_gateway::Authenticated;
use portcullis_policy::control::{counts_for, may_approve};
use portcullis_store::{
    CreateRequestError, Page, RequestFilter, RequestStateName, StoreError, Transition,
    TransitionFailure,
};
use thiserror::Error;

use crate::asking::describe;
use crate::pages::{of_store, paged};
use crate::right::reason;
use crate::separation::not_both;
use crate::view::{
    AccessQuery, DecidedView, PageAsked, Paged, ReasonBody, RequestBody, RequestView,
};
use crate::{Control, ControlError, ErrorKind};

/// Shortest piece of an id that may stand for it, in characters.
const SHORTEST_ID_SUFFIX: usize = 6;

/// Why a decision on a request did not happen, inside the store's transaction.
#[derive(Debug, Error)]
enum DecideError {
    #[error(transparent)]
    Transition(#[from] TransitionError),
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl From<DecideError> for ControlError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Transition(error) => error.into(),
            DecideError::Control(error) => error,
        }
    }
}

impl Control {
    /// Asks for access to a target.
    pub async fn request(
        &self,
        who: &Authenticated,
        body: RequestBody,
    ) -> Result<RequestView, ControlError> {
        self.must_be_active(who)?;
        let request = self.new_request(who, body).await?;
        let event = self
            .event(who, Activity::RequestCreate)
            .target(&request.target)
            .environment(&request.environment)
            .detail("request", request.id.to_string())
            .detail("duration", format_duration(request.duration))
            .detail("reason", request.reason.clone());
        let event = describe(event, &request);
        self.audit(event).await?;
        self.gateway().store().create_request(&request).await.map_err(|error| match error {
            CreateRequestError::Store(error) => error.into(),
            other => ControlError::new(ErrorKind::Conflict, "too_many_pending", other.to_string()),
        })?;
        Ok(self.view_of(who, request, None))
    }

    /// Requests the caller may see: their own, those they may decide, or all with the right.
    pub async fn requests(
        &self,
        who: &Authenticated,
        query: AccessQuery,
        page: &PageAsked,
    ) -> Result<Paged<RequestView>, ControlError> {
        self.must_be_active(who)?;
        let page = of_store(page)?;
        let filter = RequestFilter {
            user: query.mine.then(|| who.user().clone()),
            state: query.open.then_some(RequestStateName::Pending),
            page,
            ..RequestFilter::default()
        };
        let now = self.gateway().now();
        let found = self.gateway().store().requests(&filter).await?;
        let open = |request: &AccessRequest| !query.open || now < request.expires();
        let see = |request| {
            let seen = open(&request) && self.may_see(who, &request);
            seen.then(|| self.view_of(who, request, None))
        };
        Ok(paged(found, page.limit, |request| request.id, see))
    }

    /// One request, by id or a unique ending of it.
    pub async fn get_request(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<RequestView, ControlError> {
        self.must_be_active(who)?;
        let request = self.find_request(who, id).await?;
        let grant = match &request.state {
            RequestState::Approved { grant, .. } => {
                Some(self.gateway().store().grant(*grant).await?)
            }
            _ => None,
        };
        let decides = request.user != *who.user();
        let mut view = self.view_of(who, request, grant);
        if matches!(view.request.state, RequestState::Pending { .. }) {
            view.would_allow = self.would_allow(&view.request).await?;
        }
        if decides {
            view.history = self.history_of(&view.request.user).await?;
        }
        Ok(view)
    }

    /// Agrees. The grant's clock starts now. One approval leads to one grant, however many come
    /// at once.
    pub async fn approve(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<DecidedView, ControlError> {
        let found = self.must_decide(who, id, Activity::RequestApprove).await?;
        let now = self.gateway().now();
        let by = who.user().clone();
        let decide = |request: AccessRequest, held: &[Grant]| {
            // The rule may have changed and the approver may have left since the list was read.
            self.check_approver(who, &request)?;
            match self.approve_in_force(request, by, held, now)? {
                Approved::Waiting(request) => Ok(Transition::from(*request)),
                Approved::Granted(request, grant) => {
                    Ok(Transition { request: *request, grant: Some(*grant) })
                }
            }
        };
        let done = self
            .gateway()
            .store()
            .transition_after(found.id, decide, |next| self.audit_decision(who, next))
            .await;
        self.decided(who, &found, Activity::RequestApprove, done).await
    }

    /// INVARIANT (nobody alone): an approval counts by what is in force now, too. A target that has
    /// moved since is another target, and who has left the approvers has not approved.
    fn approve_in_force(
        &self,
        request: AccessRequest,
        by: UserName,
        held: &[Grant],
        now: Timestamp,
    ) -> Result<Approved, DecideError> {
        let snapshot = self.gateway().snapshot();
        let facts = &snapshot.facts;
        let changed = |why: String| ControlError::new(ErrorKind::Conflict, "target_changed", why);
        if let Some(gone) = request.targets().find(|name| {
            facts.targets.get(name).is_none_or(|found| found.environment != request.environment)
        }) {
            let why = format!(
                "`{gone}` is not in environment `{}` any more; it takes a new request",
                request.environment
            );
            return Err(changed(why).into());
        }
        if let Some(extended) = &request.extends {
            let mut grants = facts.grants.get(&request.user).into_iter().flatten();
            if !grants.any(|grant| grant.id == extended.grant && grant.active(now)) {
                let why = "the grant has ended in the meantime; it takes a new request".to_owned();
                return Err(changed(why).into());
            }
        }
        let environment = facts.environments.get(&request.environment);
        let Some((environment, rule)) =
            environment.and_then(|found| Some((found, found.rule_for(&request.actions)?)))
        else {
            let why = format!("nobody can approve for environment `{}` now", request.environment);
            return Err(changed(why).into());
        };
        // The requester's grants as they are in this transaction: of two approvals at once the
        // second sees the first.
        not_both(facts, (&request.user, held), request.scope.role(), now)?;
        let rule = environment.requests.rule_at(&rule, request.asked_at, now);
        let in_force = InForce { rule, max_grant: environment.max_grant };
        let member = |name: &UserName, group: &GroupName| counts_for(facts, name, group, now);
        Ok(request.approve_under(by, now, GrantId::generate(now), &in_force, member)?)
    }

    /// Refuses, with a reason for the requester.
    pub async fn deny(
        &self,
        who: &Authenticated,
        id: &str,
        body: ReasonBody,
    ) -> Result<DecidedView, ControlError> {
        let found = self.must_decide(who, id, Activity::RequestDeny).await?;
        let now = self.gateway().now();
        let why = reason(&body.reason)?;
        let by = who.user().clone();
        let decide = |request: AccessRequest, _: &[Grant]| {
            self.check_approver(who, &request)?;
            Ok(Transition::from(request.deny(by, why, now)?))
        };
        let done = self
            .gateway()
            .store()
            .transition_after(found.id, decide, |next| self.audit_decision(who, next))
            .await;
        self.decided(who, &found, Activity::RequestDeny, done).await
    }

    /// The requester withdraws.
    pub async fn cancel(&self, who: &Authenticated, id: &str) -> Result<DecidedView, ControlError> {
        self.must_be_active(who)?;
        let found = self.find_request(who, id).await?;
        let now = self.gateway().now();
        let decide = |request: AccessRequest, _: &[Grant]| {
            Ok(Transition::from(request.cancel(who.user(), now)?))
        };
        let done = self
            .gateway()
            .store()
            .transition_after(found.id, decide, |next| self.audit_decision(who, next))
            .await;
        self.decided(who, &found, Activity::RequestCancel, done).await
    }

    async fn must_decide(
        &self,
        who: &Authenticated,
        id: &str,
        activity: Activity,
    ) -> Result<AccessRequest, ControlError> {
        self.must_be_active(who)?;
        let request = self.find_request(who, id).await?;
        if let Err(error) = self.check_approver(who, &request) {
            let event = self
                .event(who, activity)
                .target(&request.target)
                .environment(&request.environment)
                .detail("request", request.id.to_string())
                .outcome(Outcome::Refused(error.to_string()));
            self.audit(event).await?;
            return Err(error);
        }
        let event = self
            .event(who, activity)
            .target(&request.target)
            .environment(&request.environment)
            .detail("request", request.id.to_string());
        self.must_have_settled_factor(who, event).await?;
        Ok(request)
    }

    /// INVARIANT (nobody alone): the requester never decides; only people of the rule that is in
    /// force now do, and the rule of the time of asking must be met beside it.
    fn check_approver(
        &self,
        who: &Authenticated,
        request: &AccessRequest,
    ) -> Result<(), ControlError> {
        if *who.user() == request.user {
            return Err(TransitionError::OwnRequest { user: request.user.clone() }.into());
        }
        let snapshot = self.gateway().snapshot();
        let now = self.gateway().now();
        let environment = snapshot.facts.environments.get(&request.environment);
        let agrees = environment.is_some_and(|found| {
            found.rule_for(&request.actions).is_some_and(|rule| {
                let rule = found.requests.rule_at(&rule, request.asked_at, now);
                may_approve(&snapshot.facts, who.user(), &rule, now)
            })
        });
        if agrees {
            return Ok(());
        }
        Err(ControlError::new(
            ErrorKind::Forbidden,
            "not_an_approver",
            format!("you are not one of the approvers of environment `{}`", request.environment),
        ))
    }

    /// Runs inside the store's transaction: the decision is in the log before it is in force.
    async fn audit_decision(
        &self,
        who: &Authenticated,
        next: Transition,
    ) -> Result<(), DecideError> {
        let request = &next.request;
        let activity = match &request.state {
            RequestState::Denied { .. } => Activity::RequestDeny,
            RequestState::Cancelled { .. } => Activity::RequestCancel,
            _ => Activity::RequestApprove,
        };
        let mut event = self
            .event(who, activity)
            .target(&request.target)
            .environment(&request.environment)
            .detail("request", request.id.to_string())
            .person("of", &request.user);
        if let RequestState::Denied { reason, .. } = &request.state {
            event = event.detail("reason", reason.clone());
        }
        self.audit(event).await?;
        if let Some(grant) = &next.grant {
            let event = self
                .event(who, Activity::GrantCreate)
                .target(&grant.target)
                .environment(&request.environment)
                .detail("grant", grant.id.to_string())
                .person("of", &grant.user)
                .detail("ends", grant.ends.to_string());
            self.audit(event).await?;
        }
        Ok(())
    }

    async fn decided(
        &self,
        who: &Authenticated,
        found: &AccessRequest,
        activity: Activity,
        done: Result<Transition, TransitionFailure<DecideError>>,
    ) -> Result<DecidedView, ControlError> {
        match done {
            Ok(next) => {
                self.gateway().refresh().await?;
                Ok(DecidedView {
                    request: next.request.id,
                    state: next.request.state.as_str().to_owned(),
                    grant: next.grant,
                })
            }
            Err(failure) => {
                let error = ControlError::from(failure);
                let event = self
                    .event(who, activity)
                    .target(&found.target)
                    .detail("request", found.id.to_string())
                    .outcome(Outcome::Refused(error.to_string()));
                self.audit(event).await?;
                Err(error)
            }
        }
    }

    fn may_see(&self, who: &Authenticated, request: &AccessRequest) -> bool {
        request.user == *who.user()
            || self.check_approver(who, request).is_ok()
            || self.holds(who, ControlAction::ReadRequests)
    }

    fn view_of(
        &self,
        who: &Authenticated,
        request: AccessRequest,
        grant: Option<Grant>,
    ) -> RequestView {
        let pending = matches!(request.state, RequestState::Pending { .. })
            && self.gateway().now() < request.expires();
        let can_decide = pending && self.check_approver(who, &request).is_ok();
        let snapshot = self.gateway().snapshot();
        let now = self.gateway().now();
        let member = |name: &UserName, group: &GroupName| {
            *name != request.user && counts_for(&snapshot.facts, name, group, now)
        };
        let missing = request.missing(now, &member);
        let waits_for = pending.then(|| request.rule_at(now).to_string());
        RequestView {
            request,
            can_decide,
            grant,
            waits_for,
            missing,
            would_allow: Vec::new(),
            history: Vec::new(),
        }
    }

    async fn find_request(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<AccessRequest, ControlError> {
        let missing = || ControlError::not_found(format!("request `{}`", id.escape_debug()));
        let found = match RequestId::from_str(id) {
            Ok(id) => match self.gateway().store().request(id).await {
                Ok(request) => vec![request],
                Err(StoreError::NotFound { .. }) => Vec::new(),
                Err(error) => return Err(error.into()),
            },
            Err(_) => {
                let filter = RequestFilter {
                    page: Page { before: None, limit: portcullis_store::MAX_PAGE },
                    ..RequestFilter::default()
                };
                let all = self.gateway().store().requests(&filter).await?;
                all.into_iter().filter(|request| ends_with(&request.id.to_string(), id)).collect()
            }
        };
        let mut seen: Vec<_> =
            found.into_iter().filter(|request| self.may_see(who, request)).collect();
        match (seen.pop(), seen.is_empty()) {
            (Some(request), true) => Ok(request),
            (Some(_), false) => Err(ControlError::invalid(format!(
                "`{}` could be several requests; give more of the id",
                id.escape_debug()
            ))),
            (None, _) => Err(missing()),
        }
    }
}

/// Whether what someone typed stands for this id: its last characters, at least six.
pub(crate) fn ends_with(id: &str, typed: &str) -> bool {
    typed.len() >= SHORTEST_ID_SUFFIX
        && typed.bytes().all(|byte| byte.is_ascii_hexdigit())
        && id.ends_with(&typed.to_ascii_lowercase())
}
