//! The right edge of a growing tree: all that is needed to append leaves and to compute the root.
//!
//! Limit: fewer than 2^56 leaves. 1,800 bytes whatever the size.
//!
//! ```text
//! size 6 = 110b:   nodes[2] = node over leaves 0..4, nodes[1] = node over leaves 4..6, nodes[0] unused
//! ```
//!
//! 1. `nodes[k]` is meaningful exactly when bit k of `size` is set.
//! 2. Appending never changes the root of an earlier size.

use super::{LEVELS, empty_root, node};
use crate::chain::Digest;

/// Right edge of a tree of `size` leaves.
#[derive(Debug, Clone)]
pub struct Frontier {
    size: u64,
    nodes: [Digest; LEVELS],
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Frontier {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.hashes().eq(other.hashes())
    }
}

impl Eq for Frontier {}

impl Frontier {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { size: 0, nodes: [Digest([0; 32]); LEVELS] }
    }

    /// A frontier from its hashes, left to right; `None` when their number does not fit `size`.
    pub fn from_hashes(size: u64, hashes: impl IntoIterator<Item = Digest>) -> Option<Self> {
        let mut frontier = Self { size, ..Self::new() };
        if size >> LEVELS != 0 {
            return None;
        }
        let mut hashes = hashes.into_iter();
        for (level, slot) in frontier.nodes.iter_mut().enumerate().rev() {
            if size >> level & 1 == 1 {
                *slot = hashes.next()?;
            }
        }
        hashes.next().is_none().then_some(frontier)
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, left to right, as stored in a database.
    pub fn hashes(&self) -> impl Iterator<Item = &Digest> {
        let size = self.size;
        self.nodes.iter().enumerate().rev().filter(move |(level, _)| size >> level & 1 == 1).map(|(_, hash)| hash)
    }

    /// Appends a leaf. `on_node(level, index, hash)` is called for every node this completes, lowest level first
    /// (level 1 and up; the leaf itself is not reported). A full tree (2^56 leaves) ignores the call.
    pub fn push(&mut self, leaf: Digest, on_node: impl FnMut(u8, u64, &Digest)) {
        self.push_subtree(0, leaf, on_node);
    }

    /// Appends a complete subtree of 2^level leaves whose root is `hash`; the size must be a multiple of 2^level,
    /// otherwise nothing happens and `false` is returned.
    pub fn push_subtree(&mut self, level: u8, hash: Digest, mut on_node: impl FnMut(u8, u64, &Digest)) -> bool {
        let Some(leaves) = 1_u64.checked_shl(level.into()) else { return false };
        if self.size & (leaves - 1) != 0 || (self.size + leaves) >> LEVELS != 0 {
            return false;
        }
        let mut hash = hash;
        let mut level = level;
        let mut index = self.size >> level;
        while index & 1 == 1 {
            if let Some(left) = self.nodes.get(usize::from(level)) {
                hash = node(left, &hash);
            }
            level += 1;
            index >>= 1;
            on_node(level, index, &hash);
        }
        if let Some(slot) = self.nodes.get_mut(usize::from(level)) {
            *slot = hash;
        }
        self.size += leaves;
        true
    }

    /// Root of the tree.
    ///
    /// ```
    /// use lowlight_core::{Digest, Frontier};
    /// let mut tree = Frontier::new();
    /// tree.push(Digest([7; 32]), |_, _, _| {});
    /// assert_eq!(tree.root(), Digest([7; 32]));
    /// ```
    pub fn root(&self) -> Digest {
        let set = (0..LEVELS).filter(|level| self.size >> level & 1 == 1);
        let low_to_high = set.filter_map(|level| self.nodes.get(level));
        low_to_high.copied().reduce(|right, left| node(&left, &right)).unwrap_or_else(empty_root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn leaves(n: u8) -> Vec<Digest> {
        (0..n).map(|i| Digest([i; 32])).collect()
    }

    /// The definition of RFC 6962 section 2.1, word for word.
    fn reference(leaves: &[Digest]) -> Digest {
        match leaves.len() {
            0 => empty_root(),
            1 => leaves[0],
            n => {
                let k = 1 << (usize::BITS - 1 - (n - 1).leading_zeros());
                node(&reference(&leaves[..k]), &reference(&leaves[k..]))
            }
        }
    }

    #[test]
    fn roots_agree_with_the_recursive_definition() {
        let all = leaves(130);
        let mut tree = Frontier::new();
        for n in 0..all.len() {
            assert_eq!(tree.root(), reference(&all[..n]), "size {n}");
            assert_eq!(Frontier::from_hashes(n as u64, tree.hashes().copied()), Some(tree.clone()));
            tree.push(all[n], |_, _, _| {});
        }
    }

    #[test]
    fn any_split_joined_by_its_right_edge_gives_the_same_root() {
        let all = leaves(37);
        for split in 0..=all.len() {
            let mut tree = Frontier::new();
            all[..split].iter().for_each(|leaf| tree.push(*leaf, |_, _, _| {}));
            let mut at = split as u64;
            while let Some(level) = super::super::subtree_level(at, all.len() as u64) {
                let next = at + (1 << level);
                assert!(tree.push_subtree(level, reference(&all[at as usize..next as usize]), |_, _, _| {}));
                at = next;
            }
            assert_eq!(tree.root(), reference(&all));
        }
    }

    #[test]
    fn a_wrong_number_of_hashes_is_refused() {
        assert_eq!(Frontier::from_hashes(3, [Digest([0; 32])]), None);
        assert_eq!(Frontier::from_hashes(2, [Digest([0; 32]); 2]), None);
        assert_eq!(Frontier::from_hashes(1 << 60, [Digest([0; 32])]), None);
    }
}
