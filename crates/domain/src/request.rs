//! Access requests as a state machine. Data lives inside states; a transition consumes the state
//! and returns the next one or an error that names what was in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::action::ActionKind;
use crate::approval::ApprovalRule;
pub use crate::environment::REQUEST_LIFETIME;
use crate::environment::RequestTerms;
use crate::grant::{Grant, GrantSource};
use crate::id::{GrantId, RequestId};
use crate::name::{EnvironmentName, GroupName, Login, RoleName, TargetName, UserName};
use crate::time::{Timestamp, human};

/// Longest reason, in bytes.
pub const MAX_REASON_BYTES: usize = 1024;
/// Most targets of one request.
pub const MAX_REQUEST_TARGETS: usize = 100;

/// Someone asks for access to targets of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Its id.
    pub id: RequestId,
    /// Who asks. Fixed for good: approval is compared with it.
    pub user: UserName,
    /// For what.
    pub target: TargetName,
    /// And for these: what a role or a selector came to when it was asked. A target that comes to
    /// match later is not part of it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub also: BTreeSet<TargetName>,
    /// How it was asked for.
    #[serde(default)]
    pub scope: Scope,
    /// Where the targets were when asked.
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
    /// The ticket it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The grant it asks to prolong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<Extension>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The rule in force when it was asked.
    pub rule: ApprovalRule,
    /// What else was in force for requests then.
    #[serde(default)]
    pub terms: RequestTerms,
    /// Where it stands.
    pub state: RequestState,
}

/// How targets were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Scope {
    /// By the target's name.
    #[default]
    Target,
    /// All that a role of the requester's reaches.
    Role {
        /// Which.
        role: RoleName,
    },
    /// All that carry these labels.
    Labels {
        /// Names and values.
        labels: BTreeMap<String, String>,
    },
}

impl Scope {
    /// The role that was asked for, where one was.
    pub const fn role(&self) -> Option<&RoleName> {
        match self {
            Self::Role { role } => Some(role),
            Self::Target | Self::Labels { .. } => None,
        }
    }
}

/// What an extension prolongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// The grant.
    pub grant: GrantId,
    /// When that ends.
    pub ends: Timestamp,
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
    /// Not somebody whose approval counts.
    #[error("`{user}` is not one of the approvers of request `{id}`")]
    NotApprover {
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

/// What is in force when someone agrees. It counts beside what was in force when the request was
/// made, so that the stricter of both holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Who must agree now.
    pub rule: ApprovalRule,
    /// Longest grant now.
    pub max_grant: Duration,
}

impl AccessRequest {
    /// When a pending request expires.
    pub fn expires(&self) -> Timestamp {
        self.asked_at.plus(self.terms.expire_after)
    }

    /// Every target it is for.
    pub fn targets(&self) -> impl Iterator<Item = &TargetName> {
        std::iter::once(&self.target).chain(&self.also)
    }

    /// The rule it was made under, as wide as it has become by now.
    pub fn rule_at(&self, now: Timestamp) -> ApprovalRule {
        self.terms.rule_at(&self.rule, self.asked_at, now)
    }

    /// How many more people it takes at least; `None` unless it is pending.
    pub fn missing(
        &self,
        now: Timestamp,
        member: &impl Fn(&UserName, &GroupName) -> bool,
    ) -> Option<usize> {
        let RequestState::Pending { approvals } = &self.state else { return None };
        let agreed: Vec<&UserName> = approvals.iter().map(|approval| &approval.by).collect();
        Some(self.rule_at(now).missing(&agreed, member))
    }

    /// `by` agrees, and counts for every group of the rule. For callers without facts.
    ///
    /// The grant's window begins at `now`: its clock starts at approval.
    pub fn approve(
        self,
        by: UserName,
        now: Timestamp,
        grant_id: GrantId,
    ) -> Result<Approved, TransitionError> {
        let in_force = InForce { rule: self.rule.clone(), max_grant: self.duration };
        self.approve_under(by, now, grant_id, &in_force, |_, _| true)
    }

    /// `by` agrees. It counts under the rule of the time of asking and under what is in force now,
    /// so that the stricter holds. `member` says who counts for which group now: earlier approvals
    /// of people who count for none any more are forgotten, and so is one of the requester, however
    /// it got there.
    pub fn approve_under(
        self,
        by: UserName,
        now: Timestamp,
        grant_id: GrantId,
        in_force: &InForce,
        member: impl Fn(&UserName, &GroupName) -> bool,
    ) -> Result<Approved, TransitionError> {
        let (mut request, mut approvals) = self.pending("approved", now)?;
        if by == request.user {
            return Err(TransitionError::OwnRequest { user: by });
        }
        let rules = [request.rule_at(now), in_force.rule.clone()];
        // Both rules must be met, by people of the rule that is in force now.
        let groups = in_force.rule.groups();
        let counts = |name: &UserName| groups.iter().any(|group| member(name, group));
        approvals.retain(|given| given.by != request.user && counts(&given.by));
        if approvals.iter().any(|approval| approval.by == by) {
            return Err(TransitionError::AlreadyApproved { id: request.id, user: by });
        }
        if !counts(&by) {
            return Err(TransitionError::NotApprover { id: request.id, user: by });
        }
        approvals.push(Approval { by, at: now });
        let agreed: Vec<&UserName> = approvals.iter().map(|approval| &approval.by).collect();
        if !rules.iter().all(|rule| rule.satisfied(&agreed, &member)) {
            request.state = RequestState::Pending { approvals };
            return Ok(Approved::Waiting(Box::new(request)));
        }
        let grant = request.grant(grant_id, now, in_force.max_grant, &approvals);
        request.state = RequestState::Approved { grant: grant_id, at: now, approvals };
        Ok(Approved::Granted(Box::new(request), Box::new(grant)))
    }

    fn grant(
        &self,
        id: GrantId,
        now: Timestamp,
        max_grant: Duration,
        approvals: &[Approval],
    ) -> Grant {
        // An extension is added to what is left, and is no longer than a new grant could be.
        let from = self.extends.map_or(now, |extended| extended.ends.max(now));
        let ends = from.plus(self.duration).min(now.plus(max_grant));
        let role = self.scope.role().cloned();
        Grant {
            id,
            user: self.user.clone(),
            target: self.target.clone(),
            also: self.also.clone(),
            role,
            actions: self.actions.clone(),
            login: self.login.clone(),
            ticket: self.ticket.clone(),
            starts: now,
            ends,
            source: GrantSource::Request {
                request: self.id,
                approved_by: approvals.iter().map(|approval| approval.by.clone()).collect(),
            },
            ended: None,
        }
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
#[path = "request_model_tests.rs"]
mod model;
#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
