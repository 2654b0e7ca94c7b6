//! Reading the log in an image of flash, as it was copied out of a device (`docs/format.md`, section 16.3).
//!
//! Limits: the image is a slice; nothing is kept per sector.
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
    /// The length does not fit the sectors.
    #[error("it is not made of whole sectors: give the erase size of the flash and the region that the log was mounted on")]
    Size,
    /// Frames of a sector stand behind its end.
    #[error("entries stand behind the end of a sector: its sectors are larger than the size that was given")]
    Larger,
}

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
    end: u64,
    /// The leaf before `end`, as the device knows it.
    head: Digest,
    is_torn: bool,
}

impl<'a> Image<'a> {
    /// Reads the log in an image of flash with erase blocks of `sector` bytes, wherever in it the log's region is. Where the size is not
    /// given, it is the largest power of two at whose multiples all headers stand.
    ///
    /// # Errors
    ///
    /// [`ImageError`].
    pub fn new(bytes: &'a [u8], sector: Option<usize>) -> Result<Self, ImageError> {
        let newest = headers(bytes).map(|(_, header)| header).max_by_key(|header| header.seq).ok_or(ImageError::NoLog)?;
        let least = HEADER + 2 * (newest.max as usize);
        let is_whole = |size| headers(bytes).all(|(at, header)| header.log_id != newest.log_id || at.is_multiple_of(size));
        let fits = |size| region(bytes, size, &newest).map(|region| (size, region));
        let found = match sector {
            Some(size) if reaches_behind(bytes, size, &newest) => return Err(ImageError::Larger),
            Some(size) => Some(size).filter(|size| *size >= least && is_whole(*size)).and_then(fits),
            None => (7..=24).rev().map(|shift| 1 << shift).filter(|size| *size >= least && is_whole(*size)).find_map(fits),
        };
        let (sector, (start, sectors)) = found.ok_or(ImageError::Size)?;
        let length = sector * (sectors as usize);
        let bytes = bytes.get(start * sector..start * sector + length).ok_or(ImageError::Size)?;
        let mut image = Self {
            bytes,
            sector,
            write: 1 << newest.log2_write,
            max: newest.max,
            sectors,
            newest,
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

    /// Size of a sector, bytes.
    pub fn sector(&self) -> usize {
        self.sector
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
        FoundIn { image: *self, pass: None, seq: self.oldest(), end: None, held: None, next: 0 }
    }

    fn oldest(&self) -> u32 {
        (self.newest.seq + 1).saturating_sub(self.sectors)
    }

    fn header_at(&self, position: u32) -> Option<SectorHeader> {
        let header = header_in(self.bytes, position as usize * self.sector)?;
        let is_ours = header.log_id == self.newest.log_id && 1 << header.log2_write == self.write && header.max == self.max;
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

    /// Where entries end that stand at `pass` up to the next note; see the log on the device.
    fn true_end(&self, pass: &Pass) -> u64 {
        let (mut behind, mut end) = (*pass, u64::MAX);
        while self.is_inside(&behind) {
            let frames = behind.frames;
            let (_, first) = self.step(&mut behind);
            if first.is_none() && behind.frames > frames {
                end = end.min(behind.next);
            }
        }
        if behind.is_void {
            return 0;
        }
        self.first_of(behind.place.seq + 1).map_or(end, |header| end.min(header.first))
    }
}

fn header_in(bytes: &[u8], at: usize) -> Option<SectorHeader> {
    SectorHeader::parse(bytes.get(at..)?.first_chunk::<HEADER>()?)
}

/// All that parses as a header of a sector, and where.
fn headers(bytes: &[u8]) -> impl Iterator<Item = (usize, SectorHeader)> {
    (0..bytes.len()).step_by(32).filter_map(|at| header_in(bytes, at).map(|header| (at, header)))
}

/// Whether a frame of a sector of the log of `newest` stands `size` bytes behind where the sector begins, or further.
fn reaches_behind(bytes: &[u8], size: usize, newest: &SectorHeader) -> bool {
    let mut own = headers(bytes).filter(|(_, header)| header.log_id == newest.log_id && header.max == newest.max).peekable();
    while let Some((start, header)) = own.next() {
        let end = own.peek().map_or(bytes.len(), |(at, _)| *at);
        let (mut pass, write) = (Pass { is_blind: true, ..Pass::new(&header) }, 1 << header.log2_write);
        while let at = start.saturating_add(pass.place.offset as usize)
            && at < end
        {
            let seen = parse(&pass.place, write as usize, bytes.get(at..end.min(at + header.max as usize)).unwrap_or_default());
            if at - start >= size && matches!(seen, Seen::Frame(..)) {
                return true;
            }
            pass.take(&seen, write, header.max);
        }
    }
    false
}

/// The first sector and the number of sectors of the region in which each header of the log of `newest` proves its place: the largest
/// one, for what no sector was opened in says nothing.
fn region(bytes: &[u8], size: usize, newest: &SectorHeader) -> Option<(usize, u32)> {
    let all = u32::try_from(bytes.len().checked_div(size)?).ok()?;
    let mut own = headers(bytes).filter(|(at, header)| header.log_id == newest.log_id && at.is_multiple_of(size));
    let (mut low, mut high, mut place) = (u32::MAX, 0, None);
    // seq - position is a multiple of the number of sectors, less the first one: so is how far two of them are apart.
    let (mut offset, mut apart) = (None, 0_i64);
    own.try_for_each(|(at, header)| {
        let position = u32::try_from(at / size).ok()?;
        (low, high) = (low.min(position), high.max(position));
        place = place.or((header.seq == newest.seq).then_some(position));
        let own = i64::from(header.seq) - i64::from(position);
        apart = gcd(apart, own - *offset.get_or_insert(own));
        Some(())
    })?;
    let place = place?;
    let fits = |count: u32| {
        let start = place.checked_sub(newest.seq.checked_rem(count)?).filter(|_| count > 1)?;
        (start <= low && high - start < count && count <= all - start).then_some((start as usize, count))
    };
    if apart == 0 {
        // Of a log in its first lap nothing says where its region ends; in a later one every sector has a header.
        let start = place.checked_sub(newest.seq);
        return start.map_or_else(|| (high - low + 1..=high - low + 2).find_map(fits), |start| fits(all - start));
    }
    let most = u32::try_from(apart).unwrap_or(u32::MAX).min(all);
    (2..=most).rev().filter(|count| apart % i64::from(*count) == 0).find_map(fits)
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Goes through an image.
#[derive(Debug, Clone)]
pub struct FoundIn<'a> {
    image: Image<'a>,
    pass: Option<Pass>,
    seq: u32,
    /// Where entries up to the next note end.
    end: Option<u64>,
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
                self.next = self.next.max(header.first);
                return Some(Found::Anchor { index: header.first, head: header.anchor, is_torn: header.is_torn });
            };
            let (seen, first) = self.image.step(&mut pass);
            self.pass = Some(pass);
            match seen {
                Seen::Frame(Frame::Note(super::Note::Boot(boot)), _) => {
                    self.end = None;
                    // One that a later note takes back says nothing.
                    if boot.next >= self.next && boot.next <= self.image.true_end(&pass) {
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
        let end = *self.end.get_or_insert_with(|| self.pass.map_or(0, |pass| self.image.true_end(&pass)));
        let body = frame.bodies().nth(given).filter(|_| index < end.min(self.image.end));
        self.held = body.map(|_| (frame, index + 1, given + 1));
        let body = body?;
        self.next = index + 1;
        Some(Found::Entry { index, body })
    }
}
