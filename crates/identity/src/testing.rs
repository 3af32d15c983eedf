//! Deterministic randomness and fixed times for this crate's own tests.

use portcullis_domain::{Timestamp, UserName};

use crate::random::{Random, RandomUnavailable};

/// Bytes that differ on every call and are the same in every run.
pub(crate) struct Counter(pub(crate) u64);

impl Random for Counter {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomUnavailable> {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            let word = self.0.rotate_left(31).to_be_bytes();
            let length = chunk.len();
            chunk.copy_from_slice(&word[..length]);
        }
        Ok(())
    }
}

/// A source that is broken.
pub(crate) struct Broken;

impl Random for Broken {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), RandomUnavailable> {
        Err(RandomUnavailable)
    }
}

/// `seconds` after 2026-11-22T00:00:00Z.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis((1_795_305_600 + seconds) * 1000)
}

pub(crate) fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}
