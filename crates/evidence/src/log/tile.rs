//! The tlog-tiles layout (C2SP `tlog-tiles`): paths of tiles and entry bundles, the encoding of
//! bundles, and the right edge of a tree kept as tiles.
//!
//! Pure: flows in leaf hashes, entries and paths, flows out tiles to store somewhere.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::merkle::{HASH_BYTES, Hash, fold, join};

/// Levels of the Merkle tree in one tile.
pub const TILE_HEIGHT: u32 = 8;
/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 1 << TILE_HEIGHT;
/// Levels of tiles a 64-bit tree needs, partial ones included.
pub const MAX_TILE_LEVELS: u8 = 8;
/// Bytes of the largest entry a bundle can frame (its length is 16 bits).
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;
/// Bytes of the largest entry bundle.
pub const MAX_BUNDLE_BYTES: usize = TILE_WIDTH as usize * (2 + MAX_ENTRY_BYTES);
/// Bytes of a full tile.
pub const MAX_TILE_BYTES: usize = TILE_WIDTH as usize * HASH_BYTES;

/// Longest index, in groups of three digits, a 64-bit number takes.
const MAX_INDEX_GROUPS: usize = 7;

/// Whether a resource holds hashes of a level or the entries themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes; level 0 holds leaf hashes.
    Hashes {
        /// 0 to 63 on paths; trees of 64-bit size use 0 to 7.
        level: u8,
    },
    /// A bundle of entries.
    Entries,
}

/// The place of a tile or an entry bundle: what the path `tile/<L>/<N>[.p/<W>]` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    /// Hashes or entries.
    pub kind: TileKind,
    /// Which of its level, from 0.
    pub index: u64,
    /// Hashes or entries in it, 1 to 256; below 256 it is partial.
    pub width: u16,
}

impl TilePath {
    /// The tile of hashes at `level` and `index`.
    #[must_use]
    pub fn hashes(level: u8, index: u64, width: u16) -> Self {
        Self { kind: TileKind::Hashes { level }, index, width }
    }

    /// The entry bundle at `index`.
    #[must_use]
    pub fn entries(index: u64, width: u16) -> Self {
        Self { kind: TileKind::Entries, index, width }
    }

    /// The full tile at the same place.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// Whether it holds fewer than 256.
    #[must_use]
    pub fn is_partial(self) -> bool {
        self.width < TILE_WIDTH
    }

    /// The directory with this place's partial tiles: the full tile's path and `.p`.
    #[must_use]
    pub fn partial_directory(self) -> String {
        format!("{}.p", self.full())
    }

    /// The most bytes a resource at this place may have.
    #[must_use]
    pub fn max_bytes(self) -> usize {
        match self.kind {
            TileKind::Hashes { .. } => MAX_TILE_BYTES,
            TileKind::Entries => MAX_BUNDLE_BYTES,
        }
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = Vec::with_capacity(MAX_INDEX_GROUPS);
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups.iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_partial() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// Why a text is not the path of a tile.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{path}` is not the path of a tile or entry bundle")]
pub struct TilePathError {
    /// What was read, shortened.
    pub path: String,
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, TilePathError> {
        parse_path(text)
            // INVARIANT: one place has one spelling; what prints differently was not canonical.
            .filter(|path| path.to_string() == text)
            .ok_or_else(|| TilePathError { path: text.chars().take(100).collect() })
    }
}

fn parse_path(text: &str) -> Option<TilePath> {
    let mut parts = text.strip_prefix("tile/")?.split('/');
    let kind = match parts.next()? {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes { level: level.parse().ok().filter(|level| *level < 64)? },
    };
    let mut index = 0u64;
    for _ in 0..MAX_INDEX_GROUPS {
        let part = parts.next()?;
        let (digits, more, partial) = match (part.strip_prefix('x'), part.strip_suffix(".p")) {
            (Some(digits), _) => (digits, true, false),
            (None, Some(digits)) => (digits, false, true),
            (None, None) => (part, false, false),
        };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        if more {
            continue;
        }
        let width = if partial { parts.next()?.parse().ok()? } else { TILE_WIDTH };
        let fits = (1..TILE_WIDTH).contains(&width) || !partial;
        return (fits && parts.next().is_none()).then_some(TilePath { kind, index, width });
    }
    None
}

/// Appends an entry to a bundle: 16-bit big-endian length, then the bytes. An entry above
/// [`MAX_ENTRY_BYTES`] leaves the bundle unchanged and returns `false`.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else {
        return false;
    };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// The entries of a bundle, in order. Ends early, with `Err`, at the first that is cut short.
#[derive(Debug, Clone)]
pub struct BundleEntries<'a> {
    rest: &'a [u8],
}

impl<'a> BundleEntries<'a> {
    /// Reads a bundle's bytes.
    #[must_use]
    pub fn new(bundle: &'a [u8]) -> Self {
        Self { rest: bundle }
    }
}

/// An entry whose length goes beyond its bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an entry goes beyond the end of its bundle")]
pub struct EntryCut;

impl<'a> Iterator for BundleEntries<'a> {
    type Item = Result<&'a [u8], EntryCut>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.rest.split_first_chunk::<2>().and_then(|(length, rest)| {
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        match entry {
            Some((entry, rest)) => {
                self.rest = rest;
                Some(Ok(entry))
            }
            None => {
                self.rest = &[];
                Some(Err(EntryCut))
            }
        }
    }
}

/// Encodes the hashes of a tile.
#[must_use]
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads the hashes of a tile; `None` unless they are whole.
#[must_use]
pub fn decode_tile(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    (rest.is_empty() && bytes.len() <= MAX_TILE_BYTES)
        .then(|| hashes.iter().map(|hash| Hash(*hash)).collect())
}

/// The width of the partial tile at `level` in a tree of `size` leaves: 0 to 255.
#[must_use]
pub fn partial_width(size: u64, level: u8) -> u16 {
    let below = size.checked_shr(TILE_HEIGHT * u32::from(level));
    u16::try_from(below.unwrap_or(0) % u64::from(TILE_WIDTH)).unwrap_or(0)
}

/// The index of the partial (rightmost, incomplete) tile at `level`.
#[must_use]
pub fn partial_index(size: u64, level: u8) -> u64 {
    size.checked_shr(TILE_HEIGHT * (u32::from(level) + 1)).unwrap_or(0)
}

/// The right edge of a growing tree: the hashes of the one partial tile of each level. Enough
/// for the root, for every tile still to come, and at most 64 KiB however large the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Frontier {
    /// The edge of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up the edge of a tree of `size` leaves from the hashes of its partial tiles, level
    /// 0 first. `None` when their widths are not those of that size.
    #[must_use]
    pub fn resume(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let fits = (0..MAX_TILE_LEVELS).all(|level| {
            let have = levels.get(usize::from(level)).map_or(0, Vec::len);
            have == usize::from(partial_width(size, level))
        });
        (fits && levels.len() <= usize::from(MAX_TILE_LEVELS)).then_some(Self { size, levels })
    }

    /// Leaves in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; `completed` is told of each tile that becomes full, lowest level first.
    ///
    /// # Errors
    /// What `completed` returns; the frontier must then be discarded.
    pub fn push<E>(
        &mut self,
        leaf: Hash,
        mut completed: impl FnMut(TilePath, &[Hash]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..MAX_TILE_LEVELS {
            let at = usize::from(level);
            if self.levels.len() <= at {
                self.levels.push(Vec::new());
            }
            let Some(row) = self.levels.get_mut(at) else {
                break;
            };
            row.push(hash);
            if row.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let index = partial_index(self.size, level).saturating_sub(1);
            completed(TilePath::hashes(level, index, TILE_WIDTH), row)?;
            hash = fold(row).unwrap_or_else(Hash::of_empty_tree);
            row.clear();
        }
        Ok(())
    }

    /// The tree's root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = Vec::with_capacity(64);
        for row in self.levels.iter().rev() {
            // A partial tile of width w is complete subtrees as the bits of w say, largest left.
            let mut rest = row.as_slice();
            for height in (0..TILE_HEIGHT).rev() {
                if row.len() >> height & 1 == 1 {
                    let (subtree, right) = rest.split_at(1 << height);
                    peaks.extend(fold(subtree));
                    rest = right;
                }
            }
        }
        join(&peaks).unwrap_or_else(Hash::of_empty_tree)
    }

    /// The partial tiles a checkpoint of this size needs, lowest level first.
    pub fn partial_tiles(&self) -> impl Iterator<Item = (TilePath, &[Hash])> {
        (0..).zip(&self.levels).filter_map(|(level, row)| {
            let width = u16::try_from(row.len()).ok().filter(|width| *width > 0)?;
            let index = partial_index(self.size, level);
            Some((TilePath::hashes(level, index, width), row.as_slice()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::super::merkle::leaf_hash;
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        for (path, text) in [
            (TilePath::hashes(0, 0, 256), "tile/0/000"),
            (TilePath::hashes(1, 17, 17), "tile/1/017.p/17"),
            (TilePath::hashes(0, 1_234_067, 256), "tile/0/x001/x234/067"),
            (TilePath::entries(1_234_067, 112), "tile/entries/x001/x234/067.p/112"),
            (TilePath::entries(u64::MAX, 256), "tile/entries/x018/x446/x744/x073/x709/x551/615"),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse(), Ok(path));
        }
    }

    #[test]
    fn other_spellings_of_a_path_are_refused() {
        for text in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/1",
            "tile/00/001",
            "tile/64/000",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/001/",
            "tile/0/x001",
            "tile/0/001.p",
            "tile/entries/x001/x234/067.p/1/",
            "tile/entries/../000",
            "tile/+1/000",
            "tile/0/+01",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x001/x018/x446/x744/x073/x709/x551/615",
        ] {
            assert!(text.parse::<TilePath>().is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
        let mut full = Vec::new();
        let mut frontier = Frontier::new();
        for i in 0..70_000u64 {
            frontier
                .push(Hash([i as u8; 32]), |path, _| {
                    full.push(path);
                    Ok::<_, Infallible>(())
                })
                .unwrap();
        }
        let level =
            |n: u8| full.iter().filter(|path| path.kind == TileKind::Hashes { level: n }).count();
        assert_eq!((level(0), level(1), level(2)), (273, 1, 0));
        let partial: Vec<String> =
            frontier.partial_tiles().map(|(path, _)| path.to_string()).collect();
        assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    }

    #[test]
    fn a_frontier_has_the_root_of_its_tree_and_can_be_taken_up_again() {
        let mut frontier = Frontier::new();
        let mut leaves = Vec::new();
        assert_eq!(frontier.root(), Hash::of_empty_tree());
        for i in 0..1500u64 {
            let leaf = leaf_hash(&i.to_be_bytes());
            leaves.push(leaf);
            frontier.push(leaf, |_, _| Ok::<_, Infallible>(())).unwrap();
            if i % 37 == 0 || i % 256 > 253 || i % 256 < 2 {
                assert_eq!(frontier.root(), fold(&leaves).unwrap(), "at {i}");
                let again = Frontier::resume(frontier.size, frontier.levels.clone());
                assert_eq!(again.as_ref(), Some(&frontier));
                assert_eq!(Frontier::resume(frontier.size + 1, frontier.levels.clone()), None);
            }
        }
    }

    proptest! {
        #[test]
        fn every_path_survives_its_text(level in 0u8..64, index: u64, width in 1u16..=256, entries: bool) {
            let path = if entries { TilePath::entries(index, width) } else { TilePath::hashes(level, index, width) };
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn a_bundle_returns_its_entries(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20), cut in 1usize..200) {
            let mut bundle = Vec::new();
            for entry in &entries {
                prop_assert!(push_entry(&mut bundle, entry));
            }
            let read: Result<Vec<&[u8]>, EntryCut> = BundleEntries::new(&bundle).collect();
            prop_assert_eq!(read.unwrap(), entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
            // Cut anywhere, it either ends between entries or says that one is cut.
            let cut = bundle.len().saturating_sub(cut);
            let read: Vec<_> = BundleEntries::new(&bundle[..cut]).collect();
            prop_assert!(read.len() <= entries.len());
        }
    }
}
