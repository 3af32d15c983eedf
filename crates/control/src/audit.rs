//! The audit log for people: tail, search, verify.
//!
//! Reading the log is itself an event. A search reads the log from its end backwards in bounded
//! batches and stops at the limit.

use portcullis_domain::audit::{Activity, read};
use portcullis_domain::{ControlAction, SubjectId, UserName};
use portcullis_evidence::log::{LogReader, verify_dir};
use portcullis_evidence::subject::pseudonyms;
use portcullis_gateway::{Authenticated, Subjects};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc};

use crate::view::{AuditEntry, AuditQuery, CheckpointView, VerifyView};
use crate::{Control, ControlError};

/// Entries waiting for a slow reader of the tail; beyond it the reader waits on disk, not in memory.
const TAIL_QUEUE: usize = 256;
/// Entries read at once while searching.
const SEARCH_BATCH: u64 = 4096;
/// How long a checkpoint over what is durable may take.
const CHECKPOINT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// How long a cosigned checkpoint is waited for before one without witnesses has to do.
const COSIGNED_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Default and highest number of results.
const DEFAULT_RESULTS: usize = 100;
const MAX_RESULTS: usize = 10_000;

impl Control {
    /// Entries from `from` on (default: the next one), then live.
    pub async fn audit_tail(
        &self,
        who: &Authenticated,
        from: Option<u64>,
    ) -> Result<mpsc::Receiver<AuditEntry>, ControlError> {
        self.must_hold(who, ControlAction::ReadAudit, Activity::AuditRead).await?;
        self.audit(self.event(who, Activity::AuditRead).detail("kind", "tail")).await?;
        let log = self.gateway().auditor().log().clone();
        let subjects = self.gateway().auditor().subjects().clone();
        let mut live = log.subscribe();
        let mut reader = log.reader();
        let mut next = from.unwrap_or(log.size());
        let (out, queue) = mpsc::channel(TAIL_QUEUE);
        tokio::spawn(async move {
            loop {
                // Catch up from disk, then follow; a reader that lags is sent back to the disk.
                while next < log.size() {
                    let index = next;
                    let read = tokio::task::spawn_blocking(move || {
                        let entry = reader.entry(index);
                        (reader, entry)
                    })
                    .await;
                    let Ok((returned, Ok(bytes))) = read else { return };
                    reader = returned;
                    let Ok(event) = subjects.open_entry(&bytes).await else { return };
                    if out.send(AuditEntry { index, event }).await.is_err() {
                        return;
                    }
                    next += 1;
                }
                let heard = tokio::select! {
                    heard = live.recv() => heard,
                    () = out.closed() => return,
                };
                match heard {
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        Ok(queue)
    }

    /// The latest entries that meet every condition, oldest first.
    pub async fn audit_search(
        &self,
        who: &Authenticated,
        query: AuditQuery,
    ) -> Result<Vec<AuditEntry>, ControlError> {
        self.must_hold(who, ControlAction::ReadAudit, Activity::AuditRead).await?;
        // Whom was searched for goes under their key, not among the searcher's words.
        let asked = AuditQuery { user: None, ..query.clone() };
        let asked = serde_json::to_string(&asked).unwrap_or_default();
        let mut event =
            self.event(who, Activity::AuditRead).detail("kind", "search").detail("query", asked);
        if let Some(user) = query.user.as_deref().and_then(|user| UserName::new(user).ok()) {
            event = event.person("of", &user);
        }
        self.audit(event).await?;
        let limit = query.limit.unwrap_or(DEFAULT_RESULTS).min(MAX_RESULTS);
        self.gateway().auditor().log().caught_up().await.map_err(ControlError::unavailable)?;
        let reader = self.gateway().auditor().log().reader();
        let size = self.gateway().auditor().log().size();
        let subjects = self.gateway().auditor().subjects().clone();
        let found =
            tokio::task::spawn_blocking(move || search(&reader, &subjects, size, &query, limit))
                .await;
        found.unwrap_or_else(|_| Err(ControlError::unavailable("the search was interrupted")))
    }

    /// Whether any entry within these conditions is about this subject, opened or not.
    pub(crate) async fn mentions(
        &self,
        subject: SubjectId,
        within: AuditQuery,
    ) -> Result<bool, ControlError> {
        let log = self.gateway().auditor().log();
        let (reader, size) = (log.reader(), log.size());
        let searched = tokio::task::spawn_blocking(move || {
            let subject = subject.to_string();
            for read in reader.entries(0..size) {
                let (_, bytes) = read.map_err(ControlError::unavailable)?;
                let entry = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                if matches_in_clear(&entry, &within)
                    && pseudonyms(&entry).contains(subject.as_str())
                {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        searched.await.unwrap_or_else(|_| Err(ControlError::unavailable("it was interrupted")))
    }

    /// The latest signed checkpoint and the key to check it with.
    pub async fn audit_checkpoint(
        &self,
        who: &Authenticated,
    ) -> Result<CheckpointView, ControlError> {
        self.must_hold(who, ControlAction::ReadAudit, Activity::AuditRead).await?;
        let note = self.covering_checkpoint().await?;
        let log = self.gateway().auditor().log();
        Ok(CheckpointView {
            checkpoint: String::from_utf8_lossy(&note).into_owned(),
            vkey: log.verifier().to_vkey(),
            witness_keys: self.witness_keys(),
        })
    }

    /// A checkpoint over what is durable now: it is at most a moment away.
    pub(crate) async fn covering_checkpoint(&self) -> Result<Vec<u8>, ControlError> {
        let log = self.gateway().auditor().log().clone();
        log.caught_up().await.map_err(ControlError::unavailable)?;
        let size = log.size();
        let mut checkpoints = log.checkpoints();
        let covered = checkpoints.wait_for(|checkpoint| checkpoint.size >= size);
        if !matches!(tokio::time::timeout(CHECKPOINT_PATIENCE, covered).await, Ok(Ok(_))) {
            return Err(ControlError::unavailable("the log does not publish checkpoints any more"));
        }
        // Cosigned where the witnesses answer soon.
        if let Some(note) = self.cosigned_over(size, COSIGNED_PATIENCE).await {
            return Ok(note);
        }
        let reader = log.reader();
        let read = tokio::task::spawn_blocking(move || reader.checkpoint_note()).await;
        match read {
            Ok(Ok(note)) => Ok(note),
            Ok(Err(error)) => Err(ControlError::unavailable(error)),
            Err(_) => Err(ControlError::unavailable("the checkpoint could not be read")),
        }
    }

    /// Recomputes the whole log up to its checkpoint.
    pub async fn audit_verify(&self, who: &Authenticated) -> Result<VerifyView, ControlError> {
        self.must_hold(who, ControlAction::ReadAudit, Activity::AuditRead).await?;
        self.audit(self.event(who, Activity::AuditRead).detail("kind", "verify")).await?;
        self.covering_checkpoint().await?;
        let log = self.gateway().auditor().log().clone();
        let directory = self.settings().log_directory.clone();
        let verifier = log.verifier().clone();
        let verified = tokio::task::spawn_blocking(move || {
            verify_dir(&directory, &verifier).map_err(|error| error.to_string())
        })
        .await;
        match verified {
            Ok(Ok(verified)) => {
                Ok(VerifyView { size: verified.size, root: verified.root.to_base64() })
            }
            Ok(Err(why)) => Err(ControlError::new(
                crate::ErrorKind::Conflict,
                "log_damaged",
                format!("the audit log does not verify: {why}"),
            )),
            Err(_) => Err(ControlError::unavailable("the verification was interrupted")),
        }
    }
}

pub(crate) fn search(
    reader: &LogReader,
    subjects: &Subjects,
    size: u64,
    query: &AuditQuery,
    limit: usize,
) -> Result<Vec<AuditEntry>, ControlError> {
    let runtime = tokio::runtime::Handle::current();
    let mut found = Vec::new();
    let mut end = size;
    while end > 0 && found.len() < limit {
        let start = end.saturating_sub(SEARCH_BATCH);
        let mut batch = Vec::new();
        for read in reader.entries(start..end) {
            let (index, bytes) = read.map_err(ControlError::unavailable)?;
            let sealed = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            if matches_in_clear(&sealed, query) {
                batch.push((index, bytes));
            }
        }
        let entries = batch.iter().map(|(_, bytes)| bytes);
        let opened = runtime.block_on(subjects.open_entries(entries));
        let opened = opened.map_err(ControlError::unavailable)?;
        let mut batch: Vec<AuditEntry> = batch
            .iter()
            .zip(opened)
            .filter(|(_, event)| matches_opened(event, query))
            .map(|((index, _), event)| AuditEntry { index: *index, event })
            .collect();
        batch.reverse();
        found.extend(batch);
        end = start;
    }
    found.truncate(limit);
    found.reverse();
    Ok(found)
}

/// The conditions that can be told without a key.
fn matches_in_clear(event: &Value, query: &AuditQuery) -> bool {
    let same = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
    };
    let at = read::time(event);
    let session = query.session.map(|id| id.to_string());
    same(&query.target, read::target(event))
        && same(&query.environment, read::environment(event))
        && same(&query.activity, read::activity(event))
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
    use portcullis_domain::Timestamp;
    use portcullis_domain::audit::{Event, Outcome};

    #[test]
    fn every_condition_must_hold() {
        let event = Event::new(Activity::Authorize, Timestamp::from_millis(1000))
            .user(&UserName::new("alice").unwrap())
            .outcome(Outcome::Refused("no".into()));
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
        check(AuditQuery { to: Some(Timestamp::from_millis(1000)), ..Default::default() }, false);
    }
}
