//! What was proved, so that it is not asked again; what a step could not prove, so that it is not
//! tried again; and policies that were read.
//!
//! By the whole text of the question, and in memory only: a proof that could be written into a
//! file could be forged there. A node that starts asks everything once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_domain::ActionKind;
use portcullis_policy::SCHEMA;

use crate::item::Parsed;

/// Most questions whose answer is remembered.
const MAX_REMEMBERED: usize = 65_536;

/// Most policies that are kept as they were read.
const MAX_READ: usize = 65_536;

/// Digests of questions, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    proved: Mutex<HashSet<[u8; 32]>>,
    /// Not proved by a step that asks about more than it has to.
    open: Mutex<HashSet<[u8; 32]>>,
    read: Mutex<HashMap<String, Arc<Parsed>>>,
}

impl Known {
    /// A policy's text, read; by `read` where it was not seen before.
    pub(crate) fn parsed(
        &self,
        text: &str,
        read: impl FnOnce() -> Result<Parsed, String>,
    ) -> Result<Arc<Parsed>, String> {
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let parsed = Arc::new(read()?);
        let mut all = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_READ {
            all.clear();
        }
        all.insert(text.to_owned(), Arc::clone(&parsed));
        Ok(parsed)
    }
}

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
        let proved = self.known.proved.lock().unwrap_or_else(PoisonError::into_inner);
        let known = proved.contains(key);
        drop(proved);
        if known {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        known
    }

    pub(crate) fn learn(&self, key: [u8; 32]) {
        keep(&self.known.proved, key);
    }

    /// Whether this question was no proof before. Only for steps that are followed by others: a
    /// question is not asked for want of a model.
    pub(crate) fn is_open(&self, key: &[u8; 32]) -> bool {
        self.known.open.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    pub(crate) fn leave_open(&self, key: [u8; 32]) {
        keep(&self.known.open, key);
    }
}

fn keep(set: &Mutex<HashSet<[u8; 32]>>, key: [u8; 32]) {
    let mut known = set.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= MAX_REMEMBERED {
        known.clear();
    }
    known.insert(key);
}
