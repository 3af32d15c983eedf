//! A part that is being built: in memory, bounded by its number of entries.

use std::collections::BTreeMap;

use super::signature::{Signature, bits_of};
use super::{BLOCK_ENTRIES, BLOCKS, Key, PART_ENTRIES, Terms, Wanted};
use crate::log::Hash;
use crate::log::merkle::sha256;

/// Bytes of a set of positions of a part, a bit each.
pub(super) const SET_BYTES: usize = (PART_ENTRIES / 8) as usize;

/// Consecutive entries, found by their terms.
#[derive(Debug)]
pub struct Part {
    pub(super) first: u64,
    pub(super) entries: u32,
    /// Earliest and latest time of each block.
    pub(super) times: Vec<(i64, i64)>,
    pub(super) positions: BTreeMap<Key, Vec<u16>>,
    pub(super) signatures: Vec<Signature>,
    /// Hash of the last entry: it ties the part to the log it was built from.
    pub(super) last: Hash,
}

impl Part {
    /// An empty part that begins at an entry.
    #[must_use]
    pub fn begin(first: u64) -> Self {
        Self {
            first,
            entries: 0,
            times: Vec::new(),
            positions: BTreeMap::new(),
            signatures: Vec::new(),
            last: Hash([0; 32]),
        }
    }

    /// Takes in the next entry; `false` where the part is full.
    pub fn add(&mut self, entry: &[u8], terms: &Terms) -> bool {
        let Ok(position) = u16::try_from(self.entries) else { return false };
        if u64::from(position) % BLOCK_ENTRIES == 0 {
            self.times.push((i64::MAX, i64::MIN));
            self.signatures.push(Signature::empty());
        }
        if let Some((earliest, latest)) = self.times.last_mut() {
            *earliest = terms.at_millis.min(*earliest);
            *latest = terms.at_millis.max(*latest);
        }
        if let Some(signature) = self.signatures.last_mut() {
            terms.texts.iter().for_each(|text| signature.add(text));
        }
        for key in &terms.keys {
            match self.positions.get_mut(key) {
                Some(known) if known.last() == Some(&position) => {}
                Some(known) => known.push(position),
                None => drop(self.positions.insert(key.clone(), vec![position])),
            }
        }
        self.last = sha256(&[entry]);
        self.entries += 1;
        true
    }

    /// Passes over an entry that the log does not hold any more; `false` where the part is full.
    pub fn pass(&mut self) -> bool {
        if self.is_full() {
            return false;
        }
        if u64::from(self.entries) % BLOCK_ENTRIES == 0 {
            self.times.push((i64::MAX, i64::MIN));
            self.signatures.push(Signature::empty());
        }
        self.entries += 1;
        true
    }

    /// The first entry.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The entry behind the last one taken in.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + u64::from(self.entries)
    }

    /// Whether no more entries fit.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.entries) == PART_ENTRIES
    }

    /// Entries that may meet what is wanted, ascending.
    #[must_use]
    pub fn candidates(&self, wanted: &Wanted) -> Vec<u64> {
        let mut set = Positions::within(&blocks_in_time(&self.times, wanted), self.entries);
        for any in &wanted.keys {
            let mut either = Positions::empty();
            for positions in any.iter().filter_map(|key| self.positions.get(key)) {
                either.add(positions);
            }
            set.keep(&either);
        }
        let bits: Vec<usize> = wanted.texts.iter().flat_map(|text| bits_of(text)).collect();
        let texts: Vec<bool> = self
            .signatures
            .iter()
            .map(|signature| bits.iter().all(|bit| signature.has(*bit)))
            .collect();
        set.keep(&Positions::within(&texts, self.entries));
        set.list(self.first)
    }
}

/// Which blocks may have entries of the time that is wanted.
pub(super) fn blocks_in_time(times: &[(i64, i64)], wanted: &Wanted) -> Vec<bool> {
    let within = |(earliest, latest): &(i64, i64)| {
        wanted.from.is_none_or(|from| *latest >= from) && wanted.to.is_none_or(|to| *earliest < to)
    };
    times.iter().map(within).collect()
}

/// A set of positions of a part.
#[derive(Debug, Clone)]
pub(super) struct Positions(Vec<u8>);

impl Positions {
    pub(super) fn empty() -> Self {
        Self(vec![0; SET_BYTES])
    }

    /// All positions of these blocks, below a number of entries.
    pub(super) fn within(blocks: &[bool], entries: u32) -> Self {
        let block_bytes = SET_BYTES / BLOCKS;
        let mut set = Self::empty();
        for (bytes, inside) in set.0.chunks_mut(block_bytes).zip(blocks) {
            if *inside {
                bytes.fill(u8::MAX);
            }
        }
        for (byte, begins) in set.0.iter_mut().zip((0..).step_by(8)) {
            let have = entries.saturating_sub(begins).min(8);
            *byte &= u8::try_from((1_u32 << have) - 1).unwrap_or(u8::MAX);
        }
        set
    }

    /// From bytes, a bit each; `None` for a wrong number.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == SET_BYTES).then_some(Self(bytes))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn add(&mut self, positions: &[u16]) {
        for position in positions {
            if let Some(byte) = self.0.get_mut(usize::from(position / 8)) {
                *byte |= 1 << (position % 8);
            }
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(byte, other)| *byte |= other);
    }

    pub(super) fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(byte, other)| *byte &= other);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// As entries of a log, ascending.
    pub(super) fn list(&self, first: u64) -> Vec<u64> {
        let set = self.0.iter().zip((first..).step_by(8)).filter(|(byte, _)| **byte != 0);
        set.flat_map(|(byte, at)| {
            (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at + bit)
        })
        .collect()
    }
}
