//! The PostgreSQL wire format (manual, 55.7): headers, start-up packets, the few messages that are
//! looked into, and those the gate makes itself. Pure; every length is bounded by the caller.

pub mod fuzzing;
pub mod make;
pub mod message;
pub mod startup;

/// Bytes of a message's header: a type and a length that counts itself.
pub const HEADER_BYTES: usize = 5;

/// A message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its type.
    pub kind: u8,
    /// Bytes of its body.
    pub body: usize,
}

/// A length that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message with an impossible length")]
pub struct BadLength;

impl Header {
    /// Reads a header; `None` where more bytes are needed.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, BadLength> {
        let Some(([kind, length @ ..], _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        body.map(|body| Some(Self { kind: *kind, body })).ok_or(BadLength)
    }

    /// Bytes of the whole message.
    pub const fn whole(self) -> usize {
        self.body.saturating_add(HEADER_BYTES)
    }
}

/// Takes a text that ends with a zero byte off the front.
pub fn take_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Takes a big-endian number of two bytes off the front.
pub fn take_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// Takes a big-endian number of four bytes off the front.
pub fn take_i32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*number), rest))
}
