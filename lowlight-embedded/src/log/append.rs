//! Appending, erasing ahead, and what happens when flash fails.

use super::{Doubt, FlashLog, NorFlash, bisync};
use crate::{FlashError, WhenFull};
use lowlight_core::chain::leaf;
use lowlight_core::flash::{self, Boot, MOST_BAD, Note, Place, SectorHeader};

#[bisync]
impl<F: NorFlash, const MAX: usize> FlashLog<F, MAX> {
    /// Appends encoded bodies in order and returns the index of the first; several go into one frame where they fit. When it has
    /// returned, all of them survive power loss.
    ///
    /// # Errors
    ///
    /// [`FlashError::TooLarge`], with nothing written; [`FlashError::Full`] and [`FlashError::Failed`], when those from the front that
    /// found room are there: [`status`](Self::status) says how many.
    pub async fn append(&mut self, bodies: &[&[u8]]) -> Result<u64, FlashError> {
        if bodies.iter().any(|body| body.is_empty() || body.len() + flash::FRAME_HEAD > MAX) {
            return Err(FlashError::TooLarge);
        }
        self.ready().await?;
        let index = self.next;
        let mut rest = bodies;
        while !rest.is_empty() {
            self.room(rest).await?;
            self.window.1 = 0;
            let emitted = flash::emit(&self.place(), self.next, rest, F::WRITE_SIZE, self.left(), &mut self.buffer);
            let Some((count, size)) = emitted else {
                self.is_open = false;
                continue;
            };
            if !self.program_frame(size).await? {
                continue;
            }
            let (done, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            self.head = done.iter().fold(self.head, |head, body| leaf(&head, body));
            self.next += done.len() as u64;
            // Until here every note and header says so, for the one before may be the last that can be read.
            self.is_torn = false;
            rest = after;
        }
        Ok(index)
    }

    /// Notes that nothing is under way: power may go, and the next start loses no room.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append).
    pub async fn stop(&mut self) -> Result<(), FlashError> {
        self.ready().await?;
        if !self.is_open || self.needs_boot {
            return Ok(());
        }
        self.window.1 = 0;
        let (place, left) = (self.place(), self.left());
        #[expect(clippy::cast_possible_truncation, reason = "the lowest 16 bits are what it has")]
        let note = Note::Stop(self.next as u16);
        match note.emit(&place, F::WRITE_SIZE, self.buffer.get_mut(..left.min(MAX)).unwrap_or_default()) {
            // Who goes on all the same is as one who starts: what tears then is not behind a clean stop.
            Some(size) => self.program_frame(size).await.map(|is_there| self.needs_boot = is_there),
            // A full sector needs no note: the next start opens another.
            None => Ok(()),
        }
    }

    /// Erases the sector that is opened next, if that is near and not done yet; `false` when it was not to be done, or has failed.
    ///
    /// # Errors
    ///
    /// [`FlashError::Failed`] when the flash has failed before.
    pub async fn prepare(&mut self) -> Result<bool, FlashError> {
        self.ready().await?;
        if self.doubt != Doubt::None {
            return match self.settle().await {
                Err(FlashError::Full) => Ok(false),
                settled => settled.map(|()| true),
            };
        }
        let seq = self.next_seq();
        // A start knows nothing of what was erased before it: done at once, it would be done again at each of them.
        let is_early = self.is_open && self.offset < Self::SIZE / 4 * 3;
        if is_early || self.is_erased || (self.options.when_full == WhenFull::Stop && self.is_needed(seq).await) {
            return Ok(false);
        }
        self.is_erased = self.erase(seq).await;
        Ok(self.is_erased)
    }

    /// After a failure all is looked at again.
    async fn ready(&mut self) -> Result<(), FlashError> {
        if self.has_failed {
            return Err(FlashError::Failed);
        }
        if self.is_dirty {
            let run = self.run;
            self.find().await;
            // Only now: this, too, may be dropped.
            (self.run, self.is_dirty) = (run, false);
        }
        Ok(())
    }

    fn place(&self) -> Place {
        Place { seq: self.seq.unwrap_or(0), anchor: self.anchor, offset: self.offset }
    }

    /// The sector that is opened next.
    fn next_seq(&self) -> u32 {
        self.seq.map_or(0, |seq| seq + 1)
    }

    /// What is left of the open sector, bytes.
    fn left(&self) -> usize {
        usize::try_from(Self::SIZE.saturating_sub(self.offset)).unwrap_or(0)
    }

    /// Says that the newest sector is void; `false` where that was tried before.
    async fn program_void(&mut self) -> bool {
        self.window.1 = 0;
        let place = self.place();
        match Note::Void.emit(&place, F::WRITE_SIZE, &mut self.buffer) {
            Some(size) if place.offset == Self::next_place(Self::HEADER) => {
                self.program(self.address(place.seq) + place.offset, size).await
            }
            _ => false,
        }
    }

    /// Settles what a start has left in doubt.
    async fn settle(&mut self) -> Result<(), FlashError> {
        let next = self.next_seq();
        // What could not be read as a header may have been one, with entries behind it.
        if self.doubt == Doubt::Next && self.options.when_full == WhenFull::Stop && self.is_needed(next).await {
            return Err(FlashError::Full);
        }
        match core::mem::replace(&mut self.doubt, Doubt::None) {
            Doubt::None => return Ok(()),
            Doubt::Next => {}
            Doubt::Newest { is_clear } => {
                // Where it cannot be said, the sector is passed over; not if the only other one holds all there is.
                if is_clear || self.program_void().await || self.sectors == 2 {
                    self.seq = self.seq.and_then(|seq| seq.checked_sub(1));
                }
            }
        }
        self.is_erased = self.erase(self.next_seq()).await;
        Ok(())
    }

    /// Makes sure that a sector is open, and that it says where the log stands.
    async fn room(&mut self, bodies: &[&[u8]]) -> Result<(), FlashError> {
        self.settle().await?;
        let least = bodies.first().map_or(0, |body| (flash::FRAME_HEAD + body.len()).next_multiple_of(F::WRITE_SIZE));
        loop {
            if !self.is_open || self.left() < least {
                self.open().await?;
            }
            if !self.needs_boot {
                return Ok(());
            }
            self.window.1 = 0;
            let boot = Boot { run: self.run, next: self.next, head: self.head, is_torn: self.is_torn };
            let (place, left) = (self.place(), self.left());
            match Note::Boot(boot).emit(&place, F::WRITE_SIZE, self.buffer.get_mut(..left.min(MAX)).unwrap_or_default()) {
                Some(size) => self.needs_boot = !self.program_frame(size).await?,
                None => self.is_open = false,
            }
        }
    }

    /// Programs the frame in the buffer; `false` when that failed and the log goes on behind it.
    async fn program_frame(&mut self, size: usize) -> Result<bool, FlashError> {
        if self.program(self.address(self.seq.unwrap_or(0)) + self.offset, size).await {
            self.offset += u32::try_from(size).unwrap_or(0);
            self.bad = 0;
            return Ok(true);
        }
        // Where nothing seems to stand, reading goes on at such a place. What may read as this frame one day says the same.
        self.offset = Self::next_place(self.offset).min(Self::SIZE);
        self.bad += 1;
        self.has_failed = self.bad > MOST_BAD;
        if self.has_failed { Err(FlashError::Failed) } else { Ok(false) }
    }

    /// Programs the first `size` bytes of the buffer, and reads them back; whether they are there.
    async fn program(&mut self, address: u32, size: usize) -> bool {
        self.is_dirty = true;
        let Some(bytes) = self.buffer.get(..size) else { return false };
        let mut is_there = self.flash.write(address, bytes).await.is_ok();
        if is_there && self.options.verify {
            let mut own = [0; 32];
            let mut done = 0;
            while is_there && done < size {
                let Some(part) = own.get_mut(..(size - done).min(32)) else { break };
                let at = address + u32::try_from(done).unwrap_or(0);
                is_there = self.flash.read(at, part).await.is_ok() && self.buffer.get(done..done + part.len()) == Some(&*part);
                done += part.len();
            }
        }
        self.is_dirty = false;
        is_there
    }

    async fn erase(&mut self, seq: u32) -> bool {
        let address = self.address(seq);
        self.is_dirty = true;
        let is_erased = self.flash.erase(address, address + Self::SIZE).await.is_ok();
        self.window.1 = 0;
        if self.cursor.pass.place.seq == seq.wrapping_sub(self.sectors) {
            self.cursor.pass.next = u64::MAX;
        }
        // What stood there is gone, or as good as gone.
        if let Some(gone) = seq.checked_sub(self.sectors)
            && let Some(newest) = self.seq
        {
            let oldest = self.first_of(gone + 1..=newest).await;
            self.first = oldest.map_or(self.next, |oldest| oldest.first).max(self.first);
        }
        self.is_dirty = false;
        is_erased
    }

    /// Whether the sector whose place `seq` takes holds entries that nobody has acknowledged.
    async fn is_needed(&mut self, seq: u32) -> bool {
        let (Some(gone), Some(newest)) = (seq.checked_sub(self.sectors), self.seq) else { return false };
        self.first_of(gone + 1..=newest).await.map_or(self.next, |oldest| oldest.first) > self.acked
    }

    /// Opens the next sector that can be erased and programmed.
    async fn open(&mut self) -> Result<(), FlashError> {
        self.is_open = false;
        let next = self.next_seq();
        if self.options.when_full == WhenFull::Stop && !self.is_erased && self.is_needed(next).await {
            return Err(FlashError::Full);
        }
        // The newest sector is never among them.
        for seq in (next..=next + MOST_BAD.min(self.sectors - 2)).take_while(|seq| *seq < flash::END_SEQ) {
            if seq > next && self.options.when_full == WhenFull::Stop && self.is_needed(seq).await {
                return Err(FlashError::Full);
            }
            let is_erased = core::mem::take(&mut self.is_erased) || self.erase(seq).await;
            if !is_erased {
                continue;
            }
            let header = SectorHeader {
                log2_write: u8::try_from(F::WRITE_SIZE.trailing_zeros()).unwrap_or(0),
                log2_sector: u8::try_from(Self::SIZE.trailing_zeros()).unwrap_or(0),
                is_torn: self.is_torn,
                seq,
                max: u16::try_from(MAX).unwrap_or(0),
                sectors: u16::try_from(self.sectors).unwrap_or(0),
                log_id: self.log_id,
                run: self.run,
                first: self.next,
                acked: self.acked,
                dropped: self.dropped,
                anchor: self.head,
            };
            self.window.1 = 0;
            if let Some(slot) = self.buffer.first_chunk_mut::<{ flash::HEADER }>() {
                *slot = header.emit();
            }
            if self.program(self.address(seq), flash::HEADER).await {
                let [a, b, c, d, ..] = self.head.0;
                (self.anchor, self.offset, self.seq) = ([a, b, c, d], Self::HEADER, Some(seq));
                (self.is_open, self.needs_boot, self.bad) = (true, false, 0);
                return Ok(());
            }
        }
        self.has_failed = true;
        Err(FlashError::Failed)
    }
}
