//! What somebody did with the grants they had, for who decides on the next one.
//!
//! Grants and sessions come from the store, actions are counted in the audit log, from its end
//! backwards and no further than a bound. Nothing here decides anything.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::{Grant, GrantId, SessionId, Timestamp, UserName};
use portcullis_evidence::log::LogReader;
use portcullis_store::{GrantFilter, MAX_PAGE, Page, SessionFilter, SessionRecord};
use serde_json::Value;

use crate::view::HistoryView;
use crate::{Control, ControlError};

/// How many grants are told of, the latest.
const LATEST_GRANTS: usize = 5;
/// How many entries of the log are looked through at most, from its end.
const MAX_ENTRIES: u64 = 50_000;
/// Entries read at once.
const BATCH: u64 = 4096;
/// What counts as an action in a session.
const ACTIONS: [&str; 4] = ["authorize", "channel", "file", "forward"];

impl Control {
    /// The requester's latest grants and what came of them.
    pub(crate) async fn history_of(
        &self,
        user: &UserName,
    ) -> Result<Vec<HistoryView>, ControlError> {
        let store = self.gateway().store();
        let filter = GrantFilter {
            user: Some(user.clone()),
            page: Page { before: None, limit: LATEST_GRANTS },
            ..GrantFilter::default()
        };
        let grants = store.grants(&filter).await?;
        let Some(oldest) = grants.last().map(|grant| grant.starts) else { return Ok(Vec::new()) };
        let filter = SessionFilter {
            user: Some(user.clone()),
            page: Page { before: None, limit: MAX_PAGE },
            ..SessionFilter::default()
        };
        let mut sessions: BTreeMap<GrantId, Vec<SessionRecord>> = BTreeMap::new();
        for session in store.sessions(&filter).await? {
            if let Some(grant) = session.grant {
                sessions.entry(grant).or_default().push(session);
            }
        }
        let ids = sessions.values().flatten().map(|session| session.id.to_string()).collect();
        let log = self.gateway().auditor().log();
        let (reader, size) = (log.reader(), log.size());
        let counted = tokio::task::spawn_blocking(move || actions(&reader, size, &ids, oldest));
        let counted = counted
            .await
            .map_err(|_| ControlError::unavailable("the history could not be read"))??;
        let none = Vec::new();
        let view = |grant: &Grant| row(grant, sessions.get(&grant.id).unwrap_or(&none), &counted);
        Ok(grants.iter().map(view).collect())
    }
}

fn row(
    grant: &Grant,
    sessions: &[SessionRecord],
    counted: &BTreeMap<String, usize>,
) -> HistoryView {
    let used =
        |session: &SessionRecord| session.end.as_ref().map_or(session.started_at, |end| end.at);
    let count = |id: SessionId| counted.get(&id.to_string()).copied().unwrap_or(0);
    HistoryView {
        grant: grant.id,
        targets: grant.targets().cloned().collect(),
        starts: grant.starts,
        ends: grant.ended.as_ref().map_or(grant.ends, |end| end.at),
        sessions: sessions.len(),
        actions: sessions.iter().map(|session| count(session.id)).sum(),
        last_used: sessions.iter().map(used).max(),
    }
}

/// How many actions the log has of each of these sessions.
fn actions(
    reader: &LogReader,
    size: u64,
    sessions: &BTreeSet<String>,
    since: Timestamp,
) -> Result<BTreeMap<String, usize>, ControlError> {
    let mut counted = BTreeMap::new();
    let least = size.saturating_sub(MAX_ENTRIES);
    let mut end = if sessions.is_empty() { 0 } else { size };
    while end > least {
        let start = end.saturating_sub(BATCH).max(least);
        let mut oldest = None;
        for read in reader.entries(start..end) {
            let (_, bytes) = read.map_err(ControlError::unavailable)?;
            let event: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            oldest = oldest.or_else(|| event.get("time").and_then(Value::as_i64));
            let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
            let counts = text("/metadata/event_code").is_some_and(|code| ACTIONS.contains(&code));
            if let (true, Some(id)) = (counts, text("/unmapped/session"))
                && sessions.contains(id)
            {
                *counted.entry(id.to_owned()).or_default() += 1;
            }
        }
        if oldest.is_some_and(|at| at < since.as_millis()) {
            break;
        }
        end = start;
    }
    Ok(counted)
}
