//! Reading tiles with the fallbacks the specification allows, and taking up a tree's right edge
//! from them.
//!
//! Flows in: a [`TileStore`]. Flows out: hashes and bundles of the width asked for. Trusts
//! nothing it reads beyond its form; roots are compared by the callers.

use std::collections::BTreeMap;
use std::io;

use thiserror::Error;

use super::merkle::{Hash, fold, leaf_hash};
use super::proof::HashSource;
use super::storage::TileStore;
use super::tile::{
    BundleEntries, Frontier, MAX_TILE_LEVELS, TILE_HEIGHT, TILE_WIDTH, TilePath, decode_tile,
    partial_index, partial_width, push_entry,
};

/// Why a tile or entry bundle cannot be had.
#[derive(Debug, Error)]
pub enum TileError {
    /// The storage failed.
    #[error("`{path}` cannot be read")]
    Io {
        /// Path of the resource.
        path: String,
        /// What the storage said.
        #[source]
        source: io::Error,
    },
    /// There is none.
    #[error("`{path}` is missing")]
    Missing {
        /// Path of the resource.
        path: String,
    },
    /// It does not have the form of its kind, or not the width.
    #[error("`{path}` is damaged: it holds {whole} whole items of {width}")]
    Damaged {
        /// Path of the resource.
        path: String,
        /// Items that could be read.
        whole: u64,
        /// Items it must have.
        width: u16,
    },
}

/// The bytes at `path`; for a partial tile that is gone, those of the narrowest wider one.
///
/// The order matters to [`resume`]: what is narrower was written, and made durable, earlier.
fn read(store: &dyn TileStore, path: TilePath) -> Result<Vec<u8>, TileError> {
    let failed = |path: String| move |source| TileError::Io { path, source };
    let get = |path: TilePath| {
        store.read(&path.to_string(), path.max_bytes()).map_err(failed(path.to_string()))
    };
    if let Some(bytes) = get(path)? {
        return Ok(bytes);
    }
    if path.is_partial() {
        let directory = path.partial_directory();
        let names = store.list(&directory).map_err(failed(directory))?;
        let widths = names.iter().filter_map(|name| name.parse::<u16>().ok());
        let wider = widths.filter(|width| (path.width..TILE_WIDTH).contains(width));
        for width in wider.min().into_iter().chain([TILE_WIDTH]) {
            if let Some(bytes) = get(TilePath { width, ..path })? {
                return Ok(bytes);
            }
        }
    }
    Err(TileError::Missing { path: path.to_string() })
}

/// The first `path.width` hashes of the tile at `path`.
///
/// # Errors
/// [`TileError`].
pub fn read_hashes(store: &dyn TileStore, path: TilePath) -> Result<Vec<Hash>, TileError> {
    let mut hashes = decode_tile(&read(store, path)?).unwrap_or_default();
    if hashes.len() < usize::from(path.width) {
        return Err(TileError::Damaged {
            path: path.to_string(),
            whole: hashes.len() as u64,
            width: path.width,
        });
    }
    hashes.truncate(usize::from(path.width));
    Ok(hashes)
}

/// An entry bundle's bytes, found to hold `path.width` whole entries at least.
#[derive(Debug)]
pub struct Bundle {
    bytes: Vec<u8>,
    width: u16,
}

impl Bundle {
    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = &[u8]> {
        BundleEntries::new(&self.bytes).map_while(Result::ok).take(usize::from(self.width))
    }
}

/// The first `path.width` entries of the bundle at `path`.
///
/// # Errors
/// [`TileError`].
pub fn read_bundle(store: &dyn TileStore, path: TilePath) -> Result<Bundle, TileError> {
    let bytes = read(store, path)?;
    let width = usize::from(path.width);
    let whole = BundleEntries::new(&bytes).take(width).take_while(Result::is_ok).count();
    if whole < width {
        return Err(TileError::Damaged {
            path: path.to_string(),
            whole: whole as u64,
            width: path.width,
        });
    }
    Ok(Bundle { bytes, width: path.width })
}

/// The right edge of the tree of `size` leaves and the bytes of its partial bundle.
///
/// # Errors
/// [`TileError`]; a bundle that is not what its tile says counts as damaged.
pub fn resume(store: &dyn TileStore, size: u64) -> Result<(Frontier, Vec<u8>), TileError> {
    let mut levels = Vec::new();
    for level in 0..MAX_TILE_LEVELS {
        let width = partial_width(size, level);
        levels.push(match width {
            0 => Vec::new(),
            _ => {
                let path = TilePath::hashes(level, partial_index(size, level), width);
                read_hashes(store, path)?
            }
        });
    }
    let mut bundle = Vec::new();
    let leaves = levels.first().map(Vec::as_slice).unwrap_or_default();
    if let Ok(width @ 1..) = u16::try_from(leaves.len()) {
        let path = TilePath::entries(partial_index(size, 0), width);
        let stored = read_bundle(store, path)?;
        for (whole, (entry, leaf)) in (0..).zip(stored.entries().zip(leaves)) {
            if leaf_hash(entry) != *leaf {
                return Err(TileError::Damaged { path: path.to_string(), whole, width });
            }
            push_entry(&mut bundle, entry);
        }
    }
    let frontier = Frontier::resume(size, levels).ok_or(TileError::Damaged {
        path: "tile".into(),
        whole: 0,
        width: 0,
    })?;
    Ok((frontier, bundle))
}

/// The hashes of a tree of `size` leaves, out of its tiles: what proofs are made from. Keeps the
/// tiles read, of which a proof needs about two for each level.
pub struct TileHashes<'a> {
    store: &'a dyn TileStore,
    size: u64,
    cache: BTreeMap<TilePath, Vec<Hash>>,
}

impl<'a> TileHashes<'a> {
    /// The hashes of the tree of `size` leaves, for which there is or was a checkpoint.
    #[must_use]
    pub fn new(store: &'a dyn TileStore, size: u64) -> Self {
        Self { store, size, cache: BTreeMap::new() }
    }
}

impl HashSource for TileHashes<'_> {
    type Error = TileError;

    fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, TileError> {
        let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
        let within = height % TILE_HEIGHT;
        let start = index << within;
        let tile = start / u64::from(TILE_WIDTH);
        let width = if tile < partial_index(self.size, level) {
            TILE_WIDTH
        } else {
            partial_width(self.size, level)
        };
        let path = TilePath::hashes(level, tile, width);
        let hashes = match self.cache.entry(path) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(read_hashes(self.store, path)?)
            }
        };
        let from = usize::try_from(start % u64::from(TILE_WIDTH)).unwrap_or(usize::MAX);
        hashes.get(from..from.saturating_add(1 << within)).and_then(fold).ok_or_else(|| {
            TileError::Damaged {
                path: path.to_string(),
                whole: u64::from(path.width),
                width: path.width,
            }
        })
    }
}

/// The bundle that holds entry `index` in a tree of `size`, and the entry's place in it.
#[must_use]
pub fn bundle_of(index: u64, size: u64) -> (TilePath, u16) {
    let bundle = index / u64::from(TILE_WIDTH);
    let width = if bundle < partial_index(size, 0) { TILE_WIDTH } else { partial_width(size, 0) };
    let place = u16::try_from(index % u64::from(TILE_WIDTH)).unwrap_or(0);
    (TilePath::entries(bundle, width), place)
}
