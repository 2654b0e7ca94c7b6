//! Reading the log in an image of flash, as it was copied out of a device (`docs/format.md`, section 16.3).
//!
//! Limits: the image is a slice; nothing is kept per sector, 2 KiB for the one that is being read.
//!
//! ```text
//! Image::new -> next: Anchor(first sector) Entry Entry Anchor(note of a start) Entry ... Anchor(next sector) ...
//! ```
//!
//! 1. What a mount on the device finds is found here, byte for byte from the same rules.
//! 2. A torn frame that a later note says was never there is left out.

use super::{Frame, HEADER, MOST_BAD, Pass, SectorHeader, Seen, parse};
use crate::chain::{Digest, LogId};

/// Why an image was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ImageError {
    /// There is no sector of a flash log.
    #[error("no sector of a flash log is in it")]
    NoLog,
    /// The image is but a part of the log.
    #[error(
        "the log has {0} sectors, and not all of them are in the image: read out the whole region, or put zeros where something is missing"
    )]
    Cut(u16),
}

/// Parts of a sector for which is kept where entries before them end: so many times shorter is what is looked through for each note.
const PARTS: usize = 256;
type Ends = [u64; PARTS + 1];

/// One thing that stands in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Found<'a> {
    /// The device said that `head` is the leaf before `index`.
    Anchor {
        /// The index.
        index: u64,
        /// The leaf.
        head: Digest,
        /// Entries before could not be read by the device itself.
        is_torn: bool,
    },
    /// An entry.
    Entry {
        /// Its index.
        index: u64,
        /// Its body.
        body: &'a [u8],
    },
}

/// The log in an image.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    bytes: &'a [u8],
    sector: usize,
    write: usize,
    max: u32,
    sectors: u32,
    newest: SectorHeader,
    other: Option<LogId>,
    end: u64,
    /// The leaf before `end`, as the device knows it.
    head: Digest,
    is_torn: bool,
}

impl<'a> Image<'a> {
    /// Reads the log in an image of flash, wherever in it the log's region is; of several, that of which most sectors are there.
    ///
    /// # Errors
    ///
    /// [`ImageError`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let groups = groups(bytes);
        let group = groups.iter().max_by_key(|group| (group.count, core::cmp::Reverse(group.at))).ok_or(ImageError::NoLog)?;
        let other = groups.iter().find(|other| other.at != group.at).map(|other| other.newest.log_id);
        let newest = group.newest;
        let (size, cut) = (newest.sector(), ImageError::Cut(newest.sectors));
        let start = usize::try_from(group.start).map_err(|_| cut)?;
        let length = size.checked_mul(newest.sectors.into()).ok_or(cut)?;
        let mut image = Self {
            bytes: bytes.get(start..).and_then(|bytes| bytes.get(..length)).ok_or(cut)?,
            sector: size,
            write: 1 << newest.log2_write,
            max: newest.max.into(),
            sectors: newest.sectors.into(),
            newest,
            other,
            end: 0,
            head: newest.anchor,
            is_torn: false,
        };
        for _ in 0..=MOST_BAD {
            match image.header(image.newest.seq.saturating_add(1)) {
                Some(header) => image.newest = header,
                None => break,
            }
        }
        let pass = image.pass(&image.newest);
        let is_empty = pass.frames == 0 || pass.is_void;
        let known = if is_empty { Pass::new(&image.newest) } else { pass };
        (image.end, image.head, image.is_torn) = (known.next, known.head, known.lost_its_head());
        Ok(image)
    }

    /// Id of the log.
    pub fn log_id(&self) -> LogId {
        self.newest.log_id
    }

    /// The log of sectors that are not among those that are read: another one, or a copy of this one.
    pub fn other(&self) -> Option<LogId> {
        self.other
    }

    /// Index behind the newest entry.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Index of the oldest entry that may be there.
    pub fn first(&self) -> u64 {
        self.first_of(self.oldest()).map_or(self.end, |header| header.first)
    }

    /// All that stands in it, in order.
    pub fn found(&self) -> FoundIn<'a> {
        FoundIn { image: *self, pass: None, seq: self.oldest(), end: None, ends: [0; PARTS + 1], held: None, next: 0 }
    }

    fn oldest(&self) -> u32 {
        (self.newest.seq + 1).saturating_sub(self.sectors)
    }

    fn header_at(&self, position: u32) -> Option<SectorHeader> {
        let header = header_in(self.bytes, position as usize * self.sector)?;
        let is_ours = header.log_id == self.newest.log_id && header.has_layout_of(&self.newest);
        (is_ours && header.seq % self.sectors == position).then_some(header)
    }

    /// The header of that seq, or what the sector before says it was.
    fn header(&self, seq: u32) -> Option<SectorHeader> {
        if let Some(found) = self.header_at(seq % self.sectors) {
            return Some(found).filter(|header| header.seq == seq);
        }
        let start = (seq % self.sectors) as usize * self.sector;
        if self.bytes.get(start..start + HEADER)?.iter().all(|byte| *byte == 0xFF) {
            return None;
        }
        let mut from = seq;
        let mut header = loop {
            from = from.checked_sub(1).filter(|from| seq - from <= MOST_BAD.min(self.sectors - 1))?;
            match self.header_at(from % self.sectors) {
                Some(header) if header.seq == from => break header,
                Some(_) => return None,
                None => {}
            }
        };
        while header.seq < seq {
            header = self.pass(&header).following(&header);
            if self.pass(&header).frames == 0 {
                return None;
            }
        }
        Some(header)
    }

    /// The first header from that seq on that is there and says what can be.
    fn first_of(&self, seq: u32) -> Option<SectorHeader> {
        (seq..=self.newest.seq).find_map(|seq| self.header(seq).filter(|header| header.first <= self.end))
    }

    fn seen(&self, pass: &Pass) -> Seen<'a> {
        let start = (pass.place.seq % self.sectors) as usize * self.sector;
        let from = start.saturating_add(pass.place.offset as usize);
        let to = (start + self.sector).min(from.saturating_add(self.max as usize));
        parse(&pass.place, self.write, self.bytes.get(from..to).unwrap_or_default())
    }

    fn is_inside(&self, pass: &Pass) -> bool {
        (pass.place.offset as usize) < self.sector
    }

    fn step(&self, pass: &mut Pass) -> (Seen<'a>, Option<u64>) {
        let seen = self.seen(pass);
        let first = pass.take(&seen, 1 << self.newest.log2_write, self.max);
        (seen, first)
    }

    fn pass(&self, header: &SectorHeader) -> Pass {
        let mut pass = Pass::new(header);
        while self.is_inside(&pass) {
            self.step(&mut pass);
        }
        pass
    }

    /// In which of the parts of its sector something stands.
    fn part(&self, pass: &Pass) -> usize {
        (pass.place.offset as usize * PARTS / self.sector).min(PARTS - 1)
    }

    /// How low what stands in each part of a sector, or behind it, says that entries before it end; last, what stands in the next sector.
    fn ends(&self, header: &SectorHeader) -> Ends {
        let (mut pass, mut ends) = (Pass { is_blind: true, ..Pass::new(header) }, [u64::MAX; PARTS + 1]);
        while self.is_inside(&pass) {
            if let Some(end) = ends.get_mut(self.part(&pass)) {
                self.lower(&mut pass, end);
            }
        }
        let next = || self.first_of(header.seq.saturating_add(1)).map_or(u64::MAX, |header| header.first);
        let mut lowest = if pass.is_void { 0 } else { next() };
        for end in ends.iter_mut().rev() {
            lowest = lowest.min(*end);
            *end = lowest;
        }
        ends
    }

    /// Where entries end that stand before `pass`, behind the last note before it; see the log on the device.
    fn true_end(&self, pass: &Pass, ends: &Ends) -> u64 {
        let (mut behind, mut end) = (Pass { is_blind: true, ..*pass }, u64::MAX);
        let part = self.part(pass);
        while self.is_inside(&behind) && self.part(&behind) == part {
            self.lower(&mut behind, &mut end);
        }
        end.min(ends.get(part + 1).copied().unwrap_or(u64::MAX))
    }

    /// Goes on, and lowers `end` to what a frame without entries says.
    fn lower(&self, pass: &mut Pass, end: &mut u64) {
        let frames = pass.frames;
        let (_, first) = self.step(pass);
        if first.is_none() && pass.frames > frames {
            *end = (*end).min(pass.next);
        }
    }
}

fn header_in(bytes: &[u8], at: usize) -> Option<SectorHeader> {
    SectorHeader::parse(bytes.get(at..)?.first_chunk::<HEADER>()?)
}

/// Sectors of one log in one region.
struct Group {
    /// Where the region begins, as its headers say; negative when that is not in the image.
    start: i64,
    /// Where the first of them stands.
    at: usize,
    count: u32,
    newest: SectorHeader,
}

/// Most groups that are told apart: others that come later are passed over.
const MOST_GROUPS: usize = 16;

/// What sectors there are. By their number the log is told from what was made up and stands in a frame that has rotten since.
fn groups(bytes: &[u8]) -> heapless::Vec<Group, MOST_GROUPS> {
    let mut groups = heapless::Vec::<Group, MOST_GROUPS>::new();
    for (at, header) in headers(bytes) {
        let position = i64::from(header.seq % u32::from(header.sectors));
        let start = i64::try_from(at).unwrap_or(i64::MAX) - (position << header.log2_sector);
        let is_same =
            |group: &&mut Group| group.start == start && group.newest.log_id == header.log_id && group.newest.has_layout_of(&header);
        match groups.iter_mut().find(is_same) {
            Some(group) => {
                group.count += 1;
                if group.newest.seq < header.seq {
                    group.newest = header;
                }
            }
            None => drop(groups.push(Group { start, at, count: 1, newest: header })),
        }
    }
    groups
}

/// All headers of sectors, and where. What parses as one inside a frame of another sector is what somebody has recorded.
fn headers(bytes: &[u8]) -> impl Iterator<Item = (usize, SectorHeader)> {
    let mut sector: Option<(usize, SectorHeader, Pass)> = None;
    (0..bytes.len()).step_by(32).filter_map(move |at| {
        let header = header_in(bytes, at)?;
        if let Some((start, around, pass)) = &mut sector
            && at - *start < around.sector()
            && covers(bytes.get(*start..)?, around, pass, at - *start)
        {
            return None;
        }
        sector = Some((at, header, Pass { is_blind: true, ..Pass::new(&header) }));
        Some((at, header))
    })
}

/// Whether a frame of the sector covers what stands at `at` in it; `pass` has come no further than to there.
fn covers(bytes: &[u8], header: &SectorHeader, pass: &mut Pass, at: usize) -> bool {
    while pass.place.offset as usize <= at {
        let place = pass.place;
        let end = header.sector().min(place.offset as usize + usize::from(header.max));
        let seen = parse(&place, 1 << header.log2_write, bytes.get(place.offset as usize..end.min(bytes.len())).unwrap_or_default());
        if let Seen::Frame(_, size) = seen
            && place.offset as usize + size > at
        {
            return true;
        }
        pass.take(&seen, 1 << header.log2_write, header.max.into());
    }
    false
}

/// Goes through an image.
#[derive(Debug, Clone)]
pub struct FoundIn<'a> {
    image: Image<'a>,
    pass: Option<Pass>,
    seq: u32,
    /// Where entries up to the next note end.
    end: Option<u64>,
    /// Those of the sector.
    ends: Ends,
    /// A frame whose entries are being given out, with the index of the next of them and how many were.
    held: Option<(Frame<'a>, u64, usize)>,
    /// Index behind the last entry that was given out.
    next: u64,
}

impl<'a> Iterator for FoundIn<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        loop {
            if let Some(entry) = self.take_held() {
                return Some(entry);
            }
            let Some(mut pass) = self.pass.filter(|pass| self.image.is_inside(pass)) else {
                let Some(header) = self.image.first_of(self.seq) else { return self.at_end() };
                (self.seq, self.end, self.pass) = (header.seq + 1, None, Some(Pass::new(&header)));
                self.ends = self.image.ends(&header);
                self.next = self.next.max(header.first);
                return Some(Found::Anchor { index: header.first, head: header.anchor, is_torn: header.is_torn });
            };
            let (seen, first) = self.image.step(&mut pass);
            self.pass = Some(pass);
            match seen {
                Seen::Frame(Frame::Note(super::Note::Boot(boot)), _) => {
                    self.end = None;
                    // One that a later note takes back says nothing.
                    if boot.next >= self.next && boot.next <= self.image.true_end(&pass, &self.ends) {
                        self.next = boot.next;
                        return Some(Found::Anchor { index: boot.next, head: boot.head, is_torn: boot.is_torn });
                    }
                }
                Seen::Frame(frame, _) => {
                    self.held = first.map(|first| (frame, first, 0));
                    self.end = self.end.filter(|_| first.is_some());
                }
                Seen::Erased | Seen::Bad => {}
            }
        }
    }
}

impl<'a> FoundIn<'a> {
    /// Where the log ends behind what is there, as the note of a stop may say.
    fn at_end(&mut self) -> Option<Found<'a>> {
        let Image { end, head, is_torn, .. } = self.image;
        let is_behind = core::mem::replace(&mut self.next, end) < end;
        is_behind.then_some(Found::Anchor { index: end, head, is_torn })
    }

    fn take_held(&mut self) -> Option<Found<'a>> {
        let (frame, index, given) = self.held?;
        let end = *self.end.get_or_insert_with(|| self.pass.map_or(0, |pass| self.image.true_end(&pass, &self.ends)));
        let body = frame.bodies().nth(given).filter(|_| index < end.min(self.image.end));
        self.held = body.map(|_| (frame, index + 1, given + 1));
        let body = body?;
        self.next = index + 1;
        Some(Found::Entry { index, body })
    }
}
