//! Merkle tree over the leaves of a log (RFC 6962 section 2.1, RFC 9162 section 2.1; `docs/format.md`, section 4).

mod frontier;
pub mod proof;

pub use frontier::Frontier;
pub use proof::Proof;

use crate::chain::Digest;
use sha2::{Digest as _, Sha256};

/// Levels a tree can have: a log has fewer than 2^56 entries.
pub const LEVELS: usize = 56;
/// Nodes of this level and above are stored as they are completed.
pub const STORED_LEVEL: u8 = 8;

/// Hash of an inner node.
pub fn node(left: &Digest, right: &Digest) -> Digest {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left.0);
    hash.update(right.0);
    Digest(hash.finalize().into())
}

/// Root of the tree without leaves.
pub fn empty_root() -> Digest {
    Digest(Sha256::digest([]).into())
}

/// The largest complete subtree that starts at leaf `start` and ends at or before `end`: its level.
///
/// `None` when `start >= end`. Walking `start += 1 << level` covers `[start, end)` from left to right; this is the
/// right edge of an export.
pub fn subtree_level(start: u64, end: u64) -> Option<u8> {
    let room = end.checked_sub(start).filter(|room| *room > 0)?;
    let fits = room.ilog2();
    let aligned = if start == 0 { fits } else { start.trailing_zeros() };
    u8::try_from(fits.min(aligned)).ok()
}
