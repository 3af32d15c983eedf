//! The common sequence: where several nodes agree on the order of the entries of one log.
//!
//! Flows in: entries of this node. Flows out: their indices, once durable for every node, and the
//! entries of all nodes in order, without gaps. What keeps it, a database, is not known here.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

/// Most bytes of entries appended together, with two bytes for each; one value of the database.
pub const MAX_SEQUENCED_BYTES: usize = 960 * 1024;

/// The common sequence did not answer, or not in a usable way.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub struct SequenceError(String);

impl SequenceError {
    /// With what went wrong, for people.
    pub fn new(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

/// Entries that were appended together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequenced {
    /// Index of the first.
    pub first: u64,
    /// The entries, in order.
    pub entries: Vec<Vec<u8>>,
}

/// An answer of the sequence, in its own time.
pub type Sequencing<'a, T> = Pin<Box<dyn Future<Output = Result<T, SequenceError>> + Send + 'a>>;

/// A durable sequence that many append to.
///
/// INVARIANT: whoever sees a batch sees every batch before it; indices have no gaps; a batch that
/// was answered is never lost.
pub trait Sequence: Send + Sync + 'static {
    /// Makes entries durable at consecutive indices; returns the first. An error leaves open
    /// whether they are in the sequence.
    fn append(&self, entries: Vec<Vec<u8>>) -> Sequencing<'_, u64>;

    /// Batches from the one that begins at `first` on, in order, a bounded number of them.
    fn after(&self, first: u64) -> Sequencing<'_, Vec<Sequenced>>;

    /// The batch that holds the entry `index`, if there is one.
    fn holding(&self, index: u64) -> Sequencing<'_, Option<Sequenced>>;

    /// How many entries there are.
    fn end(&self) -> Sequencing<'_, u64>;
}
