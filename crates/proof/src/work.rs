//! Questions side by side: a few threads, each with a solver of its own.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};
use std::time::Instant;

use crate::question::{Asker, Symbols};
use crate::solver::SolverSettings;

/// The symbolic compiler and Cedar are recursive; what they are given is bounded, and this is
/// several times what it takes.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// What workers share.
#[derive(Clone, Copy)]
pub(crate) struct Bench<'a> {
    pub(crate) symbols: &'a Symbols,
    pub(crate) settings: &'a SolverSettings,
    /// When everything must be done.
    pub(crate) until: Instant,
    /// Questions that went to a solver.
    pub(crate) asked: &'a AtomicUsize,
    /// How long solvers were waited for, in microseconds, all workers together.
    pub(crate) waited: &'a AtomicU64,
}

impl Bench<'_> {
    /// Does each task once; `None` where a worker broke off.
    pub(crate) fn each<T: Sync, R: Send>(
        self,
        tasks: &[T],
        work: impl Fn(&mut Asker<'_>, &T) -> R + Sync,
    ) -> Vec<Option<R>> {
        let next = AtomicUsize::new(0);
        let results: Vec<Mutex<Option<R>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
        let run = || {
            let mut asker = Asker::new(self.symbols, self.settings, self.until);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let (Some(task), Some(slot)) = (tasks.get(index), results.get(index)) else {
                    break;
                };
                let result = work(&mut asker, task);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            }
            self.asked.fetch_add(asker.asked, Ordering::Relaxed);
            let waited = u64::try_from(asker.waited.as_micros()).unwrap_or(u64::MAX);
            self.waited.fetch_add(waited, Ordering::Relaxed);
        };
        scope(|threads| {
            for number in 0..self.settings.processes.clamp(1, 16).min(tasks.len()) {
                let named = Builder::new().name(format!("proof-{number}")).stack_size(STACK_BYTES);
                // A thread that cannot be had leaves its tasks to the others, or undone.
                drop(named.spawn_scoped(threads, run));
            }
        });
        results
            .into_iter()
            .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
            .collect()
    }
}
