//! The audit log for people: tail, search, verify.
//!
//! Reading the log is itself an event.

use portcullis_domain::audit::{Activity, Outcome};
use portcullis_domain::{ControlAction, SubjectId, UserName};
use portcullis_evidence::log::verify_dir;
use portcullis_evidence::subject::pseudonyms;
use portcullis_gateway::Authenticated;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc};

use crate::searching::{Searched, matches_in_clear, search};
use crate::view::{AuditEntry, AuditQuery, CheckpointView, VerifyView};
use crate::{Control, ControlError};

/// Entries waiting for a slow reader of the tail; beyond it the reader waits on disk, not in memory.
const TAIL_QUEUE: usize = 256;
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
        self.search_log(query, limit).await
    }

    /// The latest entries that meet a query, oldest first; the caller has the right to them.
    pub(crate) async fn search_log(
        &self,
        query: AuditQuery,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ControlError> {
        let log = self.gateway().auditor().log();
        let (reader, size) = (log.reader(), log.size());
        let subjects = self.gateway().auditor().subjects().clone();
        let index = self.indexed().get();
        let found = tokio::task::spawn_blocking(move || {
            let index = index.as_deref();
            let searched = Searched { reader: &reader, subjects: &subjects, index, size };
            search(&searched, &query, limit)
        })
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
            Ok(Err(why)) => {
                let why = format!("the audit log does not verify: {why}");
                let event = self.event(who, Activity::Finding).detail("finding", "log_damaged");
                self.audit(event.outcome(Outcome::Failed(why.clone()))).await?;
                Err(ControlError::new(crate::ErrorKind::Conflict, "log_damaged", why))
            }
            Err(_) => Err(ControlError::unavailable("the verification was interrupted")),
        }
    }
}
