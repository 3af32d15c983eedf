//! Environments: the rooms production is separated from. Every target, credential and secret
//! belongs to exactly one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decision::Recording;
use crate::name::{EnvironmentName, GroupName};
use crate::time::human;

/// How much an environment matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Real users and real data.
    Production,
    /// A rehearsal of production.
    Staging,
    /// Automated and manual testing.
    Test,
    /// Where people build.
    Development,
}

impl Tier {
    /// The name in resources and policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Test => "test",
            Self::Development => "development",
        }
    }
}

/// Whether a role alone lets someone in, or a grant is needed beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// A role is enough.
    Standing,
    /// A role makes someone eligible; an approved, unexpired grant lets them in.
    OnRequest,
}

/// Who must agree to a request: `count` people out of `groups`, never the requester.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// Members of any of these groups may approve.
    pub groups: BTreeSet<GroupName>,
    /// How many different people must approve; at least 1.
    pub count: u32,
}

/// An environment with the terms every session in it gets at least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// How much it matters.
    pub tier: Tier,
    /// INVARIANT: `OnRequest` where the tier is Production (the parser refuses anything else).
    pub access: Access,
    /// Who approves requests; `None` means that nobody can, so requests are refused.
    pub approval: Option<ApprovalRule>,
    /// Longest grant that can be asked for.
    #[serde(with = "human")]
    pub max_grant: Duration,
    /// How old the second factor may be when a session starts. `Some(0)` asks anew for every
    /// session; `None` asks for no second factor.
    #[serde(with = "human::option")]
    pub second_factor_max_age: Option<Duration>,
    /// Whether sessions are recorded.
    pub recording: Recording,
    /// Longest session, however long the grant.
    #[serde(with = "human::option")]
    pub max_session: Option<Duration>,
    /// A session without a byte in either direction for this long ends.
    #[serde(with = "human::option")]
    pub idle_timeout: Option<Duration>,
}
