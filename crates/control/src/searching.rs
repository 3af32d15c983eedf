//! Searching the audit log, newest first: where the index tells, only the entries it names are read,
//! and where it does not yet, all of them. Each entry found is held against every condition.

use portcullis_domain::audit::read;
use portcullis_evidence::index::{BLOCK_ENTRIES, Index, Look, Wanted, part_of};
use portcullis_evidence::log::LogReader;
use portcullis_gateway::Subjects;
use serde_json::Value;

use crate::ControlError;
use crate::indexing::wanted_of;
use crate::view::{AuditEntry, AuditQuery};

/// Entries read at once where the index does not tell.
const SEARCH_BATCH: u64 = 4096;

/// What a search reads from.
pub(crate) struct Searched<'a> {
    pub(crate) reader: &'a LogReader,
    pub(crate) subjects: &'a Subjects,
    pub(crate) index: Option<&'a Index>,
    /// Entries there are.
    pub(crate) size: u64,
}

/// The latest entries that meet a query, oldest first. Blocks.
pub(crate) fn search(
    searched: &Searched<'_>,
    query: &AuditQuery,
    limit: usize,
) -> Result<Vec<AuditEntry>, ControlError> {
    let mut search = Search { searched, query, wanted: wanted_of(query), limit, found: Vec::new() };
    let first = searched.reader.first().map_err(ControlError::unavailable)?;
    let mut end = query.before.unwrap_or(u64::MAX).min(searched.size);
    while end > first && search.wants_more() {
        let part = part_of(end - 1);
        let start = part.max(first);
        match search.look(part) {
            Look::Candidates { entries, end: known } => {
                search.all(known.max(start), end)?;
                let within = entries.into_iter().filter(|index| (start..end).contains(index));
                search.these(&within.collect::<Vec<_>>())?;
            }
            Look::Unknown => search.all(start, end)?,
        }
        end = start;
    }
    search.found.truncate(limit);
    search.found.reverse();
    Ok(search.found)
}

struct Search<'a> {
    searched: &'a Searched<'a>,
    query: &'a AuditQuery,
    wanted: Wanted,
    limit: usize,
    /// Newest first.
    found: Vec<AuditEntry>,
}

impl Search<'_> {
    fn wants_more(&self) -> bool {
        self.found.len() < self.limit
    }

    fn look(&self, part: u64) -> Look {
        self.searched.index.map_or(Look::Unknown, |index| index.look(part, &self.wanted))
    }

    /// Looks through all entries of a range, from its end.
    fn all(&mut self, start: u64, end: u64) -> Result<(), ControlError> {
        let mut end = end;
        while end > start && self.wants_more() {
            let from = end.saturating_sub(SEARCH_BATCH).max(start);
            let read: Result<Vec<_>, _> = self.searched.reader.entries(from..end).collect();
            self.take(read.map_err(ControlError::unavailable)?)?;
            end = from;
        }
        Ok(())
    }

    /// Looks at these entries, given in order, from the last; those of a block are read together.
    fn these(&mut self, entries: &[u64]) -> Result<(), ControlError> {
        for block in entries.chunk_by(|one, next| one / BLOCK_ENTRIES == next / BLOCK_ENTRIES).rev()
        {
            if !self.wants_more() {
                break;
            }
            let (Some(first), Some(last)) = (block.first(), block.last()) else { continue };
            let mut read = Vec::with_capacity(block.len());
            for entry in self.searched.reader.entries(*first..last + 1) {
                let (index, entry) = entry.map_err(ControlError::unavailable)?;
                if block.binary_search(&index).is_ok() {
                    read.push((index, entry));
                }
            }
            self.take(read)?;
        }
        Ok(())
    }

    /// Holds entries, in order, against every condition.
    fn take(&mut self, mut entries: Vec<(u64, Vec<u8>)>) -> Result<(), ControlError> {
        entries.retain(|(_, bytes)| {
            let sealed = serde_json::from_slice(bytes).unwrap_or(Value::Null);
            matches_in_clear(&sealed, self.query)
        });
        let runtime = tokio::runtime::Handle::current();
        let opening = self.searched.subjects.open_entries(entries.iter().map(|(_, bytes)| bytes));
        let opened = runtime.block_on(opening).map_err(ControlError::unavailable)?;
        let found = entries.iter().zip(opened).rev();
        let found = found.filter(|(_, event)| matches_opened(event, self.query));
        self.found.extend(found.map(|((index, _), event)| AuditEntry { index: *index, event }));
        Ok(())
    }
}

/// The conditions that can be told without a key.
pub(crate) fn matches_in_clear(event: &Value, query: &AuditQuery) -> bool {
    let same = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
    };
    let at = read::time(event);
    let session = query.session.map(|id| id.to_string());
    same(&query.target, read::target(event))
        && same(&query.environment, read::environment(event))
        && same(&query.activity, read::activity(event))
        && same(&query.action, read::action(event))
        && same(&query.event, read::id(event))
        && same(&session, read::session(event))
        && query.outcome.as_deref().is_none_or(|wanted| read::outcome(event) == wanted)
        && query.from.is_none_or(|from| at.is_some_and(|at| at >= from))
        && query.to.is_none_or(|to| at.is_some_and(|at| at < to))
}

/// The conditions on what is sealed in the log.
fn matches_opened(event: &Value, query: &AuditQuery) -> bool {
    query.user.as_deref().is_none_or(|user| read::actor(event) == Some(user))
        && query.text.as_deref().is_none_or(|text| contains(event, &text.to_lowercase()))
}

/// Whether a text stands in any value of the entry, in whatever case.
fn contains(value: &Value, lower: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().contains(lower),
        Value::Array(items) => items.iter().any(|item| contains(item, lower)),
        Value::Object(map) => map.values().any(|value| contains(value, lower)),
        Value::Null => false,
        other => other.to_string().contains(lower),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::audit::{Activity, Event, Outcome};
    use portcullis_domain::{Timestamp, UserName};

    #[test]
    fn every_condition_must_hold() {
        let event = Event::new(Activity::Authorize, Timestamp::from_millis(1000))
            .user(&UserName::new("alice").unwrap())
            .detail("action", "shell")
            .outcome(Outcome::Refused("no".into()));
        let id = event.id.to_string();
        let event: Value = serde_json::from_slice(&event.to_ocsf()).unwrap();
        let check = |query: AuditQuery, expected: bool| {
            let matches = matches_in_clear(&event, &query) && matches_opened(&event, &query);
            assert_eq!(matches, expected);
        };
        check(AuditQuery::default(), true);
        check(AuditQuery { user: Some("alice".into()), ..Default::default() }, true);
        check(AuditQuery { user: Some("bob".into()), ..Default::default() }, false);
        check(AuditQuery { outcome: Some("refused".into()), ..Default::default() }, true);
        check(AuditQuery { activity: Some("node".into()), ..Default::default() }, false);
        check(AuditQuery { action: Some("shell".into()), ..Default::default() }, true);
        check(AuditQuery { action: Some("exec".into()), ..Default::default() }, false);
        check(AuditQuery { event: Some(id), ..Default::default() }, true);
        check(AuditQuery { event: Some("another".into()), ..Default::default() }, false);
        check(AuditQuery { to: Some(Timestamp::from_millis(1000)), ..Default::default() }, false);
    }
}
