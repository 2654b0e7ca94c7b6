//! Reading entries by their index.

use super::{Cursor, FlashError, FlashLog};
use crate::sink::Stored;
use embedded_storage_async::nor_flash::NorFlash;
use lowlight_core::flash::{self, Pass, SectorHeader, Seen};

/// A reader that is further behind than this looks for its sector anew.
const NEAR: u64 = 1 << 10;

impl<F: NorFlash, const MAX: usize> FlashLog<F, MAX> {
    /// Reads the entry at `index`, or the oldest one after it that is still there, into `buffer`; see
    /// [`FlashSink::read_from`](crate::FlashSink::read_from).
    ///
    /// # Errors
    ///
    /// [`FlashError::Buffer`] when the buffer is shorter than the entry.
    pub async fn read(&mut self, index: u64, buffer: &mut [u8]) -> Result<Option<Stored>, FlashError> {
        let mut index = index.max(self.first);
        let Some(newest) = self.seq.filter(|_| index < self.next) else { return Ok(None) };
        let mut pass = match self.near(index, newest) {
            Some(pass) => pass,
            None => match self.sector_of(index, newest).await {
                Some(header) => Pass::new(&header),
                None => return Ok(None),
            },
        };
        loop {
            while pass.place.offset < self.end_of(pass.place.seq) {
                let (before, first) = (pass, self.pass_one(&mut pass).await);
                let Some(first) = first.filter(|_| pass.next > index) else { continue };
                // A torn frame that reads as whole today holds what a later one says otherwise.
                if self.is_void(&pass, index.max(first)).await {
                    continue;
                }
                index = index.max(first);
                self.cursor = Cursor { place: before.place, next: before.next };
                return self.copy(&before, first, index, buffer).await.map(Some);
            }
            let Some(header) = self.first_of(pass.place.seq + 1..=newest).await else { return Ok(None) };
            index = index.max(header.first);
            pass = Pass::new(&header);
        }
    }

    /// Where frames of a sector end, as far as they are written.
    fn end_of(&self, seq: u32) -> u32 {
        if self.is_open && self.seq == Some(seq) { self.offset } else { Self::SIZE }
    }

    fn near(&self, index: u64, newest: u32) -> Option<Pass> {
        let Cursor { place, next } = self.cursor;
        let is_there = newest.wrapping_sub(place.seq) < self.sectors;
        (is_there && next <= index && index - next < NEAR).then(|| Pass::at(place, next, self.head))
    }

    /// The last sector that begins at or before `index`.
    async fn sector_of(&mut self, index: u64, newest: u32) -> Option<SectorHeader> {
        let (mut low, mut high) = ((newest + 1).saturating_sub(self.sectors), newest + 1);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let mut header = self.header(middle).await;
            let mut at = middle;
            while header.is_none() && at > low {
                at -= 1;
                header = self.header(at).await;
            }
            match header {
                Some(header) if header.first > index => high = at,
                Some(header) => (found, low) = (Some(header), middle + 1),
                None => low = middle + 1,
            }
        }
        match found {
            Some(header) => Some(header),
            None => self.oldest(newest).await,
        }
    }

    /// Whether what stands behind `pass` says that the entry at `index` was never there.
    async fn is_void(&mut self, pass: &Pass, index: u64) -> bool {
        let mut behind = *pass;
        while behind.place.offset < self.end_of(behind.place.seq) {
            let frames = behind.frames;
            self.pass_one(&mut behind).await;
            if behind.frames > frames {
                return behind.next <= index;
            }
        }
        let newest = self.seq.unwrap_or(0);
        let header = self.first_of(behind.place.seq + 1..=newest).await;
        header.map_or(self.next, |header| header.first) <= index
    }

    /// Copies the entry at `index` out of the frame at the place of `pass`, whose first entry is `first`.
    async fn copy(&mut self, pass: &Pass, first: u64, index: u64, buffer: &mut [u8]) -> Result<Stored, FlashError> {
        let place = pass.place;
        let bytes = self.bytes(place.seq, place.offset).await?;
        let Seen::Frame(frame, _) = flash::parse(&place, F::WRITE_SIZE, bytes) else {
            return Err(FlashError::Flash(embedded_storage_async::nor_flash::NorFlashErrorKind::Other));
        };
        let skip = usize::try_from(index - first).unwrap_or(usize::MAX);
        let body = frame.bodies().nth(skip).unwrap_or_default();
        buffer.get_mut(..body.len()).ok_or(FlashError::Buffer)?.copy_from_slice(body);
        Ok(Stored { index, length: body.len() })
    }
}
