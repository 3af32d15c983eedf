//! Access requests as a state machine. Data lives inside states; a transition consumes the state
//! and returns the next one or an error that names what was in the way.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::action::ActionKind;
use crate::environment::ApprovalRule;
use crate::grant::{Grant, GrantSource};
use crate::id::{GrantId, RequestId};
use crate::name::{EnvironmentName, Login, TargetName, UserName};
use crate::time::{Timestamp, human};

/// A pending request that nobody decides expires after this long.
pub const REQUEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Longest reason, in bytes.
pub const MAX_REASON_BYTES: usize = 1024;

/// Someone asks for access to a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Its id.
    pub id: RequestId,
    /// Who asks. Fixed for good: approval is compared with it.
    pub user: UserName,
    /// For what.
    pub target: TargetName,
    /// Where the target was when asked.
    pub environment: EnvironmentName,
    /// Only these actions; empty: all that the roles allow.
    pub actions: BTreeSet<ActionKind>,
    /// Only as this account; `None`: any that the roles allow.
    pub login: Option<Login>,
    /// For how long, from approval.
    #[serde(with = "human")]
    pub duration: Duration,
    /// Why, for the approver.
    pub reason: String,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The rule in force when it was asked.
    pub rule: ApprovalRule,
    /// Where it stands.
    pub state: RequestState,
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RequestState {
    /// Waiting for approvals.
    Pending {
        /// Who has approved so far.
        approvals: Vec<Approval>,
    },
    /// Enough people agreed.
    Approved {
        /// The grant that came of it.
        grant: GrantId,
        /// When.
        at: Timestamp,
        /// Who agreed.
        approvals: Vec<Approval>,
    },
    /// Someone refused.
    Denied {
        /// Who.
        by: UserName,
        /// When.
        at: Timestamp,
        /// Why, for the requester.
        reason: String,
    },
    /// Nobody decided in time.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// The requester withdrew it.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

impl RequestState {
    /// The name of the state, for people and the log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Approved { .. } => "approved",
            Self::Denied { .. } => "denied",
            Self::Expired { .. } => "expired",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// One person's agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: UserName,
    /// When.
    pub at: Timestamp,
}

/// Why a request cannot change as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransitionError {
    /// It is not pending any more.
    #[error("request `{id}` is {state}; only a pending request can be {verb}")]
    NotPending {
        /// The request.
        id: RequestId,
        /// Where it stands.
        state: &'static str,
        /// What was asked.
        verb: &'static str,
    },
    /// It has passed its lifetime.
    #[error("request `{id}` expired at {at}; ask again with `portcullis request`")]
    Expired {
        /// The request.
        id: RequestId,
        /// When it expired.
        at: Timestamp,
    },
    /// INVARIANT (nobody alone): no one decides their own request.
    #[error("`{user}` asked for this; nobody approves their own request, so another person must")]
    OwnRequest {
        /// Who tried.
        user: UserName,
    },
    /// The person has approved already.
    #[error("`{user}` has already approved request `{id}`; it needs a different person")]
    AlreadyApproved {
        /// The request.
        id: RequestId,
        /// Who tried.
        user: UserName,
    },
    /// Not the requester.
    #[error("only `{user}`, who asked, can withdraw request `{id}`")]
    NotRequester {
        /// The request.
        id: RequestId,
        /// Who asked.
        user: UserName,
    },
}

/// What an approval led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approved {
    /// More people are needed.
    Waiting(Box<AccessRequest>),
    /// Enough people agreed: the request and the one grant that comes of it.
    Granted(Box<AccessRequest>, Box<Grant>),
}

/// What is in force when someone agrees, as far as it is stricter than what was in force when the
/// request was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// How many different people must approve now.
    pub count: u32,
    /// Longest grant now.
    pub max_grant: Duration,
}

impl AccessRequest {
    /// When a pending request expires.
    pub fn expires(&self) -> Timestamp {
        self.asked_at.plus(REQUEST_LIFETIME)
    }

    /// `by` agrees. The caller has checked that `by` is one of the rule's people.
    ///
    /// The grant's window begins at `now`: its clock starts at approval.
    pub fn approve(
        self,
        by: UserName,
        now: Timestamp,
        grant_id: GrantId,
    ) -> Result<Approved, TransitionError> {
        let in_force = InForce { count: self.rule.count, max_grant: self.duration };
        self.approve_under(by, now, grant_id, in_force, |_| true)
    }

    /// [`AccessRequest::approve`] under what is in force now, where that is stricter than what was
    /// when the request was made: more people, a shorter grant. Earlier approvals of people who
    /// are not `still_approver` are forgotten, and so is one of the requester, however it got there.
    pub fn approve_under(
        self,
        by: UserName,
        now: Timestamp,
        grant_id: GrantId,
        in_force: InForce,
        still_approver: impl Fn(&UserName) -> bool,
    ) -> Result<Approved, TransitionError> {
        let (mut request, mut approvals) = self.pending("approved", now)?;
        if by == request.user {
            return Err(TransitionError::OwnRequest { user: by });
        }
        approvals.retain(|given| given.by != request.user && still_approver(&given.by));
        if approvals.iter().any(|approval| approval.by == by) {
            return Err(TransitionError::AlreadyApproved { id: request.id, user: by });
        }
        approvals.push(Approval { by, at: now });
        let needed = request.rule.count.max(in_force.count).max(1);
        let needed = usize::try_from(needed).unwrap_or(usize::MAX);
        if approvals.len() < needed {
            request.state = RequestState::Pending { approvals };
            return Ok(Approved::Waiting(Box::new(request)));
        }
        let grant = Grant {
            id: grant_id,
            user: request.user.clone(),
            target: request.target.clone(),
            actions: request.actions.clone(),
            login: request.login.clone(),
            starts: now,
            ends: now.plus(request.duration.min(in_force.max_grant)),
            source: GrantSource::Request {
                request: request.id,
                approved_by: approvals.iter().map(|approval| approval.by.clone()).collect(),
            },
            ended: None,
        };
        request.state = RequestState::Approved { grant: grant_id, at: now, approvals };
        Ok(Approved::Granted(Box::new(request), Box::new(grant)))
    }

    /// `by` refuses. The caller has checked that `by` is one of the rule's people.
    pub fn deny(
        self,
        by: UserName,
        reason: String,
        now: Timestamp,
    ) -> Result<Self, TransitionError> {
        let (mut request, _) = self.pending("denied", now)?;
        if by == request.user {
            return Err(TransitionError::OwnRequest { user: by });
        }
        request.state = RequestState::Denied { by, at: now, reason };
        Ok(request)
    }

    /// The requester withdraws it.
    pub fn cancel(self, by: &UserName, now: Timestamp) -> Result<Self, TransitionError> {
        let (mut request, _) = self.pending("cancelled", now)?;
        if *by != request.user {
            return Err(TransitionError::NotRequester { id: request.id, user: request.user });
        }
        request.state = RequestState::Cancelled { at: now };
        Ok(request)
    }

    /// Marks a pending request whose lifetime has passed; `None` if there is nothing to do.
    pub fn expire(self, now: Timestamp) -> Option<Self> {
        let mut request = self;
        if !matches!(request.state, RequestState::Pending { .. }) || now < request.expires() {
            return None;
        }
        request.state = RequestState::Expired { at: now };
        Some(request)
    }

    fn pending(
        self,
        verb: &'static str,
        now: Timestamp,
    ) -> Result<(Self, Vec<Approval>), TransitionError> {
        let RequestState::Pending { approvals } = &self.state else {
            return Err(TransitionError::NotPending {
                id: self.id,
                state: self.state.as_str(),
                verb,
            });
        };
        if now >= self.expires() {
            return Err(TransitionError::Expired { id: self.id, at: self.expires() });
        }
        let approvals = approvals.clone();
        Ok((self, approvals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    #[test]
    fn nobody_decides_their_own_request() {
        let own = request(1).approve(user("alice"), NOW, GrantId::generate(NOW));
        assert!(matches!(own, Err(TransitionError::OwnRequest { .. })));
        let own = request(1).deny(user("alice"), "no".into(), NOW);
        assert!(matches!(own, Err(TransitionError::OwnRequest { .. })));
    }

    #[test]
    fn the_grants_clock_starts_at_approval() {
        let later = NOW.plus(Duration::from_secs(600));
        let Approved::Granted(_, grant) =
            request(1).approve(user("bob"), later, GrantId::generate(later)).unwrap()
        else {
            panic!("one approval is enough")
        };
        assert_eq!(grant.starts, later);
        assert_eq!(grant.ends, later.plus(Duration::from_secs(3600)));
    }

    #[test]
    fn two_approvals_need_two_different_people() {
        let Approved::Waiting(waiting) =
            request(2).approve(user("bob"), NOW, GrantId::generate(NOW)).unwrap()
        else {
            panic!("one of two is not enough")
        };
        let again = waiting.clone().approve(user("bob"), NOW, GrantId::generate(NOW));
        assert!(matches!(again, Err(TransitionError::AlreadyApproved { .. })));
        let second = waiting.approve(user("carol"), NOW, GrantId::generate(NOW)).unwrap();
        assert!(matches!(second, Approved::Granted(..)));
    }

    #[test]
    fn a_rule_that_became_stricter_counts() {
        let hour = Duration::from_secs(3600);
        let two = InForce { count: 2, max_grant: hour };
        let first =
            request(1).approve_under(user("bob"), NOW, GrantId::generate(NOW), two, |_| true);
        assert!(matches!(first, Ok(Approved::Waiting(_))));
        let looser = InForce { count: 1, max_grant: hour * 9 };
        let first =
            request(2).approve_under(user("bob"), NOW, GrantId::generate(NOW), looser, |_| true);
        assert!(matches!(first, Ok(Approved::Waiting(_))), "the rule of the time of asking holds");
        let shorter = InForce { count: 1, max_grant: Duration::from_secs(60) };
        let granted =
            request(1).approve_under(user("bob"), NOW, GrantId::generate(NOW), shorter, |_| true);
        let Ok(Approved::Granted(_, grant)) = granted else { panic!("{granted:?}") };
        assert_eq!(grant.ends, NOW.plus(Duration::from_secs(60)));
    }

    #[test]
    fn approvals_of_people_who_are_approvers_no_more_are_forgotten() {
        let Approved::Waiting(waiting) =
            request(2).approve(user("bob"), NOW, GrantId::generate(NOW)).unwrap()
        else {
            panic!("one of two is not enough")
        };
        let now = InForce { count: 2, max_grant: Duration::from_secs(3600) };
        let left = |name: &UserName| *name != user("bob");
        let second =
            waiting.approve_under(user("carol"), NOW, GrantId::generate(NOW), now, left).unwrap();
        let Approved::Waiting(waiting) = second else { panic!("bob does not count") };
        let RequestState::Pending { approvals } = &waiting.state else { panic!("{waiting:?}") };
        assert_eq!(approvals.len(), 1);
    }

    #[test]
    fn an_approval_of_the_requester_never_counts() {
        let mut own = request(2);
        let approvals = vec![Approval { by: user("alice"), at: NOW }];
        own.state = RequestState::Pending { approvals };
        let next = own.approve(user("bob"), NOW, GrantId::generate(NOW)).unwrap();
        assert!(matches!(next, Approved::Waiting(_)));
    }

    #[test]
    fn a_decided_or_expired_request_cannot_be_decided_again() {
        let denied = request(1).deny(user("bob"), "no".into(), NOW).unwrap();
        let error = denied.approve(user("carol"), NOW, GrantId::generate(NOW)).unwrap_err();
        assert!(error.to_string().contains("is denied"), "{error}");
        let late = NOW.plus(REQUEST_LIFETIME);
        let error = request(1).approve(user("bob"), late, GrantId::generate(late)).unwrap_err();
        assert!(matches!(error, TransitionError::Expired { .. }));
        assert!(request(1).expire(late).is_some());
    }

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn request(count: u32) -> AccessRequest {
        AccessRequest {
            id: RequestId::generate(NOW),
            user: user("alice"),
            target: TargetName::new("prod-web").unwrap(),
            environment: EnvironmentName::new("production").unwrap(),
            actions: BTreeSet::new(),
            login: None,
            duration: Duration::from_secs(3600),
            reason: "deploy".into(),
            asked_at: NOW,
            rule: ApprovalRule { groups: BTreeSet::new(), count },
            state: RequestState::Pending { approvals: vec![] },
        }
    }
}
