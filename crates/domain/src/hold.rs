//! Evidence holds: what must not be erased or deleted while somebody may still have to answer
//! for it. A hold keeps log entries readable (no key of theirs is destroyed) and recordings
//! stored; it stops nobody from working.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{HoldId, SessionId};
use crate::name::{EnvironmentName, NameError, TargetName, UserName};
use crate::time::Timestamp;

/// Whose or which evidence is held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum HoldScope {
    /// Whatever one person did.
    Subject(UserName),
    /// Whatever happened on one target.
    Target(TargetName),
    /// Whatever happened in one environment.
    Environment(EnvironmentName),
    /// One session.
    Session(SessionId),
}

impl HoldScope {
    /// The kind, as written on the command line and in the store.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Subject(_) => "subject",
            Self::Target(_) => "target",
            Self::Environment(_) => "environment",
            Self::Session(_) => "session",
        }
    }

    /// The name or id of what is held.
    pub fn name(&self) -> String {
        match self {
            Self::Subject(name) => name.to_string(),
            Self::Target(name) => name.to_string(),
            Self::Environment(name) => name.to_string(),
            Self::Session(id) => id.to_string(),
        }
    }

    /// Whether this scope takes in something that is described so.
    pub fn covers(&self, evidence: &Evidence) -> bool {
        match self {
            Self::Subject(name) => evidence.subject.as_ref() == Some(name),
            Self::Target(name) => evidence.target.as_ref() == Some(name),
            Self::Environment(name) => evidence.environment.as_ref() == Some(name),
            Self::Session(id) => evidence.session == Some(*id),
        }
    }
}

impl fmt::Display for HoldScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.name())
    }
}

/// A text that is no scope of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HoldScopeError {
    /// There is no kind before a colon, or an unknown one.
    #[error(
        "`{0}` is not the scope of a hold; write `subject:NAME`, `target:NAME`, `environment:NAME` or `session:ID`"
    )]
    Kind(String),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The id is none.
    #[error(transparent)]
    Id(#[from] crate::id::IdError),
}

impl FromStr for HoldScope {
    type Err = HoldScopeError;

    fn from_str(text: &str) -> Result<Self, HoldScopeError> {
        let unknown = || HoldScopeError::Kind(text.escape_debug().take(80).collect());
        let (kind, name) = text.split_once(':').ok_or_else(unknown)?;
        Ok(match kind {
            "subject" => Self::Subject(name.parse()?),
            "target" => Self::Target(name.parse()?),
            "environment" => Self::Environment(name.parse()?),
            "session" => Self::Session(name.parse()?),
            _ => return Err(unknown()),
        })
    }
}

/// What a piece of evidence (a recording, an entry, all that concerns one person) is about;
/// what is not known is `None` and covered by no hold on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Whose doing it was.
    pub subject: Option<UserName>,
    /// On which target.
    pub target: Option<TargetName>,
    /// In which environment.
    pub environment: Option<EnvironmentName>,
    /// In which session.
    pub session: Option<SessionId>,
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// What is held.
    pub scope: HoldScope,
    /// Why, for people: a case number rather than a story.
    pub reason: String,
    /// Who answers for it and is asked before it is lifted.
    pub owner: UserName,
    /// Who placed it; it takes another person to lift it.
    pub by: UserName,
    /// When it was placed.
    pub at: Timestamp,
}

/// The first of these holds that covers this evidence.
pub fn covering<'a>(holds: &'a [Hold], evidence: &Evidence) -> Option<&'a Hold> {
    holds.iter().find(|hold| hold.scope.covers(evidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_as_it_is_written_and_nothing_else_does() {
        for (text, shown) in [
            ("subject:alice", "subject `alice`"),
            ("target:web-1", "target `web-1`"),
            ("environment:production", "environment `production`"),
        ] {
            assert_eq!(text.parse::<HoldScope>().unwrap().to_string(), shown);
        }
        for wrong in ["alice", "user:alice", "subject:", "session:web", "subject:a b"] {
            assert!(wrong.parse::<HoldScope>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hold_covers_what_is_known_to_be_in_its_scope() {
        let scope: HoldScope = "target:web-1".parse().unwrap();
        let on = |target: &str| Evidence {
            subject: Some("alice".parse().unwrap()),
            target: Some(target.parse().unwrap()),
            ..Evidence::default()
        };
        assert!(scope.covers(&on("web-1")));
        assert!(!scope.covers(&on("web-2")) && !scope.covers(&Evidence::default()));
        let subject: HoldScope = "subject:alice".parse().unwrap();
        assert!(subject.covers(&on("web-2")));
    }
}
