//! Inclusion and consistency proofs (RFC 6962 section 2.1.1 and 2.1.2; checked as in RFC 9162 section 2.1.3.2 and 2.1.4.2).
//!
//! Limits: trees of fewer than 2^63 leaves, proofs of at most 63 hashes; no allocation.
//!
//! ```text
//! size 7, leaf 4            [0,7)              proof of inclusion, lowest first: leaf 5, leaf 6, [0,4)
//!                     [0,4)       [4,7)
//!                              [4,6)  6
//!                              4   5
//! ```
//!
//! 1. Whoever makes a proof is asked for complete subtrees only: `(level, index)` covers `[index << level, (index + 1) << level)`.
//! 2. A proof is accepted only when it is exactly as long as index and sizes say.

use super::{LEVELS, empty_root, node, subtree_level};
use crate::chain::Digest;
use core::mem::replace;

/// Most hashes of a proof.
pub const MAX_PROOF: usize = 63;
/// Trees have fewer leaves than this.
pub const MAX_TREE: u64 = 1 << 63;

/// The hashes of a proof, lowest first.
pub type Proof = heapless::Vec<Digest, MAX_PROOF>;

/// The hash over the leaves `[start, end)`, as a subtree of an RFC 6962 tree; `node` gives complete subtrees.
///
/// `[0, size)` is the root of the tree at that size.
///
/// # Errors
///
/// Those of `node`.
pub fn subtree<E>(start: u64, end: u64, node_at: &mut impl FnMut(u8, u64) -> Result<Digest, E>) -> Result<Digest, E> {
    let mut parts = heapless::Vec::<Digest, { 2 * LEVELS }>::new();
    let mut at = start;
    while let Some(level) = subtree_level(at, end) {
        // A range that is a subtree has at most one part a level.
        let _ = parts.push(node_at(level, at >> level)?);
        at += 1 << level;
    }
    Ok(parts.into_iter().rev().reduce(|right, left| node(&left, &right)).unwrap_or_else(empty_root))
}

/// Where `[start, end)` is split: the largest power of two below its length.
fn half(start: u64, end: u64) -> u64 {
    1 << (end - start - 1).ilog2()
}

/// Ranges of leaves, from the root downwards.
type Ranges = heapless::Vec<(u64, u64), { MAX_PROOF + 1 }>;

fn hashes<E>(ranges: &Ranges, node_at: &mut impl FnMut(u8, u64) -> Result<Digest, E>) -> Result<Option<Proof>, E> {
    let mut proof = Proof::new();
    for &(start, end) in ranges.iter().rev() {
        if proof.push(subtree(start, end, node_at)?).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(proof))
}

/// The proof that leaf `index` is in the tree of `size` leaves; `None` when it is not.
///
/// # Errors
///
/// Those of `node_at`, which is asked for complete subtrees by level and index.
pub fn inclusion<E>(index: u64, size: u64, node_at: &mut impl FnMut(u8, u64) -> Result<Digest, E>) -> Result<Option<Proof>, E> {
    if index >= size || size >= MAX_TREE {
        return Ok(None);
    }
    let mut ranges = Ranges::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + half(start, end);
        let sibling = if index < middle { (middle, replace(&mut end, middle)) } else { (replace(&mut start, middle), middle) };
        let _ = ranges.push(sibling);
    }
    hashes(&ranges, node_at)
}

/// The proof that the tree of `new` leaves begins with the tree of `old` leaves; `None` unless `1 <= old <= new`.
///
/// # Errors
///
/// Those of `node_at`.
pub fn consistency<E>(old: u64, new: u64, node_at: &mut impl FnMut(u8, u64) -> Result<Digest, E>) -> Result<Option<Proof>, E> {
    if old == 0 || old > new || new >= MAX_TREE {
        return Ok(None);
    }
    let mut ranges = Ranges::new();
    let (mut start, mut end) = (0, new);
    // Down to the subtree that ends with the old tree's last leaf.
    while end > old {
        let middle = start + half(start, end);
        let sibling = if old <= middle { (middle, replace(&mut end, middle)) } else { (replace(&mut start, middle), middle) };
        let _ = ranges.push(sibling);
    }
    // The old root itself is known to whoever checks.
    if start > 0 {
        let _ = ranges.push((start, end));
    }
    hashes(&ranges, node_at)
}

/// Whether `proof` shows that `leaf` is leaf `index` of the tree of `size` leaves with that root.
pub fn verify_inclusion(index: u64, size: u64, leaf: &Digest, proof: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            // The right edge has no siblings on these levels.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new` leaves with root `new_root` begins with the tree of `old` leaves with
/// root `old_root`.
///
/// An empty tree is no evidence: `old` 0 is refused, whoever needs it decides on its own.
pub fn verify_consistency(old: u64, new: u64, old_root: &Digest, new_root: &Digest, proof: &[Digest]) -> bool {
    if old == 0 || old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let mut rest = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { rest.next() };
    let (Some(first), false) = (first, proof.is_empty()) else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node(sibling, &old_hash);
            new_hash = node(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use std::vec::Vec;

    /// A tree in memory that gives complete subtrees.
    fn node_at(leaves: &[Digest]) -> impl FnMut(u8, u64) -> Result<Digest, Infallible> + '_ {
        fn hash(leaves: &[Digest]) -> Digest {
            if let [one] = leaves {
                return *one;
            }
            let (left, right) = leaves.split_at(leaves.len() / 2);
            node(&hash(left), &hash(right))
        }
        |level, index| {
            let start = (index << level) as usize;
            Ok(hash(&leaves[start..start + (1 << level)]))
        }
    }

    fn leaves(count: u8) -> Vec<Digest> {
        (0..count).map(|i| Digest([i; 32])).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_at_no_other_place() {
        let all = leaves(40);
        for size in 1..=all.len() as u64 {
            let root = subtree(0, size, &mut node_at(&all)).unwrap();
            for index in 0..size {
                let proof = inclusion(index, size, &mut node_at(&all)).unwrap().unwrap();
                for other in 0..size + 2 {
                    let holds = verify_inclusion(other, size, &all[index as usize], &proof, &root);
                    assert_eq!(holds, other == index, "{index} as {other} of {size}");
                }
                for cut in 0..proof.len() {
                    assert!(!verify_inclusion(index, size, &all[index as usize], &proof[..cut], &root));
                    let mut bent = proof.clone();
                    bent[cut].0[7] ^= 1;
                    assert!(!verify_inclusion(index, size, &all[index as usize], &bent, &root));
                }
                let mut longer = proof.clone();
                longer.push(root).unwrap();
                assert!(!verify_inclusion(index, size, &all[index as usize], &longer, &root));
            }
        }
        assert_eq!(inclusion(3, 3, &mut node_at(&all)), Ok(None));
    }

    #[test]
    fn every_pair_of_small_trees_is_consistent_and_no_other_pair_is() {
        let all = leaves(40);
        let root = |size| subtree(0, size, &mut node_at(&all)).unwrap();
        for new in 1..=all.len() as u64 {
            for old in 1..=new {
                let proof = consistency(old, new, &mut node_at(&all)).unwrap().unwrap();
                assert!(verify_consistency(old, new, &root(old), &root(new), &proof), "{old} {new}");
                for other in 1..=new {
                    let holds = verify_consistency(other, new, &root(old), &root(new), &proof);
                    assert_eq!(holds, other == old, "{old} as {other} of {new}");
                }
                for cut in 0..proof.len() {
                    assert!(!verify_consistency(old, new, &root(old), &root(new), &proof[..cut]));
                    let mut bent = proof.clone();
                    bent[cut].0[0] ^= 0x80;
                    assert!(!verify_consistency(old, new, &root(old), &root(new), &bent));
                }
            }
        }
        assert_eq!(consistency(0, 3, &mut node_at(&all)), Ok(None));
        assert_eq!(consistency(4, 3, &mut node_at(&all)), Ok(None));
    }
}
