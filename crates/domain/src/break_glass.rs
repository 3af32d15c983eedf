//! Breaking the glass: access without anybody's approval, and the review that follows each use.
//!
//! Somebody who holds a break-glass role has nothing by it until they take it out, with a second
//! factor just proved and a reason. That opens a review, and until another person has closed it
//! nobody takes the role out again. One use, one grant, one review.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::grant::{Grant, GrantSource};
use crate::id::{GrantId, ReviewId};
use crate::name::{EnvironmentName, RoleName, TargetName, UserName};
use crate::role::Role;
use crate::time::{Timestamp, format_duration, human};

/// A second factor proved longer ago than this does not break the glass.
pub const FACTOR_MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// How far in the future a second factor may be dated, for clocks of several nodes.
const FUTURE_TOLERANCE: Duration = Duration::from_secs(5);
/// How long a use lasts at most where the role says nothing.
pub const DEFAULT_MAX_DURATION: Duration = Duration::from_secs(3600);
/// The longest a role can let a use last; the parser refuses more.
pub const LONGEST_USE: Duration = Duration::from_secs(8 * 3600);

/// That a role is taken out in an emergency and otherwise gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    /// How long one use lasts at most.
    #[serde(with = "human")]
    pub max_duration: Duration,
}

/// Somebody breaks the glass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Who. The caller has checked that they hold the role.
    pub user: UserName,
    /// On what.
    pub target: TargetName,
    /// And on these.
    pub also: BTreeSet<TargetName>,
    /// Where they are.
    pub environment: EnvironmentName,
    /// Why.
    pub reason: String,
    /// For how long; `None`: for as long as the role lets it last.
    pub duration: Option<Duration>,
    /// When their latest second factor was proved.
    pub second_factor_at: Option<Timestamp>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Opened with the grant, in the same step.
    pub review: Review,
    /// The access.
    pub grant: Grant,
}

/// Why the glass does not break.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BreakGlassError {
    /// The role is an ordinary one.
    #[error("role `{role}` is not a break-glass role; ask with `portcullis request`")]
    Ordinary {
        /// Which.
        role: RoleName,
    },
    /// No second factor, or one that is too old.
    #[error(
        "breaking the glass takes a second factor proved in the last {}; sign in again with `portcullis login` and your code",
        format_duration(FACTOR_MAX_AGE)
    )]
    FactorTooOld,
    /// For longer than the role lets it last.
    #[error("role `{role}` can be taken out for at most {}", format_duration(*.most))]
    TooLong {
        /// Which.
        role: RoleName,
        /// The longest.
        most: Duration,
    },
    /// INVARIANT: no use before the last one has been reviewed.
    #[error(
        "role `{role}` was last taken out by `{by}` and that has not been reviewed; somebody else closes review `{}` first: `portcullis reviews close`",
        .review.short()
    )]
    Unreviewed {
        /// Which.
        role: RoleName,
        /// What is open.
        review: ReviewId,
        /// Who used it.
        by: UserName,
    },
}

impl Use {
    /// Takes the role out, unless a use of it is `unreviewed`.
    pub fn of(
        self,
        role: &Role,
        unreviewed: Option<&Review>,
        ids: (ReviewId, GrantId),
        now: Timestamp,
    ) -> Result<Broken, BreakGlassError> {
        let name = role.name.clone();
        let Some(glass) = &role.break_glass else {
            return Err(BreakGlassError::Ordinary { role: name });
        };
        if let Some(open) = unreviewed {
            let (review, by) = (open.id, open.user.clone());
            return Err(BreakGlassError::Unreviewed { role: name, review, by });
        }
        let proved = self.second_factor_at.filter(|at| *at <= now.plus(FUTURE_TOLERANCE));
        if proved.is_none_or(|at| now.since(at) > FACTOR_MAX_AGE) {
            return Err(BreakGlassError::FactorTooOld);
        }
        let duration = self.duration.unwrap_or(glass.max_duration);
        if duration.is_zero() || duration > glass.max_duration {
            return Err(BreakGlassError::TooLong { role: name, most: glass.max_duration });
        }
        let (review, grant) = ids;
        let source = GrantSource::BreakGlass { review, reason: self.reason.clone() };
        let grant = Grant {
            id: grant,
            user: self.user.clone(),
            target: self.target.clone(),
            also: self.also.clone(),
            role: Some(name.clone()),
            actions: BTreeSet::new(),
            login: None,
            ticket: None,
            starts: now,
            ends: now.plus(duration),
            source,
            ended: None,
        };
        let review = Review {
            id: review,
            role: name,
            user: self.user,
            target: self.target,
            also: self.also,
            environment: self.environment,
            grant: grant.id,
            reason: self.reason,
            opened_at: now,
            state: ReviewState::Open,
        };
        Ok(Broken { review, grant })
    }
}

/// What somebody else has to say about a use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Its id.
    pub id: ReviewId,
    /// The role that was taken out.
    pub role: RoleName,
    /// By whom. Fixed for good: who closes it is compared with it.
    pub user: UserName,
    /// On what.
    pub target: TargetName,
    /// And on these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub also: BTreeSet<TargetName>,
    /// Where that was.
    pub environment: EnvironmentName,
    /// The access that came of it.
    pub grant: GrantId,
    /// Why, as the user wrote.
    pub reason: String,
    /// When.
    pub opened_at: Timestamp,
    /// Where it stands.
    pub state: ReviewState,
}

/// Where a review stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ReviewState {
    /// Nobody has closed it; the role cannot be taken out.
    Open,
    /// Somebody else has.
    Closed {
        /// Who.
        by: UserName,
        /// When.
        at: Timestamp,
        /// What they found.
        findings: String,
    },
}

impl ReviewState {
    /// The name of the state, for people and the log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed { .. } => "closed",
        }
    }
}

/// Why a review cannot be closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReviewError {
    /// INVARIANT (nobody alone): no one reviews their own use.
    #[error("`{user}` took the role out; nobody reviews their own use, so another person must")]
    OwnUse {
        /// Who tried.
        user: UserName,
    },
    /// It has been closed.
    #[error("review `{id}` is closed already")]
    Closed {
        /// Which.
        id: ReviewId,
    },
    /// There is nothing to find yet.
    #[error("the use lasts until {ends}; end it first with `portcullis revoke {}`", .grant.short())]
    StillInUse {
        /// The access.
        grant: GrantId,
        /// When it ends.
        ends: Timestamp,
    },
}

impl Review {
    /// `by` closes it, once its grant is over. The caller has checked that `by` may review.
    pub fn close(
        self,
        by: UserName,
        findings: String,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Self, ReviewError> {
        if by == self.user {
            return Err(ReviewError::OwnUse { user: by });
        }
        if self.state != ReviewState::Open {
            return Err(ReviewError::Closed { id: self.id });
        }
        // Anything but the grant of this very use is no proof that the use is over.
        if grant.id != self.grant || (grant.ended.is_none() && now < grant.ends) {
            return Err(ReviewError::StillInUse { grant: self.grant, ends: grant.ends });
        }
        Ok(Self { state: ReviewState::Closed { by, at: now, findings }, ..self })
    }
}

#[cfg(test)]
#[path = "break_glass_tests.rs"]
mod tests;
