//! The file of a recording: header and chunks, as bytes. Pure but for `Read`.
//!
//! ```text
//! file    = magic (8) | header bytes (4) | header (JSON) | chunk ...
//! chunk   = sealed bytes (4) | index (4) | check (4) | sealed
//! sealed  = AES-256-GCM( form (1) | content ), tag included
//! ```
//! Integers are big endian. `check` is the start of SHA-256(previous hash, sealed bytes, index):
//! it tells a chunk cut short by a crash from one whose length was changed. The hash of a chunk
//! is SHA-256(previous hash, chunk), the first previous hash that of all before the chunks; so
//! the last hash, in the log, stands for the whole file.

use std::collections::BTreeMap;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::frame::MAX_CHUNK_BYTES;
use super::seal::TAG_BYTES;
use crate::log::Hash;
use crate::log::merkle::sha256;
use crate::log::segment::read_full;

/// What a recording begins with.
pub(super) const MAGIC: [u8; 8] = *b"PCREC\x01\r\n";
/// Bytes of the largest header.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Bytes of a chunk before what is sealed.
pub(super) const CHUNK_HEAD_BYTES: usize = 12;
/// Bytes of the largest sealed part: form, length, frames, tag.
pub const MAX_SEALED_BYTES: usize = 1 + 4 + MAX_CHUNK_BYTES + TAG_BYTES;
/// Version of the format.
const VERSION: u32 = 1;

/// First byte of what is sealed: frames as they are.
pub(super) const FORM_STORED: u8 = 0;
/// Four bytes of length, then frames compressed.
pub(super) const FORM_ZSTD: u8 = 1;
/// Chunks before this one (4), bytes of frames in them (8): the recording ended cleanly.
pub(super) const FORM_TRAILER: u8 = 2;

/// What is known of a session when its recording begins. Not encrypted: no secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingMeta {
    /// The session's id.
    pub session: String,
    /// When it began, in milliseconds since 1970 UTC.
    pub started_unix_ms: u64,
    /// Columns of the terminal, where there is one.
    pub cols: Option<u16>,
    /// Rows of the terminal, where there is one.
    pub rows: Option<u16>,
    /// Type of the terminal (`TERM`).
    pub term: Option<String>,
    /// What a player shows as title.
    pub title: String,
    /// Anything else worth finding a recording by.
    pub labels: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    cipher: String,
    wrapped_key: String,
    #[serde(rename = "recording")]
    meta: RecordingMeta,
}

const CIPHER: &str = "AES-256-GCM";

/// Encodes all that stands before the chunks; `None` where the header would be too large.
pub(super) fn encode_header(meta: &RecordingMeta, wrapped_key: &[u8]) -> Option<Vec<u8>> {
    let header = Header {
        version: VERSION,
        cipher: CIPHER.into(),
        wrapped_key: STANDARD.encode(wrapped_key),
        meta: meta.clone(),
    };
    let json = serde_json::to_vec(&header).ok()?;
    let length = u32::try_from(json.len()).ok()?;
    (json.len() <= MAX_HEADER_BYTES).then(|| {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&json);
        bytes
    })
}

/// What stands before the chunks.
#[derive(Debug)]
pub(super) struct Preamble {
    pub(super) meta: RecordingMeta,
    pub(super) wrapped_key: Vec<u8>,
    /// The previous hash of the first chunk.
    pub(super) hash: Hash,
    /// Bytes before the first chunk.
    pub(super) bytes: u64,
}

/// Reads what stands before the chunks; `Ok(None)` where it is not the start of a recording.
pub(super) fn read_header(input: &mut impl Read) -> io::Result<Option<Preamble>> {
    let Some((start, json)) = read_start(input, &MAGIC, MAX_HEADER_BYTES)? else {
        return Ok(None);
    };
    let Ok(header) = serde_json::from_slice::<Header>(&json) else {
        return Ok(None);
    };
    let wrapped_key = STANDARD.decode(&header.wrapped_key).ok();
    let known = header.version == VERSION && header.cipher == CIPHER;
    Ok(wrapped_key.filter(|_| known).map(|wrapped_key| Preamble {
        meta: header.meta,
        wrapped_key,
        hash: sha256(&[&start, &json]),
        bytes: (start.len() + json.len()) as u64,
    }))
}

/// Reads how a file begins: its magic and the length of its header, and the header's JSON.
/// `Ok(None)` where it begins otherwise, ends before, or has a header of more than `most` bytes.
pub(super) fn read_start(
    input: &mut impl Read,
    magic: &[u8; 8],
    most: usize,
) -> io::Result<Option<([u8; 12], Vec<u8>)>> {
    let mut start = [0; 12];
    if read_full(input, &mut start)? < start.len() || !start.starts_with(magic) {
        return Ok(None);
    }
    let [.., a, b, c, d] = start;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > most {
        return Ok(None);
    }
    let mut json = vec![0; length];
    if read_full(input, &mut json)? < length {
        return Ok(None);
    }
    Ok(Some((start, json)))
}

/// The bytes of a chunk before what is sealed.
pub(super) fn chunk_head(previous: &Hash, sealed: u32, index: u32) -> [u8; CHUNK_HEAD_BYTES] {
    let check = sha256(&[previous.as_bytes(), &sealed.to_be_bytes(), &index.to_be_bytes()]);
    let mut head = [0; CHUNK_HEAD_BYTES];
    let fields = sealed.to_be_bytes().into_iter().chain(index.to_be_bytes()).chain(check.0);
    for (to, from) in head.iter_mut().zip(fields) {
        *to = from;
    }
    head
}

/// The hash of a chunk, given that of the one before.
pub(super) fn chunk_hash(previous: &Hash, chunk: &[u8]) -> Hash {
    sha256(&[previous.as_bytes(), chunk])
}

/// A chunk as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScannedChunk {
    /// A whole chunk: `bytes` begins with its head.
    Whole { bytes: Vec<u8>, hash: Hash },
    /// The file ends between chunks.
    End,
    /// The file ends within a chunk, `bytes` after its start.
    Cut { bytes: u64 },
    /// Not the chunk that follows here.
    Damaged,
}

/// Reads chunks one after the other, checking what can be checked without the key.
#[derive(Debug)]
pub(super) struct ChunkScanner<R> {
    input: R,
    pub(super) index: u32,
    pub(super) previous: Hash,
}

impl<R: Read> ChunkScanner<R> {
    pub(super) fn new(input: R, previous: Hash) -> Self {
        Self { input, index: 0, previous }
    }

    pub(super) fn next_chunk(&mut self) -> io::Result<ScannedChunk> {
        let mut head = [0; CHUNK_HEAD_BYTES];
        match read_full(&mut self.input, &mut head)? {
            0 => return Ok(ScannedChunk::End),
            CHUNK_HEAD_BYTES => {}
            part => return Ok(ScannedChunk::Cut { bytes: part as u64 }),
        }
        let [a, b, c, d, ..] = head;
        let sealed = u32::from_be_bytes([a, b, c, d]);
        let length = sealed as usize;
        if head != chunk_head(&self.previous, sealed, self.index)
            || !(TAG_BYTES..=MAX_SEALED_BYTES).contains(&length)
        {
            return Ok(ScannedChunk::Damaged);
        }
        let mut bytes = vec![0; CHUNK_HEAD_BYTES + length];
        let (to, rest) = bytes.split_at_mut(CHUNK_HEAD_BYTES);
        to.copy_from_slice(&head);
        let read = read_full(&mut self.input, rest)?;
        if read < length {
            return Ok(ScannedChunk::Cut { bytes: (CHUNK_HEAD_BYTES + read) as u64 });
        }
        let hash = chunk_hash(&self.previous, &bytes);
        self.previous = hash;
        self.index = self.index.saturating_add(1);
        Ok(ScannedChunk::Whole { bytes, hash })
    }
}
