//! Where entries of a log may be found: derived data beside the log, built after it, thrown away and
//! built anew at any time.
//!
//! Flows in: entries' [`Terms`], in order. Flows out: for a [`Wanted`], the places of entries that
//! may meet it, newest first. Never knows what a term means, nor what an entry says.
//!
//! A *part* is [`PART_ENTRIES`] consecutive entries: for each key the positions it stands at, and for
//! each block of [`BLOCK_ENTRIES`] entries its earliest and latest time and a signature of the texts in
//! it (a Bloom filter of their four-byte windows, stored bit by bit over all blocks of the part, so that
//! a text is looked for in a few reads). Full parts are files; the newest part is in memory.
//!
//! INVARIANTS
//! - An entry that meets a [`Wanted`] is among its candidates; a candidate need not meet it, so each
//!   is held against the log itself.
//! - A part is encrypted and authenticated under a key kept elsewhere: without the key it says nothing,
//!   and one that was changed is [`Damaged`] and not believed.

mod catalogue;
mod file;
mod part;
mod signature;

pub use catalogue::{Index, Look};
pub use file::fuzz_contents;
pub use part::Part;

use thiserror::Error;

/// Entries of a part.
pub const PART_ENTRIES: u64 = 65_536;
/// Entries of a block, which is what the log keeps in one file.
pub const BLOCK_ENTRIES: u64 = 256;
/// Blocks of a part.
pub(crate) const BLOCKS: usize = 256;
/// Bytes of the key that parts are encrypted under.
pub const KEY_BYTES: usize = 32;
/// Longest value of a key, in bytes; longer ones are cut, here and in what is wanted.
const MAX_VALUE_BYTES: usize = 255;

/// Something an entry is found by exactly: which field, by a number of the caller's, and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    field: u8,
    value: Box<[u8]>,
}

impl Key {
    /// The value of a field.
    #[must_use]
    pub fn new(field: u8, value: &str) -> Self {
        let bytes = value.as_bytes();
        Self { field, value: bytes.get(..MAX_VALUE_BYTES).unwrap_or(bytes).into() }
    }
}

/// What an entry is found by.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Its time, in milliseconds since 1970.
    pub at_millis: i64,
    /// Fields and their values.
    pub keys: Vec<Key>,
    /// Texts that parts of are looked for, in lower case.
    pub texts: Vec<String>,
}

/// What is looked for; all of it must hold.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of each of these, any one.
    pub keys: Vec<Vec<Key>>,
    /// Each of these, in lower case, anywhere in a text.
    pub texts: Vec<String>,
    /// Not before, in milliseconds since 1970.
    pub from: Option<i64>,
    /// Before.
    pub to: Option<i64>,
}

/// A part that is not as it was written, or was written under another key.
#[derive(Debug, Error)]
#[error("the part of the search index at entry `{first}` is damaged or cannot be read")]
pub struct Damaged {
    /// The part's first entry.
    pub first: u64,
}

/// The first entry of the part that holds an entry.
#[must_use]
pub fn part_of(index: u64) -> u64 {
    index - index % PART_ENTRIES
}
