//! Finding entries without an index beside the log: by time, and by an event's id, which begins
//! with a time (UUID version 7, RFC 9562).
//!
//! Entries are appended in the order of their time, nearly: an event may be written later than it
//! was made, never earlier. So the latest time in a bundle grows from bundle to bundle, and a
//! binary search over bundles finds where to look. Where it does not (a clock that jumped), an id is
//! still found, by reading everything.

use super::edge::{TileError, bundle_of, read_bundle};
use super::meaning::Meaning;
use super::reader::{LogReadError, LogReader};
use super::tile::TILE_WIDTH;

/// Bundles read around the place where an event should be, before everything is read.
const NEAR_BUNDLES: u64 = 16;
/// Of this many entries one is looked at to learn a bundle's time.
const SAMPLE: usize = 8;

/// An entry found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its index.
    pub index: u64,
    /// Its bytes.
    pub entry: Vec<u8>,
}

/// The first entry of the first bundle with an entry at or after `at_millis`, among the first
/// `size` entries; `size` where there is none. Entries of that time begin there or later, except
/// those written down long after they happened.
///
/// # Errors
/// [`LogReadError`].
pub fn index_at(
    reader: &LogReader,
    size: u64,
    at_millis: i64,
    meaning: &Meaning,
) -> Result<u64, LogReadError> {
    let width = u64::from(TILE_WIDTH);
    let (mut low, mut high) = (reader.first()? / width, size.div_ceil(width));
    while low < high {
        let middle = low + (high - low) / 2;
        if latest(reader, middle, size, meaning)?.is_some_and(|latest| latest >= at_millis) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok((low * width).min(size))
}

/// The event of this id, made at `at_millis`, among the first `size` entries.
///
/// # Errors
/// [`LogReadError`].
pub fn find_event(
    reader: &LogReader,
    size: u64,
    event: &str,
    at_millis: i64,
    meaning: &Meaning,
) -> Result<Option<Found>, LogReadError> {
    let near = NEAR_BUNDLES * u64::from(TILE_WIDTH);
    let at = index_at(reader, size, at_millis, meaning)?;
    let first = reader.first()?;
    let (start, end) = (at.saturating_sub(near).max(first), at.saturating_add(near).min(size));
    // It stands in the first bundle that ends so late, or soon behind it: before it only where the
    // clock was set.
    for range in [at..end, start..at, end..size, first..start] {
        for read in reader.entries(range) {
            let (index, entry) = read?;
            if is_event(&entry, event, meaning) {
                return Ok(Some(Found { index, entry }));
            }
        }
    }
    Ok(None)
}

/// Whether the entry is the event of this id. Most entries do not even hold the text.
fn is_event(entry: &[u8], event: &str, meaning: &Meaning) -> bool {
    let holds = memchr::memmem::find(entry, event.as_bytes()).is_some();
    holds && (meaning.describe)(entry).is_some_and(|described| described.event == event)
}

/// The latest time among some entries of a bundle.
fn latest(
    reader: &LogReader,
    bundle: u64,
    size: u64,
    meaning: &Meaning,
) -> Result<Option<i64>, TileError> {
    let (path, _) = bundle_of(bundle * u64::from(TILE_WIDTH), size);
    let bundle = read_bundle(reader.tiles(), path)?;
    let last = bundle.entries().count().saturating_sub(1);
    let looked_at = bundle.entries().enumerate();
    let times = looked_at
        .filter(|(place, _)| place % SAMPLE == 0 || *place == last)
        .filter_map(|(_, entry)| (meaning.describe)(entry));
    Ok(times.map(|described| described.at_millis).max())
}
