//! A decision is not a boolean: it says on which terms, or what is missing, or why not.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::approval::ApprovalRule;
use crate::factor::Authentication;
use crate::id::{GrantId, LockId};
use crate::name::{EnvironmentName, Login, TargetName};
use crate::time::Timestamp;

/// Whether a session is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// Not recorded.
    Off,
    /// Recorded while that works; a failure is said and the session goes on.
    BestEffort,
    /// If it cannot be recorded it does not happen.
    Required,
}

/// What is asked: may this person do this, there, now?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Who, with what they have proved.
    pub who: Authentication,
    /// The target.
    pub target: TargetName,
    /// The account on the target, once known.
    pub login: Option<Login>,
    /// What they want to do.
    pub action: Action,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Yes, on these terms.
    Allow(Terms),
    /// Yes, once a second factor no older than this has been proved.
    StepUp {
        /// Oldest acceptable second factor; zero asks for one now.
        max_age: Duration,
        /// The policies that would allow it.
        reasons: Vec<String>,
    },
    /// Eligible, once a request has been approved.
    RequestAccess {
        /// Who must agree; `None` where the environment lets nobody in.
        rule: Option<ApprovalRule>,
        /// Longest grant that can be asked for.
        max_grant: Duration,
        /// The policies that would allow it.
        reasons: Vec<String>,
    },
    /// No.
    Deny(Denial),
}

/// On which terms an action is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The environment of the target.
    pub environment: EnvironmentName,
    /// The account on the target.
    pub login: Login,
    /// Whether it must be recorded.
    pub recording: Recording,
    /// The moment it ends whatever happens: the grant's end.
    pub ends: Option<Timestamp>,
    /// When it must be asked again at the latest, because hours of a role open or close then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_again: Option<Timestamp>,
    /// Longest session.
    pub max_session: Option<Duration>,
    /// Longest silence.
    pub idle_timeout: Option<Duration>,
    /// The grant used, where one was needed.
    pub grant: Option<GrantId>,
    /// Ids of the policies that allowed it, sorted.
    pub reasons: Vec<String>,
}

/// Why not. `Display` is for operators and `why`; [`Denial::told`] is what the refused user reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// No such user, or disabled.
    UserUnknownOrDisabled,
    /// No such target.
    TargetUnknown,
    /// The target is not one on which such a thing can be done.
    Protocol {
        /// How it is spoken to.
        protocol: &'static str,
    },
    /// No policy allows it.
    NoPolicy,
    /// These policies forbid it.
    Forbidden {
        /// Their ids, sorted.
        policies: Vec<String>,
    },
    /// Roles allow it under conditions that are not met now.
    Conditions {
        /// Which, in words.
        unmet: Vec<String>,
    },
    /// A lock holds.
    Locked {
        /// Which.
        lock: LockId,
        /// On what.
        subject: String,
        /// Why, as its author wrote.
        reason: String,
    },
    /// Their second factors changed a short while ago, and nobody else has agreed to it yet.
    FactorChanged {
        /// Until when they stay out of production.
        until: Timestamp,
    },
    /// The login is not one of the target's, or none was named where there are several.
    Login {
        /// The logins the user may use.
        choices: Vec<Login>,
    },
    /// The command, path or destination is too long to decide on.
    TooLong,
    /// A policy could not be evaluated; that is always a deny.
    PolicyError {
        /// What the engine said.
        errors: Vec<String>,
    },
}

impl Terms {
    /// When the decision must be taken again at the latest.
    pub fn good_until(&self) -> Option<Timestamp> {
        match (self.ends, self.ask_again) {
            (Some(ends), Some(again)) => Some(ends.min(again)),
            (one, other) => one.or(other),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserUnknownOrDisabled => f.write_str("the user is unknown or disabled"),
            Self::TargetUnknown => f.write_str("the target is unknown"),
            Self::Protocol { protocol } => {
                write!(f, "the target is spoken to over {protocol}, which knows no such action")
            }
            Self::NoPolicy => f.write_str("no role or policy allows it"),
            Self::Forbidden { policies } => write!(f, "forbidden by {}", policies.join(", ")),
            Self::Conditions { unmet } => {
                write!(f, "allowed only {}", unmet.join(", or "))
            }
            Self::Locked { lock, subject, reason } => {
                write!(f, "{subject} is locked by {lock}: {}", reason.escape_debug())
            }
            Self::FactorChanged { until } => write!(
                f,
                "the second factors changed, and nobody else has confirmed it: no production until {until}"
            ),
            Self::Login { choices } => write!(
                f,
                "the login is not allowed or not named; choose one of: {}",
                choices.iter().map(Login::as_str).collect::<Vec<_>>().join(", ")
            ),
            Self::TooLong => f.write_str("the command, path or destination is too long"),
            Self::PolicyError { errors } => {
                write!(f, "a policy could not be evaluated: {}", errors.join("; "))
            }
        }
    }
}

impl Denial {
    /// What the refused user is told: how to go on, not what exists beyond.
    pub fn told(&self) -> String {
        match self {
            Self::Locked { subject, reason, .. } => {
                format!("{subject} is locked: {}", reason.escape_debug())
            }
            Self::Login { choices } if !choices.is_empty() => format!(
                "name the login: USER:LOGIN@TARGET with one of {}",
                choices.iter().map(Login::as_str).collect::<Vec<_>>().join(", ")
            ),
            Self::Conditions { unmet } => {
                format!("your role allows it only {}", unmet.join(", or "))
            }
            Self::TooLong => "the command, path or destination is too long".into(),
            Self::FactorChanged { until } => format!(
                "your second factors changed: production opens again at {until}, or when an administrator confirms the change (`portcullis changes`)"
            ),
            _ => "access denied; ask your administrator which role allows it (`portcullis why` explains)".into(),
        }
    }
}
