//! Where a verifier reads entries from.
//!
//! Contract of an [`EntrySource`]: rows come in the order of the medium (a database: ascending seq, each at most
//! once), each followed by its contents in ascending order of field. A source reports what it sees; it never repairs,
//! skips or judges.

use crate::chain::{Digest, LogId};
use crate::entry::{Facts, FieldId, Kind, Slots};

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
    /// Entries that are not here any more, of which a node of the tree is.
    Removed {
        /// Seq of the first.
        seq: u64,
        /// Level of the node: it stands for 2^level entries, at most 2^8.
        level: u8,
        /// The node.
        node: Digest,
        /// Leaf of the last of them, where it is kept and `level` is not 0.
        leaf: Option<Digest>,
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

/// What the tombstones of a log say about entries that are absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// Seq of the oldest tombstone of whole entries that covers the entry.
    pub explained_by: Option<u64>,
    /// The same holds for all entries before this one; larger than the entry asked about.
    pub until: u64,
}

/// What the tombstones of a log say about an entry that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Covered {
    /// Fields whose absence a tombstone explains, bit by field id.
    pub fields: u64,
    /// Those of them that no tombstone was allowed to remove.
    pub refused: u64,
    /// Whether a tombstone says that the entry itself is to go.
    pub is_whole: bool,
    /// And none of those that do was allowed to.
    pub is_whole_refused: bool,
}

/// The tombstones of a log, all of them, before its entries are read.
///
/// Contract: it is asked about ascending seqs.
pub trait Tombstones {
    /// Why reading failed.
    type Error;

    /// Whether there is one of whole entries.
    fn any_whole(&self) -> bool;

    /// About an entry that is absent.
    fn absence(&mut self, seq: u64) -> Result<Absence, Self::Error>;

    /// The first seq from `seq` on that a tombstone covers; `None` when there is none.
    fn next_covered(&mut self, seq: u64) -> Result<Option<u64>, Self::Error>;

    /// About an entry that is there.
    fn covered(&mut self, seq: u64, facts: &Facts<'_>) -> Result<Covered, Self::Error>;
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

    /// The tombstones, where the medium has any.
    fn tombstones(&mut self) -> Option<&mut dyn Tombstones<Error = Self::Error>> {
        None
    }
}
