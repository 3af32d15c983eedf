//! What a copy of a log holds: all of it, or a part that it states.
//!
//! A log whose old entries were archived states its minimum index (C2SP `tlog-tiles`, Pruning); an
//! export states the range it was asked for in its manifest. Both only permit absence: what is there
//! is verified, and what is absent is named to whoever asked. All hashes are always held.

use std::io;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::storage::TileStore;
use super::tlog_proof::{MAX_PROOF_BYTES, decimal};

/// Path of the number of entries archived.
pub const MINIMUM_INDEX_PATH: &str = "minimum-index";
/// Path of the latest checkpoint that a quorum of witnesses cosigned.
pub const COSIGNED_PATH: &str = "cosigned";
/// Path of an export's manifest.
pub const MANIFEST_PATH: &str = "manifest.json";
/// The value of [`Manifest::format`].
pub const MANIFEST_FORMAT: &str = "portcullis-log-export/1";
/// Most handovers from key to key in the life of a log.
pub const MAX_HANDOVERS: usize = 1000;

/// Bytes of the largest manifest: a thousand keys and room.
const MAX_MANIFEST_BYTES: usize = 1024 * 1024;
/// Bytes of the minimum index: 20 digits and a newline.
const MAX_NUMBER_BYTES: usize = 21;

/// What an export says of itself. Nobody vouches for it but whoever handed it over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: String,
    /// The log's identity.
    pub origin: String,
    /// Entries under the checkpoint.
    pub size: u64,
    /// The root of their tree, base64.
    pub root: String,
    /// The entries held.
    pub entries: EntryRange,
    /// Verifier keys of the log, oldest first. Take them from elsewhere to verify.
    pub log_keys: Vec<String>,
    /// Verifier keys of its witnesses. Take them from elsewhere too.
    pub witness_keys: Vec<String>,
    /// When it was made, RFC 3339.
    pub made_at: String,
}

/// A range of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRange {
    /// The first.
    pub first: u64,
    /// The one behind the last.
    pub end: u64,
}

/// The path of the `n`th handover from one key to the next, from 0.
#[must_use]
pub fn handover_path(n: usize) -> String {
    format!("handover/{n:03}")
}

/// The handovers there are, in order.
///
/// # Errors
/// Those of the storage.
pub fn read_handovers(store: &dyn TileStore) -> io::Result<Vec<Vec<u8>>> {
    let mut handovers = Vec::new();
    while handovers.len() < MAX_HANDOVERS {
        match store.read(&handover_path(handovers.len()), MAX_PROOF_BYTES)? {
            Some(handover) => handovers.push(handover),
            None => break,
        }
    }
    Ok(handovers)
}

/// The index below which entries were archived; 0 in a log that was never pruned.
///
/// # Errors
/// Those of the storage; a file that holds no number.
pub fn minimum_index(store: &dyn TileStore) -> io::Result<u64> {
    let Some(bytes) = store.read(MINIMUM_INDEX_PATH, MAX_NUMBER_BYTES)? else {
        return Ok(0);
    };
    let text = String::from_utf8(bytes).unwrap_or_default();
    text.strip_suffix('\n').and_then(decimal).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{MINIMUM_INDEX_PATH}` does not hold a number and a newline"),
        )
    })
}

/// The manifest, where there is one.
///
/// # Errors
/// Those of the storage; a file that is no manifest.
pub fn read_manifest(store: &dyn TileStore) -> io::Result<Option<Manifest>> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let Some(bytes) = store.read(MANIFEST_PATH, MAX_MANIFEST_BYTES)? else {
        return Ok(None);
    };
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("`{MANIFEST_PATH}` is no manifest ({error})")))?;
    if manifest.format != MANIFEST_FORMAT || manifest.entries.first > manifest.entries.end {
        return Err(wrong(format!("`{MANIFEST_PATH}` is not of this format")));
    }
    Ok(Some(manifest))
}

/// The entries that must be there.
///
/// # Errors
/// Those of [`read_manifest`] and [`minimum_index`].
pub fn held(store: &dyn TileStore) -> io::Result<Range<u64>> {
    if let Some(manifest) = read_manifest(store)? {
        return Ok(manifest.entries.first..manifest.entries.end);
    }
    Ok(minimum_index(store)?..u64::MAX)
}
