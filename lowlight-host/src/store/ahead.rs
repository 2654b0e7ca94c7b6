//! Reads a log on a thread of its own, a few packets ahead of whoever takes its items.
//!
//! Limits: three packets in memory, each of at most 1,024 items or 128 KiB and one content value.
//!
//! ```text
//! thread:  DbSource -> packet -> packet ->|  1 waits  |-> packet in hand -> items        nodes: asked of the caller's reader
//! ```
//!
//! 1. The items are those of [`DbSource`], in its order; its last word is a packet, too, so that an end is no accident, and
//!    what was read before an error is handed out before it.
//! 2. Dropping it ends the thread and waits for it: nothing of the log stays open.

use super::StoreError;
use super::reader::Reader;
use super::source::{AtEnd, DbSource};
use lowlight_core::Digest;
use lowlight_core::entry::{FieldId, Kind, Slots};
use lowlight_core::source::{EntrySource, Item, StoredNode};
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

const PACKET_ITEMS: usize = 1_024;
const PACKET_BYTES: usize = 128 << 10;

/// An item, its bytes and slots in the packet.
#[derive(Debug)]
enum Packed {
    Entry { seq: u64, body: Range<usize>, leaf: Digest, facts: Option<(Kind, usize)> },
    Malformed { seq: Option<u64>, leaf: Option<Digest>, why: &'static str },
    LeafOnly { seq: u64, leaf: Digest },
    Removed { seq: u64, level: u8, node: Digest, leaf: Option<Digest> },
    Content { seq: u64, field: FieldId, salt: Option<[u8; 16]>, value: Option<Range<usize>> },
}

#[derive(Debug, Default)]
struct Packet {
    bytes: Vec<u8>,
    slots: Vec<Slots>,
    items: Vec<Packed>,
    end: Option<End>,
}

/// Why no packet follows.
#[derive(Debug)]
enum End {
    Reached(AtEnd),
    /// Reading failed; handed out once.
    Failed(Option<StoreError>),
}

impl Packet {
    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn push(&mut self, item: Item<'_>) {
        let packed = match item {
            Item::Entry { seq, body, leaf, facts } => {
                let facts = facts.map(|(kind, slots)| {
                    self.slots.push(slots.clone());
                    (kind, self.slots.len() - 1)
                });
                Packed::Entry { seq, body: self.keep(body), leaf, facts }
            }
            Item::Malformed { seq, leaf, why } => Packed::Malformed { seq, leaf, why },
            Item::LeafOnly { seq, leaf } => Packed::LeafOnly { seq, leaf },
            Item::Removed { seq, level, node, leaf } => Packed::Removed { seq, level, node, leaf },
            Item::Content { seq, field, salt, value } => Packed::Content { seq, field, salt, value: value.map(|value| self.keep(value)) },
        };
        self.items.push(packed);
    }

    fn item(&self, index: usize) -> Option<Item<'_>> {
        let bytes = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        Some(match self.items.get(index)? {
            Packed::Entry { seq, body, leaf, facts } => {
                let facts = facts.and_then(|(kind, place)| Some((kind, self.slots.get(place)?)));
                Item::Entry { seq: *seq, body: bytes(body), leaf: *leaf, facts }
            }
            Packed::Malformed { seq, leaf, why } => Item::Malformed { seq: *seq, leaf: *leaf, why },
            Packed::LeafOnly { seq, leaf } => Item::LeafOnly { seq: *seq, leaf: *leaf },
            Packed::Removed { seq, level, node, leaf } => Item::Removed { seq: *seq, level: *level, node: *node, leaf: *leaf },
            Packed::Content { seq, field, salt, value } => {
                Item::Content { seq: *seq, field: *field, salt: *salt, value: value.as_ref().map(bytes) }
            }
        })
    }

    /// Takes items from `source` until it is full or there are no more.
    fn fill(source: &mut DbSource<'_>) -> Self {
        let mut packet = Self::default();
        while packet.items.len() < PACKET_ITEMS && packet.bytes.len() < PACKET_BYTES && packet.end.is_none() {
            match source.next() {
                Ok(Some(item)) => packet.push(item),
                Ok(None) => packet.end = Some(source.at_end().map_or_else(|error| End::Failed(Some(error)), End::Reached)),
                Err(error) => packet.end = Some(End::Failed(Some(error))),
            }
        }
        packet
    }
}

/// Every row of a log, read ahead.
#[derive(Debug)]
pub struct Ahead<'r> {
    /// What is asked for by place is read here.
    reader: &'r Reader,
    /// Both until it is dropped.
    packets: Option<Receiver<Packet>>,
    thread: Option<JoinHandle<()>>,
    packet: Packet,
    taken: usize,
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        drop(self.packets.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was seen as an early end.
            let _ = thread.join();
        }
    }
}

impl<'r> Ahead<'r> {
    /// Starts reading everything that `reader` was opened on, through a connection of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that connection or the thread could not be made.
    pub fn start(reader: &'r Reader) -> Result<Self, StoreError> {
        let twin = reader.twin()?;
        let (send, packets) = sync_channel(1);
        let thread = std::thread::Builder::new().name("lowlight-reader".to_owned());
        let thread = thread.spawn(move || read(&twin, &send)).map_err(|source| StoreError::from_io(reader.path(), source))?;
        Ok(Self { reader, packets: Some(packets), thread: Some(thread), packet: Packet::default(), taken: 0 })
    }

    /// What only the end of the source shows; `None` before it.
    pub fn at_end(&self) -> Option<AtEnd> {
        match self.packet.end {
            Some(End::Reached(end)) => Some(end),
            _ => None,
        }
    }
}

/// Sends packets until the end, an error, or nobody wants more.
fn read(reader: &Reader, send: &SyncSender<Packet>) {
    let mut source = reader.everything(true);
    loop {
        let packet = Packet::fill(&mut source);
        let is_last = packet.end.is_some();
        if send.send(packet).is_err() || is_last {
            return;
        }
    }
}

impl EntrySource for Ahead<'_> {
    type Error = StoreError;

    fn next(&mut self) -> Result<Option<Item<'_>>, StoreError> {
        while self.taken == self.packet.items.len() {
            match &mut self.packet.end {
                Some(End::Failed(error)) if error.is_some() => return error.take().map_or(Ok(None), Err),
                Some(_) => return Ok(None),
                None => {}
            }
            let next = self.packets.as_ref().and_then(|packets| packets.recv().ok());
            let gone = || StoreError::from_io(self.reader.path(), std::io::Error::other("the thread that reads it ended early"));
            self.packet = next.ok_or_else(gone)?;
            self.taken = 0;
        }
        self.taken += 1;
        Ok(self.packet.item(self.taken - 1))
    }

    fn node(&mut self, level: u8, index: u64) -> Result<StoredNode, StoreError> {
        Ok(self.reader.node(level, index)?.map_or(StoredNode::Absent, StoredNode::Present))
    }
}
