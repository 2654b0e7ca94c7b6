//! Digests, genesis, leaves and the head of a log (`docs/format.md`, section 4).
//!
//! ```text
//! genesis(log id) = SHA-256("lowlight/genesis/v1\0" || u16 16 || log id)
//! leaf(n)         = SHA-256(0x00 || leaf(n-1) || body(n))        leaf(-1) = genesis
//! ```
//!
//! 1. A leaf is both the chain link and the RFC 6962 leaf.
//! 2. A [`Head`] moves only forward, one leaf at a time.

use crate::entry::codec;
use crate::tree::Frontier;
use core::fmt;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 hash; prints as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads a digest from exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 16 random bytes made at the first start of a log; never part of a firmware image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LogId(pub [u8; 16]);

impl LogId {
    /// The hash that stands where entry 0 would name its predecessor.
    pub fn genesis(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(b"lowlight/genesis/v1\0");
        hash.update(16_u16.to_le_bytes());
        hash.update(self.0);
        Digest(hash.finalize().into())
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The leaf of `body` after `prev`.
pub fn leaf(prev: &Digest, body: &[u8]) -> Digest {
    leaf_of_parts(prev, body, &[])
}

/// The leaf that `body` would have if its seq were `seq`: how the verifier recognises entries that were moved.
///
/// A body of another version has no seq that could be replaced; it is hashed as it is.
pub fn leaf_at(prev: &Digest, seq: u64, body: &[u8]) -> Digest {
    // Nothing is known about the layout of another version.
    let Some((&version, after_version)) = body.split_first().filter(|(version, _)| **version == crate::FORMAT) else {
        return leaf(prev, body);
    };
    let rest = codec::skip_varint(after_version);
    let mut start = [0_u8; 11];
    let mut length = 0;
    for (slot, byte) in start.iter_mut().zip(core::iter::once(version).chain(codec::varint(seq))) {
        *slot = byte;
        length += 1;
    }
    leaf_of_parts(prev, start.get(..length).unwrap_or_default(), rest)
}

fn leaf_of_parts(prev: &Digest, start: &[u8], rest: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(prev.0);
    hash.update(start);
    hash.update(rest);
    Digest(hash.finalize().into())
}

/// Where a log ends: what the next entry chains to, and the tree so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Leaf of the newest entry, or genesis of an empty log.
    pub leaf: Digest,
    /// Tree over all leaves.
    pub frontier: Frontier,
}

impl Head {
    /// The head of a log without entries.
    pub fn genesis(log_id: &LogId) -> Self {
        Self { leaf: log_id.genesis(), frontier: Frontier::new() }
    }

    /// Number of entries, which is the seq of the next one.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Appends a leaf; `on_node` is called for every tree node it completes, as in [`Frontier::push`].
    pub fn push(&mut self, leaf: Digest, on_node: impl FnMut(u8, u64, &Digest)) {
        self.frontier.push(leaf, on_node);
        self.leaf = leaf;
    }
}
