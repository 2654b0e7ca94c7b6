//! Messages between a host and a device: parsed and emitted (`docs/format.md`, sections 17.2 and 17.3).
//!
//! ```text
//! host                                   device
//! STATUS                             ->  Status
//! READ from, frames                  ->  Entries (up to that many times, until one is empty)
//! ACKNOWLEDGE upto                   ->  Status
//! ```
//!
//! 1. A request says all that the answer depends on: the device keeps nothing between two, and each may be asked again.
//! 2. An answer has the number of its request; a host that sees another one asked before throws it away.

mod witness;

pub use witness::{Ask, parse_answer};

use crate::chain::{Digest, LogId};
use crate::entry::MAX_SIZE;
use crate::frame::{MAX_MESSAGE, OVERHEAD, count_prefixed, prefixed, put_all};

/// What an answer's kind has that a request's has not.
pub const ANSWER: u8 = 0x80;
/// Kind of the answer to what is no request.
pub const REFUSED: u8 = 0xFF;
/// What a message of entries has before the first, bytes.
pub const ENTRIES_HEAD: usize = 8 + 8 + 1 + 32;

const STATUS: u8 = 1;
const READ: u8 = 2;
const ACKNOWLEDGE: u8 = 3;

/// What a host asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Request {
    /// Where the log stands.
    Status,
    /// Entries from an index on, in up to so many messages.
    Read {
        /// Index of the first.
        from: u64,
        /// Most messages of the answer.
        messages: u8,
    },
    /// All entries below are safe with the host.
    Acknowledge {
        /// Index behind the last of them.
        upto: u64,
    },
}

impl Request {
    /// The kind of its message, and its payload in `buffer`.
    pub fn emit<'b>(&self, buffer: &'b mut [u8; 9]) -> (u8, &'b [u8]) {
        let (kind, index, length) = match *self {
            Self::Status => (STATUS, 0, 0),
            Self::Read { from, messages } => {
                if let Some(last) = buffer.last_mut() {
                    *last = messages;
                }
                (READ, from, 9)
            }
            Self::Acknowledge { upto } => (ACKNOWLEDGE, upto, 8),
        };
        if let Some(slot) = buffer.first_chunk_mut::<8>() {
            *slot = index.to_le_bytes();
        }
        (kind, buffer.get(..length).unwrap_or_default())
    }

    /// Parses a request; `None` when it is none, or has numbers that no log has.
    pub fn parse(kind: u8, payload: &[u8]) -> Option<Self> {
        let index = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes).filter(|index| *index <= MAX_SIZE);
        match (kind, payload) {
            (STATUS, []) => Some(Self::Status),
            (READ, [from @ .., messages]) if *messages > 0 => index(from).map(|from| Self::Read { from, messages: *messages }),
            (ACKNOWLEDGE, upto) => index(upto).map(|upto| Self::Acknowledge { upto }),
            _ => None,
        }
    }
}

/// Where the log of a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceStatus {
    /// Id of the log.
    pub log_id: LogId,
    /// Number of the start of the firmware.
    pub run: u32,
    /// Oldest index that is there.
    pub first: u64,
    /// Index of the next entry.
    pub next: u64,
    /// All below were acknowledged, as far as the device remembers.
    pub acked: u64,
    /// Entries whose space was reused before that.
    pub reclaimed: u64,
    /// Entries that were lost before they reached storage.
    pub dropped: u64,
    /// How often each place was erased, at most.
    pub laps: u32,
    /// Leaf of the newest entry.
    pub head: Digest,
    /// Entries before could not be read by the device, so that `head` is not the leaf of the entry before.
    pub is_torn: bool,
}

/// Length of a status, bytes.
pub const STATUS_LENGTH: usize = 16 + 4 + 5 * 8 + 4 + 32 + 1;

impl DeviceStatus {
    /// Its bytes.
    pub fn emit(&self) -> [u8; STATUS_LENGTH] {
        let mut bytes = [0; STATUS_LENGTH];
        let numbers = [self.first, self.next, self.acked, self.reclaimed, self.dropped].map(u64::to_le_bytes);
        let (run, laps) = (self.run.to_le_bytes(), self.laps.to_le_bytes());
        put_all(&mut bytes, &[&self.log_id.0, &run, numbers.as_flattened(), &laps, &self.head.0, &[self.is_torn.into()]]);
        bytes
    }

    /// Parses a status; `None` when it is none.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (log_id, rest) = payload.split_first_chunk::<16>()?;
        let (run, mut rest) = rest.split_first_chunk::<4>()?;
        let mut numbers = [0; 5];
        for number in &mut numbers {
            let (bytes, after) = rest.split_first_chunk::<8>()?;
            (*number, rest) = (u64::from_le_bytes(*bytes), after);
        }
        let (laps, rest) = rest.split_first_chunk::<4>()?;
        let (head, torn) = rest.split_first_chunk::<32>()?;
        let [first, next, acked, reclaimed, dropped] = numbers;
        let fits = numbers.iter().all(|number| *number <= MAX_SIZE) && first <= next && acked <= next;
        let is_torn = matches!(torn, [1]);
        (fits && (is_torn || torn == [0])).then_some(Self {
            log_id: LogId(*log_id),
            run: u32::from_le_bytes(*run),
            first,
            next,
            acked,
            reclaimed,
            dropped,
            laps: u32::from_le_bytes(*laps),
            head: Digest(*head),
            is_torn,
        })
    }
}

/// The leaf before an entry, as the device has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Before {
    /// The leaf.
    pub leaf: Digest,
    /// The device lost entries before and chained on from the last it knew: the leaf is not that of the entry before.
    pub is_torn: bool,
}

impl From<Digest> for Before {
    fn from(leaf: Digest) -> Self {
        Self { leaf, is_torn: false }
    }
}

/// An answer of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Answer<'a> {
    /// To a request for it, and to an acknowledgement.
    Status(DeviceStatus),
    /// To a request to read.
    Entries(Entries<'a>),
    /// The request is none of these, or the log cannot be read.
    Refused,
}

impl<'a> Answer<'a> {
    /// Parses an answer; `None` when it is none.
    pub fn parse(kind: u8, payload: &'a [u8]) -> Option<Self> {
        match kind {
            REFUSED => Some(Self::Refused),
            _ if kind == READ | ANSWER => Entries::parse(payload).map(Self::Entries),
            _ if kind == STATUS | ANSWER || kind == ACKNOWLEDGE | ANSWER => DeviceStatus::parse(payload).map(Self::Status),
            _ => None,
        }
    }
}

/// Entries in a row, as a message holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entries<'a> {
    /// Index that was asked for, or behind the message before: what lies from here to `index` is not there. Without it a message that
    /// was lost on the way would pass for entries that the device does not have.
    pub asked: u64,
    /// Index of the first; where there is none, of the next that the device will have.
    pub index: u64,
    /// The leaf before it, where the device knows it.
    pub before: Option<Before>,
    /// Lengths and bodies.
    bodies: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Parses entries; `None` when they are none, also when one is empty.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let (asked, rest) = payload.split_first_chunk::<8>()?;
        let (index, rest) = rest.split_first_chunk::<8>()?;
        let (flags, rest) = rest.split_first()?;
        let (leaf, bodies) = rest.split_first_chunk::<32>()?;
        let before = match flags {
            0 if *leaf == [0; 32] => None,
            1 | 2 => Some(Before { leaf: Digest(*leaf), is_torn: *flags == 2 }),
            _ => return None,
        };
        let entries = Self { asked: u64::from_le_bytes(*asked), index: u64::from_le_bytes(*index), before, bodies };
        let count = count_prefixed(bodies).and_then(|count| u64::try_from(count).ok())?;
        (entries.index <= MAX_SIZE - count.min(MAX_SIZE) && (entries.asked <= entries.index || count == 0)).then_some(entries)
    }

    /// The bodies, in order of index.
    pub fn bodies(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        prefixed(self.bodies)
    }

    /// Puts what stands before the first body into a payload.
    pub fn emit_head(asked: u64, index: u64, before: Option<Before>, payload: &mut [u8]) -> Option<()> {
        let head = payload.get_mut(..ENTRIES_HEAD)?;
        let (numbers, flags) = ([asked, index].map(u64::to_le_bytes), [before.map_or(0, |before| 1 + u8::from(before.is_torn))]);
        let leaf = before.map_or([0; 32], |before| before.leaf.0);
        put_all(head, &[numbers.as_flattened(), &flags, &leaf]);
        Some(())
    }
}

/// What a message of one entry has beside its body, bytes.
pub const ENTRY_OVERHEAD: usize = OVERHEAD + ENTRIES_HEAD + 2;

// Whatever fits a frame of a flash log fits a message.
const _: () = assert!(crate::flash::MAX_FRAME - crate::flash::FRAME_HEAD + ENTRY_OVERHEAD <= MAX_MESSAGE);

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn status() -> DeviceStatus {
        DeviceStatus {
            log_id: LogId([3; 16]),
            run: 9,
            first: 10,
            next: 500,
            acked: 7,
            reclaimed: 3,
            dropped: 1,
            laps: 4,
            head: Digest([8; 32]),
            is_torn: true,
        }
    }

    #[test]
    fn messages_come_back_as_they_went() {
        for request in [Request::Status, Request::Read { from: MAX_SIZE, messages: 255 }, Request::Acknowledge { upto: 77 }] {
            let mut buffer = [0; 9];
            let (kind, payload) = request.emit(&mut buffer);
            assert_eq!(Request::parse(kind, payload), Some(request));
            assert_eq!(Request::parse(kind, &[payload, &[0]].concat()), None);
        }
        assert_eq!(DeviceStatus::parse(&status().emit()), Some(status()));
        let mut payload = Vec::from([0; ENTRIES_HEAD]);
        Entries::emit_head(2, 6, Some(Digest([5; 32]).into()), &mut payload).unwrap();
        payload.extend([1, 0, 9, 2, 0, 8, 7]);
        let entries = Entries::parse(&payload).unwrap();
        assert_eq!((entries.asked, entries.index, entries.before), (2, 6, Some(Digest([5; 32]).into())));
        assert!(entries.bodies().eq([&[9][..], &[8, 7]]));
        let torn = Before { leaf: Digest([4; 32]), is_torn: true };
        Entries::emit_head(2, 6, Some(torn), &mut payload).unwrap();
        assert_eq!(Entries::parse(&payload).unwrap().before, Some(torn));
    }

    #[test]
    fn what_no_log_can_say_is_refused() {
        let wrong = [
            DeviceStatus { first: 501, ..status() },
            DeviceStatus { acked: 501, ..status() },
            DeviceStatus { next: MAX_SIZE + 1, ..status() },
            DeviceStatus { dropped: u64::MAX, ..status() },
        ];
        for status in wrong {
            assert_eq!(DeviceStatus::parse(&status.emit()), None);
        }
        let mut bytes = status().emit();
        *bytes.last_mut().unwrap() = 2;
        assert_eq!(DeviceStatus::parse(&bytes), None);
        assert_eq!(DeviceStatus::parse(&bytes[1..]), None);
        assert_eq!(Request::parse(READ, &[0; 9]), None);
        assert_eq!(Request::parse(READ, &[0xFF; 9]), None);
        assert_eq!(Request::parse(0, &[]), None);
        let mut payload = Vec::from([0; ENTRIES_HEAD]);
        Entries::emit_head(0, MAX_SIZE - 1, None, &mut payload).unwrap();
        for (bodies, is_fine) in
            [(&[1, 0, 9][..], true), (&[1, 0, 9, 1, 0, 9], false), (&[2, 0, 9], false), (&[0, 0], false), (&[1], false)]
        {
            assert_eq!(Entries::parse(&[&payload, bodies].concat()).is_some(), is_fine, "{bodies:?}");
        }
        *payload.last_mut().unwrap() = 1;
        assert_eq!(Entries::parse(&payload), None, "a leaf that is not known is zeros");
    }
}
