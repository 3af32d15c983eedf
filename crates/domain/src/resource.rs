//! A declarative resource of any kind, and the key it is known by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::environment::Environment;
use crate::invariant::Invariant;
use crate::role::{Group, PolicyText, Role, RoleAssignment};
use crate::separation::SeparationOfDuties;
use crate::target::Target;
use crate::user::User;

/// The kinds of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// [`Environment`]
    Environment,
    /// [`Group`]
    Group,
    /// [`User`]
    User,
    /// [`Target`]
    Target,
    /// [`Role`]
    Role,
    /// [`RoleAssignment`]
    RoleAssignment,
    /// [`PolicyText`]
    Policy,
    /// [`Invariant`]
    Invariant,
    /// [`SeparationOfDuties`]
    SeparationOfDuties,
}

/// A text that names no kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a kind of resource; the kinds are Environment, Group, User, Target, Role, RoleAssignment, Policy, Invariant, SeparationOfDuties"
)]
pub struct KindError(String);

impl Kind {
    /// Every kind, in the order dependencies run.
    pub const ALL: [Self; 9] = [
        Self::Environment,
        Self::Group,
        Self::User,
        Self::Target,
        Self::Role,
        Self::RoleAssignment,
        Self::Policy,
        Self::Invariant,
        Self::SeparationOfDuties,
    ];

    /// As written in `kind:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "Environment",
            Self::Group => "Group",
            Self::User => "User",
            Self::Target => "Target",
            Self::Role => "Role",
            Self::RoleAssignment => "RoleAssignment",
            Self::Policy => "Policy",
            Self::Invariant => "Invariant",
            Self::SeparationOfDuties => "SeparationOfDuties",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = KindError;
    /// Accepts `RoleAssignment`, `roleassignment`, `role-assignment` and a plural `s`.
    fn from_str(text: &str) -> Result<Self, KindError> {
        let plain = text.to_ascii_lowercase().replace(['-', '_'], "");
        Self::ALL
            .into_iter()
            .find(|kind| {
                let name = kind.as_str().to_ascii_lowercase();
                plain == name
                    || plain.strip_suffix('s') == Some(&name)
                    || (name == "policy" && plain == "policies")
            })
            .ok_or_else(|| KindError(text.escape_debug().to_string()))
    }
}

/// Kind and name: what a resource is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// Its kind.
    pub kind: Kind,
    /// Its canonical name.
    pub name: String,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A declarative resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Resource {
    /// An environment.
    Environment(Environment),
    /// A group.
    Group(Group),
    /// A user.
    User(User),
    /// A target.
    Target(Target),
    /// A role.
    Role(Role),
    /// A role given to people.
    RoleAssignment(RoleAssignment),
    /// Raw Cedar.
    Policy(PolicyText),
    /// What must never be possible.
    Invariant(Invariant),
    /// Roles that are kept apart.
    SeparationOfDuties(SeparationOfDuties),
}

impl Resource {
    /// What it is known by.
    pub fn key(&self) -> ResourceKey {
        let (kind, name) = match self {
            Self::Environment(r) => (Kind::Environment, r.name.as_str()),
            Self::Group(r) => (Kind::Group, r.name.as_str()),
            Self::User(r) => (Kind::User, r.name.as_str()),
            Self::Target(r) => (Kind::Target, r.name.as_str()),
            Self::Role(r) => (Kind::Role, r.name.as_str()),
            Self::RoleAssignment(r) => (Kind::RoleAssignment, r.name.as_str()),
            Self::Policy(r) => (Kind::Policy, r.name.as_str()),
            Self::Invariant(r) => (Kind::Invariant, r.name.as_str()),
            Self::SeparationOfDuties(r) => (Kind::SeparationOfDuties, r.name.as_str()),
        };
        ResourceKey { kind, name: name.to_owned() }
    }
}
