//! What is delivered at once. Pure.

use std::time::Duration;

use super::entry::Exported;

/// How much is delivered at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries of a batch; at least 1.
    pub entries: usize,
    /// Most bytes of its lines. A single longer entry is a batch of its own.
    pub bytes: usize,
    /// How long to wait for a batch to fill.
    pub wait: Duration,
}

impl Limits {
    /// Upper bound of [`Limits::entries`].
    pub const MAX_ENTRIES: usize = 10_000;
    /// Upper bound of [`Limits::bytes`].
    pub const MAX_BYTES: usize = 64 * 1024 * 1024;
    /// Upper bound of [`Limits::wait`].
    pub const MAX_WAIT: Duration = Duration::from_secs(3600);
}

/// Entries in the order of the log, with the range of the log they were found in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Index of the first entry looked at.
    pub first: u64,
    /// Index behind the last one looked at: where the cursor is once this is acknowledged.
    pub next: u64,
    /// The entries the filter let through.
    pub entries: Vec<Exported>,
    bytes: usize,
}

/// What became of an entry offered to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is in.
    Taken,
    /// It is for the next batch.
    Full,
}

impl Batch {
    /// An empty batch that begins at `first`.
    #[must_use]
    pub fn begin(first: u64) -> Self {
        Self { first, next: first, entries: Vec::new(), bytes: 0 }
    }

    /// Bytes of the lines.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Indices of the first and last entry in it, where there are any.
    #[must_use]
    pub fn span(&self) -> Option<(u64, u64)> {
        Some((self.entries.first()?.index, self.entries.last()?.index))
    }

    /// Takes the next entry of the log, or leaves it for the next batch.
    pub(crate) fn offer(&mut self, entry: Exported, limits: &Limits) -> Offered {
        let more = entry.line.len() + 1;
        let full = self.entries.len() >= limits.entries.max(1)
            || (!self.entries.is_empty() && self.bytes + more > limits.bytes);
        if full {
            return Offered::Full;
        }
        self.bytes += more;
        self.next = entry.index + 1;
        self.entries.push(entry);
        Offered::Taken
    }

    /// Passes over an entry the filter holds back.
    pub(crate) fn pass_over(&mut self, index: u64) {
        self.next = index + 1;
    }

    /// All lines, each with a line feed behind it.
    #[must_use]
    pub fn lines(&self) -> Vec<u8> {
        let mut lines = Vec::with_capacity(self.bytes);
        for entry in &self.entries {
            lines.extend_from_slice(&entry.line);
            lines.push(b'\n');
        }
        lines
    }

    /// All lines as one JSON array.
    #[must_use]
    pub fn array(&self) -> Vec<u8> {
        let mut array = Vec::with_capacity(self.bytes + 2);
        array.push(b'[');
        for (place, entry) in self.entries.iter().enumerate() {
            if place > 0 {
                array.push(b',');
            }
            array.extend_from_slice(&entry.line);
        }
        array.push(b']');
        array
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::entry::for_receiver;
    use proptest::prelude::*;

    proptest! {
        /// Batches one after the other carry every entry once, in order, within their limits.
        #[test]
        fn batches_cut_a_log_without_loss_or_reordering(
            sizes in proptest::collection::vec((0usize..400, any::<bool>()), 0..60),
            entries in 1usize..12,
            bytes in 1usize..2000,
        ) {
            let limits = Limits { entries, bytes, wait: Duration::ZERO };
            let (mut batches, mut batch) = (Vec::new(), Batch::begin(0));
            let mut wanted = Vec::new();
            for (index, (size, through)) in (0u64..).zip(&sizes) {
                if !through {
                    batch.pass_over(index);
                    continue;
                }
                wanted.push(index);
                let text = format!("{{\"a\":\"{}\"}}", "x".repeat(*size));
                let entry = for_receiver("log", index, text.as_bytes());
                if batch.offer(entry.clone(), &limits) == Offered::Full {
                    let next = Batch::begin(batch.next);
                    batches.push(std::mem::replace(&mut batch, next));
                    prop_assert_eq!(batch.offer(entry, &limits), Offered::Taken);
                }
            }
            batches.push(batch);
            let got: Vec<u64> =
                batches.iter().flat_map(|b| b.entries.iter().map(|e| e.index)).collect();
            prop_assert_eq!(got, wanted);
            for batch in &batches {
                prop_assert!(batch.entries.len() <= entries);
                prop_assert!(batch.bytes() <= bytes || batch.entries.len() == 1);
                prop_assert_eq!(batch.lines().len(), batch.bytes());
                let array: serde_json::Value = serde_json::from_slice(&batch.array()).unwrap();
                prop_assert_eq!(array.as_array().unwrap().len(), batch.entries.len());
            }
            for pair in batches.windows(2) {
                prop_assert_eq!(pair[0].next, pair[1].first);
            }
        }
    }
}
