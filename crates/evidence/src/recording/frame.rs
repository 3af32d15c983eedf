//! What a recording is made of: frames, and how they are laid out in a chunk. Pure.
//!
//! ```text
//! frame = kind (1) | microseconds since the frame before, or since the start (varint)
//!       | channel (varint) | length (varint) | data
//! ```
//! Varints are LEB128 of at most ten bytes.

use std::time::Duration;

/// Bytes of frames in the largest chunk, before compression.
pub const MAX_CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of the largest frame that must stay whole (marker, event).
pub const MAX_WHOLE_FRAME_BYTES: usize = 64 * 1024;
/// Most bytes a frame's layout adds to its data.
const FRAME_OVERHEAD: usize = 1 + 10 + 5 + 5;
/// Least room worth beginning a frame for.
const LEAST_ROOM: usize = 256;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Bytes the target sent.
    Output,
    /// Bytes the person typed, masked where they were not echoed.
    Input,
    /// The terminal's new size; no data.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// A named place; the data is its UTF-8 label.
    Marker,
    /// Something structured that happened; the data is JSON.
    Event,
}

/// One thing that was seen, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Time since the session's start, to the microsecond.
    pub at: Duration,
    /// What it is.
    pub kind: FrameKind,
    /// Channel of the session it was seen on.
    pub channel: u32,
    /// The bytes seen.
    pub data: Vec<u8>,
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            Self::Output => 0,
            Self::Input => 1,
            Self::Resize { .. } => 2,
            Self::Marker => 3,
            Self::Event => 4,
        }
    }

    /// Whether its data may be spread over several frames.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Output | Self::Input)
    }
}

/// Appends as much of a frame as fits a chunk in which `used` bytes are taken, and returns how
/// many bytes of `data` that was; `None` where it does not fit at all.
pub(super) fn encode(
    chunk: &mut Vec<u8>,
    used: usize,
    since_previous: Duration,
    kind: FrameKind,
    channel: u32,
    data: &[u8],
) -> Option<usize> {
    let room = MAX_CHUNK_BYTES.checked_sub(used.saturating_add(FRAME_OVERHEAD))?;
    let taken =
        if kind.is_stream() && room >= LEAST_ROOM { data.len().min(room) } else { data.len() };
    let size;
    let data = match kind {
        FrameKind::Resize { cols, rows } => {
            size = u32::from(cols) << 16 | u32::from(rows);
            return (room >= 4).then(|| {
                head(chunk, kind, since_previous, channel, 4);
                chunk.extend_from_slice(&size.to_be_bytes());
                data.len()
            });
        }
        _ if taken > room => return None,
        _ => data.get(..taken)?,
    };
    head(chunk, kind, since_previous, channel, data.len());
    chunk.extend_from_slice(data);
    Some(taken)
}

fn head(chunk: &mut Vec<u8>, kind: FrameKind, since: Duration, channel: u32, length: usize) {
    chunk.push(kind.code());
    put_varint(chunk, u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
    put_varint(chunk, u64::from(channel));
    put_varint(chunk, length as u64);
}

pub(super) fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

pub(super) fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(at).ok()?;
        if bits != 0 && bits.leading_zeros() < shift {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

/// Reads the frames of a chunk, one at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct FrameCursor {
    position: usize,
    at: Duration,
}

/// A chunk that holds something else than whole frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAFrame;

impl FrameCursor {
    /// The next frame of `chunk`, which must be the same at every call.
    pub(super) fn next(&mut self, chunk: &[u8]) -> Result<Option<Frame>, NotAFrame> {
        let rest = chunk.get(self.position..).unwrap_or_default();
        let Some((code, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let (since, rest) = take_varint(rest).ok_or(NotAFrame)?;
        let (channel, rest) = take_varint(rest).ok_or(NotAFrame)?;
        let (length, rest) = take_varint(rest).ok_or(NotAFrame)?;
        let length = usize::try_from(length).map_err(|_| NotAFrame)?;
        let (data, rest) = rest.split_at_checked(length).ok_or(NotAFrame)?;
        let (kind, data) = match (code, data) {
            (0, data) => (FrameKind::Output, data),
            (1, data) => (FrameKind::Input, data),
            (2, [a, b, c, d]) => {
                let (cols, rows) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                (FrameKind::Resize { cols, rows }, [].as_slice())
            }
            (3, data) => (FrameKind::Marker, data),
            (4, data) => (FrameKind::Event, data),
            _ => return Err(NotAFrame),
        };
        let at = self.at.checked_add(Duration::from_micros(since)).ok_or(NotAFrame)?;
        self.at = at;
        self.position = chunk.len() - rest.len();
        let channel = u32::try_from(channel).map_err(|_| NotAFrame)?;
        Ok(Some(Frame { at, kind, channel, data: data.to_vec() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive_and_garbage_does_not_panic(value: u64, garbage in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(take_varint(&bytes), Some((value, [].as_slice())));
            let _ = take_varint(&garbage);
            let mut cursor = FrameCursor::default();
            while let Ok(Some(_)) = cursor.next(&garbage) {}
        }
    }
}
