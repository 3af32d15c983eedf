//! Cancellation keys: the gate tells every client one of its own, and knows which server
//! connection it stands for. The server's key never leaves the gate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand::{self, SystemRandom};
use subtle::ConstantTimeEq;

use crate::back::Cancel;

/// Keys of live sessions.
#[derive(Clone, Default)]
pub(crate) struct Keys(Arc<Mutex<HashMap<i32, Entry>>>);

struct Entry {
    key: [u8; 4],
    cancel: Cancel,
}

/// A key that is good until this is dropped.
pub(crate) struct Lent {
    keys: Keys,
    /// Process id the client is told.
    pub(crate) process: i32,
    /// Key the client is told.
    pub(crate) key: [u8; 4],
}

/// Tries to find a free process id.
const TRIES: usize = 16;

impl Keys {
    /// A new key for a session; `None` without randomness.
    pub(crate) fn lend(&self, cancel: Cancel) -> Option<Lent> {
        let random = SystemRandom::new();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..TRIES {
            let mut bytes = [0; 8];
            rand::SecureRandom::fill(&random, &mut bytes).ok()?;
            let [a, b, c, d, key @ ..] = bytes;
            let process = i32::from_be_bytes([a & 0x7f, b, c, d]);
            if let std::collections::hash_map::Entry::Vacant(free) = all.entry(process) {
                free.insert(Entry { key, cancel: cancel.clone() });
                return Some(Lent { keys: self.clone(), process, key });
            }
        }
        None
    }

    /// The server connection a client's key stands for.
    pub(crate) fn find(&self, process: i32, key: &[u8]) -> Option<Cancel> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = all.get(&process)?;
        bool::from(entry.key.as_slice().ct_eq(key)).then(|| entry.cancel.clone())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.process);
    }
}
