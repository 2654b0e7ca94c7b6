//! Finding the end of a log at a start.

use super::{Cursor, Doubt, FlashLog, NorFlash, bisync};
use crate::{FlashError, Options};
use core::ops::{Range, RangeInclusive};
use lowlight_core::flash::{self, MOST_BAD, Pass, Place, SectorHeader, Seen};
use lowlight_core::{Digest, LogId};

#[bisync]
impl<F: NorFlash, const MAX: usize> FlashLog<F, MAX> {
    /// Finds the log in a region of the flash, or begins one named `new_id` where there is none.
    ///
    /// `new_id` must come from a random source, afresh at each start; it is used only for a new log.
    ///
    /// # Errors
    ///
    /// [`FlashError::Region`] when the region is not made of 2 to 65,535 whole sectors; [`FlashError::Layout`] when a log is there that
    /// was mounted with another `MAX`, write size, erase size or region: nothing of it is overwritten. Otherwise what is in the flash, and whether
    /// it can be read, is never an error.
    pub async fn mount(flash: F, region: Range<u32>, options: Options, new_id: LogId) -> Result<Self, FlashError> {
        let sectors = Self::check(&region, flash.capacity())?;
        let place = Place { seq: 0, anchor: [0; 4], offset: 0 };
        let mut log = Self {
            flash,
            start: region.start,
            sectors,
            options,
            log_id: new_id,
            run: 0,
            seq: None,
            anchor: [0; 4],
            offset: 0,
            is_open: false,
            is_erased: false,
            needs_boot: false,
            is_torn: false,
            doubt: Doubt::None,
            is_dirty: false,
            has_failed: false,
            has_other: false,
            bad: 0,
            next: 0,
            head: new_id.genesis(),
            first: 0,
            acked: 0,
            dropped: 0,
            cursor: Cursor { pass: Pass::at(place, u64::MAX, Digest([0; 32])), end: 0 },
            window: (0, 0),
            buffer: [0; MAX],
        };
        log.find().await;
        if log.seq.is_none() && log.has_other { Err(FlashError::Layout) } else { Ok(log) }
    }

    /// Sets what is known of the log from what is in the flash.
    pub(super) async fn find(&mut self) {
        (self.is_open, self.is_erased, self.window.1, self.cursor.pass.next) = (false, false, 0, u64::MAX);
        self.doubt = Doubt::None;
        let Some(newest) = self.newest().await else { return };
        self.log_id = newest.log_id;
        let pass = self.pass(&newest).await;
        // A header that reads as whole now may not do so the next time: without a frame behind it, its sector is opened anew.
        let is_empty = pass.frames == 0 || pass.is_void;
        let known = if is_empty { Pass::new(&newest) } else { pass };
        (self.next, self.head, self.is_torn) = (known.next, known.head, known.lost_its_head());
        self.run = known.run.max(newest.run).saturating_add(1);
        self.acked = self.acked.max(newest.acked).min(self.next);
        self.dropped = self.dropped.max(newest.dropped);
        self.needs_boot = true;
        self.anchor = pass.place.anchor;
        self.seq = Some(newest.seq);
        let (tail, is_erased) = self.tail(&pass).await;
        self.offset = tail;
        self.is_open = !is_empty && tail < Self::SIZE;
        let hides = self.hides_header(newest.seq.saturating_add(1)).await;
        self.doubt = match (is_empty, hides) {
            (false, false) => Doubt::None,
            (true, false) => Doubt::Newest { is_clear: is_erased || pass.is_void },
            (true, true) if self.sectors == 2 => Doubt::Newest { is_clear: true },
            (_, true) => Doubt::Next,
        };
        self.first = self.oldest(newest.seq).await.map_or(self.next, |oldest| oldest.first);
    }

    /// Whether the place of the next sector holds something that may read as its header one day: neither nothing nor what was there
    /// a lap ago.
    async fn hides_header(&mut self, seq: u32) -> bool {
        let is_old = self.header_at(seq % self.sectors).await.is_some_and(|header| header.seq < seq);
        !is_old && !self.reads_erased()
    }

    /// The newest header; where it has rotten, as its neighbour says it was.
    async fn newest(&mut self) -> Option<SectorHeader> {
        let mut newest = match self.search().await {
            Some(header) => header,
            None => self.look_at_all().await?,
        };
        for _ in 0..=MOST_BAD {
            match self.header(newest.seq.saturating_add(1)).await {
                Some(header) => newest = header,
                None => break,
            }
        }
        Some(newest)
    }

    /// Binary search for the last sector of the lap that the first one belongs to; `None` when anything is not as it should be.
    async fn search(&mut self) -> Option<SectorHeader> {
        let mut newest = self.header_at(0).await?;
        let lap = newest.seq;
        let (mut low, mut high) = (0, self.sectors);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.header_at(middle).await {
                Some(header) if header.seq == lap + middle => (low, newest) = (middle, header),
                Some(header) if Some(header.seq) == (lap + middle).checked_sub(self.sectors) => high = middle,
                None if lap == 0 => high = middle,
                _ => return None,
            }
        }
        // Places that failed were passed over, also around the end.
        for ahead in 1..=(MOST_BAD + 1).min(self.sectors - 1) {
            let position = (low + ahead) % self.sectors;
            if self.header_at(position).await.is_some_and(|header| header.seq > newest.seq) {
                return None;
            }
        }
        Some(newest)
    }

    async fn look_at_all(&mut self) -> Option<SectorHeader> {
        let mut newest: Option<SectorHeader> = None;
        for position in 0..self.sectors {
            if let Some(header) = self.header_at(position).await
                && newest.as_ref().is_none_or(|newest| newest.seq < header.seq)
            {
                newest = Some(header);
            }
        }
        newest
    }

    /// The oldest header that is still there, when `seq` is the newest.
    pub(super) async fn oldest(&mut self, seq: u32) -> Option<SectorHeader> {
        self.first_of((seq + 1).saturating_sub(self.sectors)..=seq).await
    }

    /// The first header that is there and says what can be.
    pub(super) async fn first_of(&mut self, seqs: RangeInclusive<u32>) -> Option<SectorHeader> {
        for seq in seqs {
            let header = self.header(seq).await.filter(|header| header.first <= self.next);
            if header.is_some() {
                return header;
            }
        }
        None
    }

    /// A pass over all frames of a sector.
    pub(super) async fn pass(&mut self, header: &SectorHeader) -> Pass {
        let mut pass = Pass::new(header);
        while pass.place.offset < Self::SIZE {
            self.pass_one(&mut pass).await;
        }
        pass
    }

    /// What stands at the place of `pass`, which goes on behind it; the index of its first entry, where it holds entries.
    pub(super) async fn pass_one(&mut self, pass: &mut Pass) -> Option<u64> {
        let place = pass.place;
        // What cannot be read is not erased.
        let seen = self.bytes(place.seq, place.offset).await.map_or(Seen::Bad, |bytes| flash::parse(&place, F::WRITE_SIZE, bytes));
        pass.take(&seen, Self::WRITE, Self::MAX)
    }

    /// Where the next frame may go: behind a clean stop, or with room for a torn frame between; and with nothing but erased flash behind.
    /// Whether all behind the last frame reads as erased.
    async fn tail(&mut self, pass: &Pass) -> (u32, bool) {
        let resume = Self::next_place(pass.end);
        let mut all = true;
        let (mut tail, mut offset) = (if pass.is_stopped { pass.end } else { resume }, pass.end);
        self.window.1 = 0;
        while offset < Self::SIZE {
            let length = usize::try_from(Self::SIZE - offset).unwrap_or(MAX).min(MAX);
            let is_erased = match self.buffer.get_mut(..length) {
                Some(bytes) => {
                    self.flash.read(self.start + pass.place.seq % self.sectors * Self::SIZE + offset, bytes).await.is_ok()
                        && bytes.iter().all(|byte| *byte == 0xFF)
                }
                None => false,
            };
            all &= is_erased;
            let behind = offset + u32::try_from(length).unwrap_or(0);
            if !is_erased && tail < behind.max(resume) {
                let next = usize::try_from(behind).unwrap_or(usize::MAX / 2).next_multiple_of(MAX);
                tail = u32::try_from(next).unwrap_or(u32::MAX).max(resume);
            }
            offset = behind;
        }
        (tail, all)
    }
}
