//! The way into the audit log. An event is durable when [`Auditor::write`] returns; a caller that
//! gets an error must not let the event's effect become visible. What is personal in it is sealed
//! on the way.

use portcullis_domain::audit::Event;
use portcullis_evidence::log::Log;
use thiserror::Error;

use crate::subjects::Subjects;

/// The audit log did not take an event.
#[derive(Debug, Clone, Error)]
#[error("the audit log cannot be written: {reason}; nothing is allowed until it can")]
pub struct AuditError {
    reason: String,
}

/// Writes events to the transparency log.
#[derive(Clone)]
pub struct Auditor {
    log: Log,
    subjects: Subjects,
}

impl Auditor {
    pub(crate) fn new(log: Log, subjects: Subjects) -> Self {
        Self { log, subjects }
    }

    /// Appends one event; returns its index once it is on disk.
    pub async fn write(&self, event: Event) -> Result<u64, AuditError> {
        let activity = event.activity.as_str();
        let entry = self.sealed(&event).await?;
        match self.log.append(entry).await {
            Ok(appended) => {
                metrics::counter!("portcullis_audit_events_total", "activity" => activity)
                    .increment(1);
                Ok(appended.index)
            }
            Err(error) => {
                metrics::counter!("portcullis_audit_failures_total").increment(1);
                tracing::error!(%error, activity, "the audit log refused an event");
                Err(AuditError { reason: error.to_string() })
            }
        }
    }

    /// Appends events together, all or none, with one wait for the disk.
    pub async fn write_all(&self, events: Vec<Event>) -> Result<(), AuditError> {
        let count = events.len();
        let mut entries = Vec::with_capacity(count);
        for event in &events {
            entries.push(self.sealed(event).await?);
        }
        match self.log.append_many(entries).await {
            Ok(_) => {
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                metrics::counter!("portcullis_audit_events_total", "activity" => "recording")
                    .increment(count);
                Ok(())
            }
            Err(error) => {
                metrics::counter!("portcullis_audit_failures_total").increment(1);
                tracing::error!(%error, "the log refused events");
                Err(AuditError { reason: error.to_string() })
            }
        }
    }

    async fn sealed(&self, event: &Event) -> Result<Vec<u8>, AuditError> {
        self.subjects.seal(event).await.map_err(|error| {
            metrics::counter!("portcullis_audit_failures_total").increment(1);
            tracing::error!(%error, "an event could not be sealed");
            AuditError { reason: error.to_string() }
        })
    }

    /// Opens entries for readers.
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// Whether the log takes events.
    pub fn healthy(&self) -> bool {
        self.log.healthy()
    }

    /// The log itself, for readers.
    pub fn log(&self) -> &Log {
        &self.log
    }
}
