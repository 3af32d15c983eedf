//! Grants: a right with a window. A grant alone lets nobody in; the role must still allow it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::action::ActionKind;
use crate::id::{GrantId, RequestId, ReviewId};
use crate::name::{Login, RoleName, TargetName, UserName};
use crate::time::Timestamp;

/// Where a grant comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum GrantSource {
    /// An approved request.
    Request {
        /// Which one.
        request: RequestId,
        /// Who approved.
        approved_by: Vec<UserName>,
    },
    /// A break-glass role that was taken out.
    BreakGlass {
        /// The review that was opened with it.
        review: ReviewId,
        /// Why, as the user wrote.
        reason: String,
    },
}

impl GrantSource {
    /// The request that it comes of, if it does.
    pub const fn request(&self) -> Option<RequestId> {
        match self {
            Self::Request { request, .. } => Some(*request),
            Self::BreakGlass { .. } => None,
        }
    }

    /// Whether it comes of a break-glass role.
    pub const fn is_break_glass(&self) -> bool {
        matches!(self, Self::BreakGlass { .. })
    }
}

/// Why a grant ended before its window did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantEnd {
    /// When.
    pub at: Timestamp,
    /// Who ended it.
    pub by: UserName,
    /// Why, for people.
    pub reason: String,
}

/// Access to targets of one environment for one person in one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Whose it is.
    pub user: UserName,
    /// To what.
    pub target: TargetName,
    /// And to these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub also: BTreeSet<TargetName>,
    /// The role that was asked for; it is active where it otherwise would not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// Only these actions; empty: all that the roles allow.
    pub actions: BTreeSet<ActionKind>,
    /// Only as this account; `None`: any that the roles allow.
    pub login: Option<Login>,
    /// The ticket it was asked for under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// From when (the moment of approval).
    pub starts: Timestamp,
    /// Until when, exclusive.
    pub ends: Timestamp,
    /// Where it comes from.
    pub source: GrantSource,
    /// Set once it is revoked or given back.
    pub ended: Option<GrantEnd>,
}

impl Grant {
    /// Whether it is in force at `now`.
    pub fn active(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.starts <= now && now < self.ends
    }

    /// Whether it is to this target, whenever.
    pub fn reaches(&self, target: &TargetName) -> bool {
        self.target == *target || self.also.contains(target)
    }

    /// Every target it is to.
    pub fn targets(&self) -> impl Iterator<Item = &TargetName> {
        std::iter::once(&self.target).chain(&self.also)
    }

    /// Whether it is in force at `now` for this action by this login.
    pub fn covers(&self, action: ActionKind, login: Option<&Login>, now: Timestamp) -> bool {
        self.active(now)
            && (self.actions.is_empty() || self.actions.contains(&action))
            && (self.login.is_none() || self.login.as_ref() == login)
    }
}
