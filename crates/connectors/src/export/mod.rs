//! Exports: entries of the audit log, delivered to receivers at least once and in order.
//!
//! Flows in: a log to read, and for each export a [`Sink`](crate::sinks::Sink) with its filter,
//! limits and cursor. Flows out: batches, acknowledged or tried again; [`ExportState`]s. Never
//! knows who reads the states, nor how a sink delivers.
//!
//! The path, downward: a [`pump`] per export waits for a checkpoint, [`collect`]s a [`Batch`] of
//! entries under it, [`entry`] makes each one a line for the receiver, the sink delivers, and the
//! [`cursor`] moves once the receiver has acknowledged. Entries are read from the log, never kept
//! in memory for a receiver: one that is down for a day costs nothing but its lag.
//!
//! INVARIANTS
//! - The cursor is durable before the next batch is read, and never ahead of what was acknowledged.
//! - Nothing is skipped because a receiver refuses it: the export waits, and says so.
//! - A receiver sees an entry only once a signed checkpoint covers it.

mod batch;
mod collect;
pub mod cursor;
pub mod entry;
mod filter;
mod progress;
mod pump;

use std::sync::Arc;

use portcullis_domain::Timestamp;
use portcullis_evidence::log::Log;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use batch::{Batch, Limits};
pub use collect::{OpenError, Opener, first_waiting, unopened};
pub use cursor::{CursorError, CursorStore};
pub use entry::Exported;
pub use filter::Filter;
pub use progress::{ExportState, Failing};

use crate::sinks::Sink;
use pump::Pump;

/// Most exports of one node.
pub const MAX_EXPORTS: usize = 32;

/// Where an export without a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// With the log's first entry.
    #[default]
    Start,
    /// With what is logged from now on.
    Now,
}

/// How one export runs, whatever its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOptions {
    /// Its name, also of its cursor.
    pub name: String,
    /// What it carries.
    pub filter: Filter,
    /// How much is delivered at once, and how long to gather it.
    pub limits: Limits,
    /// Longest wait for a receiver to acknowledge a batch.
    pub timeout: std::time::Duration,
    /// How long it may be behind before somebody is told.
    pub alert_after: std::time::Duration,
    /// Where it begins.
    pub begin: Begin,
}

/// One export, ready to run.
pub struct Export {
    /// How it runs.
    pub options: ExportOptions,
    /// Where it delivers to.
    pub sink: Box<dyn Sink>,
    /// Where it remembers how far it is.
    pub cursor: CursorStore,
}

/// The wall clock: passed in, so that nothing here reads one by itself.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the exports of a node have in common.
#[derive(Clone)]
pub struct Source {
    /// The log they read.
    pub log: Log,
    /// What opens an entry for receivers.
    pub open: Opener,
    /// The time.
    pub clock: WallClock,
}

/// The exports of a node as others see them; clones are the same.
#[derive(Clone, Default)]
pub struct Exports {
    states: Arc<Vec<watch::Receiver<ExportState>>>,
}

impl Exports {
    /// Starts one task for each export, until `stop`. The set ends when all have.
    pub fn start(
        exports: Vec<Export>,
        source: &Source,
        stop: &CancellationToken,
    ) -> (Self, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let mut states = Vec::new();
        for export in exports.into_iter().take(MAX_EXPORTS) {
            let (pump, state) = Pump::new(export, source, stop.clone());
            states.push(state);
            tasks.spawn(pump.run());
        }
        (Self { states: Arc::new(states) }, tasks)
    }

    /// How each stands, in the order of the configuration.
    #[must_use]
    pub fn states(&self) -> Vec<ExportState> {
        self.states.iter().map(|state| state.borrow().clone()).collect()
    }
}
