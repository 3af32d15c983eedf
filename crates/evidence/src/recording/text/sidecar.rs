//! The file beside a recording that holds its text.
//!
//! ```text
//! file   = magic (8) | header bytes (4) | header (JSON) | block ...
//! block  = sealed bytes (4) | AES-256-GCM( last (1) | bad chunk (4) | length (4) | zstd of lines ), tag included
//! line   = kind (1) | microseconds (varint) | channel (varint) | length (varint) | UTF-8
//! ```
//! The key is HMAC-SHA-256(the recording's key, label and salt); the salt is new each time the
//! file is built, so that block numbers serve as nonces. Session, header and number of each block
//! are authenticated with it. Without the recording, whose header has the key, nothing opens it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{TextKind, TextLine, TextRenderer};
use crate::log::merkle::sha256;
use crate::log::segment::read_full;
use crate::recording::compress;
use crate::recording::format::{read_header, read_start};
use crate::recording::frame::{MAX_WHOLE_FRAME_BYTES, put_varint, take_varint};
use crate::recording::reader::{ReadError, RecordingReader};
use crate::recording::seal::{KeyWrap, SESSION_KEY_BYTES, TAG_BYTES};

const MAGIC: [u8; 8] = *b"PCTXT\x01\r\n";
const LABEL: &[u8] = b"portcullis recording text 1";
const SALT_BYTES: usize = 32;
/// Bytes of the largest header.
const MAX_HEADER_BYTES: usize = 4096;
/// Bytes of lines in a block, after which it is written.
const BLOCK_BYTES: usize = 256 * 1024;
/// Bytes of lines in the largest block: a command may be as long as an event.
const MAX_BLOCK_BYTES: usize = BLOCK_BYTES + 2 * MAX_WHOLE_FRAME_BYTES;
/// Bytes of a block before its lines: last, bad chunk, length.
const BLOCK_HEAD_BYTES: usize = 1 + 4 + 4;
/// Level the text is compressed at: it is written once, and read with every search.
const LEVEL: i32 = 6;
/// Ending of the file while it is being built.
const UNFINISHED: &str = "text-new";

/// Another block follows.
const MORE: u8 = 0;
/// The last one, of the whole recording.
const LAST: u8 = 1;
/// The last one, before a bad chunk.
const LAST_BEFORE_DAMAGE: u8 = 2;

/// What a text is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    session: String,
    salt: String,
    /// Bytes of the recording it was built from.
    recording_bytes: u64,
}

/// Whether a text is of the whole recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextState {
    /// It is.
    Whole,
    /// Only of what stands before this chunk, which is not the one recorded.
    Damaged {
        /// The first bad chunk.
        chunk: u32,
    },
}

/// Why a text cannot be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The recording cannot be read at all.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The text cannot be written.
    #[error("the recording's text cannot be written")]
    Write(#[from] io::Error),
}

/// Renders a recording; `line` is called with each line. A damaged one is rendered up to its first
/// bad chunk.
///
/// # Errors
/// [`ReadError::Io`].
pub fn render<R: Read>(
    frames: &mut RecordingReader<R>,
    line: &mut impl FnMut(TextLine),
) -> Result<TextState, ReadError> {
    let mut renderer = TextRenderer::new();
    let state = loop {
        match frames.next_frame() {
            Ok(Some(frame)) => renderer.frame(&frame, line),
            Ok(None) => break TextState::Whole,
            Err(ReadError::Io(error)) => return Err(error.into()),
            Err(error) => break TextState::Damaged { chunk: error.chunk().unwrap_or_default() },
        }
    };
    renderer.finish(line);
    Ok(state)
}

/// Builds the text of the recording at `recording`, whose frames are given, into a file at `to`,
/// in place of one that is there: a reader sees the old one or the new one.
///
/// # Errors
/// [`BuildError`].
pub fn build<R: Read>(
    recording: &Path,
    mut frames: RecordingReader<R>,
    keys: &dyn KeyWrap,
    to: &Path,
) -> Result<TextState, BuildError> {
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| io::Error::other("no random numbers"))?;
    let header = Header {
        session: frames.meta().session.clone(),
        salt: hex::encode(salt),
        recording_bytes: fs::metadata(recording).map_err(ReadError::from)?.len(),
    };
    let cipher = text_cipher(recording, keys, &salt)?;
    let unfinished = to.with_extension(UNFINISHED);
    let mut blocks = Blocks::begin(&unfinished, &header, cipher)?;
    let mut failed = None;
    let state = render(&mut frames, &mut |line| {
        if failed.is_none() {
            failed = blocks.line(&line).err();
        }
    })?;
    match failed.map_or_else(|| blocks.finish(state), Err) {
        Ok(()) => fs::rename(&unfinished, to)?,
        Err(error) => {
            // Half a text is no text.
            let _ = fs::remove_file(&unfinished);
            return Err(error.into());
        }
    }
    Ok(state)
}

/// Writes blocks.
struct Blocks {
    file: BufWriter<File>,
    cipher: LessSafeKey,
    place: Place,
    lines: Vec<u8>,
}

/// What is authenticated with a block.
struct Place {
    header: [u8; 32],
    index: u32,
}

impl Place {
    /// The nonce of the next block. INVARIANT: a text's key seals each number once.
    fn next(&mut self) -> io::Result<(Nonce, Aad<[u8; 36]>)> {
        let index = self.index.to_be_bytes();
        self.index = self.index.checked_add(1).ok_or_else(|| io::Error::other("too much text"))?;
        let mut nonce = [0; 12];
        let mut aad = [0; 36];
        for (to, from) in nonce.iter_mut().skip(8).zip(index) {
            *to = from;
        }
        for (to, from) in aad.iter_mut().zip(self.header.iter().copied().chain(index)) {
            *to = from;
        }
        Ok((Nonce::assume_unique_for_key(nonce), Aad::from(aad)))
    }
}

impl Blocks {
    fn begin(path: &Path, header: &Header, cipher: LessSafeKey) -> io::Result<Self> {
        let mut options = File::options();
        options.create(true).write(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = BufWriter::new(options.open(path)?);
        let json = serde_json::to_vec(header)?;
        let length = u32::try_from(json.len()).map_err(io::Error::other)?;
        file.write_all(&MAGIC)?;
        file.write_all(&length.to_be_bytes())?;
        file.write_all(&json)?;
        let place = Place { header: sha256(&[&json]).0, index: 0 };
        Ok(Self { file, cipher, place, lines: Vec::new() })
    }

    fn line(&mut self, line: &TextLine) -> io::Result<()> {
        self.lines.push(match line.kind {
            TextKind::Screen => 0,
            TextKind::Typed => 1,
            TextKind::Command => 2,
        });
        let micros = u64::try_from(line.at.as_micros()).unwrap_or(u64::MAX);
        put_varint(&mut self.lines, micros);
        put_varint(&mut self.lines, u64::from(line.channel));
        put_varint(&mut self.lines, line.text.len() as u64);
        self.lines.extend_from_slice(line.text.as_bytes());
        if self.lines.len() >= BLOCK_BYTES {
            self.write(MORE, 0)?;
        }
        Ok(())
    }

    fn write(&mut self, last: u8, bad_chunk: u32) -> io::Result<()> {
        let length = u32::try_from(self.lines.len()).map_err(io::Error::other)?;
        let mut block = vec![last];
        block.extend_from_slice(&bad_chunk.to_be_bytes());
        block.extend_from_slice(&length.to_be_bytes());
        block.extend(zstd::bulk::compress(&self.lines, LEVEL)?);
        self.lines.clear();
        let (nonce, aad) = self.place.next()?;
        self.cipher
            .seal_in_place_append_tag(nonce, aad, &mut block)
            .map_err(|_| io::Error::other("a block cannot be sealed"))?;
        let sealed = u32::try_from(block.len()).map_err(io::Error::other)?;
        self.file.write_all(&sealed.to_be_bytes())?;
        self.file.write_all(&block)
    }

    fn finish(mut self, state: TextState) -> io::Result<()> {
        match state {
            TextState::Whole => self.write(LAST, 0)?,
            TextState::Damaged { chunk } => self.write(LAST_BEFORE_DAMAGE, chunk)?,
        }
        self.file.flush()
    }
}

/// Reads the text of a recording, a block at a time.
pub struct TextReader {
    file: BufReader<File>,
    cipher: LessSafeKey,
    place: Place,
    state: Option<TextState>,
}

impl TextReader {
    /// Opens the text at `text` of the recording at `recording`; `None` where there is none, or
    /// where it is not of the recording as it is now: then it is to be built.
    ///
    /// # Errors
    /// [`ReadError`] of the recording.
    pub fn open(
        text: &Path,
        recording: &Path,
        keys: &dyn KeyWrap,
    ) -> Result<Option<Self>, ReadError> {
        let Ok(file) = File::open(text) else { return Ok(None) };
        let mut file = BufReader::new(file);
        let Some((header, json)) = read_text_header(&mut file)? else { return Ok(None) };
        let preamble = read_header(&mut BufReader::new(File::open(recording)?))?;
        let session = preamble.ok_or(ReadError::NotARecording)?.meta.session;
        let bytes = fs::metadata(recording)?.len();
        let salt = hex::decode(&header.salt).unwrap_or_default();
        if header.session != session || header.recording_bytes != bytes || salt.len() != SALT_BYTES
        {
            return Ok(None);
        }
        let cipher = text_cipher(recording, keys, &salt)?;
        let place = Place { header: sha256(&[&json]).0, index: 0 };
        Ok(Some(Self { file, cipher, place, state: None }))
    }

    /// Calls `line` with each line of the blocks in which `wanted` may be: every block where it is
    /// not ASCII. `false` from `line` ends the reading. `None` where the text is not as it was
    /// written: it is to be built again.
    ///
    /// # Errors
    /// Those of the file.
    pub fn lines(
        mut self,
        wanted: &str,
        line: &mut impl FnMut(TextLine) -> bool,
    ) -> io::Result<Option<TextState>> {
        let wanted = wanted.to_ascii_lowercase();
        while self.state.is_none() {
            let Some(lines) = self.block()? else { return Ok(None) };
            let lowered = lines.to_ascii_lowercase();
            if wanted.is_ascii() && memchr::memmem::find(&lowered, wanted.as_bytes()).is_none() {
                continue;
            }
            let mut rest = lines.as_slice();
            while !rest.is_empty() {
                let Some((found, next)) = read_line(rest) else { return Ok(None) };
                if !line(found) {
                    return Ok(Some(self.state.unwrap_or(TextState::Whole)));
                }
                rest = next;
            }
        }
        Ok(self.state)
    }

    fn block(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        if read_full(&mut self.file, &mut length)? < length.len() {
            return Ok(None);
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > BLOCK_HEAD_BYTES + zstd::zstd_safe::compress_bound(MAX_BLOCK_BYTES) + TAG_BYTES
        {
            return Ok(None);
        }
        let mut block = vec![0; length];
        if read_full(&mut self.file, &mut block)? < length {
            return Ok(None);
        }
        let (nonce, aad) = self.place.next()?;
        let Ok(plain) = self.cipher.open_in_place(nonce, aad, &mut block) else { return Ok(None) };
        let Some((&[last, a, b, c, d, e, f, g, h], packed)) = plain.split_first_chunk::<9>() else {
            return Ok(None);
        };
        self.state = match last {
            MORE => None,
            LAST => Some(TextState::Whole),
            _ => Some(TextState::Damaged { chunk: u32::from_be_bytes([a, b, c, d]) }),
        };
        let length = u32::from_be_bytes([e, f, g, h]) as usize;
        if length > MAX_BLOCK_BYTES {
            return Ok(None);
        }
        Ok(compress::decompress(packed, length))
    }
}

fn read_text_header(file: &mut impl Read) -> io::Result<Option<(Header, Vec<u8>)>> {
    let Some((_, json)) = read_start(file, &MAGIC, MAX_HEADER_BYTES)? else { return Ok(None) };
    Ok(serde_json::from_slice(&json).ok().map(|header| (header, json)))
}

fn read_line(bytes: &[u8]) -> Option<(TextLine, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (micros, rest) = take_varint(rest)?;
    let (channel, rest) = take_varint(rest)?;
    let (length, rest) = take_varint(rest)?;
    let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let kind = match kind {
        0 => TextKind::Screen,
        1 => TextKind::Typed,
        2 => TextKind::Command,
        _ => return None,
    };
    let text = std::str::from_utf8(text).ok()?.to_owned();
    let channel = u32::try_from(channel).ok()?;
    Some((TextLine { at: Duration::from_micros(micros), channel, kind, text }, rest))
}

/// The cipher of a text, from the key in the recording's header.
fn text_cipher(
    recording: &Path,
    keys: &dyn KeyWrap,
    salt: &[u8],
) -> Result<LessSafeKey, ReadError> {
    let preamble = read_header(&mut BufReader::new(File::open(recording)?))?;
    let preamble = preamble.ok_or(ReadError::NotARecording)?;
    let key = keys.unwrap(&preamble.meta.session, &preamble.wrapped_key)?;
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()));
    mac.update(LABEL);
    mac.update(salt);
    let mut derived = Zeroizing::new([0; SESSION_KEY_BYTES]);
    for (to, from) in derived.iter_mut().zip(mac.sign().as_ref()) {
        *to = *from;
    }
    let key = UnboundKey::new(&AES_256_GCM, derived.as_slice())
        .map_err(|_| io::Error::other("the text's key cannot be made"))?;
    Ok(LessSafeKey::new(key))
}
