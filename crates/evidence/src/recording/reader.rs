//! Reading a recording, with at most one chunk in memory, held against the log where it is known.
//!
//! Flows in: a file nobody vouches for. Flows out: frames that are exactly those recorded, in
//! their order, up to the first chunk that is not.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use thiserror::Error;

use super::compress::decompress;
use super::format::{
    CHUNK_HEAD_BYTES, ChunkScanner, FORM_STORED, FORM_TRAILER, FORM_ZSTD, RecordingMeta,
    ScannedChunk, read_header,
};
use super::frame::{Frame, FrameCursor, MAX_CHUNK_BYTES};
use super::seal::{KeyWrap, KeyWrapError, Place, SessionKey};
use super::vouched::Vouched;
use super::writer::Summary;
use crate::log::Hash;

/// Why a recording cannot be read, or not further.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("the recording cannot be read")]
    Io(#[from] std::io::Error),
    /// The file does not begin like a recording.
    #[error("the file is not a recording, or its header is damaged")]
    NotARecording,
    /// Its key cannot be unwrapped.
    #[error(transparent)]
    Key(#[from] KeyWrapError),
    /// A chunk was changed, dropped, moved or put in. All before it are good.
    #[error("chunk `{index}` is not the one that was recorded")]
    ChunkDamaged {
        /// The first bad chunk.
        index: u32,
    },
    /// It is the recording of another session.
    #[error("it is the recording of session `{}`", found.escape_debug())]
    OtherSession {
        /// Whose it says it is.
        found: String,
    },
    /// Something follows the recording's end.
    #[error("chunk `{index}` follows the end of the recording")]
    Trailing {
        /// Number of the chunk that should not be.
        index: u32,
    },
    /// The recording is shorter than the log says.
    #[error("chunk `{index}` is missing: the recording was cut")]
    ChunkMissing {
        /// The first missing chunk.
        index: u32,
    },
}

impl ReadError {
    /// The first bad chunk, where the failure is of one.
    #[must_use]
    pub fn chunk(&self) -> Option<u32> {
        match self {
            Self::ChunkDamaged { index }
            | Self::Trailing { index }
            | Self::ChunkMissing { index } => Some(*index),
            // A header stands for all that follows it.
            Self::NotARecording | Self::OtherSession { .. } | Self::Key(_) => Some(0),
            Self::Io(_) => None,
        }
    }
}

/// How a recording ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was closed.
    Finished(Summary),
    /// It was not: the process or machine died, or the file was cut. What the log knows of its
    /// chunks tells which ([`RecordingReader::against`]).
    Unfinished {
        /// Whole chunks.
        chunks: u32,
        /// Hash of the last.
        head: Hash,
        /// Bytes of a chunk cut short behind them.
        cut_bytes: u64,
    },
}

/// Reads a recording's frames.
pub struct RecordingReader<R> {
    meta: RecordingMeta,
    key: SessionKey,
    scanner: ChunkScanner<R>,
    chunk: Vec<u8>,
    cursor: FrameCursor,
    bytes: u64,
    frame_bytes: u64,
    vouched: Option<Vouched>,
    end: Option<End>,
}

impl RecordingReader<BufReader<File>> {
    /// Opens the recording at `path`.
    ///
    /// # Errors
    /// [`ReadError::Io`], [`ReadError::NotARecording`], [`ReadError::Key`].
    pub fn open(path: &Path, keys: &dyn KeyWrap) -> Result<Self, ReadError> {
        Self::new(BufReader::new(File::open(path)?), keys)
    }
}

impl<R: Read> RecordingReader<R> {
    /// Reads a recording from its start.
    ///
    /// # Errors
    /// [`ReadError::Io`], [`ReadError::NotARecording`], [`ReadError::Key`].
    pub fn new(mut input: R, keys: &dyn KeyWrap) -> Result<Self, ReadError> {
        let preamble = read_header(&mut input)?.ok_or(ReadError::NotARecording)?;
        let key = keys.unwrap(&preamble.meta.session, &preamble.wrapped_key)?;
        Ok(Self {
            meta: preamble.meta,
            key: SessionKey::unwrapped(key),
            scanner: ChunkScanner::new(input, preamble.hash),
            chunk: Vec::new(),
            cursor: FrameCursor::default(),
            bytes: preamble.bytes,
            frame_bytes: 0,
            vouched: None,
            end: None,
        })
    }

    /// Holds every chunk read from now on, and the end, against what the log says.
    ///
    /// # Errors
    /// [`ReadError::OtherSession`].
    pub fn against(mut self, vouched: Vouched) -> Result<Self, ReadError> {
        if self.meta.session != vouched.session {
            return Err(ReadError::OtherSession { found: self.meta.session });
        }
        self.vouched = Some(vouched);
        Ok(self)
    }

    /// What was known of the session when it began. Proved to be what was recorded once the
    /// first chunk has been read.
    #[must_use]
    pub fn meta(&self) -> &RecordingMeta {
        &self.meta
    }

    /// The next frame; `None` at the end, of which [`RecordingReader::end`] then tells.
    ///
    /// # Errors
    /// [`ReadError`]; nothing more can be read after one.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            let index = self.scanner.index.saturating_sub(1);
            let damaged = |_| ReadError::ChunkDamaged { index };
            if let Some(frame) = self.cursor.next(&self.chunk).map_err(damaged)? {
                return Ok(Some(frame));
            }
            self.chunk = Vec::new();
            self.cursor = FrameCursor::default();
            if self.end.is_some() {
                return Ok(None);
            }
            self.next_chunk()?;
        }
    }

    /// How the recording ends, once [`RecordingReader::next_frame`] has said that it does.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    fn next_chunk(&mut self) -> Result<(), ReadError> {
        let (index, previous) = (self.scanner.index, self.scanner.previous);
        let damaged = ReadError::ChunkDamaged { index };
        let (mut bytes, hash) = match self.scanner.next_chunk()? {
            ScannedChunk::Whole { bytes, hash } => (bytes, hash),
            ScannedChunk::End => return self.unfinished(0),
            ScannedChunk::Cut { bytes } => return self.unfinished(bytes),
            ScannedChunk::Damaged => return Err(damaged),
        };
        if let Some(vouched) = &self.vouched {
            vouched.admit(index, &hash)?;
        }
        self.bytes += bytes.len() as u64;
        let place = Place { session: &self.meta.session, index, previous: &previous };
        let sealed = bytes.get_mut(CHUNK_HEAD_BYTES..).unwrap_or_default();
        let opened = self.key.open(&place, sealed).and_then(<[u8]>::split_first);
        match opened {
            Some((&FORM_STORED, frames)) if frames.len() <= MAX_CHUNK_BYTES => {
                self.chunk = frames.to_vec();
            }
            Some((&FORM_ZSTD, compressed)) => {
                self.chunk = expand(compressed).ok_or(damaged)?;
            }
            Some((&FORM_TRAILER, totals)) => {
                let mut expected = index.to_be_bytes().to_vec();
                expected.extend_from_slice(&self.frame_bytes.to_be_bytes());
                if totals != expected {
                    return Err(damaged);
                }
                if self.scanner.next_chunk()? != ScannedChunk::End {
                    return Err(ReadError::Trailing { index: index + 1 });
                }
                self.admit_end(index + 1, 0)?;
                self.end = Some(End::Finished(Summary {
                    chunks: index + 1,
                    bytes: self.bytes,
                    head: hash,
                }));
            }
            _ => return Err(damaged),
        }
        self.frame_bytes += self.chunk.len() as u64;
        Ok(())
    }

    fn admit_end(&self, index: u32, cut_bytes: u64) -> Result<(), ReadError> {
        self.vouched.as_ref().map_or(Ok(()), |vouched| vouched.admit_end(index, cut_bytes))
    }

    fn unfinished(&mut self, cut_bytes: u64) -> Result<(), ReadError> {
        self.admit_end(self.scanner.index, cut_bytes)?;
        self.end = Some(End::Unfinished {
            chunks: self.scanner.index,
            head: self.scanner.previous,
            cut_bytes,
        });
        Ok(())
    }
}

impl<R: Read> Iterator for RecordingReader<R> {
    type Item = Result<Frame, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_frame().transpose()
    }
}

/// INVARIANT: what a chunk expands to is bounded by its form, whatever its compressed bytes say.
fn expand(compressed: &[u8]) -> Option<Vec<u8>> {
    let (length, data) = compressed.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_CHUNK_BYTES {
        return None;
    }
    decompress(data, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_expands_beyond_what_it_says_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 1).unwrap();
        let with = |length: usize| {
            let mut chunk = u32::try_from(length).unwrap().to_be_bytes().to_vec();
            chunk.extend_from_slice(&bomb);
            expand(&chunk)
        };
        assert_eq!(with(64 * 1024 * 1024), None);
        assert_eq!(with(MAX_CHUNK_BYTES), None);
        assert_eq!(with(0), None);
        let small = zstd::bulk::compress(&[7; 100], 1).unwrap();
        let chunk = [&200u32.to_be_bytes()[..], &small].concat();
        assert_eq!(expand(&chunk), None, "less than it says");
    }
}
