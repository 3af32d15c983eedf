//! Writing a recording, synchronously: frames gather in a chunk; a full or due chunk is
//! compressed, sealed, hashed and written. [`super::recorder`] does the same for async callers.
//!
//! Flows in: what was seen, with its time. Flows out: a file, and the hash of every chunk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::compress::{FAST, SMALL, compress, return_buffer, take_buffer};
use super::format::{
    CHUNK_HEAD_BYTES, FORM_STORED, FORM_TRAILER, FORM_ZSTD, RecordingMeta, chunk_hash, chunk_head,
    encode_header,
};
use super::frame::{FrameKind, MAX_CHUNK_BYTES, MAX_WHOLE_FRAME_BYTES, encode};
use super::seal::{KeyWrap, KeyWrapError, Place, SessionKey, TAG_BYTES};
use crate::log::Hash;
use crate::log::merkle::sha256;

/// Longest time a frame waits in memory for its chunk to be written.
pub const MAX_CHUNK_AGE: Duration = Duration::from_secs(10);
/// Bytes before the frames in a chunk's buffer: head and form.
const FRAMES_FROM: usize = CHUNK_HEAD_BYTES + 1;
/// Bytes of a buffer that never has to grow.
const BUFFER_BYTES: usize = FRAMES_FROM + MAX_CHUNK_BYTES + TAG_BYTES;
/// Pending bytes above which a session gets such a buffer; below, it holds what it needs.
const LARGE_FROM: usize = 16 * 1024;

/// Why nothing more is recorded. Where recording is required, the session ends with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The recording cannot be written; every later observation fails too.
    #[error("the recording has failed ({reason}); free space or repair the disk")]
    Failed {
        /// What went wrong first.
        reason: String,
    },
    /// The recording was closed.
    #[error("the recording is closed")]
    Closed,
    /// A marker or event is too large to stay whole.
    #[error(
        "a marker or event of {bytes} bytes exceeds the {MAX_WHOLE_FRAME_BYTES} a recording takes"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// Why a recording cannot be begun.
#[derive(Debug, Error)]
pub enum CreateError {
    /// The file cannot be made or written.
    #[error("the recording cannot be created")]
    Io(#[from] io::Error),
    /// Its key cannot be made or wrapped.
    #[error(transparent)]
    Key(#[from] KeyWrapError),
    /// What is known of the session does not fit the header.
    #[error("the session's description does not fit the recording's header")]
    HeaderTooLarge,
}

/// A file that takes chunks.
pub trait ChunkFile: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// Those of the storage.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything is durable.
    ///
    /// # Errors
    /// Those of the storage.
    fn sync(&mut self) -> io::Result<()>;
}

impl ChunkFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// When chunks become durable against a power cut. Against the death of the process they are
/// with their write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChunkSync {
    /// When the recording is closed.
    #[default]
    AtClose,
    /// Each as it is written.
    EveryChunk,
}

/// A chunk that was written: what the log is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkReceipt {
    /// The session.
    pub session: Arc<str>,
    /// The chunk's number, from 0.
    pub index: u32,
    /// Its hash, which stands for all before it too.
    pub hash: Hash,
    /// Bytes of it in the file.
    pub bytes: u64,
    /// Time of its first frame since the start.
    pub from: Duration,
    /// Time of its last frame since the start.
    pub to: Duration,
}

/// A recording that ended cleanly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Chunks in the file, the trailer included.
    pub chunks: u32,
    /// Bytes of the file.
    pub bytes: u64,
    /// Hash of the last chunk, which stands for the whole file.
    pub head: Hash,
}

/// What became of a frame pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Push {
    /// All of it is in the pending chunk.
    Buffered,
    /// The chunk is full and took only the first `taken` bytes: flush, then push the rest.
    Full {
        /// Bytes taken.
        taken: usize,
    },
}

/// The chunk being gathered. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(super) struct Pending {
    buffer: Vec<u8>,
    from: Duration,
    to: Duration,
    full: bool,
    begun: Option<Instant>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_none()
    }

    /// When the chunk must be flushed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.begun.map(|begun| begun + MAX_CHUNK_AGE)
    }

    pub(super) fn push(
        &mut self,
        kind: FrameKind,
        channel: u32,
        start: Instant,
        now: Instant,
        data: &[u8],
    ) -> Result<Push, RecordError> {
        if !kind.is_stream() && data.len() > MAX_WHOLE_FRAME_BYTES {
            return Err(RecordError::TooLarge { bytes: data.len() });
        }
        // Microseconds, so that times survive being written; and never back in time.
        let at = now.saturating_duration_since(start).as_micros();
        let at = Duration::from_micros(u64::try_from(at).unwrap_or(u64::MAX)).max(self.to);
        self.make_room(data.len());
        let since = if self.is_empty() { at } else { at.saturating_sub(self.to) };
        let used = self.buffer.len().saturating_sub(FRAMES_FROM);
        let Some(taken) = encode(&mut self.buffer, used, since, kind, channel, data) else {
            self.full = true;
            return Ok(Push::Full { taken: 0 });
        };
        if self.begun.is_none() {
            self.begun = Some(now);
            self.from = at;
        }
        self.to = at;
        if taken < data.len() {
            self.full = true;
            return Ok(Push::Full { taken });
        }
        Ok(Push::Buffered)
    }

    fn make_room(&mut self, more: usize) {
        let wanted = self.buffer.len() + more;
        if wanted > LARGE_FROM && self.buffer.capacity() < BUFFER_BYTES {
            let mut large = take_buffer(BUFFER_BYTES);
            large.extend_from_slice(&self.buffer);
            self.buffer = large;
        }
        if self.buffer.is_empty() {
            self.buffer.resize(FRAMES_FROM, 0);
        }
    }

    /// Hands over the chunk and is empty again; later frames are not earlier than its last.
    pub(super) fn take(&mut self) -> Self {
        let to = self.to;
        std::mem::replace(self, Self { to, ..Self::default() })
    }
}

/// Compresses, seals and writes chunks, in order.
pub(super) struct ChunkSink {
    file: Box<dyn ChunkFile>,
    key: SessionKey,
    session: Arc<str>,
    sync: ChunkSync,
    index: u32,
    previous: Hash,
    bytes: u64,
    frame_bytes: u64,
}

impl ChunkSink {
    fn create(
        mut file: Box<dyn ChunkFile>,
        meta: &RecordingMeta,
        key: SessionKey,
        wrap: &dyn KeyWrap,
        sync: ChunkSync,
    ) -> Result<Self, CreateError> {
        let wrapped = key.wrap(&meta.session, wrap)?;
        let header = encode_header(meta, &wrapped).ok_or(CreateError::HeaderTooLarge)?;
        file.append(&header)?;
        Ok(Self {
            file,
            key,
            session: Arc::from(meta.session.as_str()),
            sync,
            index: 0,
            previous: sha256(&[&header]),
            bytes: header.len() as u64,
            frame_bytes: 0,
        })
    }

    /// Writes a chunk of frames.
    pub(super) fn write(&mut self, pending: Pending) -> io::Result<ChunkReceipt> {
        let Pending { mut buffer, from, to, full, .. } = pending;
        let frames = buffer.get(FRAMES_FROM..).unwrap_or_default();
        self.frame_bytes += frames.len() as u64;
        let level = if full { FAST } else { SMALL };
        let mut small = vec![0; CHUNK_HEAD_BYTES];
        small.push(FORM_ZSTD);
        small.extend_from_slice(&u32::try_from(frames.len()).unwrap_or(u32::MAX).to_be_bytes());
        let hash = if compress(frames, level, &mut small) {
            self.seal(&mut small)
        } else {
            if let Some(form) = buffer.get_mut(CHUNK_HEAD_BYTES) {
                *form = FORM_STORED;
            }
            self.seal(&mut buffer)
        };
        let (hash, bytes) = hash?;
        return_buffer(buffer, BUFFER_BYTES);
        if self.sync == ChunkSync::EveryChunk {
            self.file.sync()?;
        }
        Ok(ChunkReceipt {
            session: self.session.clone(),
            index: self.index - 1,
            hash,
            bytes,
            from,
            to,
        })
    }

    /// Seals and writes a chunk whose plaintext stands behind room for the head.
    fn seal(&mut self, chunk: &mut Vec<u8>) -> io::Result<(Hash, u64)> {
        let unsealable = || io::Error::other("a chunk cannot be sealed");
        let index = self.index;
        // INVARIANT: counted before sealing, so that a failed chunk's nonce is not used again.
        self.index = index.checked_add(1).ok_or_else(unsealable)?;
        let place = Place { session: &self.session, index, previous: &self.previous };
        let (head, plaintext) =
            chunk.split_at_mut_checked(CHUNK_HEAD_BYTES).ok_or_else(unsealable)?;
        let sealed = u32::try_from(plaintext.len() + TAG_BYTES).map_err(|_| unsealable())?;
        head.copy_from_slice(&chunk_head(&self.previous, sealed, index));
        let tag = self.key.seal(&place, plaintext).ok_or_else(unsealable)?;
        chunk.extend_from_slice(&tag);
        let hash = chunk_hash(&self.previous, chunk);
        self.file.append(chunk)?;
        self.previous = hash;
        self.bytes += chunk.len() as u64;
        Ok((hash, chunk.len() as u64))
    }

    /// Writes the trailer and makes everything durable.
    pub(super) fn finish(mut self) -> io::Result<Summary> {
        let mut trailer = vec![0; CHUNK_HEAD_BYTES];
        trailer.push(FORM_TRAILER);
        trailer.extend_from_slice(&self.index.to_be_bytes());
        trailer.extend_from_slice(&self.frame_bytes.to_be_bytes());
        let (head, _) = self.seal(&mut trailer)?;
        self.file.sync()?;
        Ok(Summary { chunks: self.index, bytes: self.bytes, head })
    }
}

/// A recording being written, for callers that may block.
pub struct RecordingWriter {
    pending: Pending,
    sink: ChunkSink,
    start: Instant,
    failed: Option<String>,
}

impl RecordingWriter {
    /// Begins a recording in a new file at `path`, which must not exist. `start` is the session's
    /// beginning on the clock that [`RecordingWriter::push`] is given.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn create(
        path: &Path,
        meta: &RecordingMeta,
        key: SessionKey,
        wrap: &dyn KeyWrap,
        sync: ChunkSync,
        start: Instant,
    ) -> Result<Self, CreateError> {
        let mut options = OpenOptions::new();
        options.create_new(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Self::create_on(Box::new(options.open(path)?), meta, key, wrap, sync, start)
    }

    /// Begins a recording in an empty file.
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn create_on(
        file: Box<dyn ChunkFile>,
        meta: &RecordingMeta,
        key: SessionKey,
        wrap: &dyn KeyWrap,
        sync: ChunkSync,
        start: Instant,
    ) -> Result<Self, CreateError> {
        let sink = ChunkSink::create(file, meta, key, wrap, sync)?;
        Ok(Self { pending: Pending::default(), sink, start, failed: None })
    }

    /// Takes up a frame. Cheap: copies the data, writes nothing.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn push(
        &mut self,
        kind: FrameKind,
        channel: u32,
        now: Instant,
        data: &[u8],
    ) -> Result<Push, RecordError> {
        self.check()?;
        self.pending.push(kind, channel, self.start, now, data)
    }

    /// Writes the pending chunk; `None` where there is none.
    ///
    /// # Errors
    /// [`RecordError::Failed`], now and from now on.
    pub fn flush(&mut self) -> Result<Option<ChunkReceipt>, RecordError> {
        self.check()?;
        if self.pending.is_empty() {
            return Ok(None);
        }
        match self.sink.write(self.pending.take()) {
            Ok(receipt) => Ok(Some(receipt)),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// When [`RecordingWriter::flush`] is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.pending.due()
    }

    /// Writes what is pending and the mark of a clean end, durably.
    ///
    /// # Errors
    /// [`RecordError::Failed`].
    pub fn close(mut self) -> Result<(Option<ChunkReceipt>, Summary), RecordError> {
        let last = self.flush()?;
        let failed = |error: io::Error| RecordError::Failed { reason: error.to_string() };
        let summary = self.sink.finish().map_err(failed)?;
        Ok((last, summary))
    }

    fn check(&self) -> Result<(), RecordError> {
        match &self.failed {
            Some(reason) => Err(RecordError::Failed { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn fail(&mut self, error: &io::Error) -> RecordError {
        let reason = error.to_string();
        self.failed = Some(reason.clone());
        RecordError::Failed { reason }
    }

    pub(super) fn into_parts(self) -> (ChunkSink, Instant) {
        (self.sink, self.start)
    }
}
