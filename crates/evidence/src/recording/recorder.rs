//! The recording of a live session, for async callers: several channels observe into one file.
//!
//! Flows in: observations, each awaited before what was observed goes on. Flows out: chunks,
//! written on a blocking thread, at most one at a time; receipts for the log; live frames for
//! whoever watches. At most two chunks of a session are in memory, and none while it is idle.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, broadcast, mpsc};
use tokio::task::JoinHandle;

use super::format::RecordingMeta;
use super::frame::{Frame, FrameKind};
use super::seal::{KeyWrap, SessionKey};
use super::writer::{
    ChunkReceipt, ChunkSink, ChunkSync, CreateError, Pending, Push, RecordError, RecordingWriter,
    Summary,
};

/// Frames a live watcher may lag behind before it is told that it missed some.
const LIVE_FRAMES: usize = 256;
/// No chunk is pending.
const NOT_DUE: u64 = u64::MAX;

/// Records a session. Share it between channels in an `Arc`.
pub struct Recorder {
    state: Mutex<State>,
    start: Instant,
    failed: AtomicBool,
    /// When the pending chunk is due, in microseconds since the start.
    due: AtomicU64,
    receipts: Option<mpsc::Sender<ChunkReceipt>>,
    watched: AtomicBool,
    watchers: StdMutex<Option<broadcast::Sender<Arc<Frame>>>>,
}

struct State {
    pending: Pending,
    sink: Sink,
    /// A receipt the log has not taken yet. While there is one, no other chunk is begun.
    receipt: Option<ChunkReceipt>,
}

type Written = (Box<ChunkSink>, std::io::Result<ChunkReceipt>);

enum Sink {
    Ready(Box<ChunkSink>),
    Writing(JoinHandle<Written>),
    Failed(String),
    Closed,
}

impl Recorder {
    /// Begins a recording in a new file at `path`. Each chunk written is told to `receipts`,
    /// which one task may serve for all sessions; while it is full, observations wait, and when
    /// nobody receives any more, they fail. Blocks for one small write.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn create(
        path: &Path,
        meta: &RecordingMeta,
        wrap: &dyn KeyWrap,
        sync: ChunkSync,
        start: Instant,
        receipts: Option<mpsc::Sender<ChunkReceipt>>,
    ) -> Result<Self, CreateError> {
        let key = SessionKey::generate()?;
        let writer = RecordingWriter::create(path, meta, key, wrap, sync, start)?;
        Ok(Self::new(writer, receipts))
    }

    /// Goes on with a recording that was just created.
    #[must_use]
    pub fn new(writer: RecordingWriter, receipts: Option<mpsc::Sender<ChunkReceipt>>) -> Self {
        let (sink, start) = writer.into_parts();
        let sink = Sink::Ready(Box::new(sink));
        Self {
            state: Mutex::new(State { pending: Pending::default(), sink, receipt: None }),
            start,
            failed: AtomicBool::new(false),
            due: AtomicU64::new(NOT_DUE),
            receipts,
            watched: AtomicBool::new(false),
            watchers: StdMutex::new(None),
        }
    }

    /// Records what was seen. Await it before passing on what was seen: when it fails, the
    /// session must not go on where recording is required. If the caller stops waiting, part of
    /// `data` may be recorded.
    ///
    /// # Errors
    /// [`RecordError`]; after [`RecordError::Failed`] every later observation fails too.
    pub async fn observe(
        &self,
        kind: FrameKind,
        channel: u32,
        now: Instant,
        data: &[u8],
    ) -> Result<(), RecordError> {
        let mut state = self.state.lock().await;
        state.check()?;
        // A chunk that could not be written is known of as soon as it has failed.
        if matches!(&state.sink, Sink::Writing(writing) if writing.is_finished()) {
            self.settle(&mut state).await?;
        }
        let mut rest = data;
        while let Push::Full { taken } = state.pending.push(kind, channel, self.start, now, rest)? {
            rest = rest.get(taken..).unwrap_or_default();
            self.begin_write(&mut state).await?;
        }
        if state.pending.due().is_some_and(|due| due <= now) {
            self.begin_write(&mut state).await?;
        }
        self.note_due(&state);
        drop(state);
        if self.watched.load(Ordering::Relaxed) {
            self.show(kind, channel, now, data);
        }
        Ok(())
    }

    /// When [`Recorder::flush`] is due, though nothing more may be observed.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        match self.due.load(Ordering::Relaxed) {
            NOT_DUE => None,
            due => Some(self.start + Duration::from_micros(due)),
        }
    }

    /// Writes what is pending, and returns once it is written.
    ///
    /// # Errors
    /// [`RecordError`].
    pub async fn flush(&self) -> Result<(), RecordError> {
        let mut state = self.state.lock().await;
        self.begin_write(&mut state).await?;
        self.settle(&mut state).await
    }

    /// Writes what is pending and the mark of a clean end, durably. Observations fail from now on.
    ///
    /// # Errors
    /// [`RecordError`].
    pub async fn close(&self) -> Result<Summary, RecordError> {
        let mut state = self.state.lock().await;
        self.begin_write(&mut state).await?;
        self.settle(&mut state).await?;
        let sink = match std::mem::replace(&mut state.sink, Sink::Closed) {
            Sink::Ready(sink) => sink,
            other => {
                state.sink = other;
                return Err(RecordError::Closed);
            }
        };
        match tokio::task::spawn_blocking(move || sink.finish()).await {
            Ok(Ok(summary)) => Ok(summary),
            Ok(Err(error)) => Err(self.fail(&mut state, error.to_string())),
            Err(error) => Err(self.fail(&mut state, error.to_string())),
        }
    }

    /// Whether the recording has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Every frame from now on, as it is recorded. A watcher that lags is told how many it
    /// missed. Costs nothing until it is called.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Arc<Frame>> {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = watchers.get_or_insert_with(|| broadcast::Sender::new(LIVE_FRAMES));
        self.watched.store(true, Ordering::Relaxed);
        sender.subscribe()
    }

    fn show(&self, kind: FrameKind, channel: u32, now: Instant, data: &[u8]) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let at = now.saturating_duration_since(self.start);
        let frame = Arc::new(Frame { at, kind, channel, data: data.to_vec() });
        // With the last watcher gone, the session is as cheap as before.
        if watchers.as_ref().is_none_or(|sender| sender.send(frame).is_err()) {
            *watchers = None;
            self.watched.store(false, Ordering::Relaxed);
        }
    }

    /// Hands the pending chunk to a blocking thread, once the one before it is written.
    async fn begin_write(&self, state: &mut State) -> Result<(), RecordError> {
        self.settle(state).await?;
        if state.pending.is_empty() {
            return state.check();
        }
        match std::mem::replace(&mut state.sink, Sink::Closed) {
            Sink::Ready(mut sink) => {
                let pending = state.pending.take();
                state.sink = Sink::Writing(tokio::task::spawn_blocking(move || {
                    let written = sink.write(pending);
                    (sink, written)
                }));
                self.note_due(state);
                Ok(())
            }
            other => {
                state.sink = other;
                state.check()
            }
        }
    }

    /// Waits for the chunk being written, and for the log to take its receipt. May be given up
    /// and called again: what is waited for stays in `state`.
    async fn settle(&self, state: &mut State) -> Result<(), RecordError> {
        if let Sink::Writing(writing) = &mut state.sink {
            match writing.await {
                Ok((sink, Ok(receipt))) => {
                    state.sink = Sink::Ready(sink);
                    state.receipt = Some(receipt);
                }
                Ok((_, Err(error))) => return Err(self.fail(state, error.to_string())),
                Err(error) => return Err(self.fail(state, error.to_string())),
            }
        }
        if state.receipt.is_some()
            && let Some(receipts) = &self.receipts
        {
            let Ok(place) = receipts.reserve().await else {
                return Err(self.fail(state, "its hashes cannot be logged any more".into()));
            };
            if let Some(receipt) = state.receipt.take() {
                place.send(receipt);
            }
        }
        state.check()
    }

    fn fail(&self, state: &mut State, reason: String) -> RecordError {
        tracing::error!(reason, "a recording has failed");
        state.sink = Sink::Failed(reason.clone());
        state.pending = Pending::default();
        self.failed.store(true, Ordering::SeqCst);
        self.due.store(NOT_DUE, Ordering::Relaxed);
        RecordError::Failed { reason }
    }

    fn note_due(&self, state: &State) {
        let due = state.pending.due().map_or(NOT_DUE, |due| {
            let micros = due.saturating_duration_since(self.start).as_micros();
            u64::try_from(micros).unwrap_or(NOT_DUE)
        });
        self.due.store(due, Ordering::Relaxed);
    }
}

impl State {
    fn check(&self) -> Result<(), RecordError> {
        match &self.sink {
            Sink::Failed(reason) => Err(RecordError::Failed { reason: reason.clone() }),
            Sink::Closed => Err(RecordError::Closed),
            Sink::Ready(_) | Sink::Writing(_) => Ok(()),
        }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("failed", &self.has_failed()).finish_non_exhaustive()
    }
}

impl Drop for Recorder {
    /// A recorder dropped unclosed still writes what it holds, as far as it can: the recording is
    /// then unfinished, and says so.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if let Sink::Ready(sink) = &mut state.sink
            && !state.pending.is_empty()
            && let Err(error) = sink.write(state.pending.take())
        {
            tracing::error!(%error, "the last chunk of a dropped recording could not be written");
        }
    }
}
