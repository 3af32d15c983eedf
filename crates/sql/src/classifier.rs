//! Classification with a memory of statements seen before.
//!
//! In: texts. Out: what [`crate::classify`] would say. A statement is remembered by its
//! fingerprint, which is the very text its analysis was made from (no literal takes part in it), so
//! that a remembered answer is the answer: there is no hash to collide and nothing to go stale.
//! What is read from the text of a literal (`PREPARE ... FROM 'text'`) is never remembered.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::Limits;
use crate::modes::Modes;
use crate::reader::Reader;
use crate::span::Span;
use crate::statement::{Analysis, Statements};

/// Most statements remembered, half of them for long.
pub const MAX_REMEMBERED: usize = 32_768;
/// Most bytes of remembered statements, roughly counted.
pub const MAX_REMEMBERED_BYTES: usize = 64 << 20;
/// A longer fingerprint is not remembered.
pub const MAX_FINGERPRINT_BYTES: usize = 16 << 10;

/// Parts with a lock each, so that sessions on several threads seldom wait for each other.
const SHARDS: usize = 16;
/// What a remembered statement takes besides its text, roughly.
const OVERHEAD_BYTES: usize = 1_024;

type Known = HashMap<Box<str>, Arc<Analysis>>;

/// Classifies texts and remembers statements; shared by all sessions of a node.
#[derive(Debug)]
pub struct Classifier {
    limits: Limits,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
}

/// Two generations: what is asked for moves into the young one; when that is full it becomes the
/// old one and what was old is forgotten.
#[derive(Debug, Default)]
struct Shard {
    young: Known,
    young_bytes: usize,
    old: Known,
}

impl Default for Classifier {
    fn default() -> Self {
        Self::new(Limits::STANDARD)
    }
}

impl Classifier {
    /// A classifier that has seen nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { limits, hasher: RandomState::new(), shards }
    }

    /// As [`crate::classify`].
    #[must_use]
    pub fn classify(&self, text: &[u8], modes: &Modes) -> Statements {
        let reader = Reader::new(text, modes, &self.limits);
        crate::classify_within(reader, Some(self))
    }

    /// How many statements are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.young.len() + shard.old.len()
            })
            .sum()
    }

    pub(crate) fn statement(
        &self,
        reader: Reader<'_>,
        span: Span<'_>,
        setting_hint: bool,
    ) -> Arc<Analysis> {
        let canonical = span.canonical();
        if canonical.len() > MAX_FINGERPRINT_BYTES {
            return Arc::new(reader.statement(span, setting_hint));
        }
        let key = key(reader.modes, setting_hint, canonical);
        let Some(shard) = self.shard(&key) else {
            return Arc::new(reader.statement(span, setting_hint));
        };
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().find(&key) {
            return known;
        }
        let analysis = Arc::new(reader.statement(span, setting_hint));
        if !analysis.own_text {
            lock().remember(key.into_boxed_str(), Arc::clone(&analysis));
        }
        analysis
    }

    fn shard(&self, key: &str) -> Option<&Mutex<Shard>> {
        let hash = self.hasher.hash_one(key);
        self.shards.get(usize::try_from(hash % SHARDS as u64).unwrap_or(0))
    }
}

/// The fingerprint with what else decides: dialect, version, hints.
fn key(modes: &Modes, setting_hint: bool, canonical: &str) -> String {
    let mut key = String::with_capacity(canonical.len() + 16);
    // INVARIANT: a String takes every write.
    let _written = write!(
        key,
        "{}{}{}|",
        modes.dialect as u8,
        modes.server_version,
        if setting_hint { "h" } else { "" }
    );
    key.push_str(canonical);
    key
}

impl Shard {
    fn find(&mut self, key: &str) -> Option<Arc<Analysis>> {
        if let Some(known) = self.young.get(key) {
            return Some(Arc::clone(known));
        }
        let (key, known) = self.old.remove_entry(key)?;
        self.remember(key, Arc::clone(&known));
        Some(known)
    }

    fn remember(&mut self, key: Box<str>, analysis: Arc<Analysis>) {
        let bytes = key.len() * 4 + OVERHEAD_BYTES;
        let full = self.young.len() >= MAX_REMEMBERED / SHARDS / 2
            || self.young_bytes + bytes > MAX_REMEMBERED_BYTES / SHARDS / 2;
        if full {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key, analysis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Misunderstanding, classify};

    #[test]
    fn statements_that_differ_only_in_literals_are_remembered_once() {
        let classifier = Classifier::default();
        let modes = Modes::postgres();
        let texts = [
            "select * from t where id = 1 and note = 'a'",
            "SELECT *  FROM t WHERE id=2 -- x\n AND note = $$it's$$",
            "select * from t where id = 3 and note = E'\\''",
        ];
        for text in texts {
            let found = classifier.classify(text.as_bytes(), &modes);
            assert_eq!(found, classify(text.as_bytes(), &modes, &Limits::STANDARD), "{text}");
        }
        assert_eq!(classifier.remembered(), 1);
        let _lists = classifier.classify(b"select 1 where a in (1, 2, 3)", &modes);
        let _lists = classifier.classify(b"select 1 where a in (1)", &modes);
        assert_eq!(classifier.remembered(), 2);
    }

    #[test]
    fn one_fingerprint_in_two_dialects_or_with_a_setting_hint_is_two_statements() {
        let classifier = Classifier::default();
        let text = b"select sleep(1)";
        let plain = classifier.classify(text, &Modes::mysql(80_036));
        let hinted = b"select /*+ set_var(sql_mode='') */ sleep(1)";
        let hinted = classifier.classify(hinted, &Modes::mysql(80_036));
        assert!(!plain.classes().contains(Class::Confinement));
        assert!(hinted.classes().contains(Class::Confinement));
        let _postgres = classifier.classify(text, &Modes::postgres());
        assert_eq!(classifier.remembered(), 3);
    }

    #[test]
    fn a_prepared_text_is_read_each_time() {
        let classifier = Classifier::default();
        let modes = Modes::mysql(80_036);
        let read = classifier.classify(b"prepare s from 'select 1'", &modes);
        let write = classifier.classify(b"prepare s from 'delete from t'", &modes);
        assert!(!read.classes().contains(Class::Write));
        assert!(write.classes().contains(Class::Write));
    }

    #[test]
    fn the_memory_is_bounded() {
        let classifier = Classifier::default();
        for number in 0..3 * MAX_REMEMBERED {
            let text = format!("listen channel_{number}");
            let _found = classifier.classify(text.as_bytes(), &Modes::postgres());
        }
        let remembered = classifier.remembered();
        assert!(remembered <= MAX_REMEMBERED && remembered > MAX_REMEMBERED / 4, "{remembered}");
        let long = format!("select {}", "(".repeat(10_000));
        let found = classifier.classify(long.as_bytes(), &Modes::postgres());
        let why = found.list[0].analysis.reasons.first().cloned();
        assert_eq!(why, Some(crate::Reason::NotUnderstood(Misunderstanding::TooMuch)));
    }
}
