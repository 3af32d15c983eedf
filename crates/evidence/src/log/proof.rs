//! Inclusion and consistency proofs (RFC 9162 sections 2.1.3 and 2.1.4): made from any source
//! of subtree hashes, checked with nothing but hashes.
//!
//! Knows nothing of tiles, files or checkpoints.

use super::merkle::{Hash, join, node_hash};

/// More hashes than the proof for any 64-bit tree needs: longer proofs are refused unread.
pub const MAX_PROOF_HASHES: usize = 128;

/// Where a prover gets the hashes of complete subtrees from.
pub trait HashSource {
    /// Why a hash could not be had.
    type Error;

    /// The root of the complete subtree over the leaves
    /// `index * 2^height .. (index + 1) * 2^height`.
    ///
    /// # Errors
    /// When the hash is outside the tree or cannot be read.
    fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over the leaves `start..end`; `start` must be a multiple of every subtree below it,
/// which holds for each range a proof asks for.
fn range_root<S: HashSource>(source: &mut S, start: u64, end: u64) -> Result<Hash, S::Error> {
    let mut peaks = Vec::new();
    let mut at = start;
    while at < end {
        let height = (end - at).ilog2();
        peaks.push(source.subtree(height, at >> height)?);
        at += 1 << height;
    }
    Ok(join(&peaks).unwrap_or_else(Hash::of_empty_tree))
}

/// The largest power of two smaller than `size` (`k` of RFC 9162 section 2.1.1). `size > 1`.
fn split(size: u64) -> u64 {
    1 << (size.saturating_sub(1)).ilog2()
}

/// The root of the tree of `size` leaves.
///
/// # Errors
/// Those of the source.
pub fn root<S: HashSource>(source: &mut S, size: u64) -> Result<Hash, S::Error> {
    range_root(source, 0, size)
}

/// The proof that leaf `index` is in the tree of `size` leaves, leaf side first. Empty where
/// `index` is outside the tree.
///
/// # Errors
/// Those of the source.
pub fn inclusion<S: HashSource>(
    source: &mut S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, S::Error> {
    let (mut start, mut end) = (0, size);
    let mut siblings = Vec::new();
    while index < size && end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            siblings.push((middle, end));
            end = middle;
        } else {
            siblings.push((start, middle));
            start = middle;
        }
    }
    siblings.iter().rev().map(|&(from, to)| range_root(source, from, to)).collect()
}

/// The proof that the tree of `old` leaves is a prefix of the one of `new`. Empty where `old`
/// is 0, equal to `new`, or larger.
///
/// # Errors
/// Those of the source.
pub fn consistency<S: HashSource>(
    source: &mut S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, S::Error> {
    if old == 0 || old >= new {
        return Ok(Vec::new());
    }
    // SUBPROOF(old, D[start:end], whole) of RFC 9162 section 2.1.4.1, without recursion.
    let (mut start, mut end, mut whole) = (0, new, true);
    let mut parts = Vec::new();
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            parts.push((middle, end));
            end = middle;
        } else {
            parts.push((start, middle));
            start = middle;
            whole = false;
        }
    }
    if !whole {
        parts.push((start, end));
    }
    parts.iter().rev().map(|&(from, to)| range_root(source, from, to)).collect()
}

/// Checks an inclusion proof (RFC 9162 section 2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size || proof.len() > MAX_PROOF_HASHES {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Checks a consistency proof (RFC 9162 section 2.1.4.2). The empty tree is a prefix of every
/// tree, and a tree of itself; both need no proof.
#[must_use]
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> bool {
    if old > new || proof.len() > MAX_PROOF_HASHES {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == Hash::of_empty_tree();
    }
    // A complete old tree is itself the first node of the path.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        match proof.split_first() {
            Some((first, rest)) => (first, rest),
            None => return false,
        }
    };
    let shift = (old - 1).trailing_ones();
    let mut node = (old - 1).checked_shr(shift).unwrap_or(0);
    let mut last = (new - 1).checked_shr(shift).unwrap_or(0);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::super::merkle::{fold, leaf_hash};
    use super::*;

    struct Leaves(Vec<Hash>);

    impl HashSource for Leaves {
        type Error = Infallible;

        fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, Infallible> {
            let start = (index << height) as usize;
            Ok(fold(&self.0[start..start + (1 << height)]).unwrap())
        }
    }

    fn leaves(count: u64) -> Leaves {
        Leaves((0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect())
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_no_other_place_is() {
        for size in 1..=40u64 {
            let mut source = leaves(size);
            let root = root(&mut source, size).unwrap();
            assert_eq!(root, fold(&source.0).unwrap());
            for index in 0..size {
                let proof = inclusion(&mut source, index, size).unwrap();
                let leaf = source.0[index as usize];
                assert!(verify_inclusion(&leaf, index, size, &proof, &root));
                for other in (0..size + 2).filter(|other| *other != index) {
                    assert!(!verify_inclusion(&leaf, other, size, &proof, &root));
                }
                let mut longer = proof.clone();
                longer.push(leaf);
                assert!(!verify_inclusion(&leaf, index, size, &longer, &root));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_inclusion(&leaf, index, size, shorter, &root));
                }
            }
        }
    }

    #[test]
    fn every_prefix_of_every_small_tree_is_proved_and_a_fork_is_not() {
        for new in 0..=40u64 {
            let mut source = leaves(new);
            let new_root = root(&mut source, new).unwrap();
            for old in 0..=new {
                let old_root = root(&mut source, old).unwrap();
                let proof = consistency(&mut source, old, new).unwrap();
                assert!(verify_consistency(old, new, &proof, &old_root, &new_root));
                let forked = leaf_hash(b"fork");
                assert!(!verify_consistency(old, new, &proof, &forked, &new_root));
                // Everything continues the empty tree; nothing else may be continued at will.
                let any = verify_consistency(old, new, &proof, &old_root, &forked);
                assert_eq!(any, old == 0 && new > 0);
                if old + 1 < new && old > 0 {
                    assert!(!verify_consistency(old + 1, new, &proof, &old_root, &new_root));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_proof_with_any_bit_flipped_is_refused(size in 2u64..300, index in 0u64..300, bit in 0usize..256, which in 0usize..10) {
            let index = index % size;
            let mut source = leaves(size);
            let root = root(&mut source, size).unwrap();
            let mut proof = inclusion(&mut source, index, size).unwrap();
            let which = which % proof.len();
            proof[which].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_inclusion(&source.0[index as usize], index, size, &proof, &root));
        }

        #[test]
        fn checking_never_panics(index: u64, size: u64, old: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..140)) {
            let proof: Vec<Hash> = hashes.into_iter().map(Hash).collect();
            let hash = Hash([7; 32]);
            prop_assert!(!verify_inclusion(&hash, index, size, &proof, &hash) || (size == 1 && proof.is_empty()));
            let _ = verify_consistency(old, size, &proof, &hash, &hash);
        }
    }
}
