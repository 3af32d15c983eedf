//! Why a session ends, and what the person at the terminal is told.

use portcullis_domain::{Decision, Denial, Facts, GrantId, Timestamp, UserName};

/// Why a session ended. The first reason given wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The client closed the connection.
    ClientLeft,
    /// The target closed the connection.
    TargetLeft,
    /// The target could not be reached or did not prove itself.
    ConnectFailed(String),
    /// The grant reached its end.
    GrantEnded,
    /// The grant was revoked; who and why.
    Revoked(String),
    /// The conditions of the role are not met any more, such as its hours; which.
    OutsideConditions(String),
    /// A lock was placed; on what and why.
    Locked(String),
    /// The gate of the environment was dropped; why.
    Dropped(String),
    /// Roles, policies or resources changed so that the session is not allowed any more.
    PolicyChanged(String),
    /// An administrator ended it.
    Killed {
        /// Who.
        by: UserName,
        /// Why.
        reason: String,
    },
    /// Nothing moved for the environment's idle time.
    Idle,
    /// The environment's longest session was reached.
    MaxSession,
    /// The recording could not be written, and the terms require it.
    RecordingFailed(String),
    /// The audit log could not be written.
    AuditFailed(String),
    /// The store has been out of reach for longer than the node's lease.
    StoreLost,
    /// The node is shutting down.
    NodeStopping,
}

impl EndReason {
    /// The name in the log, in `sessions list` and in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::TargetLeft => "target_left",
            Self::ConnectFailed(_) => "connect_failed",
            Self::GrantEnded => "grant_ended",
            Self::Revoked(_) => "revoked",
            Self::OutsideConditions(_) => "outside_conditions",
            Self::Locked(_) => "locked",
            Self::Dropped(_) => "dropped",
            Self::PolicyChanged(_) => "policy_changed",
            Self::Killed { .. } => "killed",
            Self::Idle => "idle",
            Self::MaxSession => "max_session",
            Self::RecordingFailed(_) => "recording_failed",
            Self::AuditFailed(_) => "audit_failed",
            Self::StoreLost => "store_lost",
            Self::NodeStopping => "node_stopping",
        }
    }

    /// What the person is told. One line, no control characters.
    pub fn told(&self) -> String {
        match self {
            Self::ClientLeft => "you closed the session".into(),
            Self::TargetLeft => "the target closed the session".into(),
            Self::ConnectFailed(why) => why.escape_debug().to_string(),
            Self::GrantEnded => {
                "your grant has ended; ask again with `portcullis request` if you need more time"
                    .into()
            }
            Self::Revoked(why) => format!("your grant was revoked: {}", why.escape_debug()),
            Self::OutsideConditions(which) => {
                format!("this is allowed only {}", which.escape_debug())
            }
            Self::Locked(why) => format!("access is locked: {}", why.escape_debug()),
            Self::Dropped(why) => format!("the gate has been dropped: {}", why.escape_debug()),
            Self::PolicyChanged(why) => {
                format!(
                    "the rules have changed and do not allow this any more: {}",
                    why.escape_debug()
                )
            }
            Self::Killed { by, reason } => {
                format!("the session was ended by {by}: {}", reason.escape_debug())
            }
            Self::Idle => "the session was idle for too long".into(),
            Self::MaxSession => "the longest session allowed here has been reached".into(),
            Self::RecordingFailed(_) => {
                "the session cannot be recorded any more, so it cannot go on".into()
            }
            Self::AuditFailed(_) => {
                "the audit log cannot be written, so the session cannot go on".into()
            }
            Self::StoreLost => "the gate has lost its store, so it is closed".into(),
            Self::NodeStopping => "the gate is shutting down".into(),
        }
    }
}

/// Why a decision that used to allow a session does not any more.
pub(crate) fn reason_for(
    decision: &Decision,
    facts: &Facts,
    user: &UserName,
    grant: Option<GrantId>,
    now: Timestamp,
) -> EndReason {
    match decision {
        Decision::Allow(_) => EndReason::PolicyChanged("the terms have changed".into()),
        Decision::StepUp { .. } => {
            EndReason::PolicyChanged("a second factor is required now".into())
        }
        Decision::RequestAccess { .. } => grant_end(facts, user, grant, now),
        Decision::Deny(Denial::Locked { lock, subject, reason }) => {
            let told = format!("{subject}: {reason}");
            let dropped = facts.locks.iter().any(|held| {
                held.id == *lock
                    && matches!(held.kind, portcullis_domain::lock::LockKind::Drop { .. })
            });
            if dropped { EndReason::Dropped(told) } else { EndReason::Locked(told) }
        }
        Decision::Deny(Denial::Conditions { unmet }) => {
            EndReason::OutsideConditions(unmet.join(", or "))
        }
        Decision::Deny(denial) => EndReason::PolicyChanged(denial.told()),
    }
}

/// A grant that is gone from the facts before its time was revoked; one past its window ended.
fn grant_end(facts: &Facts, user: &UserName, grant: Option<GrantId>, now: Timestamp) -> EndReason {
    let Some(id) = grant else {
        return EndReason::PolicyChanged("an approved request is needed now".into());
    };
    let held = facts.grants.get(user).into_iter().flatten().find(|held| held.id == id);
    match held {
        Some(held) if held.ended.is_none() && now >= held.ends => EndReason::GrantEnded,
        Some(held) => match &held.ended {
            Some(end) => EndReason::Revoked(format!("by {}: {}", end.by, end.reason)),
            None => EndReason::PolicyChanged("the grant does not cover this any more".into()),
        },
        None => EndReason::Revoked("it is not in force any more".into()),
    }
}
