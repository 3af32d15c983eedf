//! The vocabulary of the audit log, mapped to OCSF 1.8.0 classes.
//!
//! An [`Event`] says who did what to what and with which outcome. [`Event::to_entry`] gives it as
//! an OCSF event together with the places in it that are personal, which are sealed before the
//! entry is hashed; [`read`] finds its way in entries again. Logs for operators are something else
//! and never this.

mod ocsf;
mod personal;
pub mod read;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::id::{EventId, SessionId};
use crate::name::{EnvironmentName, TargetName, UserName};
use crate::time::Timestamp;

pub use ocsf::Entry;
pub use personal::{PUBLIC_DETAILS, Personal, SOURCE_SEALED_AT};

/// Longest value of one detail, in bytes; longer ones are cut and say so.
pub const MAX_DETAIL_BYTES: usize = 4096;

/// What happened. One variant per kind of event; the list is the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Activity {
    /// Someone proved, or failed to prove, who they are.
    Authenticate,
    /// A decision on an action was taken.
    Authorize,
    /// A session began.
    SessionOpen,
    /// A session ended.
    SessionClose,
    /// A channel or request inside a session: shell, exec, subsystem, forward, agent.
    Channel,
    /// A file was read or written.
    File,
    /// A statement was sent to a database, or refused.
    Statement,
    /// A forwarded connection ended, with its byte counts.
    Forward,
    /// The gate connected, or failed to connect, to a target (host key included).
    Connect,
    /// A recording began, was closed or failed.
    Recording,
    /// Someone read a recording or watched a session.
    RecordingRead,
    /// A recording was removed because its time was over.
    RecordingRemove,
    /// An access request was made.
    RequestCreate,
    /// An access request was approved.
    RequestApprove,
    /// An access request was denied.
    RequestDeny,
    /// An access request was withdrawn.
    RequestCancel,
    /// An access request expired.
    RequestExpire,
    /// A grant began.
    GrantCreate,
    /// A grant was revoked.
    GrantRevoke,
    /// A grant reached its end.
    GrantExpire,
    /// Resources were applied.
    ResourceApply,
    /// A password, key, second factor or recovery codes of a user changed.
    CredentialChange,
    /// A secret of a target changed.
    SecretChange,
    /// The master key or a signing key changed.
    KeyChange,
    /// A lock was placed.
    LockPlace,
    /// A lock was lifted.
    LockLift,
    /// An evidence hold was placed.
    HoldPlace,
    /// An evidence hold was lifted.
    HoldLift,
    /// A person was erased from the evidence: their key was destroyed.
    SubjectForget,
    /// A gate was dropped.
    GateDrop,
    /// A gate was, or began to be, raised.
    GateRaise,
    /// An administrator ended a session.
    SessionKill,
    /// The audit log was read or verified.
    AuditRead,
    /// Old entries of the audit log were moved to an archive.
    AuditArchive,
    /// A certificate or token was issued.
    CertificateIssue,
    /// A node started or stopped.
    Node,
    /// A break-glass role was taken out: access without anybody's approval.
    BreakGlass,
    /// The review of such a use was closed.
    ReviewClose,
    /// Something an operator must look at: a changed host key, a lockout, a flood.
    Finding,
}

impl Activity {
    /// Every activity.
    pub const ALL: [Self; 39] = [
        Self::Authenticate,
        Self::Authorize,
        Self::SessionOpen,
        Self::SessionClose,
        Self::Channel,
        Self::File,
        Self::Statement,
        Self::Forward,
        Self::Connect,
        Self::Recording,
        Self::RecordingRead,
        Self::RecordingRemove,
        Self::RequestCreate,
        Self::RequestApprove,
        Self::RequestDeny,
        Self::RequestCancel,
        Self::RequestExpire,
        Self::GrantCreate,
        Self::GrantRevoke,
        Self::GrantExpire,
        Self::ResourceApply,
        Self::CredentialChange,
        Self::SecretChange,
        Self::KeyChange,
        Self::LockPlace,
        Self::LockLift,
        Self::HoldPlace,
        Self::HoldLift,
        Self::SubjectForget,
        Self::GateDrop,
        Self::GateRaise,
        Self::SessionKill,
        Self::AuditRead,
        Self::AuditArchive,
        Self::CertificateIssue,
        Self::Node,
        Self::BreakGlass,
        Self::ReviewClose,
        Self::Finding,
    ];

    /// The name used in `audit search --activity` and in `metadata.event_code`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Authorize => "authorize",
            Self::SessionOpen => "session.open",
            Self::SessionClose => "session.close",
            Self::Channel => "channel",
            Self::File => "file",
            Self::Statement => "statement",
            Self::Forward => "forward",
            Self::Connect => "connect",
            Self::Recording => "recording",
            Self::RecordingRead => "recording.read",
            Self::RecordingRemove => "recording.remove",
            Self::RequestCreate => "request.create",
            Self::RequestApprove => "request.approve",
            Self::RequestDeny => "request.deny",
            Self::RequestCancel => "request.cancel",
            Self::RequestExpire => "request.expire",
            Self::GrantCreate => "grant.create",
            Self::GrantRevoke => "grant.revoke",
            Self::GrantExpire => "grant.expire",
            Self::ResourceApply => "resource.apply",
            Self::CredentialChange => "credential.change",
            Self::SecretChange => "secret.change",
            Self::KeyChange => "key.change",
            Self::LockPlace => "lock.place",
            Self::LockLift => "lock.lift",
            Self::HoldPlace => "hold.place",
            Self::HoldLift => "hold.lift",
            Self::SubjectForget => "subject.forget",
            Self::GateDrop => "gate.drop",
            Self::GateRaise => "gate.raise",
            Self::SessionKill => "session.kill",
            Self::AuditRead => "audit.read",
            Self::AuditArchive => "audit.archive",
            Self::CertificateIssue => "certificate.issue",
            Self::Node => "node",
            Self::BreakGlass => "break_glass",
            Self::ReviewClose => "review.close",
            Self::Finding => "finding",
        }
    }
}

/// How it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was allowed or done.
    Success,
    /// It was refused, for this reason.
    Refused(String),
    /// It was tried and failed, for this reason.
    Failed(String),
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub activity: Activity,
    /// How it came out.
    pub outcome: Outcome,
    /// Who, where a person is known or claimed.
    pub user: Option<UserName>,
    /// From where.
    pub source: Option<IpAddr>,
    /// On which target.
    pub target: Option<TargetName>,
    /// In which environment.
    pub environment: Option<EnvironmentName>,
    /// In which session.
    pub session: Option<SessionId>,
    /// Who else it concerns, by what they are in it, such as `of` or `owner`.
    pub persons: BTreeMap<&'static str, UserName>,
    /// What else: names from this project's documentation, values bounded.
    pub details: BTreeMap<&'static str, Value>,
}

impl Event {
    /// A successful event with nothing else known; fill in with the `with_*` methods.
    pub fn new(activity: Activity, at: Timestamp) -> Self {
        Self {
            id: EventId::generate(at),
            at,
            activity,
            outcome: Outcome::Success,
            user: None,
            source: None,
            target: None,
            environment: None,
            session: None,
            persons: BTreeMap::new(),
            details: BTreeMap::new(),
        }
    }

    /// With an outcome.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// With the person.
    #[must_use]
    pub fn user(mut self, user: &UserName) -> Self {
        self.user = Some(user.clone());
        self
    }

    /// With the source address.
    #[must_use]
    pub fn source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// With the target.
    #[must_use]
    pub fn target(mut self, target: &TargetName) -> Self {
        self.target = Some(target.clone());
        self
    }

    /// With the environment.
    #[must_use]
    pub fn environment(mut self, environment: &EnvironmentName) -> Self {
        self.environment = Some(environment.clone());
        self
    }

    /// With the session.
    #[must_use]
    pub fn session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// With somebody else it concerns; their name is sealed under their own key.
    #[must_use]
    pub fn person(mut self, role: &'static str, name: &UserName) -> Self {
        self.persons.insert(role, name.clone());
        self
    }

    /// With a detail. Unless it is one of [`PUBLIC_DETAILS`], a number or a truth value, it is
    /// sealed under the key of the event's person. Strings beyond [`MAX_DETAIL_BYTES`] are cut and marked.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.insert(name, bounded(value.into()));
        self
    }
}

fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > MAX_DETAIL_BYTES => {
            let end = (0..=MAX_DETAIL_BYTES).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            let kept = text.get(..end).unwrap_or_default();
            Value::String(format!("{kept}... (cut, {} bytes)", text.len()))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_canonical_ocsf() {
        let event = Event::new(Activity::Authorize, Timestamp::from_millis(5))
            .user(&UserName::new("alice").unwrap())
            .outcome(Outcome::Refused("no role".into()))
            .detail("action", "shell");
        let value: Value = serde_json::from_slice(&event.to_ocsf()).unwrap();
        assert_eq!(value["class_uid"], 3003);
        assert_eq!(value["type_uid"], 300_301);
        assert_eq!(value["status_detail"], "no role");
        assert_eq!(value["actor"]["user"]["name"], "alice");
        assert_eq!(value["unmapped"]["action"], "shell");
    }

    #[test]
    fn an_overlong_detail_is_cut_and_says_so() {
        let event = Event::new(Activity::Channel, Timestamp::from_millis(5))
            .detail("command", "é".repeat(10_000));
        let bytes = event.to_ocsf();
        assert!(bytes.len() < 6_000);
        assert!(String::from_utf8(bytes).unwrap().contains("(cut, 20000 bytes)"));
    }
}
