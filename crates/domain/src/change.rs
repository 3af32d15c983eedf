//! Changes of resources, factors and credentials that wait for a second person, as a state machine.
//!
//! What somebody proposed flows in with what exactly it changes (a digest over everything before and
//! after); a decision by somebody else flows out. Nothing here knows what is in the files.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::ChangeId;
use crate::name::UserName;
use crate::time::Timestamp;

/// How long a change waits for the second person.
pub const CHANGE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A change somebody has proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChange {
    /// Its id.
    pub id: ChangeId,
    /// Who proposed it. Fixed for good: approval is compared with it.
    pub author: UserName,
    /// What exactly it changes, hexadecimal: over all resources before and after.
    pub digest: String,
    /// Why it takes two people.
    pub why: String,
    /// The files, as they were sent.
    pub files: Vec<ChangeFile>,
    /// Whether resources the files do not have are removed.
    pub prune: bool,
    /// What it is about, where that is not resources.
    #[serde(default)]
    pub subject: ChangeSubject,
    /// When it was proposed.
    pub at: Timestamp,
    /// Where it stands.
    pub state: ChangeState,
}

/// What a change is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "about")]
pub enum ChangeSubject {
    /// The resources in the files.
    #[default]
    Resources,
    /// The author changed their own second factors and would like to be let into production before
    /// the wait is over.
    Factors {
        /// When the wait would be over; another one means other factors.
        until: Timestamp,
    },
    /// Somebody's credentials are reset.
    Reset {
        /// Whose.
        user: UserName,
        /// What their temporary password is checked with.
        password: PasswordRecord,
    },
}

/// A hashed password on its way to where it is kept. Not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRecord(pub String);

impl fmt::Debug for PasswordRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordRecord(..)")
    }
}

/// A file of resources in a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeFile {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Where a change stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ChangeState {
    /// Waiting for another person.
    Pending,
    /// Another person agreed, and it was applied.
    Approved {
        /// Who.
        by: UserName,
        /// When.
        at: Timestamp,
    },
    /// Somebody refused, or the author withdrew it.
    Denied {
        /// Who.
        by: UserName,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl ChangeState {
    /// The name of the state, for people and the log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
            Self::Denied { .. } => "denied",
        }
    }
}

/// Why a change cannot be decided as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// It has been decided.
    #[error("change `{id}` is {state}; only a pending change can be decided")]
    NotPending {
        /// The change.
        id: ChangeId,
        /// Where it stands.
        state: &'static str,
    },
    /// Nobody decided in time.
    #[error("change `{id}` expired at {at}; apply the files again to propose it anew")]
    Expired {
        /// The change.
        id: ChangeId,
        /// When.
        at: Timestamp,
    },
    /// INVARIANT (nobody alone): no one approves what they proposed.
    #[error("`{user}` proposed this change, so another person must approve it")]
    OwnChange {
        /// Who tried.
        user: UserName,
    },
}

impl PendingChange {
    /// When it expires.
    pub fn expires(&self) -> Timestamp {
        self.at.plus(CHANGE_LIFETIME)
    }

    /// Whether it can still be decided. One dated in the future cannot: a clock has gone back.
    pub fn open(&self, now: Timestamp) -> bool {
        self.state == ChangeState::Pending && self.at <= now && now < self.expires()
    }

    /// Another person agrees. The caller has checked their right.
    pub fn approve(self, by: UserName, now: Timestamp) -> Result<Self, ChangeError> {
        if by == self.author {
            return Err(ChangeError::OwnChange { user: by });
        }
        self.decide(ChangeState::Approved { by, at: now }, now)
    }

    /// Somebody refuses, or the author withdraws it. The caller has checked their right.
    pub fn deny(self, by: UserName, reason: String, now: Timestamp) -> Result<Self, ChangeError> {
        self.decide(ChangeState::Denied { by, at: now, reason }, now)
    }

    fn decide(self, state: ChangeState, now: Timestamp) -> Result<Self, ChangeError> {
        if self.state != ChangeState::Pending {
            return Err(ChangeError::NotPending { id: self.id, state: self.state.as_str() });
        }
        if !self.open(now) {
            return Err(ChangeError::Expired { id: self.id, at: self.expires() });
        }
        Ok(Self { state, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    #[test]
    fn only_another_person_in_time_agrees_and_only_once() {
        let (alice, bob) = (user("alice"), user("bob"));
        let own = change().approve(alice.clone(), NOW);
        assert!(matches!(own, Err(ChangeError::OwnChange { .. })));
        let approved = change().approve(bob.clone(), NOW).unwrap();
        let again = approved.approve(bob.clone(), NOW);
        assert!(matches!(again, Err(ChangeError::NotPending { .. })));
        let late = change().approve(bob.clone(), NOW.plus(CHANGE_LIFETIME));
        assert!(matches!(late, Err(ChangeError::Expired { .. })));
        let before = change().approve(bob, NOW.minus(Duration::from_secs(1)));
        assert!(matches!(before, Err(ChangeError::Expired { .. })), "a clock that went back");
        let withdrawn = change().deny(alice, "not yet".into(), NOW).unwrap();
        assert_eq!(withdrawn.state.as_str(), "denied");
    }

    fn change() -> PendingChange {
        PendingChange {
            id: ChangeId::new(NOW, [1; 10]),
            author: user("alice"),
            digest: "00".into(),
            why: "moves a target".into(),
            files: Vec::new(),
            prune: false,
            subject: ChangeSubject::Resources,
            at: NOW,
            state: ChangeState::Pending,
        }
    }

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }
}
