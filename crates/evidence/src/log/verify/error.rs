//! What verification finds.

use thiserror::Error;

use super::super::checkpoint::CheckpointError;
use super::super::meaning::Described;
use super::super::trust::{HandoverError, TrustError};

/// What was found not to hold. Where entries are named, those before are good.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is no checkpoint.
    #[error("there is no log here: the file `checkpoint` is missing")]
    NoCheckpoint,
    /// The checkpoint is not of this key, or malformed.
    #[error("the checkpoint is refused")]
    Checkpoint(#[source] CheckpointError),
    /// Too few witnesses cosigned the checkpoint.
    #[error("the checkpoint is not cosigned as asked")]
    Cosignatures(#[source] TrustError),
    /// The trusted earlier checkpoint is not of this key, or malformed.
    #[error("the trusted checkpoint is refused")]
    TrustedCheckpoint(#[source] CheckpointError),
    /// The log's key is said to have been replaced, and that does not hold.
    #[error("the handover of the log's key in `{path}` is refused")]
    Handover {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: HandoverError,
    },
    /// The log is shorter than a checkpoint it once signed.
    #[error(
        "the log was cut: it has `{size}` entries and once had `{trusted}`; entry `{size}` is the first missing"
    )]
    RolledBack {
        /// Entries the trusted checkpoint covers.
        trusted: u64,
        /// Entries there are.
        size: u64,
    },
    /// Both checkpoints are signed, and no log can have had both.
    #[error(
        "the log was forked: its first `{trusted}` entries are not those of the trusted checkpoint"
    )]
    Forked {
        /// Entries the trusted checkpoint covers.
        trusted: u64,
    },
    /// An entry under the checkpoint is not there.
    #[error("entry `{index}` is missing from `{path}`")]
    EntryMissing {
        /// The first missing entry.
        index: u64,
        /// Bundle it belongs in.
        path: String,
    },
    /// An entry is not the one logged: edited, moved, or another in its place.
    #[error("entry `{index}` in `{path}` is not the one that was logged{}", said(.described.as_ref()))]
    EntryDamaged {
        /// The first bad entry.
        index: u64,
        /// Bundle it stands in.
        path: String,
        /// What stands there says of itself, where it still can be read.
        described: Option<Described>,
    },
    /// Entries and the tiles over them were exchanged together.
    #[error("an entry from `{first}` to `{last}` is not the one that was logged")]
    EntriesRewritten {
        /// First entry of the bundles exchanged.
        first: u64,
        /// Their last entry.
        last: u64,
    },
    /// The entries are those logged, but a tile of hashes over them is not.
    #[error("the tile `{path}` is damaged or missing, while all entries are as logged")]
    TileDamaged {
        /// The first bad tile.
        path: String,
    },
    /// The hashes of entries that are not held are gone too.
    #[error("the tile `{path}` is damaged or missing, and the entries under it are not held here")]
    TileMissing {
        /// The first bad tile.
        path: String,
    },
    /// Everything on disk fits together, but not with the checkpoint: rewritten as a whole.
    #[error("the log's `{size}` entries are not those the checkpoint was signed over")]
    RootMismatch {
        /// Entries the checkpoint covers.
        size: u64,
    },
    /// The manifest is of another log or checkpoint than the rest.
    #[error("the manifest does not fit the checkpoint: its `{what}` is another")]
    ManifestMismatch {
        /// What differs.
        what: &'static str,
    },
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    Io {
        /// Its path.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl VerifyError {
    /// The first bad entry, where one is named.
    #[must_use]
    pub fn first_bad(&self) -> Option<u64> {
        match self {
            Self::RolledBack { size: index, .. }
            | Self::EntryMissing { index, .. }
            | Self::EntryDamaged { index, .. }
            | Self::EntriesRewritten { first: index, .. } => Some(*index),
            _ => None,
        }
    }

    /// Stable, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCheckpoint => "no_checkpoint",
            Self::Checkpoint(_) => "checkpoint_refused",
            Self::Cosignatures(_) => "quorum_missed",
            Self::TrustedCheckpoint(_) => "trusted_checkpoint_refused",
            Self::Handover { .. } => "handover_refused",
            Self::RolledBack { .. } => "rolled_back",
            Self::Forked { .. } => "forked",
            Self::EntryMissing { .. } => "entry_missing",
            Self::EntryDamaged { .. } => "entry_damaged",
            Self::EntriesRewritten { .. } => "entries_rewritten",
            Self::TileDamaged { .. } => "tile_damaged",
            Self::TileMissing { .. } => "tile_missing",
            Self::RootMismatch { .. } => "root_mismatch",
            Self::ManifestMismatch { .. } => "manifest_mismatch",
            Self::Io { .. } => "unreadable",
        }
    }
}

fn said(described: Option<&Described>) -> String {
    described
        .map(|found| format!("; it now reads as event `{}` of {}", found.event, found.time))
        .unwrap_or_default()
}
