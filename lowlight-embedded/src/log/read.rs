//! Reading entries by their index.

use super::{Cursor, FlashLog, NorFlash, bisync};
use crate::{FlashError, Stored};
use lowlight_core::Digest;
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
                Some(header) => (Pass { is_blind: true, ..Pass::new(&header) }, None),
                None => return Ok(None),
            },
        };
        loop {
            while pass.place.offset < self.end_of(pass.place.seq) {
                let (before, frames) = (pass, pass.frames);
                let Some(first) = self.pass_one(&mut pass).await else {
                    end = end.filter(|_| pass.frames == frames);
                    continue;
                };
                if pass.next <= index {
                    continue;
                }
                let known = match end {
                    Some(end) => end,
                    None => self.true_end(pass).await,
                };
                end = Some(known);
                if index.max(first) < known.min(self.next) {
                    index = index.max(first);
                    self.cursor = Cursor { place: before.place, next: before.next, end: known };
                    return self.copy(&before, first, index, buffer).await.map(Some);
                }
            }
            let Some(header) = self.first_of(pass.place.seq + 1..=newest).await else { return Ok(None) };
            index = index.max(header.first);
            (pass, end) = (Pass { is_blind: true, ..Pass::new(&header) }, None);
        }
    }

    /// The leaf before the entry at `index`, as it was when that entry was appended; `None` where it is not known any more.
    pub async fn leaf_before(&mut self, index: u64) -> Option<Before> {
        if index == self.next {
            return Some(Before { leaf: self.head, is_torn: self.is_torn });
        }
        let header = match self.seq.filter(|_| (self.first..self.next).contains(&index)) {
            Some(newest) => self.sector_of(index, newest).await?,
            None => return None,
        };
        let mut pass = Pass::new(&header);
        let known = |pass: &Pass| Some(Before { leaf: pass.head, is_torn: pass.is_torn }).filter(|_| pass.next == index && !pass.is_broken);
        let mut found = known(&pass);
        // What stands later takes back what was said before.
        while pass.place.offset < self.end_of(pass.place.seq) {
            // What stands behind the index is hashed by nobody, unless a note goes back to before it, which says its own leaf.
            pass.is_blind = pass.next > index;
            let (before, first) = (pass, self.pass_one(&mut pass).await);
            if let Some(first) = first.filter(|first| *first < index && index < pass.next) {
                found = self.fold(&before, index - first).await.filter(|_| !pass.is_broken).map(Before::from);
            } else if pass.next == index {
                found = known(&pass);
            }
        }
        found
    }

    /// The leaf behind so many entries of the frame at the place of `pass`.
    async fn fold(&mut self, pass: &Pass, count: u64) -> Option<Digest> {
        let bytes = self.bytes(pass.place.seq, pass.place.offset).await.ok()?;
        let Seen::Frame(frame, _) = flash::parse(&pass.place, F::WRITE_SIZE, bytes) else { return None };
        let count = usize::try_from(count).ok()?;
        Some(frame.bodies().take(count).fold(pass.head, |head, body| leaf(&head, body)))
    }

    /// Where frames of a sector end, as far as they are written.
    fn end_of(&self, seq: u32) -> u32 {
        if self.is_open && self.seq == Some(seq) { self.offset } else { Self::SIZE }
    }

    fn near(&self, index: u64, newest: u32) -> Option<(Pass, Option<u64>)> {
        let Cursor { place, next, end } = self.cursor;
        let is_there = newest.wrapping_sub(place.seq) < self.sectors;
        (is_there && next <= index && index - next < NEAR)
            .then(|| (Pass { is_blind: true, ..Pass::at(place, next, Digest([0; 32])) }, Some(end)))
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
    async fn true_end(&mut self, mut behind: Pass) -> u64 {
        let mut end = u64::MAX;
        while behind.place.offset < self.end_of(behind.place.seq) {
            let frames = behind.frames;
            if self.pass_one(&mut behind).await.is_none() && behind.frames > frames {
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
        let body = frame.bodies().nth(skip).unwrap_or_default();
        buffer.get_mut(..body.len()).ok_or(FlashError::Buffer)?.copy_from_slice(body);
        Ok(Stored { index, length: body.len() })
    }
}
