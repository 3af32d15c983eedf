//! Recording a session: what passes is put into evidence's recording, typed input masked where the
//! terminal does not echo it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_domain::{SessionId, Target, Terms};
use portcullis_evidence::recording::mask::InputMask;
use portcullis_evidence::recording::{
    ChunkSync, Frame, FrameKind, Recorder, RecordingMeta, Summary,
};
use serde_json::json;
use thiserror::Error;
use tokio::sync::broadcast;

use crate::Gateway;
use crate::chunk_log::{remains_detail, summary_detail};
use crate::end::EndReason;
use crate::permit::Authenticated;

/// File name ending of a recording.
pub const RECORDING_SUFFIX: &str = "rec";
/// Characters of a command in one event; a longer command is several events.
const COMMAND_PIECE: usize = 4096;
/// Time that stands for "nothing is waiting".
const NOT_DUE: u64 = u64::MAX;

/// What a room saw pass, in either direction.
#[derive(Debug, Clone, Copy)]
pub enum Observation<'a> {
    /// Bytes the target wrote to the terminal or standard output.
    Output {
        /// Channel.
        channel: u32,
        /// Bytes.
        data: &'a [u8],
    },
    /// Bytes the target wrote to standard error.
    Error {
        /// Channel.
        channel: u32,
        /// Bytes.
        data: &'a [u8],
    },
    /// Bytes the client typed or sent to standard input.
    Input {
        /// Channel.
        channel: u32,
        /// Bytes.
        data: &'a [u8],
    },
    /// A terminal was asked for.
    Pty {
        /// Channel.
        channel: u32,
        /// Columns.
        cols: u32,
        /// Rows.
        rows: u32,
    },
    /// The terminal's size changed.
    Resize {
        /// Channel.
        channel: u32,
        /// Columns.
        cols: u32,
        /// Rows.
        rows: u32,
    },
    /// A command was started.
    Command {
        /// Channel.
        channel: u32,
        /// The command line.
        text: &'a str,
    },
    /// A program ended.
    Exit {
        /// Channel.
        channel: u32,
        /// Its exit status.
        status: u32,
    },
    /// Something structured: a statement, a result. At most
    /// [`portcullis_evidence::recording::MAX_WHOLE_FRAME_BYTES`] of JSON.
    Event {
        /// A JSON object.
        json: &'a str,
    },
    /// Something the gate did that belongs on the time line.
    Note {
        /// What.
        text: &'a str,
    },
}

impl Observation<'_> {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Output { data, .. } | Self::Error { data, .. } | Self::Input { data, .. } => {
                u64::try_from(data.len()).unwrap_or(u64::MAX)
            }
            _ => 0,
        }
    }
}

/// The recording could not be written.
#[derive(Debug, Clone, Error)]
#[error("{reason}")]
pub struct RecordError {
    reason: String,
}

impl RecordError {
    fn because(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// The recording of one session; its channels share it.
pub struct SessionRecorder {
    recorder: Recorder,
    start: Instant,
    /// Masks of the channels that have a terminal. A channel without one has no echo to tell a
    /// password by; what it sends is data and is recorded as it is.
    masks: Mutex<HashMap<u32, InputMask>>,
    /// When held input falls due, in microseconds since the start.
    mask_due: AtomicU64,
    path: PathBuf,
}

impl SessionRecorder {
    pub(crate) async fn create(
        gateway: &Gateway,
        id: SessionId,
        who: &Authenticated,
        target: &Target,
        terms: &Terms,
    ) -> Result<Self, RecordError> {
        let path = gateway.recordings().join(format!("{id}.{RECORDING_SUFFIX}"));
        let meta = RecordingMeta {
            session: id.to_string(),
            started_unix_ms: u64::try_from(gateway.now().as_millis()).unwrap_or(0),
            title: format!("{} on {}@{}", who.user(), terms.login, target.name),
            labels: BTreeMap::from([
                ("user".to_owned(), who.user().to_string()),
                ("target".to_owned(), target.name.to_string()),
                ("environment".to_owned(), target.environment.to_string()),
                ("login".to_owned(), terms.login.to_string()),
            ]),
            ..RecordingMeta::default()
        };
        let key = gateway.new_recording_key(id).await.map_err(|error| {
            RecordError::because(format!("its key cannot be kept: {}", source_text(&error)))
        })?;
        let receipts = gateway.chunk_log().receipts();
        let file = path.clone();
        let created = tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            Recorder::create(&file, &meta, &key, ChunkSync::AtClose, start, Some(receipts))
                .map(|recorder| (recorder, start))
        })
        .await;
        let (recorder, start) = match created {
            Ok(created) => created.map_err(|error| RecordError::because(source_text(&error)))?,
            Err(_) => return Err(RecordError::because("creating it was interrupted")),
        };
        Ok(Self {
            recorder,
            start,
            masks: Mutex::new(HashMap::new()),
            mask_due: AtomicU64::new(NOT_DUE),
            path,
        })
    }

    pub(crate) async fn observe(&self, seen: Observation<'_>) -> Result<(), RecordError> {
        let now = Instant::now();
        match seen {
            Observation::Output { channel, data } | Observation::Error { channel, data } => {
                let echoed = self.masked(channel, |mask, at| mask.output(at, data));
                self.put_input(channel, echoed, now).await?;
                self.put(FrameKind::Output, channel, now, data).await
            }
            Observation::Input { channel, data } => {
                match self.masked(channel, |mask, at| mask.typed(at, data)) {
                    None => self.put(FrameKind::Input, channel, now, data).await,
                    known => self.put_input(channel, known, now).await,
                }
            }
            Observation::Pty { channel, cols, rows } => {
                self.masks().insert(channel, InputMask::new());
                self.put(size(cols, rows), channel, now, &[]).await
            }
            Observation::Resize { channel, cols, rows } => {
                self.put(size(cols, rows), channel, now, &[]).await
            }
            Observation::Command { channel, text } => {
                let text: Vec<char> = text.chars().collect();
                for piece in text.chunks(COMMAND_PIECE) {
                    let event = json!({"command": piece.iter().collect::<String>()});
                    self.put(FrameKind::Event, channel, now, event.to_string().as_bytes()).await?;
                }
                Ok(())
            }
            Observation::Exit { channel, status } => {
                let rest = self.masked(channel, |mask, _| mask.finish());
                self.put_input(channel, rest, now).await?;
                let event = json!({"exit_status": status});
                self.put(FrameKind::Event, channel, now, event.to_string().as_bytes()).await
            }
            Observation::Event { json } => {
                self.put(FrameKind::Event, 0, now, json.as_bytes()).await
            }
            Observation::Note { text } => {
                let text: String = text.chars().take(4096).collect();
                self.put(FrameKind::Marker, 0, now, text.as_bytes()).await
            }
        }
    }

    /// Whether something waits to be written that nothing else will push on.
    pub(crate) fn is_due(&self) -> bool {
        let now = Instant::now();
        let elapsed = micros(now.saturating_duration_since(self.start));
        self.recorder.next_due().is_some_and(|due| due <= now)
            || self.mask_due.load(Ordering::Relaxed) <= elapsed
    }

    /// Writes what is due.
    pub(crate) async fn flush(&self) -> Result<(), RecordError> {
        let now = Instant::now();
        let at = now.saturating_duration_since(self.start);
        let released: Vec<(u32, Vec<u8>)> = {
            let mut masks = self.masks();
            let released = masks.iter_mut().map(|(channel, mask)| (*channel, mask.due(at)));
            let released = released.collect();
            self.note_mask_due(&masks);
            released
        };
        for (channel, bytes) in released {
            self.put_input(channel, Some(bytes), now).await?;
        }
        if self.recorder.next_due().is_some_and(|due| due <= now) {
            self.recorder.flush().await.map_err(RecordError::because)?;
        }
        Ok(())
    }

    /// Writes what is left and closes the file. What the session's closing entry says of it: its
    /// summary, or what is left where it failed. Every chunk is in the log when this returns.
    pub(crate) async fn finish(
        &self,
        gateway: &Gateway,
        reason: &EndReason,
    ) -> Option<serde_json::Value> {
        let finished = self.close(reason).await;
        gateway.chunk_log().logged().await;
        if let Some(summary) = finished {
            return Some(summary_detail(&summary));
        }
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || remains_detail(&path)).await.ok().flatten()
    }

    async fn close(&self, reason: &EndReason) -> Option<Summary> {
        let now = Instant::now();
        let left: Vec<(u32, Vec<u8>)> =
            self.masks().drain().map(|(channel, mut mask)| (channel, mask.finish())).collect();
        for (channel, bytes) in left {
            self.put_input(channel, Some(bytes), now).await.ok()?;
        }
        let label = format!("ended: {}", reason.as_str());
        self.put(FrameKind::Marker, 0, now, label.as_bytes()).await.ok()?;
        let closed = self.recorder.close().await;
        closed.inspect_err(|error| tracing::error!(%error, "a recording could not be closed")).ok()
    }

    /// Frames from now on, for a watcher.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Frame>> {
        self.recorder.watch()
    }

    /// Writes what is buffered to the file, so that a watcher can read what was there before.
    pub async fn flush_all(&self) -> Result<(), RecordError> {
        self.recorder.flush().await.map_err(RecordError::because)
    }

    /// The file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    async fn put(
        &self,
        kind: FrameKind,
        channel: u32,
        now: Instant,
        data: &[u8],
    ) -> Result<(), RecordError> {
        self.recorder.observe(kind, channel, now, data).await.map_err(RecordError::because)
    }

    async fn put_input(
        &self,
        channel: u32,
        bytes: Option<Vec<u8>>,
        now: Instant,
    ) -> Result<(), RecordError> {
        match bytes {
            Some(bytes) if !bytes.is_empty() => {
                self.put(FrameKind::Input, channel, now, &bytes).await
            }
            _ => Ok(()),
        }
    }

    /// Runs the channel's mask, if it has one.
    fn masked(
        &self,
        channel: u32,
        step: impl FnOnce(&mut InputMask, Duration) -> Vec<u8>,
    ) -> Option<Vec<u8>> {
        let at = self.start.elapsed();
        let mut masks = self.masks();
        let released = masks.get_mut(&channel).map(|mask| step(mask, at));
        if released.is_some() {
            self.note_mask_due(&masks);
        }
        released
    }

    fn note_mask_due(&self, masks: &HashMap<u32, InputMask>) {
        let due = masks.values().filter_map(InputMask::next_due).min();
        self.mask_due.store(due.map_or(NOT_DUE, micros), Ordering::Relaxed);
    }

    fn masks(&self) -> std::sync::MutexGuard<'_, HashMap<u32, InputMask>> {
        self.masks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(cols: u32, rows: u32) -> FrameKind {
    let bounded = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    FrameKind::Resize { cols: bounded(cols), rows: bounded(rows) }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// An error with what caused it, for the log.
fn source_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
