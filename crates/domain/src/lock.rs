//! Locks: stop a user, role, target or environment at once. A dropped gate is a lock on an
//! environment that needs two people to lift.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::LockId;
use crate::name::{EnvironmentName, RoleName, TargetName, UserName};
use crate::target::Target;
use crate::time::Timestamp;

/// What a lock stops.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum LockSubject {
    /// One person.
    User(UserName),
    /// Whatever a role allows; a deny for all of its holders on what it would allow them.
    Role(RoleName),
    /// One target.
    Target(TargetName),
    /// Every target of an environment.
    Environment(EnvironmentName),
}

impl fmt::Display for LockSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user `{name}`"),
            Self::Role(name) => write!(f, "role `{name}`"),
            Self::Target(name) => write!(f, "target `{name}`"),
            Self::Environment(name) => write!(f, "environment `{name}`"),
        }
    }
}

/// How a lock came about, which says how it is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum LockKind {
    /// `portcullis lock`: one person places it, one lifts it.
    Lock,
    /// `portcullis drop`: one person drops the gate, two raise it.
    Drop {
        /// Who has asked for it to be raised so far.
        raised_by: Vec<UserName>,
    },
}

/// A lock in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Its id.
    pub id: LockId,
    /// What it stops.
    pub subject: LockSubject,
    /// How it came about.
    pub kind: LockKind,
    /// Why, for people.
    pub reason: String,
    /// Who placed it.
    pub by: UserName,
    /// When.
    pub at: Timestamp,
    /// When it lifts itself; `None`: never. A drop never does.
    pub expires: Option<Timestamp>,
}

impl Lock {
    /// Whether it holds at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| now < end)
    }

    /// Whether it keeps this person from this target at `now`, whatever the roles say. A lock on
    /// a role is not such a lock: it takes away what that role allows.
    pub fn keeps(&self, user: &UserName, target: &Target, now: Timestamp) -> bool {
        let concerned = match &self.subject {
            LockSubject::User(name) => name == user,
            LockSubject::Target(name) => *name == target.name,
            LockSubject::Environment(name) => *name == target.environment,
            LockSubject::Role(_) => false,
        };
        concerned && self.holds(now)
    }
}

/// How many different people must ask for a dropped gate to be raised.
pub const PEOPLE_TO_RAISE: usize = 2;
