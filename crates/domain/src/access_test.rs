//! Example requests with the answer they must get: the tests of a policy.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::decision::Recording;
use crate::name::{Login, PolicyName, TargetName, UserName};
use crate::time::Timestamp;

/// One example request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessCase {
    /// The test it belongs to.
    pub test: PolicyName,
    /// What it shows, for people.
    pub name: String,
    /// Who asks.
    pub user: UserName,
    /// How long ago they proved a second factor; `None`: not at all.
    pub second_factor_age: Option<Duration>,
    /// From where.
    pub source: IpAddr,
    /// When; `None`: when the test runs.
    pub at: Option<Timestamp>,
    /// Whether an approved grant for all of the target is in force then.
    pub has_grant: bool,
    /// The ticket the grant was asked for with.
    pub ticket: Option<String>,
    /// Where.
    pub target: TargetName,
    /// As which account; `None`: the only one possible.
    pub login: Option<Login>,
    /// What.
    pub action: Action,
    /// The answer it must get.
    pub expect: Verdict,
    /// Policies that must be among those that decide, by their ids.
    pub by: Vec<String>,
    /// On these terms, where it is allowed.
    pub terms: ExpectedTerms,
}

/// Where requests of tests come from unless they say so: an address for documentation (RFC 5737).
pub const DEFAULT_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// An answer without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Allow,
    /// Yes, after a second factor.
    StepUp,
    /// Yes, after an approved request.
    RequestAccess,
    /// No.
    Deny,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allow, Self::StepUp, Self::RequestAccess, Self::Deny];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::StepUp => "step_up",
            Self::RequestAccess => "request_access",
            Self::Deny => "deny",
        }
    }
}

/// Terms that must be met; `None`: any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedTerms {
    /// Whether it is recorded.
    pub recording: Option<Recording>,
    /// The account.
    pub login: Option<Login>,
    /// Longest session.
    pub max_session: Option<Duration>,
    /// Longest silence.
    pub idle_timeout: Option<Duration>,
}
