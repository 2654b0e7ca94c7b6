//! Drafts in, sealed entries out.
//!
//! ```text
//! Batch::begin -> append* -> commit      dropped before commit: rolled back
//! ```
//!
//! 1. The head is read from the sink at the start of every batch.
//! 2. Salts are applied here, so that what is dropped earlier is never hashed.
//! 3. A failed `append` leaves the batch unusable: the only way on is to drop it.

use crate::chain::{Head, leaf};
use crate::commit::Commitment;
use crate::entry::codec::{self, Buffer};
use crate::entry::{Entry, EntryError, Event, Header, MAX_BODY, MAX_CONTENT, Slot, Slots};
use crate::sink::{Content, Node, Sealed, Sink};
use crate::tree::{LEVELS, STORED_LEVEL};

/// An entry before it has a place: `header.seq` is ignored.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// The header.
    pub header: Header<'a>,
    /// What happened.
    pub event: Event<'a>,
    /// Content, ascending by field.
    pub contents: &'a [Content<'a>],
}

/// Why an entry was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError<E> {
    /// The entry breaks the format; the batch goes on without it.
    #[error("{0}")]
    Entry(EntryError),
    /// Storage failed; drop the batch.
    #[error("{0}")]
    Sink(E),
}

/// A batch of entries that becomes durable as a whole.
#[derive(Debug)]
pub struct Batch<'s, S: Sink> {
    sink: &'s mut S,
    head: Head,
    open: bool,
    buffer: Buffer,
}

impl<'s, S: Sink> Batch<'s, S> {
    /// Starts a batch at the current head of the log.
    pub fn begin(sink: &'s mut S) -> Result<Self, S::Error> {
        let head = sink.begin()?;
        Ok(Self { sink, head, open: true, buffer: [0; MAX_BODY] })
    }

    /// The head after what was appended so far.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The sink, for bookkeeping that belongs to the same transaction.
    pub fn sink(&self) -> &S {
        self.sink
    }

    /// Seals a draft and hands it to the sink; returns its seq.
    pub fn append(&mut self, draft: Draft<'_>) -> Result<u64, AppendError<S::Error>> {
        let seq = self.head.size();
        let fields = slots(draft.contents).map_err(AppendError::Entry)?;
        let entry = Entry { header: Header { seq, ..draft.header }, event: draft.event, fields };
        let (body, fields_at) = codec::encode_split(&entry, &mut self.buffer).map_err(AppendError::Entry)?;
        let leaf = leaf(&self.head.leaf, body);
        let mut nodes = heapless::Vec::<Node, LEVELS>::new();
        self.head.push(leaf, |level, index, hash| {
            if level >= STORED_LEVEL {
                // The capacity is the number of levels, so this always fits.
                let _ = nodes.push(Node { level, index, hash: *hash });
            }
        });
        let fields = body.get(fields_at..).unwrap_or_default();
        let sealed = Sealed { entry: &entry, body, fields, leaf, contents: draft.contents, nodes: &nodes };
        self.sink.append(&sealed).map_err(AppendError::Sink)?;
        Ok(seq)
    }

    /// Makes the batch durable; returns the new head.
    pub fn commit(mut self) -> Result<Head, S::Error> {
        self.sink.commit(&self.head)?;
        self.open = false;
        Ok(self.head.clone())
    }
}

impl<S: Sink> Drop for Batch<'_, S> {
    fn drop(&mut self) {
        if self.open {
            self.sink.rollback();
        }
    }
}

fn slots(contents: &[Content<'_>]) -> Result<Slots, EntryError> {
    let mut slots = Slots::new();
    for content in contents {
        if content.value.len() > MAX_CONTENT {
            return Err(EntryError::Range("content"));
        }
        let commitment = Commitment::new(&content.salt, content.field, content.value.as_bytes()).0;
        let slot = Slot { field: content.field, state: content.state, cut_from: content.cut_from, commitment };
        slots.push(slot).map_err(|_| EntryError::Range("number of fields"))?;
    }
    Ok(slots)
}
