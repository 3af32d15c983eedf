//! What was proved, so that it is not asked again.
//!
//! By the whole text of the question, and in memory only: a proof that could be written into a
//! file could be forged there. A node that starts asks everything once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_domain::ActionKind;
use portcullis_policy::SCHEMA;

/// Most questions whose answer is remembered.
const MAX_REMEMBERED: usize = 65_536;

/// Digests of questions answered with a proof.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashSet<[u8; 32]>>);

/// What is known from before, for one call.
pub(crate) struct Memory<'a> {
    known: &'a Known,
    solver: &'a str,
    hits: AtomicUsize,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(known: &'a Known, solver: &'a str) -> Self {
        Self { known, solver, hits: AtomicUsize::new(0) }
    }

    /// Questions whose answer was known.
    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }

    /// Of the whole question: solver, schema, kind of action, policies, condition.
    pub(crate) fn key(&self, what: &str, kind: ActionKind, parts: &[&str]) -> [u8; 32] {
        let mut text = String::new();
        for part in [self.solver, SCHEMA, what, kind.as_str()].iter().chain(parts) {
            text.push_str(&format!("{}:{part}", part.len()));
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        key
    }

    pub(crate) fn knows(&self, key: &[u8; 32]) -> bool {
        let known = self.known.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key);
        if known {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        known
    }

    pub(crate) fn learn(&self, key: [u8; 32]) {
        let mut known = self.known.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(key);
    }
}
