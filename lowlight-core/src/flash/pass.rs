//! A pass over the frames of a sector, in order of their offsets (`docs/format.md`, section 16.2).

use super::{Frame, HEADER, Note, Place, SectorHeader, Seen};
use crate::chain::{Digest, leaf};

/// What a pass over a sector has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of a single bit")]
pub struct Pass {
    /// Where it goes on.
    pub place: Place,
    /// Index of the next entry.
    pub next: u64,
    /// Leaf of the newest entry, unless `is_blind`.
    pub head: Digest,
    /// It hashes nothing: for whoever looks for entries and not for their leaves.
    pub is_blind: bool,
    /// Number of the start of the firmware.
    pub run: u32,
    /// The last note or the header said that the device lost entries before, and nothing came since.
    pub is_torn: bool,
    /// Entries since the last note, or since the header, could not be read: `head` is not what the device has.
    pub is_broken: bool,
    /// The last frame was the note of a clean stop.
    pub is_stopped: bool,
    /// The last frame says that the sector is about to be erased.
    pub is_void: bool,
    /// Behind the last frame; where the sector's frames begin when there was none.
    pub end: u32,
    /// Number of frames.
    pub frames: u32,
}

impl Pass {
    /// A pass from the first frame of a sector on.
    pub fn new(header: &SectorHeader) -> Self {
        let [a, b, c, d, ..] = header.anchor.0;
        #[expect(clippy::cast_possible_truncation, reason = "96")]
        let place = Place { seq: header.seq, anchor: [a, b, c, d], offset: HEADER as u32 };
        let mut pass = Self::at(place, header.first, header.anchor);
        (pass.run, pass.is_torn) = (header.run, header.is_torn);
        pass
    }

    /// A pass from a place on whose first entry is `next`.
    pub fn at(place: Place, next: u64, head: Digest) -> Self {
        Self {
            place,
            next,
            head,
            is_blind: false,
            run: 0,
            is_torn: false,
            is_broken: false,
            is_stopped: false,
            is_void: false,
            end: place.offset,
            frames: 0,
        }
    }

    /// Takes in what stands at `place` in a log of that write size and longest frame, and goes on behind it; the index of its first
    /// entry, where it holds entries.
    pub fn take(&mut self, seen: &Seen<'_>, write: u32, max: u32) -> Option<u64> {
        let (frame, size) = match seen {
            Seen::Frame(frame, size) => (frame, size),
            // Writing goes on at such places, where it left some out.
            Seen::Erased => {
                self.place.offset = self.place.offset.saturating_add(1).checked_next_multiple_of(max).unwrap_or(u32::MAX);
                return None;
            }
            // What has rotten may have been of any length.
            Seen::Bad => {
                self.place.offset = self.place.offset.saturating_add(write);
                return None;
            }
        };
        self.place.offset = self.place.offset.saturating_add(u32::try_from(*size).unwrap_or(u32::MAX));
        (self.end, self.frames) = (self.place.offset, self.frames + 1);
        (self.is_stopped, self.is_void) = (false, false);
        match frame {
            Frame::Entries { index, count, .. } => {
                let ahead = self.ahead(*index)?;
                let first = self.next + u64::from(ahead);
                self.is_broken |= ahead > 0;
                self.is_torn = false;
                if !self.is_blind {
                    self.head = frame.bodies().fold(self.head, |head, body| leaf(&head, body));
                }
                self.next = first + u64::from(*count);
                return Some(first);
            }
            Frame::Note(Note::Boot(boot)) => {
                (self.next, self.head, self.run) = (boot.next, boot.head, boot.run);
                (self.is_torn, self.is_broken) = (boot.is_torn, false);
            }
            Frame::Note(Note::Stop(next)) => {
                self.is_stopped = true;
                let ahead = self.ahead(*next).unwrap_or(0);
                self.next += u64::from(ahead);
                self.is_broken |= ahead > 0;
            }
            Frame::Note(Note::Void) => self.is_void = true,
            Frame::Other => {}
        }
        None
    }

    /// How far an index with these lowest 16 bits is ahead; `None` where it lies behind, and was written before, at a place that failed.
    fn ahead(&self, index: u16) -> Option<u16> {
        #[expect(clippy::cast_possible_truncation, reason = "the lowest 16 bits are compared")]
        let ahead = index.wrapping_sub(self.next as u16);
        Some(ahead).filter(|ahead| *ahead < 1 << 15)
    }

    /// Whether `head` is not the leaf of the entry before `next`.
    pub fn lost_its_head(&self) -> bool {
        self.is_broken || self.is_torn
    }

    /// The header of the next sector, if all of this one was seen: what it says when it can no longer be read itself.
    pub fn following(&self, header: &SectorHeader) -> SectorHeader {
        SectorHeader {
            seq: header.seq.saturating_add(1),
            is_torn: self.lost_its_head(),
            run: self.run,
            first: self.next,
            anchor: self.head,
            ..*header
        }
    }
}
