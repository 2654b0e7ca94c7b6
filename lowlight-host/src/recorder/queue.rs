//! The queue in memory: a ring of tickets, and one block with the bytes of their records in the same order.
//!
//! ```text
//! block: (length of head u32, length of texts u32, head, texts)*
//! ```
//!
//! Limits: what is resident stays within the bound in bytes, whatever threads hand over: a block of memory a record, made by one
//! thread and freed by another, would leave holes in the heap of each, several times the bound after a minute of overload.
//!
//! 1. The bytes in the block are those of the items in the ring, one after the other.
//! 2. The block never grows: it is as large as the bound from the start on, and the system gives memory to what of it was used.

use super::builder::{MAX_BATCH, MAX_QUEUE};
use super::ticket::Cell;
use super::{Builder, LossReason, Outcome};
use crate::record::Prepared;
use lowlight_core::Ring;
use lowlight_core::entry::GapReason;
use lowlight_core::queue::{Losses, Pushed};
use std::collections::{TryReserveError, VecDeque};
use std::sync::Arc;

/// A record without its bytes: small, for a ring of them is made on the stack of whoever opens a log.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) cell: Arc<Cell>,
}

impl Drop for Item {
    /// Nobody waits for ever, whatever becomes of the writer; a ticket that is resolved stays as it is.
    fn drop(&mut self) {
        self.cell.resolve(Outcome::Lost(LossReason::Abandoned));
    }
}

/// The two lengths before a record in the block.
const LENGTHS: usize = 8;

/// Bytes a record occupies, for the queue's bound: its place in the ring and its ticket as well.
pub(super) fn weight(prepared: &Prepared) -> usize {
    const OVERHEAD: usize = 128;
    OVERHEAD + LENGTHS + prepared.bytes().map(<[u8]>::len).into_iter().sum::<usize>()
}

/// Records that wait for the writer.
#[derive(Debug)]
pub(super) struct Queue {
    ring: Box<Ring<Item, MAX_QUEUE>>,
    bytes: VecDeque<u8>,
}

impl Queue {
    pub(super) fn new(options: &Builder) -> Result<Self, TryReserveError> {
        let bound = options.queue_bytes;
        let mut bytes = VecDeque::new();
        bytes.try_reserve_exact(bound)?;
        Ok(Self { ring: Box::new(Ring::new(options.overflow, options.queue_entries, bound)), bytes })
    }

    /// Hands in a record; `evicted` gets those that had to go for it.
    pub(super) fn push(&mut self, item: Item, prepared: &Prepared, recorded: i64, evicted: &mut Vec<Item>) -> Pushed<Item> {
        let before = evicted.len();
        let pushed = self.ring.push(item, weight(prepared), recorded, |old| evicted.push(old));
        for _ in before..evicted.len() {
            let gone = self.length_at(0);
            drop(self.bytes.drain(..gone));
        }
        if matches!(pushed, Pushed::Queued) {
            let parts = prepared.bytes();
            // Contents are capped far below 4 GiB.
            parts.iter().for_each(|part| self.bytes.extend(u32::try_from(part.len()).unwrap_or(0).to_ne_bytes()));
            parts.iter().for_each(|part| self.bytes.extend(*part));
        }
        pushed
    }

    /// Bytes of the record that begins there.
    fn length_at(&self, start: usize) -> usize {
        let length = |at: usize| u32::from_ne_bytes(std::array::from_fn(|i| self.bytes.get(at + i).copied().unwrap_or(0))) as usize;
        LENGTHS + length(start) + length(start + LENGTHS / 2)
    }

    /// Takes the oldest records: as many as a batch may have, and no more once they have `most` bytes.
    pub(super) fn take(&mut self, most: usize) -> Hand {
        let (mut items, mut length) = (Vec::new(), 0);
        while items.len() < MAX_BATCH && length < most {
            let Some(item) = self.ring.pop() else { break };
            length += self.length_at(length);
            items.push(item);
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(self.bytes.drain(..length));
        if self.bytes.is_empty() {
            // Back to the beginning: of a queue that never fills, little of the block is ever used.
            self.bytes.clear();
        }
        Hand { items, bytes }
    }

    /// What is left when the recorder ends.
    pub(super) fn take_items(&mut self) -> Vec<Item> {
        self.bytes.clear();
        std::iter::from_fn(|| self.ring.pop()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(super) fn weight(&self) -> usize {
        self.ring.weight()
    }

    pub(super) fn losses(&mut self) -> &mut Losses {
        self.ring.losses()
    }

    /// Why the queue is full when it is.
    pub(super) fn full_reason(&self) -> GapReason {
        self.ring.full_reason()
    }

    pub(super) fn set_full_reason(&mut self, reason: GapReason) {
        self.ring.set_full_reason(reason);
    }
}

/// Records that the writer has in hand.
#[derive(Debug, Default)]
pub(super) struct Hand {
    pub(super) items: Vec<Item>,
    bytes: Vec<u8>,
}

impl Hand {
    /// Head and texts of each record.
    pub(super) fn records(&self) -> impl Iterator<Item = [&[u8]; 2]> {
        let mut rest = self.bytes.as_slice();
        self.items.iter().map(move |_| {
            let lengths = [take(&mut rest, LENGTHS / 2), take(&mut rest, LENGTHS / 2)];
            lengths.map(|length| take(&mut rest, length.try_into().map_or(0, u32::from_ne_bytes) as usize))
        })
    }

    /// Bytes of all of them.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (bytes, after) = rest.split_at_checked(length).unwrap_or_default();
    *rest = after;
    bytes
}
