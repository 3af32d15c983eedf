//! The audit log for those who do not trust us: exports that verify alone, and proofs of single
//! entries.
//!
//! Both are readings of the log and written down before the first byte goes out. An export is read
//! on a blocking thread into a bounded queue, so that a slow reader costs no memory.

use std::io::{self, Write};
use std::ops::Range;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_domain::audit::Activity;
use portcullis_domain::{ControlAction, EventId, Timestamp, entry};
use portcullis_evidence::log::export::Export;
use portcullis_evidence::log::export::tar::TarWriter;
use portcullis_evidence::log::holding::read_handovers;
use portcullis_evidence::log::lookup::{Found, find_event, index_at};
use portcullis_evidence::log::{Checkpoint, Described, LogReader, Meaning, TlogProof};
use portcullis_gateway::Authenticated;
use tokio::sync::mpsc;

use crate::view::ProofView;
use crate::{Control, ControlError};

/// Pieces waiting for a slow reader.
const PIECE_QUEUE: usize = 64;
/// Bytes of a piece.
const PIECE_BYTES: usize = 64 * 1024;

/// Pieces of an export, a tar archive; an error ends it.
pub type ExportStream = mpsc::Receiver<Result<Vec<u8>, ControlError>>;

/// What entries of the audit log mean to whoever verifies it.
#[must_use]
pub fn entry_meaning() -> Meaning {
    Meaning {
        describe: |bytes| {
            let found = entry::identity(bytes)?;
            Some(Described {
                event: found.event,
                time: found.at.to_string(),
                at_millis: found.at.as_millis(),
            })
        },
        introduces: entry::introduced_log_key,
    }
}

/// Which entry is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryRef {
    /// By its index in the log.
    Index(u64),
    /// By its event's id.
    Event(EventId),
}

impl FromStr for EntryRef {
    type Err = ControlError;

    fn from_str(text: &str) -> Result<Self, ControlError> {
        if let Ok(index) = text.parse() {
            return Ok(Self::Index(index));
        }
        text.parse().map(Self::Event).map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            ControlError::invalid(format!(
                "`{}` is neither the index of an entry nor the id of an event (`evt-...`)",
                shown.escape_debug()
            ))
        })
    }
}

impl EntryRef {
    /// The entry, among the first `size`.
    ///
    /// # Errors
    /// Not found; the log cannot be read.
    pub fn find(&self, reader: &LogReader, size: u64) -> Result<Found, ControlError> {
        let found = match self {
            Self::Index(index) if *index >= size => None,
            Self::Index(index) => {
                let entry = reader.entry(*index).map_err(ControlError::unavailable)?;
                Some(Found { index: *index, entry })
            }
            Self::Event(id) => {
                // The first 48 bits of a version 7 UUID are milliseconds (RFC 9562 section 5.7).
                let millis = id.as_bytes().iter().take(6);
                let at = millis.fold(0_i64, |at, byte| (at << 8) | i64::from(*byte));
                find_event(reader, size, &id.to_string(), at, &entry_meaning())
                    .map_err(ControlError::unavailable)?
            }
        };
        found.ok_or_else(|| match self {
            Self::Index(index) => {
                ControlError::not_found(format!("entry `{index}` in a log of {size} entries"))
            }
            Self::Event(id) => ControlError::not_found(format!("event `{id}` in the audit log")),
        })
    }
}

/// The entries between two times, in whole bundles; all of them where no time is given.
///
/// # Errors
/// The log cannot be read.
pub fn entries_between(
    reader: &LogReader,
    size: u64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Range<u64>, ControlError> {
    let at = |time: Timestamp| {
        let at = index_at(reader, size, time.as_millis(), &entry_meaning());
        at.map_err(ControlError::unavailable)
    };
    let first = reader.first().map_err(ControlError::unavailable)?;
    let start = from.map(at).transpose()?.unwrap_or(first).max(first);
    // The bundle in which that time begins may hold entries from before it.
    let end = to.map(at).transpose()?.map_or(size, |end| end.saturating_add(1).min(size));
    Ok(start..end.max(start))
}

/// An export of a log under the checkpoint in `note`.
///
/// # Errors
/// The log cannot be read.
pub fn plan_export(
    reader: &LogReader,
    note: Vec<u8>,
    between: (Option<Timestamp>, Option<Timestamp>),
    keys: (Vec<String>, Vec<String>),
    made_at: Timestamp,
) -> Result<Export, ControlError> {
    let checkpoint = Checkpoint::read_unverified(&note).map_err(ControlError::unavailable)?;
    let handovers = read_handovers(reader.tiles()).map_err(ControlError::unavailable)?;
    let introduced = handovers.iter().filter_map(|handover| {
        let proof = TlogProof::parse(handover).ok()?;
        entry::introduced_log_key(proof.extra.as_deref()?)
    });
    let (log_keys, witness_keys) = keys;
    let mut known: Vec<String> = introduced.filter(|key| !log_keys.contains(key)).collect();
    known.extend(log_keys);
    Ok(Export {
        entries: entries_between(reader, checkpoint.size, between.0, between.1)?,
        note,
        checkpoint,
        handovers,
        log_keys: known,
        witness_keys,
        made_at: made_at.to_string(),
    })
}

impl Control {
    /// A copy of the log that verifies alone, as a tar archive: all hashes, and the entries between
    /// two times.
    ///
    /// # Errors
    /// No right; the log cannot be read.
    pub async fn audit_export(
        &self,
        who: &Authenticated,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<ExportStream, ControlError> {
        self.must_hold(who, ControlAction::ReadAudit, Activity::AuditRead).await?;
        let mut event = self.event(who, Activity::AuditRead).detail("kind", "export");
        for (name, time) in [("from", from), ("to", to)] {
            if let Some(time) = time {
                event = event.detail(name, time.to_string());
            }
        }
        self.audit(event).await?;
        let note = self.covering_checkpoint().await?;
        let log = self.gateway().auditor().log();
        let keys = (vec![log.verifier().to_vkey()], self.witness_keys());
        let reader = log.reader();
        let made_at = self.gateway().now();
        let planned = tokio::task::spawn_blocking(move || {
            plan_export(&reader, note, (from, to), keys, made_at).map(|export| (export, reader))
        })
        .await;
        let (export, reader) = planned
            .unwrap_or_else(|_| Err(ControlError::unavailable("the export was interrupted")))?;
        let (out, queue) = mpsc::channel(PIECE_QUEUE);
        tokio::task::spawn_blocking(move || {
            let mut tar = TarWriter::new(Pieces { out: out.clone(), buffer: Vec::new() });
            let written = export
                .write(reader.tiles(), &mut tar, |_, _| {})
                .map_err(ControlError::unavailable)
                .and_then(|()| tar.finish().map_err(ControlError::unavailable))
                .and_then(|mut pieces| pieces.flush().map_err(ControlError::unavailable));
            if let Err(error) = written {
                // Whoever reads may have gone; then nobody needs to know.
                let _ = out.blocking_send(Err(error));
            }
        });
        Ok(queue)
    }

    /// A proof that one entry is in the log, under its latest checkpoint.
    ///
    /// # Errors
    /// No right; no such entry; the log cannot be read.
    pub async fn audit_prove(
        &self,
        who: &Authenticated,
        which: &str,
    ) -> Result<ProofView, ControlError> {
        self.must_hold(who, ControlAction::ReadAudit, Activity::AuditRead).await?;
        let which: EntryRef = which.parse()?;
        let asked = match &which {
            EntryRef::Index(index) => index.to_string(),
            EntryRef::Event(id) => id.to_string(),
        };
        let event = self.event(who, Activity::AuditRead).detail("kind", "prove");
        self.audit(event.detail("entry", asked)).await?;
        let note = self.covering_checkpoint().await?;
        let reader = self.gateway().auditor().log().reader();
        let proved = tokio::task::spawn_blocking(move || prove(&reader, note, &which)).await;
        proved.unwrap_or_else(|_| Err(ControlError::unavailable("the proof was interrupted")))
    }
}

/// A proof of an entry under the checkpoint in `note`.
///
/// # Errors
/// No such entry; the log cannot be read.
pub fn prove(
    reader: &LogReader,
    note: Vec<u8>,
    which: &EntryRef,
) -> Result<ProofView, ControlError> {
    let checkpoint = Checkpoint::read_unverified(&note).map_err(ControlError::unavailable)?;
    let found = which.find(reader, checkpoint.size)?;
    let hashes =
        reader.inclusion_proof(found.index, checkpoint.size).map_err(ControlError::unavailable)?;
    let proof = TlogProof { extra: None, index: found.index, hashes, checkpoint: note };
    Ok(ProofView {
        index: found.index,
        proof: proof.to_text().map_err(ControlError::unavailable)?,
        entry: STANDARD.encode(found.entry),
    })
}

/// A writer that hands over pieces as they fill up and waits while the queue is full.
struct Pieces {
    out: mpsc::Sender<Result<Vec<u8>, ControlError>>,
    buffer: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES.saturating_sub(self.buffer.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.buffer);
        let sent = self.out.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader has gone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_by_index_or_by_event() {
        assert_eq!("17".parse::<EntryRef>().unwrap(), EntryRef::Index(17));
        let id = EventId::generate(Timestamp::from_millis(1_795_000_000_000));
        assert_eq!(id.to_string().parse::<EntryRef>().unwrap(), EntryRef::Event(id));
        for text in ["", "-1", "ses-0198f0000000700080000000000000aa", "evt-"] {
            assert!(text.parse::<EntryRef>().is_err(), "`{text}`");
        }
    }
}
