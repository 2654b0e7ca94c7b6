//! Where sealed entries go.
//!
//! Contract of a [`Sink`]:
//!
//! 1. Between `begin` and `commit` or `rollback` nobody else appends to the same log.
//! 2. `begin` returns the head as it is in storage now, never a cached one.
//! 3. Entries of a batch appear all together or not at all.
//! 4. When `commit` has returned `Ok`, the batch survives power loss. When it returned `Err` the batch may or may not
//!    be there; the next `begin` shows which.

use crate::chain::{Digest, Head};
use crate::commit::Salt;
use crate::entry::{Entry, FieldId, SlotState};

/// One content value on its way to storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content<'a> {
    /// Which field.
    pub field: FieldId,
    /// The value, already redacted.
    pub value: &'a str,
    /// Fresh random bytes.
    pub salt: Salt,
    /// Whether the value is kept or only committed to.
    pub state: SlotState,
    /// Original length in bytes, if the value was cut.
    pub cut_from: Option<u64>,
}

/// A node of the tree that must be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Level, 0 = leaves.
    pub level: u8,
    /// Index within the level.
    pub index: u64,
    /// Its hash.
    pub hash: Digest,
}

/// An entry with its place in the chain.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    /// The entry, slots filled in.
    pub entry: &'a Entry<'a>,
    /// Its canonical bytes.
    pub body: &'a [u8],
    /// The encoded list of slots at the end of `body`.
    pub fields: &'a [u8],
    /// Its leaf.
    pub leaf: Digest,
    /// Content in ascending order of field.
    pub contents: &'a [Content<'a>],
    /// Nodes of level 8 and above that this entry completed.
    pub nodes: &'a [Node],
}

/// Storage for one log.
pub trait Sink {
    /// Why storage failed.
    type Error;

    /// Starts a batch: excludes other writers and returns the current head.
    fn begin(&mut self) -> Result<Head, Self::Error>;

    /// Adds an entry to the batch.
    fn append(&mut self, sealed: &Sealed<'_>) -> Result<(), Self::Error>;

    /// Makes the batch durable; `head` is the head after it.
    fn commit(&mut self, head: &Head) -> Result<(), Self::Error>;

    /// Gives the batch up. Called at most once after `begin`, never after a successful `commit`; must not panic.
    fn rollback(&mut self);
}
