//! What the log is told of recordings, and how it is read back: an entry for each chunk, and in
//! the session's closing entry the number of chunks and the hash that stands for all of them.
//!
//! Flows in: receipts of chunks, from all sessions. Flows out: audit events, and from the JSON of
//! such an event the hashes in it. Never knows what a chunk holds.
//!
//! An entry per chunk costs some 600 bytes for up to 256 KiB or ten seconds of a session, and no
//! session waits for it: entries of a moment go in together. INVARIANT: a session's chunk entries
//! stand before its closing entry, so that from the opening to the closing entry is all there is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::Timestamp;
use portcullis_domain::audit::{Activity, Event};
use portcullis_evidence::log::Hash;
use portcullis_evidence::recording::{ChunkReceipt, Closing, Summary, remains};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::{Auditor, Clock};

/// Chunks written but not yet in the log, over all sessions; beyond it recordings wait.
const RECEIPT_QUEUE: usize = 1024;
/// Chunks whose entries are written together at most.
const RECEIPTS_AT_ONCE: usize = 512;
/// How long chunks are gathered where no session closes.
const RECEIPT_MOMENT: Duration = Duration::from_millis(50);
/// Sessions closing at once that have asked; beyond it the next one waits.
const CLOSING_QUEUE: usize = 256;

/// The way of chunks' hashes into the log, for all sessions.
#[derive(Clone)]
pub(crate) struct ChunkLog {
    receipts: mpsc::Sender<ChunkReceipt>,
    closing: mpsc::Sender<oneshot::Sender<()>>,
}

impl ChunkLog {
    /// Starts the one task that writes them. What is written within a moment goes in together: a
    /// session that writes fast fills many chunks a second, and nothing waits for their entries.
    pub(crate) fn start(auditor: Auditor, clock: Arc<dyn Clock>) -> Self {
        let (receipts, queue) = mpsc::channel(RECEIPT_QUEUE);
        let (closing, asked) = mpsc::channel(CLOSING_QUEUE);
        tokio::spawn(write(auditor, clock, queue, asked));
        Self { receipts, closing }
    }

    pub(crate) fn receipts(&self) -> mpsc::Sender<ChunkReceipt> {
        self.receipts.clone()
    }

    /// Returns once every receipt told before is in the log; at once where the log has failed,
    /// which closes the gate by itself.
    pub(crate) async fn logged(&self) {
        let (tell, told) = oneshot::channel();
        if self.closing.send(tell).await.is_ok() {
            let _ = told.await;
        }
    }
}

async fn write(
    auditor: Auditor,
    clock: Arc<dyn Clock>,
    mut queue: mpsc::Receiver<ChunkReceipt>,
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut batch: Vec<ChunkReceipt> = Vec::new();
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(session) = asked.recv() => waiting.push(session),
            count = queue.recv_many(&mut batch, RECEIPTS_AT_ONCE) => {
                if count == 0 {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(RECEIPT_MOMENT) => {}
                    Some(session) = asked.recv() => waiting.push(session),
                }
            }
        }
        while waiting.len() < CLOSING_QUEUE
            && let Ok(session) = asked.try_recv()
        {
            waiting.push(session);
        }
        // What a session told before it asked is among these.
        let mut ahead = queue.len();
        loop {
            while batch.len() < RECEIPTS_AT_ONCE
                && let Ok(receipt) = queue.try_recv()
            {
                ahead = ahead.saturating_sub(1);
                batch.push(receipt);
            }
            let now = clock.now();
            let events: Vec<Event> =
                batch.drain(..).map(|receipt| chunk_event(&receipt, now)).collect();
            // A log that fails closes the gate and ends every session by itself.
            if !events.is_empty() && auditor.write_all(events).await.is_err() {
                return;
            }
            if ahead == 0 || queue.is_empty() {
                break;
            }
        }
        for session in waiting.drain(..) {
            let _ = session.send(());
        }
    }
}

fn chunk_event(receipt: &ChunkReceipt, now: Timestamp) -> Event {
    let micros = |at: Duration| u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
    let mut event = Event::new(Activity::Recording, now)
        .detail("chunk", receipt.index)
        .detail("sha256", receipt.hash.to_string())
        .detail("bytes", receipt.bytes)
        .detail("from_us", micros(receipt.from))
        .detail("to_us", micros(receipt.to));
    event.session = receipt.session.parse().ok();
    event
}

/// What a closing entry says of a recording that ended cleanly.
pub(crate) fn summary_detail(summary: &Summary) -> Value {
    json!({
        "chunks": summary.chunks,
        "bytes": summary.bytes,
        "sha256": summary.head.to_string(),
        "finished": true,
    })
}

/// What a closing entry says of a recording that did not: what is left of it now. `None` where
/// nothing can be read. Blocks while it reads the file.
pub fn remains_detail(path: &Path) -> Option<Value> {
    let left = remains(path).ok().flatten()?;
    Some(json!({
        "chunks": left.closing.chunks,
        "bytes": left.bytes,
        "sha256": left.closing.head.to_string(),
        "finished": false,
        "cut_bytes": left.closing.cut_bytes,
    }))
}

/// The chunk that an entry of the log vouches for: its number and hash.
pub fn logged_chunk(event: &Value) -> Option<(u32, Hash)> {
    let own = event.get("unmapped")?;
    Some((number(own, "chunk")?, hash(own)?))
}

/// What a closing entry says of the recording, and whether it ended cleanly.
pub fn logged_closing(event: &Value) -> Option<(Closing, bool)> {
    let recording = event.pointer("/unmapped/recording")?;
    let cut_bytes = recording.get("cut_bytes").and_then(Value::as_u64).unwrap_or(0);
    let closing =
        Closing { chunks: number(recording, "chunks")?, head: hash(recording)?, cut_bytes };
    let finished = recording.get("finished").and_then(Value::as_bool).unwrap_or(true);
    Some((closing, finished))
}

fn number(of: &Value, name: &str) -> Option<u32> {
    u32::try_from(of.get(name)?.as_u64()?).ok()
}

fn hash(of: &Value) -> Option<Hash> {
    Hash::from_hex(of.get("sha256")?.as_str()?)
}
