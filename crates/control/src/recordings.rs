//! Reading recordings: replay, export, and what a watcher sees of the past.
//!
//! Reading is itself an event, written before the first byte goes out. A recording is read on a
//! blocking thread into a bounded queue, so that a slow reader costs no memory.

use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_domain::audit::Activity;
use portcullis_domain::{ControlAction, EnvironmentName};
use portcullis_evidence::recording::asciicast::{
    AsciicastOptions, AsciicastVersion, ExportError, export,
};
use portcullis_evidence::recording::{
    Frame, FrameKind, ReadError, RecordingReader, Vouched, check,
};
use portcullis_gateway::{Authenticated, RECORDING_SUFFIX, RecordingKey};
use portcullis_store::{RecordingRemoval, SessionRecord};
use tokio::sync::{mpsc, oneshot};

use crate::trail::trail_of;
use crate::view::{FrameView, RecordingFormat, RecordingWanted};
use crate::{Control, ControlError, ErrorKind};

/// Frames or pieces waiting for a slow reader.
pub const FRAME_QUEUE: usize = 256;
/// Bytes of a piece of an export.
const PIECE_BYTES: usize = 32 * 1024;

/// Pieces of an export; an error ends it.
pub type RecordingStream = mpsc::Receiver<Result<Vec<u8>, ControlError>>;

impl Control {
    /// A recording in a format, in pieces.
    pub async fn recording(
        &self,
        who: &Authenticated,
        id: &str,
        wanted: RecordingWanted,
    ) -> Result<RecordingStream, ControlError> {
        let source = self.may_read(who, id).await?;
        let (out, queue) = mpsc::channel(FRAME_QUEUE);
        let (begun, begins) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let buffer = Vec::with_capacity(PIECE_BYTES);
            let mut pieces = Pieces { out, buffer, begun: Some(begun) };
            let done = source.write_as(wanted, &mut pieces);
            pieces.end(done);
        });
        // What cannot be read at all is an answer of its own and not a stream that breaks off.
        match begins.await {
            Ok(Ok(())) => Ok(queue),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ControlError::unavailable("reading the recording was interrupted")),
        }
    }

    /// A session by its id, where the caller may read its recording.
    pub(crate) async fn readable_session(
        &self,
        who: &Authenticated,
        id: &str,
    ) -> Result<SessionRecord, ControlError> {
        self.must_hold(who, ControlAction::ReadRecordings, Activity::RecordingRead).await?;
        let record = self.find_session(who, id).await?;
        if self.may_read_in(who, &record.environment) {
            return Ok(record);
        }
        let event = self
            .event(who, Activity::RecordingRead)
            .target(&record.target)
            .environment(&record.environment)
            .session(record.id);
        let why = format!(
            "recordings of `{}` are read by the groups its `recordings.readers` name; ask one of them",
            record.environment
        );
        self.refuse(event, &why).await
    }

    /// Whether the caller, who holds the right to read recordings, may read those of an
    /// environment. One that is not declared any more has nobody to name its readers.
    pub(crate) fn may_read_in(&self, who: &Authenticated, environment: &EnvironmentName) -> bool {
        let snapshot = self.gateway().snapshot();
        let readers = snapshot.facts.environments.get(environment);
        let Some(readers) = readers.and_then(|found| found.recordings.readers.as_ref()) else {
            return true;
        };
        let user = snapshot.facts.users.get(who.user());
        user.is_some_and(|user| !user.groups.is_disjoint(readers))
    }

    async fn may_read(&self, who: &Authenticated, id: &str) -> Result<Source, ControlError> {
        let record = self.readable_session(who, id).await?;
        if let Some(live) = self.gateway().live_session(record.id)
            && let Some(recorder) = live.recorder()
        {
            recorder.flush_all().await.map_err(ControlError::unavailable)?;
        }
        if let Some(removal) = &record.removal {
            let RecordingRemoval { at, event } = removal;
            let what = format!("recording of session `{}`", record.id);
            let why =
                format!("{what}: it was removed at {at}, see event `{event}` of the audit log");
            return Err(ControlError::not_found(why));
        }
        let path = self.gateway().recordings().join(format!("{}.{RECORDING_SUFFIX}", record.id));
        if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Err(ControlError::not_found(format!("recording of session `{}`", record.id)));
        }
        let event = self
            .event(who, Activity::RecordingRead)
            .target(&record.target)
            .environment(&record.environment)
            .session(record.id)
            .person("of", &record.user);
        self.audit(event).await?;
        let log = self.gateway().auditor().log();
        let (reader, size) = (log.reader(), log.size());
        let key = self.gateway().recording_key(record.id).await?;
        let trail = tokio::task::spawn_blocking(move || trail_of(&reader, size, &record)).await;
        let trail = trail.map_err(|_| ControlError::unavailable("reading was interrupted"))??;
        Ok(Source { path, key, vouched: trail.vouched })
    }
}

/// A recording someone may read, and what the log says of it.
struct Source {
    path: PathBuf,
    key: RecordingKey,
    vouched: Vouched,
}

/// The frames written so far, for a watcher who joins late.
pub(crate) fn past_frames(path: &std::path::Path, key: &RecordingKey) -> Vec<Frame> {
    let Ok(mut reader) = RecordingReader::open(path, key) else {
        return Vec::new();
    };
    let mut frames = std::collections::VecDeque::new();
    // What is on the screen is in the latest frames; older ones need not be sent again.
    while let Ok(Some(frame)) = reader.next_frame() {
        if frames.len() >= FRAME_QUEUE {
            frames.pop_front();
        }
        frames.push_back(frame);
    }
    frames.into()
}

impl Source {
    fn write_as(self, wanted: RecordingWanted, to: &mut Pieces) -> Result<(), ControlError> {
        let RecordingWanted { format, input, up_to_damage } = wanted;
        if !up_to_damage {
            check(&self.path, &self.vouched).map_err(damaged)?;
        }
        let mut reader = RecordingReader::open(&self.path, &self.key)
            .and_then(|reader| reader.against(self.vouched))
            .map_err(damaged)?;
        let version = match format {
            RecordingFormat::AsciicastV2 => AsciicastVersion::V2,
            RecordingFormat::AsciicastV3 => AsciicastVersion::V3,
            RecordingFormat::Frames => {
                while let Some(frame) = reader.next_frame().map_err(damaged)? {
                    if frame.kind == FrameKind::Input && !input {
                        continue;
                    }
                    serde_json::to_writer(&mut *to, &frame_view(&frame))
                        .map_err(ControlError::unavailable)?;
                    to.write_all(b"\n").map_err(ControlError::unavailable)?;
                }
                return Ok(());
            }
        };
        let options = AsciicastOptions { version, channel: None, input };
        export(&mut reader, options, to).map_err(|error| match error {
            ExportError::Read(error) => damaged(error),
            ExportError::Write(error) => ControlError::unavailable(error),
        })
    }
}

/// What reading met: the first bad chunk is named.
fn damaged(error: ReadError) -> ControlError {
    let message = match error.chunk() {
        Some(_) => format!(
            "the recording does not verify: {error}; `portcullis sessions verify` says more, \
             `--up-to-damage` shows what stands before"
        ),
        None => error.to_string(),
    };
    ControlError::new(ErrorKind::Unavailable, "recording_damaged", message)
}

/// A frame as the API gives it.
pub(crate) fn frame_view(frame: &Frame) -> FrameView {
    let (kind, data) = match frame.kind {
        FrameKind::Output => ("output", Cow::Borrowed(frame.data.as_slice())),
        FrameKind::Input => ("input", Cow::Borrowed(frame.data.as_slice())),
        FrameKind::Resize { .. } => ("resize", Cow::Borrowed([].as_slice())),
        FrameKind::Marker => ("note", Cow::Borrowed(frame.data.as_slice())),
        FrameKind::Event => event_view(&frame.data),
    };
    let size = match frame.kind {
        FrameKind::Resize { cols, rows } => Some((u32::from(cols), u32::from(rows))),
        _ => None,
    };
    FrameView {
        at_us: u64::try_from(frame.at.as_micros()).unwrap_or(u64::MAX),
        kind: kind.to_owned(),
        channel: frame.channel,
        data: STANDARD.encode(data),
        cols: size.map(|(cols, _)| cols),
        rows: size.map(|(_, rows)| rows),
    }
}

/// The gateway's own events by name; any other is a note with what it says.
fn event_view(data: &[u8]) -> (&'static str, Cow<'_, [u8]>) {
    let event: serde_json::Value = serde_json::from_slice(data).unwrap_or_default();
    if let Some(command) = event.get("command").and_then(serde_json::Value::as_str) {
        return ("command", Cow::Owned(command.as_bytes().to_vec()));
    }
    if let Some(status) = event.get("exit_status") {
        return ("exit", Cow::Owned(format!("with status {status}").into_bytes()));
    }
    for kind in ["statement", "result"] {
        if let Some(inner) = event.get(kind) {
            return (kind, Cow::Owned(inner.to_string().into_bytes()));
        }
    }
    ("note", Cow::Borrowed(data))
}

/// A writer that hands over pieces as they fill up and waits while the queue is full.
struct Pieces {
    out: mpsc::Sender<Result<Vec<u8>, ControlError>>,
    buffer: Vec<u8>,
    /// Told once, before the first piece: whether there is one.
    begun: Option<oneshot::Sender<Result<(), ControlError>>>,
}

impl Pieces {
    /// Hands over what is left, and how it ended. Whoever reads may have gone; then nobody needs
    /// to know.
    fn end(mut self, done: Result<(), ControlError>) {
        match done.and_then(|()| self.flush().map_err(ControlError::unavailable)) {
            Ok(()) => drop(self.begun.take().map(|begun| begun.send(Ok(())))),
            Err(error) => match self.begun.take() {
                Some(begun) => drop(begun.send(Err(error))),
                None => drop(self.out.blocking_send(Err(error))),
            },
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(Ok(()));
        }
        let piece = std::mem::take(&mut self.buffer);
        self.out
            .blocking_send(Ok(piece))
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    }
}
