//! The way into the audit log. An event is durable when [`Auditor::write`] returns; a caller that
//! gets an error must not let the event's effect become visible.

use portcullis_domain::audit::Event;
use portcullis_evidence::log::Log;
use thiserror::Error;

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
}

impl Auditor {
    pub(crate) fn new(log: Log) -> Self {
        Self { log }
    }

    /// Appends one event; returns its index once it is on disk.
    pub async fn write(&self, event: Event) -> Result<u64, AuditError> {
        let activity = event.activity.as_str();
        match self.log.append(event.to_ocsf()).await {
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
        let entries = events.iter().map(Event::to_ocsf).collect();
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

    /// Whether the log takes events.
    pub fn healthy(&self) -> bool {
        self.log.healthy()
    }

    /// The log itself, for readers.
    pub fn log(&self) -> &Log {
        &self.log
    }
}
