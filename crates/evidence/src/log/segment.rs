//! The write-ahead segment: batches of entries, each written by one `write` and made durable by
//! one `fdatasync`. Pure framing over `Read`.
//!
//! ```text
//! batch  = magic (8) | first index (8) | entries (4) | payload bytes (4) | digest (16) | payload
//! payload = entries * ( length (2) | first 4 bytes of the leaf hash | entry )
//! digest  = SHA-256( the header before it | the leaf hashes ), first 16 bytes
//! ```
//! Integers are big endian. The leaf hash, which the tree needs anyway, is the checksum of an
//! entry: no byte is hashed twice.
//!
//! INVARIANT: a batch is written only after the one before it is durable. So a damaged batch
//! with a whole one behind it was acknowledged (damage), and a damaged one at the end of the
//! last segment may never have been (torn by a crash, and dropped).

use std::io::{self, Read};

use super::merkle::{HASH_BYTES, Hash, leaf_hash, sha256};
use super::tile::MAX_ENTRY_BYTES;

/// Bytes before the payload of a batch.
pub const BATCH_HEADER_BYTES: usize = 40;
/// Entries in the largest batch.
pub const MAX_BATCH_ENTRIES: usize = 8192;
/// Bytes of the largest batch's payload.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Bytes framing an entry adds.
pub const ENTRY_FRAME_BYTES: usize = 6;

const MAGIC: [u8; 8] = *b"PCWAL\x01\r\n";
const DIGEST_BYTES: usize = 16;
/// Bytes of the header that its digest covers.
const COVERED_BYTES: usize = BATCH_HEADER_BYTES - DIGEST_BYTES;

/// Encodes batches into one reused buffer.
#[derive(Debug, Default)]
pub struct BatchEncoder {
    bytes: Vec<u8>,
    hashes: Vec<u8>,
    count: u32,
}

impl BatchEncoder {
    /// Adds an entry of at most [`MAX_ENTRY_BYTES`] with its leaf hash.
    pub fn push(&mut self, entry: &[u8], leaf: &Hash) {
        if self.bytes.is_empty() {
            self.bytes.resize(BATCH_HEADER_BYTES, 0);
        }
        debug_assert!(entry.len() <= MAX_ENTRY_BYTES);
        let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend(leaf.0.iter().take(4));
        self.bytes.extend_from_slice(entry);
        self.hashes.extend_from_slice(&leaf.0);
        self.count += 1;
    }

    /// Completes the batch that begins at `first` and returns its bytes.
    pub fn finish(&mut self, first: u64) -> &[u8] {
        let payload = self.bytes.len().saturating_sub(BATCH_HEADER_BYTES);
        let payload = u32::try_from(payload).unwrap_or(u32::MAX);
        let covered = header(first, self.count, payload);
        let digest = sha256(&[&covered, &self.hashes]);
        let complete = covered.iter().chain(digest.0.iter().take(DIGEST_BYTES));
        for (to, from) in self.bytes.iter_mut().zip(complete) {
            *to = *from;
        }
        &self.bytes
    }

    /// Forgets the batch and keeps the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.hashes.clear();
        self.count = 0;
    }
}

fn header(first: u64, count: u32, payload: u32) -> [u8; COVERED_BYTES] {
    let mut covered = [0; COVERED_BYTES];
    let fields = MAGIC
        .into_iter()
        .chain(first.to_be_bytes())
        .chain(count.to_be_bytes())
        .chain(payload.to_be_bytes());
    for (to, from) in covered.iter_mut().zip(fields) {
        *to = from;
    }
    covered
}

/// A whole batch: consecutive entries and their leaf hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Index of the first entry.
    pub first: u64,
    /// The entries with their leaf hashes.
    pub entries: Vec<(Vec<u8>, Hash)>,
    /// Bytes it takes in the segment.
    pub bytes: u64,
}

impl Batch {
    /// The index behind the last entry.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

/// What stands at a place in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    /// A whole batch.
    Batch(Batch),
    /// The segment ends here.
    End,
    /// No whole batch begins here.
    Damaged {
        /// Entries of the batch that are still whole, counted from its first: the first bad
        /// entry is the one behind them.
        whole: u64,
    },
}

/// Reads batches one after the other, with at most one in memory.
pub struct SegmentScanner<R> {
    input: R,
    position: u64,
}

impl<R: Read> SegmentScanner<R> {
    /// Reads from the start of a segment.
    pub fn new(input: R) -> Self {
        Self { input, position: 0 }
    }

    /// Bytes of whole batches read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next batch. After [`Scanned::Damaged`] only [`holds_batch`] on the
    /// whole segment makes sense.
    ///
    /// # Errors
    /// Those of the input.
    pub fn next_batch(&mut self) -> io::Result<Scanned> {
        let mut head = [0; BATCH_HEADER_BYTES];
        let read = read_full(&mut self.input, &mut head)?;
        if read == 0 {
            return Ok(Scanned::End);
        }
        let Some((first, count, payload)) = parse_header(&head).filter(|_| read == head.len())
        else {
            return Ok(Scanned::Damaged { whole: 0 });
        };
        let mut bytes = Vec::new();
        (&mut self.input).take(u64::from(payload)).read_to_end(&mut bytes)?;
        let batch = decode(&head, first, count, &bytes, payload);
        if let Scanned::Batch(batch) = &batch {
            self.position += batch.bytes;
        }
        Ok(batch)
    }
}

/// Whether a whole batch that begins at entry `after` or later stands anywhere in `segment`.
///
/// Entries are canonical JSON, which escapes control characters, so that no entry can hold what
/// looks like a batch.
#[must_use]
pub fn holds_batch(segment: &[u8], after: u64) -> bool {
    let mut rest = segment;
    while let Some(at) = rest.windows(MAGIC.len()).position(|window| window == MAGIC.as_slice()) {
        let Some(found) = rest.get(at..) else { break };
        if let Some((head, body)) = found.split_first_chunk::<BATCH_HEADER_BYTES>()
            && let Some((first, count, payload)) = parse_header(head)
            && first >= after
            && let Some(body) = body.get(..payload as usize)
            && matches!(decode(head, first, count, body, payload), Scanned::Batch(_))
        {
            return true;
        }
        rest = found.get(1..).unwrap_or_default();
    }
    false
}

/// Fills `to` as far as the input goes, and returns how far that was.
pub(crate) fn read_full(input: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// First index, entries and payload bytes, if they are within their bounds.
fn parse_header(head: &[u8; BATCH_HEADER_BYTES]) -> Option<(u64, u32, u32)> {
    let (magic, rest) = head.split_first_chunk::<8>()?;
    let (first, rest) = rest.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (payload, _) = rest.split_first_chunk::<4>()?;
    let (first, count) = (u64::from_be_bytes(*first), u32::from_be_bytes(*count));
    let payload = u32::from_be_bytes(*payload);
    let bounded = *magic == MAGIC
        && (1..=MAX_BATCH_ENTRIES).contains(&(count as usize))
        && payload as usize <= MAX_BATCH_BYTES
        && first.checked_add(u64::from(count)).is_some();
    bounded.then_some((first, count, payload))
}

fn decode(
    head: &[u8; BATCH_HEADER_BYTES],
    first: u64,
    count: u32,
    payload: &[u8],
    expected: u32,
) -> Scanned {
    let (covered, digest) = head.split_at(COVERED_BYTES);
    let mut entries = Vec::new();
    let mut hashes = Vec::with_capacity(count.min(64) as usize * HASH_BYTES);
    let mut rest = payload;
    while let Some((entry, check, behind)) = next_entry(rest) {
        let leaf = leaf_hash(entry);
        if !leaf.0.starts_with(check) || entries.len() >= count as usize {
            break;
        }
        hashes.extend_from_slice(&leaf.0);
        entries.push((entry.to_vec(), leaf));
        rest = behind;
    }
    let whole = rest.is_empty()
        && payload.len() == expected as usize
        && entries.len() == count as usize
        && sha256(&[covered, &hashes]).0.starts_with(digest);
    if whole {
        Scanned::Batch(Batch { first, entries, bytes: (BATCH_HEADER_BYTES + payload.len()) as u64 })
    } else {
        Scanned::Damaged { whole: entries.len() as u64 }
    }
}

fn next_entry(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (check, rest) = rest.split_at_checked(4)?;
    let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((entry, check, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(first: u64, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut encoder = BatchEncoder::default();
        for entry in entries {
            encoder.push(entry, &leaf_hash(entry));
        }
        encoder.finish(first).to_vec()
    }

    fn scan(bytes: &[u8]) -> (Vec<Batch>, Scanned) {
        let mut scanner = SegmentScanner::new(bytes);
        let mut batches = Vec::new();
        loop {
            match scanner.next_batch().unwrap() {
                Scanned::Batch(batch) => batches.push(batch),
                other => return (batches, other),
            }
        }
    }

    fn entries() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..10)
    }

    proptest! {
        #[test]
        fn batches_are_read_back(batches in prop::collection::vec(entries(), 0..5)) {
            let mut bytes = Vec::new();
            let mut first = 3;
            for batch in &batches {
                bytes.extend(encode(first, batch));
                first += batch.len() as u64;
            }
            let (read, end) = scan(&bytes);
            prop_assert_eq!(end, Scanned::End);
            prop_assert_eq!(read.iter().map(|batch| batch.bytes).sum::<u64>(), bytes.len() as u64);
            let read: Vec<Vec<Vec<u8>>> = read
                .into_iter()
                .map(|batch| batch.entries.into_iter().map(|(entry, _)| entry).collect())
                .collect();
            prop_assert_eq!(read, batches);
        }

        #[test]
        fn a_flipped_bit_damages_its_batch_and_only_what_is_behind_tells_acknowledged_from_torn(
            one in entries(), two in entries(), at: prop::sample::Index, bit in 0u8..8,
        ) {
            let first = encode(0, &one);
            let second = encode(one.len() as u64, &two);
            let mut bytes = first.clone();
            bytes[at.index(first.len())] ^= 1 << bit;
            let (read, end) = scan(&bytes);
            prop_assert!(read.is_empty());
            let Scanned::Damaged { whole } = end else { panic!("{end:?}") };
            prop_assert!(whole <= one.len() as u64);
            prop_assert!(!holds_batch(&bytes, 1));
            bytes.extend(&second);
            prop_assert!(holds_batch(&bytes, 1));
        }

        #[test]
        fn a_torn_batch_is_not_read(one in entries(), two in entries(), at: prop::sample::Index) {
            let first = encode(0, &one);
            let second = encode(one.len() as u64, &two);
            let cut = 1 + at.index(second.len() - 1);
            let mut bytes = first;
            bytes.extend(&second[..cut]);
            let (read, end) = scan(&bytes);
            prop_assert_eq!(read.len(), 1);
            let damaged = matches!(end, Scanned::Damaged { .. });
            prop_assert!(damaged);
        }
    }

    #[test]
    fn the_first_bad_entry_is_counted() {
        let entries: Vec<Vec<u8>> = (0..5).map(|i| vec![i; 50]).collect();
        let mut bytes = encode(7, &entries);
        bytes[BATCH_HEADER_BYTES + 3 * (ENTRY_FRAME_BYTES + 50) + 20] ^= 1;
        assert_eq!(scan(&bytes).1, Scanned::Damaged { whole: 3 });
    }
}
