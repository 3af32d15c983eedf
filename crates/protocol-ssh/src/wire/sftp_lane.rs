//! One direction of an SFTP channel, cut into packets.
//!
//! In: chunks of bytes, however the network cut them. Out: the head of each packet (as much as is
//! needed to decide about it) and the pieces of its content, as ranges of the chunk, so that
//! content is never copied. Only heads that came in several chunks are put together.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::Side;
use super::sftp::SftpStep;
use super::sftp_error::SftpError;
use super::sftp_packet::{
    DATA, EXTENDED_REPLY, Fields, HEADER_BYTES, MAX_CONTROL_BYTES, MAX_HANDLE_BYTES,
    MAX_PACKET_BYTES, NAME, WRITE,
};

/// The length field in front of each packet.
const LENGTH_BYTES: usize = 4;
/// Type and request id; no packet of version 3 is shorter.
const MIN_LENGTH: usize = 5;
/// Header and the length of the string behind it.
const STRING_LENGTH_END: usize = HEADER_BYTES + 4;
/// Offset and content length of a WRITE.
const WRITE_TAIL_BYTES: usize = 12;

/// Where one direction stands.
pub(super) struct Lane {
    side: Side,
    /// The beginning of a head that is not complete yet; at most [`MAX_CONTROL_BYTES`] and a length.
    partial: BytesMut,
    /// Bytes of the current packet that have not come yet.
    left: usize,
}

/// What comes next in a chunk.
pub(super) enum Piece {
    /// The head of a packet.
    Head(Head),
    /// Content of the packet whose head came last; where it is in the chunk.
    Content(Range<usize>),
}

/// The beginning of a packet, or all of it.
pub(super) struct Head {
    /// The bytes.
    pub(super) bytes: Bytes,
    /// Where it is in the chunk; `None` when it was put together from several.
    pub(super) range: Option<Range<usize>>,
    /// The packet's type.
    pub(super) kind: u8,
    /// The request id (the version in INIT and VERSION).
    pub(super) id: u32,
    /// Bytes of content that follow.
    pub(super) content_bytes: usize,
}

impl Head {
    /// The fields behind the request id.
    pub(super) fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

impl Lane {
    pub(super) fn new(side: Side) -> Self {
        Self { side, partial: BytesMut::new(), left: 0 }
    }

    /// Whether part of a packet has been passed on and the rest is still to come.
    pub(super) fn is_inside_packet(&self) -> bool {
        self.left > 0
    }

    /// Bytes kept between chunks.
    pub(super) fn retained_bytes(&self) -> usize {
        self.partial.len()
    }

    /// The next piece of `chunk` from `at` on, which is moved behind it; `None` at its end.
    pub(super) fn next(
        &mut self,
        chunk: &Bytes,
        at: &mut usize,
    ) -> Result<Option<Piece>, SftpError> {
        let seen = chunk.get(*at..).unwrap_or_default();
        if seen.is_empty() {
            return Ok(None);
        }
        if self.left > 0 {
            let taken = self.left.min(seen.len());
            let range = *at..*at + taken;
            self.left -= taken;
            *at = range.end;
            return Ok(Some(Piece::Content(range)));
        }
        if !self.partial.is_empty() {
            return self.complete_partial(seen, at);
        }
        let needed = head_bytes(self.side, seen)?;
        if seen.len() < needed {
            self.partial.extend_from_slice(seen);
            *at = chunk.len();
            return Ok(None);
        }
        let range = *at..*at + needed;
        *at = range.end;
        // INVARIANT: `range` ends within the chunk, by the comparison above.
        self.head(chunk.slice(range.clone()), Some(range)).map(Some)
    }

    fn complete_partial(
        &mut self,
        mut seen: &[u8],
        at: &mut usize,
    ) -> Result<Option<Piece>, SftpError> {
        loop {
            let missing = head_bytes(self.side, &self.partial)?.saturating_sub(self.partial.len());
            if missing == 0 {
                let bytes = self.partial.split().freeze();
                return self.head(bytes, None).map(Some);
            }
            let (taken, rest) = seen.split_at(missing.min(seen.len()));
            if taken.is_empty() {
                return Ok(None);
            }
            self.partial.extend_from_slice(taken);
            *at += taken.len();
            seen = rest;
        }
    }

    fn head(&mut self, bytes: Bytes, range: Option<Range<usize>>) -> Result<Piece, SftpError> {
        let mut fields = Fields::new(&bytes);
        let (Some(length), Some(kind), Some(id)) =
            (fields.uint32(), fields.byte(), fields.uint32())
        else {
            return Err(malformed(self.side, 0, "it has no header"));
        };
        let total = LENGTH_BYTES.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        self.left = total.saturating_sub(bytes.len());
        Ok(Piece::Head(Head { range, kind, id, content_bytes: self.left, bytes }))
    }
}

/// How many bytes of the packet that begins with `seen` have to be there to decide about it. Asked
/// again when there are that many, as the fields then visible may call for more.
fn head_bytes(side: Side, seen: &[u8]) -> Result<usize, SftpError> {
    let mut fields = Fields::new(seen);
    let (Some(length), Some(kind)) = (fields.uint32(), fields.byte()) else {
        return Ok(HEADER_BYTES);
    };
    let streamed = match side {
        Side::Client => kind == WRITE,
        Side::Target => matches!(kind, DATA | NAME | EXTENDED_REPLY),
    };
    let limit = if streamed { MAX_PACKET_BYTES } else { MAX_CONTROL_BYTES };
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes > limit {
        return Err(SftpError::PacketTooLong { side, kind, length, limit });
    }
    if bytes < MIN_LENGTH {
        return Err(malformed(side, kind, "it is shorter than its header"));
    }
    let total = LENGTH_BYTES + bytes;
    if !streamed {
        return Ok(total);
    }
    if kind != WRITE && kind != DATA {
        return Ok(HEADER_BYTES);
    }
    if total < STRING_LENGTH_END {
        return Err(malformed(side, kind, "it ends before its first field"));
    }
    let (Some(_id), Some(string_length)) = (fields.uint32(), fields.uint32()) else {
        return Ok(STRING_LENGTH_END);
    };
    let string_bytes = usize::try_from(string_length).unwrap_or(usize::MAX);
    if kind == DATA {
        let exact = string_bytes.checked_add(STRING_LENGTH_END) == Some(total);
        return if exact {
            Ok(STRING_LENGTH_END)
        } else {
            Err(malformed(side, kind, "its content is not as long as it says"))
        };
    }
    if string_bytes > MAX_HANDLE_BYTES {
        return Err(malformed(side, kind, "its handle is longer than 256 bytes"));
    }
    let needed = STRING_LENGTH_END + string_bytes + WRITE_TAIL_BYTES;
    if needed > total {
        return Err(malformed(side, kind, "it ends before its content"));
    }
    let content = seen.get(needed - 4..needed).and_then(|field| Fields::new(field).uint32());
    match content.map(|length| usize::try_from(length).unwrap_or(usize::MAX)) {
        Some(content_bytes) if content_bytes != total - needed => {
            Err(malformed(side, kind, "its content is not as long as it says"))
        }
        _ => Ok(needed),
    }
}

fn malformed(side: Side, kind: u8, what: &'static str) -> SftpError {
    SftpError::MalformedPacket { side, kind, what }
}

/// What of a chunk is passed on, gathered into as few slices as possible.
pub(super) struct Run {
    chunk: Bytes,
    kept: Range<usize>,
}

impl Run {
    pub(super) fn new(chunk: Bytes) -> Self {
        Self { chunk, kept: 0..0 }
    }

    pub(super) fn chunk(&self) -> &Bytes {
        &self.chunk
    }

    /// Passes `range` on, behind everything kept or pushed to `out` before.
    pub(super) fn keep(&mut self, range: Range<usize>, out: &mut Vec<SftpStep>) {
        if self.kept.end == range.start {
            self.kept.end = range.end;
        } else {
            self.flush(out);
            self.kept = range;
        }
    }

    /// Passes a head on: its place in the chunk, or the bytes it was put together from.
    pub(super) fn keep_head(&mut self, head: Head, out: &mut Vec<SftpStep>) {
        match head.range {
            Some(range) => self.keep(range, out),
            None => {
                self.flush(out);
                out.push(SftpStep::Forward(head.bytes));
            }
        }
    }

    /// Writes what is kept to `out`.
    pub(super) fn flush(&mut self, out: &mut Vec<SftpStep>) {
        if !self.kept.is_empty() {
            // INVARIANT: ranges come from `Lane::next` on this chunk, so they are within it.
            out.push(SftpStep::Forward(self.chunk.slice(self.kept.clone())));
        }
        self.kept = self.kept.end..self.kept.end;
    }
}
