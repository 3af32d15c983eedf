//! `sessions show`: all there is to know of a session; and where to begin to play it.

use std::time::Duration;

use portcullis_control::view::{AuditEntry, AuditQuery, SessionEvent, SessionView};
use portcullis_domain::Timestamp;
use portcullis_domain::audit::read;

use super::Play;
use super::offset::{self, From};
use crate::client::{Client, path, with_query};
use crate::failure::Failure;
use crate::print::{Out, Tone, escape, time};

/// How long before an event playing begins: what led to it is on the screen.
const BEFORE_EVENT: Duration = Duration::from_secs(1);
/// Digits of a chunk's hash that are shown; `--json` has all of them.
const HASH_DIGITS: usize = 16;

pub(super) async fn run(client: &Client, out: Out, id: &str) -> Result<(), Failure> {
    let view: SessionView = client.get(&path("/v1/sessions/{}", &[id])).await?;
    out.either(&view, |out| {
        for (name, value) in facts(&view) {
            out.line(&format!("{}  {value}", out.tone(Tone::Faint, &format!("{name:<10}"))))?;
        }
        let Some(events) = &view.events else {
            let why = "what the audit log says of it needs the right `read_audit`";
            return out.line(&out.tone(Tone::Notice, why));
        };
        out.line("")?;
        let rows = events.iter().map(event).collect();
        let head = ["entry", "at", "event", "activity", "outcome", "by", "what"];
        out.table(&head, rows, "the audit log has no entry of it")?;
        let chunks = view.chunks.as_deref().unwrap_or_default();
        if !chunks.is_empty() {
            out.line("")?;
        }
        let rows = chunks.iter().map(|chunk| {
            vec![
                chunk.entry.to_string(),
                chunk.chunk.to_string(),
                offset::text(Duration::from_micros(chunk.from_us)),
                offset::text(Duration::from_micros(chunk.to_us)),
                chunk.bytes.to_string(),
                chunk.sha256.chars().take(HASH_DIGITS).collect(),
            ]
        });
        let head = ["entry", "chunk", "from", "to", "bytes", "sha256"];
        out.table(&head, rows.collect(), "no chunk of a recording is logged")?;
        match view.limited {
            true => {
                out.line(&out.tone(Tone::Notice, "there is more: these are the latest entries"))
            }
            false => Ok(()),
        }
    })
}

/// Which session is played, and from where.
pub(super) async fn beginning(client: &Client, play: &Play) -> Result<(String, Duration), Failure> {
    let at = match (&play.at_event, play.from) {
        (Some(event), _) => return at_event(client, play.id.as_deref(), event).await,
        (None, None) => None,
        (None, Some(From::Offset(offset))) => Some(Ok(offset)),
        (None, Some(From::Time(time))) => Some(Err(time)),
    };
    let id = play.id.clone().unwrap_or_default();
    match at {
        None => Ok((id, Duration::ZERO)),
        Some(Ok(offset)) => Ok((id, offset)),
        Some(Err(time)) => {
            let offset = since_opening(client, &id, time).await?;
            Ok((id, offset))
        }
    }
}

async fn at_event(
    client: &Client,
    id: Option<&str>,
    event: &str,
) -> Result<(String, Duration), Failure> {
    let query = AuditQuery { event: Some(event.to_owned()), ..AuditQuery::default() };
    let mut found = client.lines(&with_query("/v1/audit/search", &query)).await?;
    let Some(entry) = found.next::<AuditEntry>().await? else {
        let event = escape::line(event);
        return Err(Failure::Failed(format!("there is no event `{event}` in the audit log")));
    };
    let session = read::session(&entry.event).map(str::to_owned);
    let (Some(session), Some(at)) = (session, read::time(&entry.event)) else {
        let event = escape::line(event);
        return Err(Failure::Failed(format!("the event `{event}` is not of a session")));
    };
    if id.is_some_and(|id| !session.ends_with(id)) {
        return Err(Failure::Failed(format!("the event is of session `{session}`")));
    }
    let offset = since_opening(client, &session, at).await?;
    Ok((session, offset.saturating_sub(BEFORE_EVENT)))
}

async fn since_opening(client: &Client, id: &str, at: Timestamp) -> Result<Duration, Failure> {
    let view: SessionView = client.get(&path("/v1/sessions/{}", &[id])).await?;
    Ok(at.since(view.session.opened))
}

fn facts(view: &SessionView) -> Vec<(&'static str, String)> {
    let session = &view.session;
    let login = session.login.as_ref().map(|login| format!("{login}@")).unwrap_or_default();
    let mut facts = vec![
        ("session", session.id.to_string()),
        ("user", session.user.to_string()),
        ("target", format!("{login}{} in {}", session.target, session.environment)),
        ("from", escape::line(&session.source)),
        ("opened", format!("{} over {} on {}", time(session.opened), view.protocol, view.node)),
    ];
    let closed = match (session.closed, &session.end_reason) {
        (Some(at), Some(why)) => format!("{} ({})", time(at), escape::line(why)),
        _ => if session.live { "no: it is live" } else { "no" }.to_owned(),
    };
    facts.push(("closed", closed));
    facts.extend(view.grant.map(|grant| ("grant", grant.to_string())));
    if let Some(terms) = view.terms.as_ref().and_then(serde_json::Value::as_object) {
        let term = |name: &'static str| Some((name, escape::line(terms.get(name)?.as_str()?)));
        facts.extend(["policies", "factors"].into_iter().filter_map(term));
    }
    let recording = match (&view.removal, view.file_bytes, &session.recording) {
        (Some(removal), ..) => format!("removed at {} (event {})", time(removal.at), removal.event),
        (None, Some(bytes), _) => format!("{bytes} bytes"),
        (None, None, Some(_)) => format!("not on this node; `{}` had it", view.node),
        (None, None, None) => "none".to_owned(),
    };
    facts.push(("recording", recording));
    if let Some(head) = session.recording.as_ref().and_then(|found| found.get("sha256")?.as_str()) {
        facts.push(("sha256", escape::line(head)));
    }
    facts.extend(view.held.map(|hold| ("held by", hold.to_string())));
    facts
}

fn event(event: &SessionEvent) -> Vec<String> {
    vec![
        event.entry.to_string(),
        offset::text(Duration::from_micros(event.at_us)),
        escape::line(&event.event),
        escape::line(&event.activity),
        event.outcome.clone(),
        event.by.as_deref().map(escape::line).unwrap_or_default(),
        escape::line(&event.what),
    ]
}
