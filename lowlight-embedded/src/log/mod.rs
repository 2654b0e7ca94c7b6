//! [`FlashLog`]: a ring of sectors on NOR flash that keeps the entries of one device log (`docs/format.md`, section 16).
//!
//! ```text
//! sector   0: lap 2   1: lap 2   2: lap 2 (written)   3: being erased   4: lap 1 (oldest)   ...
//!                                 header | frame | frame | erased ...
//! ```
//!
//! Limits: frames of at most `MAX` bytes; no allocation, no memory that grows with the number of sectors.
//!
//! 1. No word is programmed twice between two erasures.
//! 2. What was found at a start is never trusted to be erased, and a frame that may be torn is never the last word on its index.
//!    What leaves no trace whatever in the note of a start is programmed again at the same place; reading it back is what is left then.
//! 3. Sectors are erased in turn: erase counts differ by one at most, unless a sector fails, or power goes while one is opened or
//!    stands erased ahead.

mod append;
mod mount;
mod read;

use super::{FlashSink, NorFlash, bisync};
use crate::{FlashError, Options, Stored};
use core::ops::Range;
use embedded_storage::nor_flash::NorFlashError as _;
use lowlight_core::flash::{self, MOST_BAD, Pass, SectorHeader};
use lowlight_core::link::DeviceStatus;
use lowlight_core::{Digest, LogId};

/// A log on the flash `F` in frames of at most `MAX` bytes.
///
/// `MAX` is a multiple of the write size, 128 to 4,032: the longest body plus 8. A start without a clean stop costs up to two
/// times `MAX` bytes of the sector that was being written.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of a single bit")]
pub struct FlashLog<F, const MAX: usize> {
    flash: F,
    /// Where the first sector begins.
    start: u32,
    sectors: u32,
    options: Options,
    log_id: LogId,
    run: u32,
    /// The sector that is written; when `is_open` is not set, the one before the next to be opened.
    seq: Option<u32>,
    anchor: [u8; 4],
    /// Where the next frame goes.
    offset: u32,
    is_open: bool,
    /// The next sector was erased since the start, and nothing was programmed there.
    is_erased: bool,
    /// The next frame is to be a note that says where the log stands.
    needs_boot: bool,
    /// The head is not that of all entries: some could not be read at a start, and none was written since.
    is_torn: bool,
    doubt: Doubt,
    /// An operation was begun and its end not seen.
    is_dirty: bool,
    has_failed: bool,
    /// There is a header of a log with other sectors or frames.
    has_other: bool,
    /// Places in a row that failed.
    bad: u32,
    next: u64,
    head: Digest,
    first: u64,
    acked: u64,
    dropped: u64,
    cursor: Cursor,
    /// Address and length of what `buffer` holds of the flash; length 0 when it holds something else.
    window: (u32, usize),
    buffer: [u8; MAX],
}

/// What is to be settled before anything is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    /// The next sector may read as opened one day: it is erased.
    Next,
    /// The newest sector holds nothing and is opened anew. When the erasure is cut, it may read as it did before: where a torn frame
    /// might then read as whole, a note says first that it is void.
    Newest {
        /// There is no such frame, or the note is there.
        is_clear: bool,
    },
}

/// Where reading goes on: what comes next for `pass` stands at its place or behind it in the same sector.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    pass: Pass,
    /// Entries from here on were never there, up to the next note.
    end: u64,
}

#[bisync]
impl<F: NorFlash, const MAX: usize> FlashLog<F, MAX> {
    const CHECKED: () = {
        assert!(F::WRITE_SIZE.is_power_of_two() && F::WRITE_SIZE <= 32, "write sizes of 1, 2, 4, 8, 16 and 32 bytes are supported");
        assert!(F::WRITE_SIZE.is_multiple_of(F::READ_SIZE), "the write size must be a multiple of the read size");
        assert!(
            MAX.is_multiple_of(F::WRITE_SIZE) && MAX >= flash::MIN_FRAME && MAX <= flash::MAX_FRAME,
            "MAX must be a multiple of the write size, 128 to 4,032"
        );
        assert!(
            F::ERASE_SIZE.is_multiple_of(F::WRITE_SIZE) && F::ERASE_SIZE >= flash::HEADER + 2 * MAX,
            "a sector must hold its header and two frames"
        );
        assert!(F::ERASE_SIZE.is_power_of_two(), "the size of a sector must be a power of two");
        assert!(F::ERASE_SIZE <= 1 << flash::LOG2_MAX_SECTOR, "sectors of up to 1 MiB are supported");
    };
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    const SIZE: u32 = F::ERASE_SIZE as u32;
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    const HEADER: u32 = flash::HEADER as u32;

    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    const WRITE: u32 = F::WRITE_SIZE as u32;
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    const MAX: u32 = MAX as u32;

    /// Where the log stands.
    pub fn status(&self) -> DeviceStatus {
        DeviceStatus {
            log_id: self.log_id,
            run: self.run,
            first: self.first,
            next: self.next,
            acked: self.acked,
            reclaimed: self.first.saturating_sub(self.acked),
            dropped: self.dropped,
            laps: self.seq.map_or(0, |seq| seq / self.sectors + 1),
            head: self.head,
            is_torn: self.is_torn,
        }
    }

    /// Says how many entries were lost so far before they reached flash; kept with the next sector.
    pub fn set_dropped(&mut self, dropped: u64) {
        self.dropped = self.dropped.max(dropped);
    }

    /// Says that all entries below `upto` are safe elsewhere. Kept in memory, and with the next sector.
    pub fn acknowledge(&mut self, upto: u64) {
        self.acked = self.acked.max(upto.min(self.next));
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// The flash, to look at.
    pub fn flash(&self) -> &F {
        &self.flash
    }

    fn check(region: &Range<u32>, capacity: usize) -> Result<u32, FlashError> {
        let () = Self::CHECKED;
        let (size, end) = (Self::SIZE, usize::try_from(region.end).unwrap_or(usize::MAX));
        let length = region.end.checked_sub(region.start).ok_or(FlashError::Region)?;
        let is_whole = region.start.is_multiple_of(size) && length.is_multiple_of(size);
        let is_ring = (2..=u16::MAX.into()).contains(&(length / size));
        if is_whole && is_ring && end <= capacity { Ok(length / size) } else { Err(FlashError::Region) }
    }

    /// Where to go on writing when what stands from `offset` on may be torn: a multiple of `MAX` with a whole frame's room before it.
    fn next_place(offset: u32) -> u32 {
        offset.saturating_add(Self::MAX).checked_next_multiple_of(Self::MAX).unwrap_or(u32::MAX)
    }

    fn address(&self, seq: u32) -> u32 {
        self.start + seq % self.sectors * Self::SIZE
    }

    /// The header of the sector of that seq, if it is there. One that has rotten is what the sector before says it was, as long as
    /// frames agree.
    async fn header(&mut self, seq: u32) -> Option<SectorHeader> {
        let found = self.header_at(seq % self.sectors).await;
        if found.is_some() || self.reads_erased() {
            return found.filter(|header| header.seq == seq);
        }
        let mut from = seq;
        let mut header = loop {
            from = from.checked_sub(1).filter(|from| seq - from <= MOST_BAD.min(self.sectors - 1))?;
            match self.header_at(from % self.sectors).await {
                Some(header) if header.seq == from => break header,
                Some(_) => return None,
                None => {}
            }
        };
        while header.seq < seq {
            header = self.pass(&header).await.following(&header);
            if self.pass(&header).await.frames == 0 {
                return None;
            }
        }
        Some(header)
    }

    /// Whether the header that was looked at last reads as erased.
    fn reads_erased(&self) -> bool {
        self.buffer.iter().take(flash::HEADER).all(|byte| *byte == 0xFF)
    }

    /// The header at a position. One that cannot be read is none.
    async fn header_at(&mut self, position: u32) -> Option<SectorHeader> {
        self.window.1 = 0;
        let bytes = self.buffer.first_chunk_mut::<{ flash::HEADER }>()?;
        if self.flash.read(self.start + position * Self::SIZE, bytes).await.is_err() {
            // What cannot be read is not erased.
            bytes.fill(0);
        }
        let header = SectorHeader::parse(bytes)?;
        // Of another log nothing counts; which one this is the newest header says.
        let is_known = self.seq.is_none() || header.log_id == self.log_id;
        let is_layout = u32::from(header.log2_write) == F::WRITE_SIZE.trailing_zeros()
            && u32::from(header.log2_sector) == Self::SIZE.trailing_zeros()
            && usize::from(header.max) == MAX
            && u32::from(header.sectors) == self.sectors
            && header.seq % self.sectors == position;
        self.has_other |= !is_layout;
        (is_known && is_layout).then_some(header)
    }

    /// The bytes of the sector `seq` from `offset` on, as many as a frame there may have.
    async fn bytes(&mut self, seq: u32, offset: u32) -> Result<&[u8], FlashError> {
        let address = self.address(seq) + offset;
        let wanted = usize::try_from(Self::SIZE.saturating_sub(offset)).unwrap_or(MAX).min(MAX);
        let (from, length) = self.window;
        let skip = usize::try_from(address.wrapping_sub(from)).unwrap_or(usize::MAX);
        // What is there is enough when the frame ends in it.
        let held =
            if length == 0 { None } else { self.buffer.get(..length).and_then(|window| window.get(skip..)).filter(|rest| is_whole(rest)) };
        if held.is_some() {
            return self.buffer.get(skip..length).ok_or(FlashError::Buffer);
        }
        self.window.1 = 0;
        let window = self.buffer.get_mut(..wanted).ok_or(FlashError::Buffer)?;
        let mut length = wanted;
        if self.flash.read(address, window).await.is_err() {
            // What cannot be read may stand behind the frame.
            let failed = |error: F::Error| FlashError::Flash(error.kind());
            length = flash::FRAME_HEAD.next_multiple_of(F::WRITE_SIZE).min(wanted);
            self.flash.read(address, window.get_mut(..length).ok_or(FlashError::Buffer)?).await.map_err(failed)?;
            if let Some(word) = window.first_chunk::<2>().map(|word| u16::from_le_bytes(*word)).filter(|word| *word != u16::MAX) {
                length = (flash::FRAME_HEAD + usize::from(word & 0xFFF)).next_multiple_of(F::WRITE_SIZE).min(wanted);
                self.flash.read(address, window.get_mut(..length).ok_or(FlashError::Buffer)?).await.map_err(failed)?;
            }
        }
        self.window = (address, length);
        self.buffer.get(..length).ok_or(FlashError::Buffer)
    }
}

/// Whether what these bytes begin with ends among them.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(word) = bytes.first_chunk::<2>().map(|word| u16::from_le_bytes(*word)) else { return false };
    bytes.len() >= flash::FRAME_HEAD && (word == u16::MAX || bytes.len() >= flash::FRAME_HEAD + usize::from(word & 0xFFF))
}

#[bisync]
impl<F: NorFlash, const MAX: usize> FlashSink for FlashLog<F, MAX> {
    type Error = FlashError;

    async fn append(&mut self, batch: &[&[u8]]) -> Result<u64, FlashError> {
        Self::append(self, batch).await
    }

    async fn read_from(&mut self, index: u64, buffer: &mut [u8]) -> Result<Option<Stored>, FlashError> {
        self.read(index, buffer).await
    }

    fn acknowledge(&mut self, upto: u64) {
        Self::acknowledge(self, upto);
    }

    fn set_dropped(&mut self, dropped: u64) {
        Self::set_dropped(self, dropped);
    }

    async fn maintain(&mut self) -> Result<bool, FlashError> {
        self.prepare().await
    }

    async fn stop(&mut self) -> Result<(), FlashError> {
        Self::stop(self).await
    }

    fn status(&self) -> DeviceStatus {
        Self::status(self)
    }
}
