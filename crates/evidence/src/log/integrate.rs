//! From durable entries to tiles and signed checkpoints.
//!
//! Flows in: entries in order. Flows out: files in a [`TileStore`]. Knows nothing of threads or
//! of the write-ahead segments that make it safe for tiles to become durable later.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::edge::{self, TileError};
use super::merkle::Hash;
use super::note::NoteSigner;
use super::storage::{CHECKPOINT_PATH, TileStore};
use super::tile::{Frontier, TILE_HEIGHT, TileKind, TilePath, encode_tile, push_entry};

/// Files written and not yet known to be durable.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Paths of the files.
    pub(super) paths: BTreeSet<String>,
    /// Directories of partial tiles that full tiles among them replace. They may go once the
    /// full ones are durable, not before: the partial tile may be the only durable one.
    pub(super) superseded: Vec<String>,
}

impl Unsynced {
    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.superseded.is_empty()
    }

    /// Makes the files durable and removes what they supersede.
    pub(super) fn sync(&self, store: &dyn TileStore) -> io::Result<()> {
        store.sync(&self.paths)?;
        self.superseded.iter().try_for_each(|directory| store.remove_directory(directory))
    }
}

/// The growing tree, written out as tiles.
pub(super) struct Integrator {
    store: Arc<dyn TileStore>,
    signer: Arc<NoteSigner>,
    frontier: Frontier,
    bundle: Vec<u8>,
    published: Option<u64>,
    unsynced: Unsynced,
    durability: Durability,
}

/// When a tile becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Before it is in place: while a log is recovered, when a tile may replace the durable one
    /// that holds entries no segment has any more.
    AtOnce,
    /// With [`Unsynced::sync`]: until then the segments have its entries.
    Later,
}

impl Integrator {
    /// Takes up the tree of `size` entries.
    pub(super) fn resume(
        store: Arc<dyn TileStore>,
        signer: Arc<NoteSigner>,
        size: u64,
    ) -> Result<Self, TileError> {
        let (frontier, bundle) = edge::resume(store.as_ref(), size)?;
        Ok(Self {
            store,
            signer,
            frontier,
            bundle,
            published: None,
            unsynced: Unsynced::default(),
            durability: Durability::AtOnce,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(super) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Adds the next entry and writes the tiles it completes.
    pub(super) fn add(&mut self, entry: &[u8], leaf: Hash) -> io::Result<()> {
        if !push_entry(&mut self.bundle, entry) {
            return Err(io::Error::other("an entry is too large for a bundle"));
        }
        let mut frontier = std::mem::take(&mut self.frontier);
        let pushed = frontier.push(leaf, |path, hashes| {
            if path.kind == (TileKind::Hashes { level: 0 }) {
                let bundle = std::mem::take(&mut self.bundle);
                self.write_full(TilePath::entries(path.index, path.width), &bundle)?;
            }
            self.write_full(path, &encode_tile(hashes))
        });
        self.frontier = frontier;
        pushed
    }

    /// Writes the partial tiles that the tree as it is has and the last published one had not.
    pub(super) fn write_partial(&mut self) -> io::Result<()> {
        let frontier = std::mem::take(&mut self.frontier);
        for (path, hashes) in frontier.partial_tiles() {
            let TileKind::Hashes { level } = path.kind else {
                continue;
            };
            // A level with as many hashes as at the last checkpoint has the same partial tile.
            let below = |size: u64| size.checked_shr(TILE_HEIGHT * u32::from(level));
            if self.published.is_some_and(|last| below(last) == below(frontier.size())) {
                continue;
            }
            if level == 0 {
                let bundle = std::mem::take(&mut self.bundle);
                self.write(TilePath::entries(path.index, path.width), &bundle)?;
                self.bundle = bundle;
            }
            self.write(path, &encode_tile(hashes))?;
        }
        self.published = Some(frontier.size());
        self.frontier = frontier;
        Ok(())
    }

    /// Writes the partial tiles, signs the checkpoint of the tree as it is and publishes it.
    pub(super) fn publish(&mut self) -> io::Result<Checkpoint> {
        self.write_partial()?;
        let checkpoint = Checkpoint {
            origin: self.signer.name().to_owned(),
            size: self.frontier.size(),
            root: self.frontier.root(),
        };
        let note = checkpoint.sign(&self.signer).map_err(io::Error::other)?;
        self.store.publish(CHECKPOINT_PATH, &note)?;
        Ok(checkpoint)
    }

    /// From now on tiles become durable later.
    pub(super) fn recovered(&mut self) {
        self.durability = Durability::Later;
    }

    fn write(&mut self, path: TilePath, bytes: &[u8]) -> io::Result<()> {
        let path = path.to_string();
        match self.durability {
            Durability::AtOnce => self.store.publish(&path, bytes),
            Durability::Later => {
                self.store.write(&path, bytes)?;
                self.unsynced.paths.insert(path);
                Ok(())
            }
        }
    }

    fn write_full(&mut self, path: TilePath, bytes: &[u8]) -> io::Result<()> {
        self.write(path, bytes)?;
        self.unsynced.superseded.push(path.partial_directory());
        Ok(())
    }

    /// Hands over what is to be made durable.
    pub(super) fn take_unsynced(&mut self) -> Unsynced {
        std::mem::take(&mut self.unsynced)
    }

    /// Whether full tiles wait to be made durable.
    pub(super) fn has_superseded(&self) -> bool {
        !self.unsynced.superseded.is_empty()
    }
}
