//! Exports: a copy of a log, or of a part of it, that is verified with nothing else at hand.
//!
//! Flows in: the tiles of a log and a checkpoint of it. Flows out: files in the tlog-tiles layout,
//! into a directory or through [`tar`]. All hashes are copied and the entries asked for, in whole
//! bundles; what is copied is not verified here: that is what the copy is for.

pub mod tar;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::checkpoint::Checkpoint;
use super::edge::{TileError, read_bundle, read_hashes};
use super::holding::{
    EntryRange, MANIFEST_FORMAT, MANIFEST_PATH, MAX_HANDOVERS, Manifest, handover_path,
};
use super::note::MAX_NOTE_BYTES;
use super::storage::{CHECKPOINT_PATH, Directory, TileStore};
use super::tile::{
    MAX_TILE_LEVELS, TILE_WIDTH, TilePath, encode_tile, partial_index, partial_width, push_entry,
};
use super::tlog_proof::MAX_PROOF_BYTES;

/// Path of the instructions.
pub const README_PATH: &str = "README.txt";
/// Bytes of the largest manifest or instructions.
const MAX_TEXT_BYTES: usize = 1024 * 1024;

const README: &str = "\
This directory is a copy of a transparency log, in the C2SP tlog-tiles layout (https://c2sp.org/tlog-tiles).
Each entry is an event in OCSF JSON; the checkpoint is a signed note over the root of the tree of all entries.

Verify it on any machine, with the log's key and its witnesses' keys from somewhere else than here:

    portcullis audit verify DIRECTORY --key LOG-KEY [--witness WITNESS-KEY]... [--quorum N]

Any other tool that reads these formats does as well, Go's golang.org/x/mod/sumdb among them.
manifest.json says what was copied. Nobody vouches for it: the keys in it are for comparison only.
The files in handover/ are C2SP tlog-proofs of the entries that replaced the log's key, oldest first.
";

/// What is to be copied.
#[derive(Debug, Clone)]
pub struct Export {
    /// The checkpoint's note, with all signatures and cosignatures.
    pub note: Vec<u8>,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Entries asked for; copied are the bundles that hold them.
    pub entries: Range<u64>,
    /// The handovers of the log's key, oldest first.
    pub handovers: Vec<Vec<u8>>,
    /// The log's verifier keys, oldest first.
    pub log_keys: Vec<String>,
    /// Its witnesses' verifier keys.
    pub witness_keys: Vec<String>,
    /// When it is made, RFC 3339.
    pub made_at: String,
}

/// Why an export was not made.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A part of the log cannot be read.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The entries asked for were archived.
    #[error("entries before `{first}` were archived; export them from the archive, or begin there")]
    Archived {
        /// The first that is held.
        first: u64,
    },
    /// The copy cannot be written.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
}

/// Takes the files of an export, each once, the checkpoint last.
pub trait ExportSink {
    /// Takes a file.
    ///
    /// # Errors
    /// Those of wherever it goes.
    fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;
}

impl Export {
    /// The bundles' entries: the range asked for, made whole and cut to the tree.
    #[must_use]
    pub fn held(&self) -> Range<u64> {
        let (width, size) = (u64::from(TILE_WIDTH), self.checkpoint.size);
        let first = self.entries.start.min(size) / width * width;
        let end = self.entries.end.min(size).div_ceil(width).saturating_mul(width).min(size);
        first..end.max(first)
    }

    /// What the copy says of itself.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        let held = self.held();
        Manifest {
            format: MANIFEST_FORMAT.into(),
            origin: self.checkpoint.origin.clone(),
            size: self.checkpoint.size,
            root: self.checkpoint.root.to_base64(),
            entries: EntryRange { first: held.start, end: held.end },
            log_keys: self.log_keys.clone(),
            witness_keys: self.witness_keys.clone(),
            made_at: self.made_at.clone(),
        }
    }

    /// Copies. Holds one bundle at a time. `progress` is told how many files of how many are done.
    ///
    /// # Errors
    /// [`ExportError`]; the copy is then unfinished, and has no checkpoint.
    pub fn write(
        &self,
        store: &dyn TileStore,
        sink: &mut dyn ExportSink,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(), ExportError> {
        let manifest = serde_json::to_vec_pretty(&self.manifest()).map_err(io::Error::other)?;
        sink.file(MANIFEST_PATH, &manifest)?;
        sink.file(README_PATH, README.as_bytes())?;
        for (n, handover) in self.handovers.iter().enumerate() {
            sink.file(&handover_path(n), handover)?;
        }
        let (size, held) = (self.checkpoint.size, self.held());
        let width = u64::from(TILE_WIDTH);
        let bundles = held.start / width..held.end.div_ceil(width);
        let tiles: u64 = (0..MAX_TILE_LEVELS).map(|level| tiles_of(size, level)).sum();
        let (total, mut done) = (tiles + bundles.end.saturating_sub(bundles.start), 0);
        for level in (0..MAX_TILE_LEVELS).rev() {
            for index in 0..tiles_of(size, level) {
                let path = TilePath::hashes(level, index, width_of(size, level, index));
                sink.file(&path.to_string(), &encode_tile(&read_hashes(store, path)?))?;
                done += 1;
                progress(done, total);
            }
        }
        for index in bundles {
            let path = TilePath::entries(index, width_of(size, 0, index));
            let mut bytes = Vec::new();
            for entry in read_bundle(store, path)?.entries() {
                push_entry(&mut bytes, entry);
            }
            sink.file(&path.to_string(), &bytes)?;
            done += 1;
            progress(done, total);
        }
        sink.file(CHECKPOINT_PATH, &self.note)?;
        Ok(())
    }
}

/// Tiles of a level in a tree of `size`, the partial one included.
fn tiles_of(size: u64, level: u8) -> u64 {
    partial_index(size, level) + u64::from(partial_width(size, level) > 0)
}

fn width_of(size: u64, level: u8, index: u64) -> u16 {
    if index < partial_index(size, level) { TILE_WIDTH } else { partial_width(size, level) }
}

/// The most bytes the file at `path` of an export may have; `None` where an export has no such
/// file. Whoever unpacks one asks this first.
#[must_use]
pub fn max_bytes(path: &str) -> Option<usize> {
    match path {
        CHECKPOINT_PATH => return Some(MAX_NOTE_BYTES),
        MANIFEST_PATH | README_PATH => return Some(MAX_TEXT_BYTES),
        _ => {}
    }
    if let Some(number) = path.strip_prefix("handover/") {
        let known = number.parse().is_ok_and(|n| n < MAX_HANDOVERS && handover_path(n) == path);
        return known.then_some(MAX_PROOF_BYTES);
    }
    path.parse::<TilePath>().ok().map(TilePath::max_bytes)
}

/// An export being written to a directory of its own.
#[derive(Debug)]
pub struct ExportDirectory {
    root: PathBuf,
    written: BTreeSet<String>,
}

impl ExportDirectory {
    /// Makes the directory, readable by this user only; it must be empty where it exists.
    ///
    /// # Errors
    /// Those of the file system; [`io::ErrorKind::DirectoryNotEmpty`].
    pub fn create(root: &Path) -> io::Result<Self> {
        make_directory(root)?;
        if fs::read_dir(root)?.next().is_some() {
            return Err(io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                "it is not empty; name a new directory",
            ));
        }
        Ok(Self { root: root.to_owned(), written: BTreeSet::new() })
    }

    /// Returns once everything is durable.
    ///
    /// # Errors
    /// Those of the file system; no checkpoint was written.
    pub fn finish(self) -> io::Result<()> {
        if !self.written.contains(CHECKPOINT_PATH) {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the export broke off before its checkpoint",
            ));
        }
        Directory::new(&self.root).sync(&self.written)
    }
}

impl ExportSink for ExportDirectory {
    fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if max_bytes(path).is_none_or(|most| bytes.len() > most) {
            let shown: String = path.chars().take(100).collect();
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("`{}` is no file of an export", shown.escape_debug()),
            ));
        }
        let to = self.root.join(path);
        if let Some(parent) = to.parent() {
            make_directory(parent)?;
        }
        fs::File::create_new(to)?.write_all(bytes)?;
        self.written.insert(path.to_owned());
        Ok(())
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_an_export_are_unpacked() {
        for path in ["checkpoint", "manifest.json", "README.txt", "handover/007", "tile/0/000"] {
            assert!(max_bytes(path).is_some(), "{path}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../checkpoint",
            "tile/../../x",
            "tile/0/000/..",
            "handover/7",
            "handover/../x",
            "handover/1000",
            "lock",
            "wal/00000000000000000000.wal",
            "checkpoint/",
        ] {
            assert!(max_bytes(path).is_none(), "{path}");
        }
    }
}
