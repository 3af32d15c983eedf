//! A full part as a file: written once, read a piece at a time.
//!
//! ```text
//! file     = header (100) | piece ...
//! header   = magic (8) | salt (32) | first (8) | last entry's hash (32) | contents at (8), bytes (4) | signatures at (8)
//! piece    = AES-256-GCM( plaintext ), tag included
//! contents = 256 * ( earliest (8) | latest (8) ) | keys (4) | key ...
//! key      = field (1) | length (1) | value | form (1) | at (8) | bytes (4)
//! ```
//! Integers are big endian. A key's positions are a piece: a list of two bytes each, or where that is
//! longer a bit for each. A page of signatures is a piece: 256 bits, for each all blocks of the part.
//! The cipher's key is HMAC-SHA-256(index key, label and salt), the salt is new for each file, so that
//! a piece's place in the file serves as nonce; the header is authenticated with every piece.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use super::part::{Part, Positions, SET_BYTES, blocks_in_time};
use super::signature::{SIGNATURE_BITS, bits_of};
use super::{BLOCKS, Damaged, KEY_BYTES, Key, PART_ENTRIES, Wanted};
use crate::log::Hash;
use crate::log::merkle::sha256;

const MAGIC: [u8; 8] = *b"PCIDX\x01\r\n";
const LABEL: &[u8] = b"portcullis search index 1";
const SALT_BYTES: usize = 32;
const HEADER_BYTES: usize = 8 + SALT_BYTES + 8 + 32 + 8 + 4 + 8;
const TAG_BYTES: usize = 16;
/// Bits of a signature in a page, and bytes of a page: a bit for each block.
const PAGE_BITS: usize = 256;
const PAGE_BYTES: usize = PAGE_BITS * BLOCKS / 8;
/// Bytes of the largest contents: every entry with ten keys of its own.
const MAX_CONTENTS_BYTES: usize = 256 * 1024 * 1024;
const FORM_LIST: u8 = 0;
const FORM_SET: u8 = 1;

/// Where a key's positions stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    form: u8,
    at: u64,
    bytes: u32,
}

/// What a part's file begins with, in memory.
#[derive(Debug)]
pub(super) struct Contents {
    header: Header,
    times: Vec<(i64, i64)>,
    keys: Vec<(Key, Place)>,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    salt: [u8; SALT_BYTES],
    first: u64,
    last: Hash,
    contents: (u64, u32),
    signatures: u64,
}

/// Seals and opens the pieces of one file.
struct Pieces {
    cipher: LessSafeKey,
    header: [u8; 32],
}

/// Writes a full part to a file in place of one that is there. A file torn by a crash does not open:
/// nobody waits for the disk.
pub(super) fn write(part: &Part, key: &[u8; KEY_BYTES], to: &Path) -> io::Result<()> {
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| io::Error::other("no random numbers"))?;
    let mut plain: Vec<Vec<u8>> = Vec::new();
    let mut at = HEADER_BYTES as u64;
    let mut place = |piece: Vec<u8>| -> io::Result<(u64, u32)> {
        let bytes = u32::try_from(piece.len() + TAG_BYTES).map_err(io::Error::other)?;
        let placed = (at, bytes);
        at += u64::from(bytes);
        plain.push(piece);
        Ok(placed)
    };
    let mut keys = Vec::new();
    for (key, positions) in &part.positions {
        let (form, piece) = encode(positions);
        let (at, bytes) = place(piece)?;
        keys.push((key, Place { form, at, bytes }));
    }
    let mut signatures = None;
    for page in 0..SIGNATURE_BITS / PAGE_BITS {
        let placed = place(signature_page(part, page))?;
        signatures.get_or_insert(placed.0);
    }
    let contents = place(encode_contents(&part.times, &keys))?;
    let signatures = signatures.unwrap_or(0);
    let header = Header { salt, first: part.first, last: part.last, contents, signatures };
    let bytes = header.to_bytes();
    let pieces = Pieces::of(key, &bytes, &salt)?;
    let unfinished = to.with_extension("new");
    let mut options = File::options();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = io::BufWriter::new(options.open(&unfinished)?);
    file.write_all(&bytes)?;
    let mut at = HEADER_BYTES as u64;
    for piece in plain {
        let sealed = pieces.seal(at, piece)?;
        file.write_all(&sealed)?;
        at += sealed.len() as u64;
    }
    file.into_inner().map_err(|error| error.into_error())?;
    std::fs::rename(unfinished, to)
}

/// Reads what a part's file begins with; `None` where it is not whole, or under another key.
pub(super) fn contents(path: &Path, key: &[u8; KEY_BYTES]) -> io::Result<Option<Contents>> {
    let mut file = File::open(path)?;
    let mut bytes = [0; HEADER_BYTES];
    match file.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let Some(header) = Header::parse(&bytes) else { return Ok(None) };
    let pieces = Pieces::of(key, &bytes, &header.salt)?;
    let (at, length) = header.contents;
    let Some(plain) = pieces.read(&mut file, at, length)? else { return Ok(None) };
    Ok(parse_contents(&plain).map(|(times, keys)| Contents { header, times, keys }))
}

impl Contents {
    /// The part's first entry.
    pub(super) fn first(&self) -> u64 {
        self.header.first
    }

    /// Hash of the part's last entry.
    pub(super) fn last(&self) -> Hash {
        self.header.last
    }

    /// Entries that may meet what is wanted, ascending. `Err` holds what the file system says; a part
    /// that is not as it was written is the inner error.
    pub(super) fn candidates(
        &self,
        path: &Path,
        key: &[u8; KEY_BYTES],
        wanted: &Wanted,
    ) -> io::Result<Result<Vec<u64>, Damaged>> {
        let damaged = Damaged { first: self.header.first };
        let entries = u32::try_from(PART_ENTRIES).unwrap_or(u32::MAX);
        let mut set = Positions::within(&blocks_in_time(&self.times, wanted), entries);
        if set.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let mut file = File::open(path)?;
        let pieces = Pieces::of(key, &self.header.to_bytes(), &self.header.salt)?;
        for any in &wanted.keys {
            let mut either = Positions::empty();
            for place in any.iter().filter_map(|key| self.place(key)) {
                let read = pieces.read(&mut file, place.at, place.bytes)?;
                let Some(found) = read.and_then(|piece| decode(place.form, piece)) else {
                    return Ok(Err(damaged));
                };
                either.join(&found);
            }
            set.keep(&either);
            if set.is_empty() {
                return Ok(Ok(Vec::new()));
            }
        }
        let mut bits: Vec<usize> = wanted.texts.iter().flat_map(|text| bits_of(text)).collect();
        bits.sort_unstable();
        let mut blocks = [u8::MAX; BLOCKS / 8];
        let mut page: (usize, Vec<u8>) = (usize::MAX, Vec::new());
        for bit in bits {
            if page.0 != bit / PAGE_BITS {
                let bytes = PAGE_BYTES + TAG_BYTES;
                let number = bit / PAGE_BITS;
                let at = self.header.signatures + (number * bytes) as u64;
                let bytes = u32::try_from(bytes).unwrap_or(0);
                let Some(plain) = pieces.read(&mut file, at, bytes)? else {
                    return Ok(Err(damaged));
                };
                page = (number, plain);
            }
            let from = bit % PAGE_BITS * (BLOCKS / 8);
            let have = page.1.get(from..).unwrap_or_default();
            blocks.iter_mut().zip(have).for_each(|(block, have)| *block &= have);
        }
        let blocks: Vec<bool> =
            blocks.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect();
        set.keep(&Positions::within(&blocks, entries));
        Ok(Ok(set.list(self.header.first)))
    }

    fn place(&self, key: &Key) -> Option<Place> {
        let found = self.keys.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        self.keys.get(found).map(|(_, place)| *place)
    }
}

impl Pieces {
    fn of(key: &[u8; KEY_BYTES], header: &[u8], salt: &[u8]) -> io::Result<Self> {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        context.update(LABEL);
        context.update(salt);
        let derived = context.sign();
        let cipher = UnboundKey::new(&AES_256_GCM, derived.as_ref())
            .map_err(|_| io::Error::other("the index key has a wrong length"))?;
        Ok(Self { cipher: LessSafeKey::new(cipher), header: sha256(&[header]).0 })
    }

    fn nonce(at: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce.iter_mut().skip(4).zip(at.to_be_bytes()).for_each(|(to, from)| *to = from);
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&self, at: u64, mut piece: Vec<u8>) -> io::Result<Vec<u8>> {
        self.cipher
            .seal_in_place_append_tag(Self::nonce(at), Aad::from(self.header), &mut piece)
            .map_err(|_| io::Error::other("a piece of the index cannot be sealed"))?;
        Ok(piece)
    }

    /// The piece at a place; `None` where it is not the one that was written there.
    fn read(&self, file: &mut File, at: u64, bytes: u32) -> io::Result<Option<Vec<u8>>> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > MAX_CONTENTS_BYTES {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(at))?;
        let mut sealed = Vec::new();
        (&mut *file).take(bytes as u64).read_to_end(&mut sealed)?;
        let aad = Aad::from(self.header);
        let Ok(plain) = self.cipher.open_in_place(Self::nonce(at), aad, &mut sealed) else {
            return Ok(None);
        };
        let length = plain.len();
        sealed.truncate(length);
        Ok(Some(sealed))
    }
}

impl Header {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.salt);
        bytes.extend(self.first.to_be_bytes());
        bytes.extend(self.last.0);
        bytes.extend(self.contents.0.to_be_bytes());
        bytes.extend(self.contents.1.to_be_bytes());
        bytes.extend(self.signatures.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (last, rest) = rest.split_first_chunk::<32>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (signatures, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            salt: *salt,
            first: u64::from_be_bytes(*first),
            last: Hash(*last),
            contents: (u64::from_be_bytes(*at), u32::from_be_bytes(*length)),
            signatures: u64::from_be_bytes(*signatures),
        })
    }
}

/// A page of signatures: for each of its bits a bit for each block.
fn signature_page(part: &Part, page: usize) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_BYTES];
    for (bit, slice) in (page * PAGE_BITS..).zip(bytes.chunks_mut(BLOCKS / 8)) {
        for (block, signature) in part.signatures.iter().enumerate() {
            if signature.has(bit)
                && let Some(byte) = slice.get_mut(block / 8)
            {
                *byte |= 1 << (block % 8);
            }
        }
    }
    bytes
}

fn encode(positions: &[u16]) -> (u8, Vec<u8>) {
    if positions.len() * 2 <= SET_BYTES {
        return (FORM_LIST, positions.iter().flat_map(|position| position.to_be_bytes()).collect());
    }
    let mut set = Positions::empty();
    set.add(positions);
    (FORM_SET, set.into_bytes())
}

fn decode(form: u8, piece: Vec<u8>) -> Option<Positions> {
    match form {
        FORM_SET => Positions::from_bytes(piece),
        FORM_LIST => {
            let (pairs, rest) = piece.as_chunks::<2>();
            let positions: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            let mut set = Positions::empty();
            set.add(&positions);
            rest.is_empty().then_some(set)
        }
        _ => None,
    }
}

fn encode_contents(times: &[(i64, i64)], keys: &[(&Key, Place)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (earliest, latest) in times {
        bytes.extend(earliest.to_be_bytes());
        bytes.extend(latest.to_be_bytes());
    }
    bytes.extend(u32::try_from(keys.len()).unwrap_or(u32::MAX).to_be_bytes());
    for (key, place) in keys {
        bytes.push(key.field);
        // INVARIANT: a value has at most 255 bytes (`Key::new`).
        bytes.push(u8::try_from(key.value.len()).unwrap_or(u8::MAX));
        bytes.extend(&key.value);
        bytes.push(place.form);
        bytes.extend(place.at.to_be_bytes());
        bytes.extend(place.bytes.to_be_bytes());
    }
    bytes
}

/// Times of blocks, and where the positions of keys stand.
type TimesAndKeys = (Vec<(i64, i64)>, Vec<(Key, Place)>);

fn parse_contents(bytes: &[u8]) -> Option<TimesAndKeys> {
    let mut rest = bytes;
    let mut times = Vec::with_capacity(BLOCKS);
    for _ in 0..BLOCKS {
        times.push((i64::from_be_bytes(take(&mut rest)?), i64::from_be_bytes(take(&mut rest)?)));
    }
    let count = u32::from_be_bytes(take(&mut rest)?);
    let mut keys = Vec::new();
    for _ in 0..count {
        let [field, length] = take::<2>(&mut rest)?;
        let (value, behind) = rest.split_at_checked(usize::from(length))?;
        rest = behind;
        let [form] = take::<1>(&mut rest)?;
        let (at, bytes) =
            (u64::from_be_bytes(take(&mut rest)?), u32::from_be_bytes(take(&mut rest)?));
        keys.push((Key { field, value: value.into() }, Place { form, at, bytes }));
    }
    (rest.is_empty() && keys.is_sorted_by(|(one, _), (next, _)| one < next))
        .then_some((times, keys))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (found, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*found)
}

/// The contents of a part, from whatever bytes.
#[doc(hidden)]
pub fn fuzz_contents(bytes: &[u8]) {
    let _ = parse_contents(bytes);
    for form in 0..3 {
        let _ = decode(form, bytes.to_vec());
    }
}
