//! What the log says of a recording, and holding a recording against it.
//!
//! Flows in: the hashes that were logged as the chunks were written, what the session's closing
//! entry says, and a file nobody vouches for. Flows out: how far the file is the one that was
//! recorded, or its first bad chunk. A person who holds every key can write a recording anew; only
//! the log tells it from the one that was recorded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::format::{ChunkScanner, ScannedChunk, read_header};
use super::reader::{End, ReadError, RecordingReader};
use crate::log::Hash;

/// What the log says of one session's recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vouched {
    /// The session it is of.
    pub session: String,
    /// Hashes of chunks, by number, as they were logged while the session ran.
    pub chunks: BTreeMap<u32, Hash>,
    /// What the session's closing entry says, once there is one.
    pub closing: Option<Closing>,
}

/// What a session's closing entry says of its recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// Chunks in the file, the mark of a clean end included where there is one.
    pub chunks: u32,
    /// Hash of the last of them, which stands for the whole file.
    pub head: Hash,
    /// Bytes of a chunk cut short behind them; none behind a clean end.
    pub cut_bytes: u64,
}

impl Vouched {
    /// Chunks the log vouches for: none of them may be missing.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        let logged = self.chunks.keys().next_back().map_or(0, |last| last.saturating_add(1));
        self.closing.map_or(logged, |closing| closing.chunks.max(logged))
    }

    /// Whether `hash` may be that of chunk `index`.
    pub(super) fn admit(&self, index: u32, hash: &Hash) -> Result<(), ReadError> {
        if self.closing.is_some_and(|closing| index >= closing.chunks) {
            return Err(ReadError::Trailing { index });
        }
        let last = self.closing.filter(|closing| closing.chunks == index.saturating_add(1));
        let known = [self.chunks.get(&index).copied(), last.map(|closing| closing.head)];
        if known.into_iter().flatten().any(|known| known != *hash) {
            return Err(ReadError::ChunkDamaged { index });
        }
        Ok(())
    }

    /// Whether a recording may end before chunk `index`, with so many bytes of one cut short.
    pub(super) fn admit_end(&self, index: u32, cut_bytes: u64) -> Result<(), ReadError> {
        if index < self.chunks() {
            return Err(ReadError::ChunkMissing { index });
        }
        // More than was there when the session was closed was put there since.
        if self.closing.is_some_and(|closing| cut_bytes > closing.cut_bytes) {
            return Err(ReadError::Trailing { index });
        }
        Ok(())
    }
}

/// Reads a recording to its end, held against what the log says. Every chunk is opened with its
/// key, so that each is known to be as it was sealed, those included that were never logged.
///
/// # Errors
/// [`ReadError`] with the first bad chunk.
pub fn verify<R: Read>(recording: RecordingReader<R>, vouched: Vouched) -> Result<End, ReadError> {
    let mut recording = recording.against(vouched)?;
    while recording.next_frame()?.is_some() {}
    // `next_frame` says `None` only at an end it has noted.
    recording.end().cloned().ok_or(ReadError::NotARecording)
}

/// Checks a recording, without its key, against what the log says of it. Returns the number of
/// whole chunks in the file.
///
/// # Errors
/// [`ReadError::ChunkDamaged`] with the first chunk flipped, dropped, swapped or put in,
/// [`ReadError::ChunkMissing`] where the file was cut, [`ReadError::Trailing`] where something
/// follows its end, [`ReadError::OtherSession`], [`ReadError::NotARecording`], [`ReadError::Io`].
pub fn check(path: &Path, vouched: &Vouched) -> Result<u32, ReadError> {
    let mut input = BufReader::new(File::open(path)?);
    let preamble = read_header(&mut input)?.ok_or(ReadError::NotARecording)?;
    if preamble.meta.session != vouched.session {
        return Err(ReadError::OtherSession { found: preamble.meta.session });
    }
    let mut scanner = ChunkScanner::new(input, preamble.hash);
    loop {
        let index = scanner.index;
        match scanner.next_chunk()? {
            ScannedChunk::Whole { hash, .. } => vouched.admit(index, &hash)?,
            ScannedChunk::Damaged => return Err(ReadError::ChunkDamaged { index }),
            ScannedChunk::End => return vouched.admit_end(index, 0).map(|()| index),
            ScannedChunk::Cut { bytes } => return vouched.admit_end(index, bytes).map(|()| index),
        }
    }
}

/// What is left of a recording nobody closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remains {
    /// The whole chunks, and what stands behind them.
    pub closing: Closing,
    /// Bytes of the file up to the end of the last whole chunk.
    pub bytes: u64,
}

/// What is left of a recording that was never closed, without its key: for the entry that closes
/// its session. `None` where it does not begin like a recording.
///
/// # Errors
/// Those of the file.
pub fn remains(path: &Path) -> io::Result<Option<Remains>> {
    let mut input = BufReader::new(File::open(path)?);
    let Some(preamble) = read_header(&mut input)? else { return Ok(None) };
    let mut scanner = ChunkScanner::new(input, preamble.hash);
    let mut bytes = preamble.bytes;
    loop {
        let cut_bytes = match scanner.next_chunk()? {
            ScannedChunk::Whole { bytes: chunk, .. } => {
                bytes += chunk.len() as u64;
                continue;
            }
            ScannedChunk::End | ScannedChunk::Damaged => 0,
            ScannedChunk::Cut { bytes } => bytes,
        };
        let closing = Closing { chunks: scanner.index, head: scanner.previous, cut_bytes };
        return Ok(Some(Remains { closing, bytes }));
    }
}
