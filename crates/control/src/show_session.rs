//! All there is to know of one session: its row in the store, and what the audit log says of it.
//!
//! The store says who, where and under which grant; which channels there were, the hashes of the
//! recording's chunks and where each of it stands in the log is read from the log, for those who may
//! read it.

use portcullis_domain::audit::{Activity, read};
use portcullis_domain::{ControlAction, Timestamp};
use portcullis_gateway::{Authenticated, RECORDING_SUFFIX};
use portcullis_store::{SessionRecord, evidence_of};
use serde_json::Value;

use crate::view::{AuditEntry, AuditQuery, ChunkView, RemovalView, SessionEvent, SessionView};
use crate::{Control, ControlError};

/// Entries of the log read of one session; beyond it the answer says that there are more.
const MAX_ENTRIES: usize = 10_000;
/// Details of an entry that say something about what happened in the session.
const SHOWN: [&str; 8] =
    ["action", "command", "path", "operation", "destination", "kind", "what", "reason"];

impl Control {
    /// A session, one's own or with the right to list them. What the log says of it is added for
    /// those with the right to read it, and that is an event.
    pub async fn session_view(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<SessionView, ControlError> {
        self.must_be_active(who)?;
        if !self.holds(who, ControlAction::ListSessions) {
            let own = self.find_session(who, id).await;
            if !own.as_ref().is_ok_and(|record| record.user == *who.user()) {
                self.must_hold(who, ControlAction::ListSessions, Activity::AuditRead).await?;
            }
        }
        let record = self.find_session(who, id).await?;
        let holds = self.gateway().store().holds().await?;
        let held = portcullis_domain::hold::covering(&holds, &evidence_of(&record));
        let held =
            held.filter(|_| self.holds(who, ControlAction::HoldEvidence)).map(|hold| hold.id);
        let log = match self.holds(who, ControlAction::ReadAudit) {
            true => Some(self.entries_of(who, &record).await?),
            false => None,
        };
        let path = self.gateway().recordings().join(format!("{}.{RECORDING_SUFFIX}", record.id));
        let file_bytes = tokio::fs::metadata(path).await.ok().map(|file| file.len());
        let removal = record.removal.as_ref();
        Ok(SessionView {
            protocol: record.protocol.clone(),
            node: record.node.clone(),
            grant: record.grant,
            held,
            removal: removal.map(|removal| RemovalView { at: removal.at, event: removal.event }),
            file_bytes,
            terms: log.as_deref().and_then(terms),
            chunks: log.as_deref().map(chunks),
            events: log.as_deref().map(|log| events(log, record.started_at)),
            limited: log.as_ref().is_some_and(|log| log.len() >= MAX_ENTRIES),
            session: self.row(record),
        })
    }

    /// What the log says of a session, oldest first.
    async fn entries_of(
        &self,
        who: &Authenticated,
        record: &SessionRecord,
    ) -> Result<Vec<AuditEntry>, ControlError> {
        let event = self
            .event(who, Activity::AuditRead)
            .detail("kind", "session")
            .target(&record.target)
            .environment(&record.environment)
            .session(record.id)
            .person("of", &record.user);
        self.audit(event).await?;
        self.gateway().auditor().log().caught_up().await.map_err(ControlError::unavailable)?;
        let query = AuditQuery {
            session: Some(record.id),
            from: Some(record.started_at.minus(std::time::Duration::from_secs(60))),
            ..AuditQuery::default()
        };
        self.search_log(query, MAX_ENTRIES).await
    }
}

/// On which terms it was opened.
fn terms(log: &[AuditEntry]) -> Option<Value> {
    let opening = log.iter().find(|entry| read::activity(&entry.event) == Some("session.open"))?;
    let own = opening.event.get("unmapped")?;
    let names = ["recording", "policies", "factors", "grant"];
    let said = names.into_iter().filter_map(|name| Some((name.to_owned(), own.get(name)?.clone())));
    Some(Value::Object(said.collect()))
}

fn chunks(log: &[AuditEntry]) -> Vec<ChunkView> {
    let chunk = |entry: &AuditEntry| {
        if read::activity(&entry.event) != Some("recording") {
            return None;
        }
        let own = entry.event.get("unmapped")?;
        let number = |name| own.get(name).and_then(Value::as_u64);
        Some(ChunkView {
            chunk: u32::try_from(number("chunk")?).ok()?,
            sha256: own.get("sha256")?.as_str()?.to_owned(),
            bytes: number("bytes")?,
            from_us: number("from_us").unwrap_or(0),
            to_us: number("to_us").unwrap_or(0),
            entry: entry.index,
        })
    };
    log.iter().filter_map(chunk).collect()
}

/// What happened, chunks left out.
fn events(log: &[AuditEntry], started_at: Timestamp) -> Vec<SessionEvent> {
    let event = |entry: &AuditEntry| {
        let event = &entry.event;
        let own = event.get("unmapped");
        if own.and_then(|own| own.get("chunk")).is_some() {
            return None;
        }
        let at = read::time(event)?;
        let said = SHOWN.into_iter().filter_map(|name| own?.get(name)?.as_str());
        Some(SessionEvent {
            entry: entry.index,
            event: read::id(event)?.to_owned(),
            at,
            at_us: u64::try_from(at.since(started_at).as_micros()).unwrap_or(u64::MAX),
            activity: read::activity(event)?.to_owned(),
            outcome: read::outcome(event).to_owned(),
            by: read::actor(event).map(str::to_owned),
            what: said.collect::<Vec<_>>().join(" "),
        })
    };
    log.iter().filter_map(event).collect()
}
