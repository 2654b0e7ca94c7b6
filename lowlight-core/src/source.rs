//! Where a verifier reads entries from.
//!
//! Contract of an [`EntrySource`]: rows come in the order of the medium (a database: ascending seq, each at most
//! once), each followed by its contents in ascending order of field. A source reports what it sees; it never repairs,
//! skips or judges.

use crate::chain::{Digest, LogId};
use crate::entry::{FieldId, Kind, Slots};

/// Where verification starts and what the source claims to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The log's id, as the medium names it.
    pub log_id: LogId,
    /// First seq expected.
    pub first: u64,
    /// Leaf before `first`; `None` when `first` is 0.
    pub prev: Option<Digest>,
    /// Frontier at `first`.
    pub frontier: crate::tree::Frontier,
    /// The tip of a whole log; `None` for an export.
    pub tip: Option<Tip>,
    /// One past the last seq that an export holds.
    pub end: Option<u64>,
}

/// The tip of a log, as the medium states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Number of entries.
    pub size: u64,
    /// Leaf of the newest entry.
    pub head: Digest,
    /// Frontier hashes as stored, left to right, whether their number fits `size` or not.
    pub hashes: heapless::Vec<Digest, { crate::tree::LEVELS }>,
    /// Largest seq of any row.
    pub last_seq: u64,
}

/// One thing a source saw.
#[derive(Debug, Clone, Copy)]
pub enum Item<'a> {
    /// An entry whose stored form makes a body.
    Entry {
        /// Seq of the row.
        seq: u64,
        /// The body, encoded from what is stored.
        body: &'a [u8],
        /// The stored leaf.
        leaf: Digest,
        /// What the source knows from having encoded `body` itself; `None` makes the verifier decode it.
        facts: Option<(Kind, &'a Slots)>,
    },
    /// An entry whose stored form does not make a body.
    Malformed {
        /// Seq of the row, or `None` for "the next expected one".
        seq: Option<u64>,
        /// The stored leaf, if it is 32 bytes.
        leaf: Option<Digest>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An entry of which only the leaf is here.
    LeafOnly {
        /// Seq of the row.
        seq: u64,
        /// The leaf.
        leaf: Digest,
    },
    /// A content row.
    Content {
        /// Seq of the entry it belongs to.
        seq: u64,
        /// Which field.
        field: FieldId,
        /// The salt, if it is 16 bytes.
        salt: Option<[u8; 16]>,
        /// The value; `None` when it is not kept.
        value: Option<&'a [u8]>,
    },
}

/// A stored tree node, as far as the medium keeps nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredNode {
    /// This medium does not keep nodes.
    NotKept,
    /// It should be there and is not, or is not 32 bytes.
    Absent,
    /// It is there.
    Present(Digest),
}

/// A reader of one log or export.
pub trait EntrySource {
    /// Why reading failed.
    type Error;

    /// The next item, or `None` at the end.
    fn next(&mut self) -> Result<Option<Item<'_>>, Self::Error>;

    /// The stored node at `level` and `index`.
    fn node(&mut self, level: u8, index: u64) -> Result<StoredNode, Self::Error> {
        let _ = (level, index);
        Ok(StoredNode::NotKept)
    }
}
