//! Reading entries by their index.

use super::{Cursor, FlashLog, NorFlash, bisync};
use crate::{FlashError, Stored};
use lowlight_core::chain::leaf;
use lowlight_core::flash::{self, Pass, SectorHeader, Seen};
use lowlight_core::link::Before;

/// A reader that is further behind than this looks for its sector anew.
const NEAR: u64 = 1 << 10;

#[bisync]
impl<F: NorFlash, const MAX: usize> FlashLog<F, MAX> {
    /// Reads the entry at `index`, or the oldest one after it that is still there, into `buffer`; see
    /// [`FlashSink::read_from`](super::FlashSink::read_from).
    ///
    /// # Errors
    ///
    /// [`FlashError::Buffer`] when the buffer is shorter than the entry.
    pub async fn read(&mut self, index: u64, buffer: &mut [u8]) -> Result<Option<Stored>, FlashError> {
        let mut index = index.max(self.first);
        let Some(newest) = self.seq.filter(|_| index < self.next) else { return Ok(None) };
        let (mut pass, mut end) = match self.near(index, newest) {
            Some(near) => near,
            None => match self.sector_of(index, newest).await {
                Some(header) => (Pass::new(&header), None),
                None => return Ok(None),
            },
        };
        loop {
            while pass.place.offset < self.end_of(pass.place.seq) {
                // Only what is passed over is hashed.
                let mut behind = Pass { is_blind: true, ..pass };
                if let Some(first) = self.pass_one(&mut behind).await
                    && behind.next > index
                {
                    let known = match end {
                        Some(end) => end,
                        None => self.true_end(&mut behind).await,
                    };
                    end = Some(known);
                    if index.max(first) < known.min(self.next) {
                        self.cursor = Cursor { pass, end: known };
                        return self.copy(&pass, first, index.max(first), buffer).await.map(Some);
                    }
                }
                let frames = pass.frames;
                if self.pass_one(&mut pass).await.is_none() && pass.frames > frames {
                    end = None;
                }
            }
            let Some(header) = self.first_of(pass.place.seq + 1..=newest).await else { return Ok(None) };
            index = index.max(header.first);
            (pass, end) = (Pass::new(&header), None);
        }
    }

    /// Where frames of a sector end, as far as they are written.
    fn end_of(&self, seq: u32) -> u32 {
        if self.is_open && self.seq == Some(seq) { self.offset } else { Self::SIZE }
    }

    fn near(&self, index: u64, newest: u32) -> Option<(Pass, Option<u64>)> {
        let Cursor { pass, end } = self.cursor;
        let is_there = newest.wrapping_sub(pass.place.seq) < self.sectors;
        (is_there && pass.next <= index && index - pass.next < NEAR).then_some((pass, Some(end)))
    }

    /// The last sector that begins at or before `index`.
    async fn sector_of(&mut self, index: u64, newest: u32) -> Option<SectorHeader> {
        let (mut low, mut high) = ((newest + 1).saturating_sub(self.sectors), newest + 1);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let (mut header, mut at) = (None, middle + 1);
            while header.is_none() && at > low {
                at -= 1;
                header = self.first_of(at..=at).await;
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

    /// Where entries end that stand at `behind` up to the next note: a torn frame that reads as whole today holds what any later note
    /// says was never there.
    async fn true_end(&mut self, behind: &mut Pass) -> u64 {
        let mut end = u64::MAX;
        while behind.place.offset < self.end_of(behind.place.seq) {
            let frames = behind.frames;
            if self.pass_one(behind).await.is_none() && behind.frames > frames {
                end = end.min(behind.next);
            }
        }
        let newest = self.seq.unwrap_or(0);
        self.first_of(behind.place.seq + 1..=newest).await.map_or(end, |header| end.min(header.first))
    }

    /// Copies the entry at `index` out of the frame at the place of `pass`, whose first entry is `first`.
    async fn copy(&mut self, pass: &Pass, first: u64, index: u64, buffer: &mut [u8]) -> Result<Stored, FlashError> {
        let place = pass.place;
        let bytes = self.bytes(place.seq, place.offset).await?;
        let Seen::Frame(frame, _) = flash::parse(&place, F::WRITE_SIZE, bytes) else {
            return Err(FlashError::Flash(embedded_storage::nor_flash::NorFlashErrorKind::Other));
        };
        let skip = usize::try_from(index - first).unwrap_or(usize::MAX);
        let mut bodies = frame.bodies();
        let head = bodies.by_ref().take(skip).fold(pass.head, |head, body| leaf(&head, body));
        let body = bodies.next().unwrap_or_default();
        buffer.get_mut(..body.len()).ok_or(FlashError::Buffer)?.copy_from_slice(body);
        let is_known = !pass.is_broken && first == pass.next;
        let before = is_known.then_some(Before { leaf: head, is_torn: pass.is_torn && skip == 0 });
        Ok(Stored { index, length: body.len(), before })
    }
}
