//! What is in force, in memory: the facts of one store revision and the policies compiled from
//! them. Decisions read it without waiting; it is replaced whole, never changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_domain::{Facts, Timestamp};
use portcullis_policy::{CompileError, Policies};
use portcullis_store::{Store, StoreError};
use thiserror::Error;

/// A node that has not heard from its store for this long closes its gate.
pub const LEASE: Duration = Duration::from_secs(10);

/// Facts and the policies compiled from them; they always belong together.
#[derive(Debug)]
pub struct Snapshot {
    /// What is in force.
    pub facts: Facts,
    /// The same, compiled.
    pub policies: Policies,
}

/// Why what is in force could not be read.
#[derive(Debug, Error)]
pub enum RefreshError {
    /// The store did not answer.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// The keys of personal fields could not be had.
    #[error(transparent)]
    Subjects(#[from] crate::subjects::SubjectsError),
    /// The compiling thread was stopped.
    #[error("compiling the policies was interrupted")]
    Interrupted,
    /// What the store holds does not compile. `apply` refuses such a set, so this means that it
    /// was changed behind the gate's back.
    #[error("the policies in the store do not compile")]
    Compile(#[from] CompileError),
}

/// The current snapshot and when the store was last heard from.
pub(crate) struct Current {
    snapshot: ArcSwap<Snapshot>,
    heard: AtomicI64,
    refreshing: tokio::sync::Mutex<()>,
}

impl Current {
    /// Reads the store for the first time.
    pub(crate) async fn load(store: &Store, now: Timestamp) -> Result<Self, RefreshError> {
        let snapshot = read(store, now, None).await?;
        Ok(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            heard: AtomicI64::new(now.as_millis()),
            refreshing: tokio::sync::Mutex::new(()),
        })
    }

    /// What is in force now.
    pub(crate) fn get(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Reads the store again if its revision has moved on. Answers whether it had.
    pub(crate) async fn refresh(
        &self,
        store: &Store,
        now: Timestamp,
    ) -> Result<bool, RefreshError> {
        let _one_at_a_time = self.refreshing.lock().await;
        let revision = store.revision().await?;
        let changed = revision != self.snapshot.load().facts.revision;
        if changed {
            let before = self.snapshot.load().policies.clone();
            let snapshot = read(store, now, Some(before)).await?;
            self.snapshot.store(Arc::new(snapshot));
        }
        self.heard.fetch_max(now.as_millis(), Ordering::Relaxed);
        Ok(changed)
    }

    /// Whether the store has been heard from recently enough to let anyone in.
    pub(crate) fn lease_holds(&self, now: Timestamp) -> bool {
        let heard = Timestamp::from_millis(self.heard.load(Ordering::Relaxed));
        now.since(heard) < LEASE
    }
}

/// Compiling thousands of roles takes CPU time, so it happens off the async threads, on a thread
/// whose stack is large enough for the policy engine.
/// What has not changed since `before` is not compiled again.
async fn read(
    store: &Store,
    now: Timestamp,
    before: Option<Policies>,
) -> Result<Snapshot, RefreshError> {
    let facts = store.load_facts(now).await?;
    let compiled = tokio::task::spawn_blocking(move || {
        let policies = match before {
            Some(before) => before.refresh(&facts),
            None => Policies::compile(&facts),
        };
        policies.map(|policies| Snapshot { facts, policies })
    })
    .await;
    match compiled {
        Ok(snapshot) => Ok(snapshot?),
        Err(_) => Err(RefreshError::Interrupted),
    }
}
