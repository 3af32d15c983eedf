//! A reader of CBOR (RFC 8949) as authenticators write it: definite lengths, shallow, short.
//!
//! In: untrusted bytes. Out: borrowed items, or an error. What CTAP2's canonical form does not have
//! (indefinite lengths, floating point numbers, tags) is refused, and so is a key that is there twice.

use thiserror::Error;

/// Deepest nesting; CTAP2 has at most four levels (section 8).
const MAX_DEPTH: usize = 8;
/// Most items in one text, whatever their nesting.
const MAX_ITEMS: usize = 512;

/// Bytes that are not the CBOR an authenticator writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the authenticator's answer is not well-formed CBOR")]
pub(super) struct CborError;

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A number from 0.
    Unsigned(u64),
    /// `-1 - n`.
    Negative(u64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// A list.
    Array(Vec<Item<'a>>),
    /// Keys and values.
    Map(Vec<(Item<'a>, Item<'a>)>),
    /// `false`, `true`, `null` or `undefined`, by their numbers.
    Simple(u8),
}

impl<'a> Item<'a> {
    /// The value of a key that is a small number, in a map.
    pub(super) fn number(&self, key: i64) -> Option<&Self> {
        let wanted = match u64::try_from(key) {
            Ok(key) => Item::Unsigned(key),
            Err(_) => Item::Negative(key.unsigned_abs() - 1),
        };
        self.get(&wanted)
    }

    /// The value of a key that is a text, in a map.
    pub(super) fn named(&self, key: &str) -> Option<&Self> {
        self.get(&Item::Text(key))
    }

    fn get(&self, wanted: &Item<'_>) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(key, _)| key == wanted).map(|(_, value)| value)
    }

    /// A small number.
    pub(super) fn int(&self) -> Option<i64> {
        match self {
            Self::Unsigned(n) => i64::try_from(*n).ok(),
            Self::Negative(n) => i64::try_from(*n).ok().map(|n| -1 - n),
            _ => None,
        }
    }

    /// A byte string.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads the first item; what is left after it.
pub(super) fn read(bytes: &[u8]) -> Result<(Item<'_>, &[u8]), CborError> {
    let mut reader = Reader { rest: bytes, items: 0 };
    let item = reader.item(0)?;
    Ok((item, reader.rest))
}

struct Reader<'a> {
    rest: &'a [u8],
    items: usize,
}

impl<'a> Reader<'a> {
    fn item(&mut self, depth: usize) -> Result<Item<'a>, CborError> {
        self.items += 1;
        if depth > MAX_DEPTH || self.items > MAX_ITEMS {
            return Err(CborError);
        }
        let [head] = *self.take(1)? else { return Err(CborError) };
        let (major, more) = (head >> 5, head & 0x1f);
        if major == 7 {
            return match more {
                20..=23 => Ok(Item::Simple(more)),
                _ => Err(CborError),
            };
        }
        let argument = self.argument(more)?;
        match major {
            0 => Ok(Item::Unsigned(argument)),
            1 => Ok(Item::Negative(argument)),
            2 => self.string(argument).map(Item::Bytes),
            3 => {
                let bytes = self.string(argument)?;
                std::str::from_utf8(bytes).map(Item::Text).map_err(|_| CborError)
            }
            // The number of items is not believed: each is read before the next is thought of.
            4 => (0..argument)
                .map(|_| self.item(depth + 1))
                .collect::<Result<_, _>>()
                .map(Item::Array),
            5 => self.map(argument, depth),
            _ => Err(CborError),
        }
    }

    fn map(&mut self, entries: u64, depth: usize) -> Result<Item<'a>, CborError> {
        let mut map: Vec<(Item<'a>, Item<'a>)> = Vec::new();
        for _ in 0..entries {
            let key = self.item(depth + 1)?;
            if map.iter().any(|(known, _)| *known == key) {
                return Err(CborError);
            }
            map.push((key, self.item(depth + 1)?));
        }
        Ok(Item::Map(map))
    }

    fn argument(&mut self, more: u8) -> Result<u64, CborError> {
        let length = match more {
            0..=23 => return Ok(more.into()),
            24..=27 => 1 << (more - 24),
            _ => return Err(CborError),
        };
        let bytes = self.take(length)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn string(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        self.take(usize::try_from(length).map_err(|_| CborError)?)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CborError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CborError)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_map_is_read_and_what_follows_is_left() {
        // {1: 2, -1: h'0102', "fmt": "none", 4: [true]} and a byte more
        let bytes = b"\xa4\x01\x02\x20\x42\x01\x02\x63fmt\x64none\x04\x81\xf5\x00";
        let (map, rest) = read(bytes).unwrap();
        assert_eq!(map.number(1).unwrap().int(), Some(2));
        assert_eq!(map.number(-1).unwrap().bytes(), Some(&[1, 2][..]));
        assert_eq!(map.named("fmt").unwrap().text(), Some("none"));
        assert_eq!(map.number(4), Some(&Item::Array(vec![Item::Simple(21)])));
        assert_eq!(rest, [0]);
    }

    #[test]
    fn what_no_authenticator_writes_is_refused() {
        let deep = [0x81; 64];
        let many = [&[0x99, 0xff, 0xff][..], &[0; 70_000]].concat();
        for wrong in [
            &b""[..],
            b"\x5f\x41\x00\xff",                     // indefinite length
            b"\xfb\x00\x00\x00\x00\x00\x00\x00\x00", // a double
            b"\xc0\x00",                             // a tag
            b"\x42\x00",                             // too short
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", // 2^64 - 1 bytes
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", // as many items
            b"\xa2\x01\x02\x01\x03",                 // a key twice
            b"\x61\xff",                             // not UTF-8
            &deep,
            &many,
        ] {
            assert_eq!(read(wrong), Err(CborError), "{:x?}", &wrong[..wrong.len().min(16)]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
