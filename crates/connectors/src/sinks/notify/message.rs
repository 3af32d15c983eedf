//! What people are told of an event: which events there is something to tell of, and one line. Pure.
//!
//! An OCSF event of the log, opened for its receiver, flows in; a [`Message`] flows out. Nothing is
//! in it but names, ids, times and what somebody wrote as a reason; recorded text never is.

use portcullis_domain::Timestamp;
use portcullis_domain::audit::read;
use serde_json::Value;

/// Longest text of a person's own, in characters; the rest is cut.
const MAX_FREE_TEXT_CHARS: usize = 300;

/// What people can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Somebody asks for access.
    RequestMade,
    /// Somebody agreed to a request.
    RequestApproved,
    /// Somebody refused one.
    RequestDenied,
    /// Nobody decided one in time.
    RequestExpired,
    /// Access was given.
    AccessGiven,
    /// Access was ended early.
    AccessEnded,
    /// A break-glass role was taken out, and its review opened.
    BreakGlass,
    /// Such a review was closed.
    ReviewClosed,
    /// A change of resources waits for a second person.
    ChangePending,
    /// Somebody's password or second factor was changed.
    CredentialChanged,
    /// The gate of an environment was dropped.
    GateDropped,
    /// Something an operator must look at.
    Finding,
}

impl Topic {
    /// Every topic, in the order they are printed.
    pub const ALL: [Self; 12] = [
        Self::RequestMade,
        Self::RequestApproved,
        Self::RequestDenied,
        Self::RequestExpired,
        Self::AccessGiven,
        Self::AccessEnded,
        Self::BreakGlass,
        Self::ReviewClosed,
        Self::ChangePending,
        Self::CredentialChanged,
        Self::GateDropped,
        Self::Finding,
    ];

    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestMade => "request_made",
            Self::RequestApproved => "request_approved",
            Self::RequestDenied => "request_denied",
            Self::RequestExpired => "request_expired",
            Self::AccessGiven => "access_given",
            Self::AccessEnded => "access_ended",
            Self::BreakGlass => "break_glass",
            Self::ReviewClosed => "review_closed",
            Self::ChangePending => "change_pending",
            Self::CredentialChanged => "credential_changed",
            Self::GateDropped => "gate_dropped",
            Self::Finding => "finding",
        }
    }

    /// The activity of the log it is told of (`metadata.event_code`).
    #[must_use]
    pub const fn activity(self) -> &'static str {
        match self {
            Self::RequestMade => "request.create",
            Self::RequestApproved => "request.approve",
            Self::RequestDenied => "request.deny",
            Self::RequestExpired => "request.expire",
            Self::AccessGiven => "grant.create",
            Self::AccessEnded => "grant.revoke",
            Self::BreakGlass => "break_glass",
            Self::ReviewClosed => "review.close",
            Self::ChangePending => "resource.apply",
            Self::CredentialChanged => "credential.change",
            Self::GateDropped => "gate.drop",
            Self::Finding => "finding",
        }
    }

    /// What an event is about, if people can be told of it. What was refused is not told, but for a
    /// change, which waits because it was.
    fn of(event: &Value) -> Option<Self> {
        let activity = text(event, "/metadata/event_code")?;
        let topic = Self::ALL.into_iter().find(|topic| topic.activity() == activity)?;
        let done = event.pointer("/status_id").and_then(Value::as_i64) == Some(1);
        let told = match topic {
            Self::ChangePending => !done && text(event, "/unmapped/change").is_some(),
            _ => done,
        };
        told.then_some(topic)
    }
}

/// What people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Of what.
    pub topic: Topic,
    /// The event's id in the log, by which a receiver tells a repetition.
    pub event: String,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub user: Option<String>,
    /// On what.
    pub target: Option<String>,
    /// Where.
    pub environment: Option<String>,
    /// One line, without control characters.
    pub line: String,
}

impl Message {
    /// The message of an event, if there is one.
    #[must_use]
    pub fn of(event: &Value) -> Option<Self> {
        let topic = Topic::of(event)?;
        let user = text(event, "/actor/user/name").map(plain);
        let target = read::target(event).map(plain);
        let environment = text(event, "/unmapped/environment").map(plain);
        let at = event.pointer("/time").and_then(Value::as_i64).unwrap_or_default();
        Some(Self {
            line: line(topic, event, user.as_deref(), target.as_deref(), environment.as_deref()),
            topic,
            event: text(event, "/metadata/uid").map(plain).unwrap_or_default(),
            at: Timestamp::from_millis(at),
            user,
            target,
            environment,
        })
    }
}

fn line(
    topic: Topic,
    event: &Value,
    user: Option<&str>,
    target: Option<&str>,
    environment: Option<&str>,
) -> String {
    let detail = |name: &str| text(event, &format!("/unmapped/{name}")).map(plain);
    let named = |name: &str| detail(name).unwrap_or_else(|| "somebody".to_owned());
    let user = user.unwrap_or("somebody");
    let place = match (target, environment) {
        (Some(target), Some(environment)) => format!("{target} ({environment})"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "the gate".to_owned(),
    };
    let mut line = match topic {
        Topic::RequestMade => format!("{user} asks for access to {place}"),
        Topic::RequestApproved => format!("{user} approved a request of {}: {place}", named("of")),
        Topic::RequestDenied => format!("{user} denied a request of {}: {place}", named("of")),
        Topic::RequestExpired => format!("nobody decided the request of {user}: {place}"),
        Topic::AccessGiven => format!("{} has access to {place}", named("of")),
        Topic::AccessEnded => format!("{user} ended the access of {} to {place}", named("of")),
        Topic::BreakGlass => {
            let role = detail("role").unwrap_or_default();
            format!("BREAK-GLASS: {user} took role {role} out for {place}; its review is open")
        }
        Topic::ReviewClosed => {
            format!("{user} closed the review of a break-glass use by {}: {place}", named("of"))
        }
        Topic::ChangePending => format!("a change by {user} waits for a second person"),
        Topic::CredentialChanged => {
            let what = detail("what").unwrap_or_default();
            format!("credentials of {} changed ({what})", detail("of").unwrap_or(user.to_owned()))
        }
        Topic::GateDropped => format!("{user} dropped the gate of {place}"),
        Topic::Finding => format!("finding: {}", detail("finding").unwrap_or_default()),
    };
    if let Some(reason) = detail("reason").or_else(|| detail("findings")) {
        line.push_str(&format!(": {reason}"));
    }
    for name in ["request", "review", "change"] {
        if let Some(id) = detail(name) {
            line.push_str(&format!(" [{id}]"));
        }
    }
    line
}

fn text<'e>(event: &'e Value, pointer: &str) -> Option<&'e str> {
    event.pointer(pointer).and_then(Value::as_str)
}

/// On one line, without what steers a terminal, and bounded.
fn plain(text: &str) -> String {
    let mut kept: String = text.chars().take(MAX_FREE_TEXT_CHARS).collect();
    if kept.len() < text.len() {
        kept.push_str("...");
    }
    kept.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use portcullis_domain::audit::{Activity, Event, Outcome};

    use super::*;

    fn value(event: &Event) -> Value {
        serde_json::from_slice(&event.to_ocsf()).unwrap()
    }

    #[test]
    fn a_use_of_a_break_glass_role_is_told_with_who_what_where_and_why() {
        let event = Event::new(Activity::BreakGlass, Timestamp::from_millis(7))
            .user(&"bob".parse().unwrap())
            .target(&"core".parse().unwrap())
            .environment(&"prod".parse().unwrap())
            .detail("role", "fire-brigade")
            .detail("review", "rev-1")
            .detail("reason", "the site\nis down\u{1b}[2J");
        let message = Message::of(&value(&event)).unwrap();
        assert_eq!(
            message.line,
            "BREAK-GLASS: bob took role fire-brigade out for core (prod); its review is open: the \
             site is down [2J [rev-1]"
        );
        assert_eq!((message.topic, message.event), (Topic::BreakGlass, event.id.to_string()));
    }

    #[test]
    fn what_was_refused_is_told_of_changes_only() {
        let refused = |activity| {
            Event::new(activity, Timestamp::from_millis(7))
                .user(&"bob".parse().unwrap())
                .detail("change", "chg-1")
                .outcome(Outcome::Refused("two".into()))
        };
        assert_eq!(Message::of(&value(&refused(Activity::BreakGlass))), None);
        let waits = Message::of(&value(&refused(Activity::ResourceApply))).unwrap();
        assert_eq!(waits.line, "a change by bob waits for a second person [chg-1]");
        assert_eq!(Message::of(&value(&Event::new(Activity::Authorize, waits.at))), None);
        assert_eq!(Message::of(&Value::Null), None);
    }

    #[test]
    fn every_topic_has_a_name_and_an_activity_of_the_log() {
        for topic in Topic::ALL {
            let known = Activity::ALL.iter().any(|known| known.as_str() == topic.activity());
            assert!(known && !topic.as_str().is_empty(), "{topic:?}");
        }
    }
}
