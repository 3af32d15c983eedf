//! The transparency log: an append-only Merkle tree of entries that are opaque bytes here.
//!
//! Flows in: entries, and a key to sign with. Flows out: acknowledgements once durable, C2SP
//! tlog-tiles files, checkpoints as signed notes, proofs. Never knows what an entry says.
//!
//! The path of an entry, downward: [`Log::append`] queues it; the writer makes a batch durable in
//! a write-ahead [`segment`] with one `fdatasync` and acknowledges; the integrator makes tiles
//! of it, and within a second a checkpoint; the segment is removed once its tiles are durable.
//!
//! Where several nodes write one log, [`Log::append`] goes to their common [`sequence`] first, and
//! each node feeds what it follows there into the same path.
//!
//! INVARIANTS
//! - An acknowledged entry is in a durable segment or in durable tiles, always.
//! - A checkpoint is signed only over acknowledged entries, and never over fewer than before.
//! - After the first failure nothing more is acknowledged or signed.
//! - The pure modules ([`merkle`], [`proof`], [`tile`], [`note`], [`checkpoint`], [`segment`],
//!   [`cosignature`], [`tlog_proof`], [`trust`]) do no IO and know no clock.

pub mod checkpoint;
pub mod cosignature;
pub mod edge;
pub mod export;
mod gathering;
mod handle;
pub mod holding;
mod integrate;
pub mod lookup;
pub mod meaning;
pub mod merkle;
pub mod note;
pub mod proof;
mod reader;
mod recover;
pub mod segment;
pub mod sequence;
mod shared;
pub mod storage;
pub mod tile;
pub mod tlog_proof;
pub mod trust;
pub mod verify;
pub mod witness;
mod writer;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use cosignature::{Cosigner, WitnessKey};
pub use edge::TileError;
pub use handle::{AppendError, Appended, Health, Log, LogOptions};
pub use meaning::{Described, Meaning};
pub use merkle::Hash;
pub use note::{NoteError, NoteSigner, NoteVerifier};
pub use reader::{Entries, LogReadError, LogReader};
pub use recover::OpenError;
pub use sequence::{MAX_SEQUENCED_BYTES, Sequence, SequenceError, Sequenced, Sequencing};
pub use tlog_proof::{ProofError, TlogProof};
pub use trust::{Signed, Trust, TrustError};
pub use verify::{Verification, Verified, VerifyError, verify_dir, verify_dir_against};
pub use witness::{Answer, Witness};
