//! The state of a witness in two halves of flash (`docs/format.md`, section 19).
//!
//! ```text
//! append:  record, read back, again, read back                         turn: erase the other half, header, records, note, erase this one
//! settle:  what may read differently at the next start is written again
//! ```
//!
//! 1. Nothing counts that was not read back, twice.
//! 2. Whatever may be half done is the last thing in a half, or a half that is not the state.
//! 3. A word that power was cut in is not programmed again; where that left no trace in the first record after a start, reading it
//!    back is what is left.

use super::{NorFlash, bisync};
use crate::WitnessError;
use core::ops::Range;
use lowlight_core::LogId;
use lowlight_core::flash::{MOST_BAD, WITNESS_HEADER, WITNESS_RECORD, WITNESS_SLOTS, WitnessHeader, WitnessRecord};

const HEADER: u32 = 256;
const COPY: u32 = 160;
const _: () = assert!(HEADER as usize == WITNESS_HEADER && COPY as usize == WITNESS_RECORD);
/// Where the pairs begin.
const PAIRS: u32 = 2 * HEADER;
const PAIR: u32 = 2 * COPY;
/// Least that a half may be.
const LEAST: u32 = 3_072;
/// What is compared at a time.
const STEP: u32 = 32;
const CHUNK: usize = STEP as usize;

/// The flash, and where the halves are.
#[derive(Debug)]
pub(super) struct Halves<F> {
    pub(super) flash: F,
    start: u32,
    half: u32,
}

#[bisync]
impl<F: NorFlash> Halves<F> {
    const CHECKED: () = assert!(
        CHUNK.is_multiple_of(F::WRITE_SIZE) && CHUNK.is_multiple_of(F::READ_SIZE),
        "the flash must read and write in units that 32 is a multiple of"
    );

    pub(super) fn new(flash: F, region: &Range<u32>) -> Result<Self, WitnessError> {
        let () = Self::CHECKED;
        let length = region.end.checked_sub(region.start).ok_or(WitnessError::Region)?;
        let (half, block) = (length / 2, u32::try_from(F::ERASE_SIZE).map_err(|_| WitnessError::Region)?);
        let fits = half >= LEAST && length.is_multiple_of(2) && [region.start, half].iter().all(|at| at.is_multiple_of(block.max(32)));
        let is_there = usize::try_from(region.end).is_ok_and(|end| end <= flash.capacity());
        if fits && is_there { Ok(Self { flash, start: region.start, half }) } else { Err(WitnessError::Region) }
    }

    fn address(&self, half: u32, offset: u32) -> u32 {
        self.start + half * self.half + offset
    }

    /// Programs, and reads it back.
    async fn program(&mut self, half: u32, offset: u32, bytes: &[u8]) -> bool {
        let mut at = self.address(half, offset);
        if self.flash.write(at, bytes).await.is_err() {
            return false;
        }
        for bytes in bytes.chunks(CHUNK) {
            let mut back = [0; CHUNK];
            if self.flash.read(at, &mut back).await.is_err() || !back.starts_with(bytes) {
                return false;
            }
            at += STEP;
        }
        true
    }

    pub(super) async fn erase(&mut self, half: u32) -> Result<(), WitnessError> {
        self.flash.erase(self.address(half, 0), self.address(half + 1, 0)).await.map_err(|_| WitnessError::Failed)
    }

    /// What cannot be read is not erased.
    async fn is_erased(&mut self, half: u32, range: Range<u32>) -> bool {
        let (mut at, end) = (self.address(half, range.start), self.address(half, range.end));
        while at < end {
            let mut bytes = [0; CHUNK];
            if self.flash.read(at, &mut bytes).await.is_err() || bytes != [0xFF; CHUNK] {
                return false;
            }
            at += STEP;
        }
        true
    }

    async fn header(&mut self, half: u32) -> Option<WitnessHeader> {
        for copy in [0, HEADER] {
            let mut bytes = [0; WITNESS_HEADER];
            let is_read = self.flash.read(self.address(half, copy), &mut bytes).await.is_ok();
            if let Some(header) = WitnessHeader::parse(&bytes).filter(|_| is_read) {
                return Some(header);
            }
        }
        None
    }

    async fn copy(&mut self, (half, generation): (u32, u32), offset: u32) -> Copy {
        let mut bytes = [0; WITNESS_RECORD];
        if self.flash.read(self.address(half, offset), &mut bytes).await.is_err() {
            return Copy::Bad;
        }
        match WitnessRecord::parse(&bytes, generation, offset) {
            Some(record) => Copy::Valid(record),
            None if bytes == [0xFF; WITNESS_RECORD] => Copy::Erased,
            None => Copy::Bad,
        }
    }

    /// Puts a record where a pair goes, twice.
    async fn put(&mut self, (half, generation): (u32, u32), offset: u32, record: &WitnessRecord) -> bool {
        for offset in [offset, offset + COPY] {
            if !self.program(half, offset, &record.emit(generation, offset)).await {
                return false;
            }
        }
        true
    }

    /// Reads a half; `None` when it is not established.
    async fn scan(&mut self, half: u32) -> Option<Scan> {
        let header = self.header(half).await?;
        let place = (half, header.generation);
        let (write_seq, time) = (header.write_seq, header.time);
        let carried = PAIRS + u32::from(header.carried) * PAIR;
        let state = State { half, next: PAIRS, header, write_seq, time, records: [None; WITNESS_SLOTS], is_clean: false };
        let mut scan = Scan { state, single: [false; WITNESS_SLOTS], is_double: false, ends_in_note: false, is_damaged: false };
        let (mut is_established, mut is_doubtful) = (false, false);
        for offset in (PAIRS..=self.half - PAIR).step_by(PAIR as usize) {
            let (first, second) = (self.copy(place, offset).await, self.copy(place, offset + COPY).await);
            if !matches!((&first, &second), (Copy::Erased, Copy::Erased)) {
                scan.state.next = offset + PAIR;
            }
            let is_double = matches!((&first, &second), (Copy::Valid(first), Copy::Valid(second)) if first == second);
            match (first, second) {
                (Copy::Valid(record), _) | (_, Copy::Valid(record)) => {
                    // What was counted and cannot be read any more left its number out.
                    scan.is_damaged |= is_doubtful && offset >= carried && record.write_seq > scan.state.write_seq.saturating_add(1);
                    is_doubtful = false;
                    scan.state.remember(record);
                    scan.ends_in_note = record.is_note();
                    if let Some(single) = scan.single.get_mut(usize::from(record.slot)) {
                        *single = !is_double;
                    }
                    is_established |= offset >= carried;
                    scan.is_double |= offset >= carried && is_double;
                }
                _ if offset < carried => return None,
                // Power went in the first copy; or something changed where nothing was written.
                (_, Copy::Erased) | (Copy::Erased, _) => {}
                _ => is_doubtful = true,
            }
        }
        scan.is_damaged |= is_doubtful;
        is_established.then_some(scan)
    }

    /// Finds the state; `None` when there is none, or it is damaged.
    pub(super) async fn find(&mut self) -> Option<Scan> {
        let found = match (self.scan(0).await, self.scan(1).await) {
            (Some(first), Some(second)) => {
                let (newer, older) =
                    if second.state.header.generation > first.state.header.generation { (second, first) } else { (first, second) };
                if newer.is_double { newer } else { older }
            }
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return None,
        };
        (!found.is_damaged).then_some(found)
    }

    /// Makes sure that the next start finds the same: what has one valid copy is written again, and a half that may be taken for
    /// the state one day is erased, before anything is told of it.
    pub(super) async fn settle(&mut self, scan: Scan) -> Result<State, WitnessError> {
        let Scan { mut state, single, is_double, ends_in_note, .. } = scan;
        state.next += PAIR;
        for (record, _) in state.records.into_iter().zip(single).filter(|(_, is_single)| *is_single) {
            if let Some(record) = record {
                self.put_next(&mut state, record, false).await?;
            }
        }
        if !is_double {
            self.note(&mut state).await?;
        }
        let is_erased = self.is_erased(1 - state.half, 0..self.half).await;
        // An erasure that was cut may look as if it were done; behind a record it is.
        state.is_clean = is_erased && !ends_in_note;
        if !is_erased {
            self.note(&mut state).await?;
            // Where there was no room for the note, that was done.
            self.clean(&mut state).await?;
        }
        Ok(state)
    }

    /// Erases the other half, if that is not certain to be done: it may read as the newer one some day.
    async fn clean(&mut self, state: &mut State) -> Result<(), WitnessError> {
        if !state.is_clean {
            self.erase(1 - state.half).await?;
            state.is_clean = true;
        }
        Ok(())
    }

    /// Begins a state where there is none. What is left of another one is erased last, and never the newer.
    pub(super) async fn begin(&mut self, header: WitnessHeader) -> Result<State, WitnessError> {
        let old = [self.header(0).await, self.header(1).await].map(|header| header.map_or(0, |header| header.generation));
        let [first, second] = old;
        let (write_seq, time, half) = (header.write_seq, header.time, u32::from(second >= first));
        let mut state = State { half, next: PAIRS, header, write_seq, time, records: [None; WITNESS_SLOTS], is_clean: false };
        state.header.generation = first.max(second);
        self.turn(&mut state).await?;
        Ok(state)
    }

    /// Writes a record behind the others. After an error the state is to be found again.
    pub(super) async fn append(&mut self, state: &mut State, record: WitnessRecord) -> Result<(), WitnessError> {
        self.clean(state).await?;
        self.put_next(state, record, true).await
    }

    async fn note(&mut self, state: &mut State) -> Result<(), WitnessError> {
        self.put_next(state, WitnessRecord::note(0), true).await
    }

    /// Puts a record where the next pair goes, or the one after; what is new gets the next number, what is written again keeps its own.
    async fn put_next(&mut self, state: &mut State, record: WitnessRecord, is_new: bool) -> Result<(), WitnessError> {
        for _ in 0..=MOST_BAD {
            if state.next > self.half - PAIR {
                self.turn(state).await?;
            }
            let offset = state.next;
            state.next += PAIR;
            // Here, since the note of a turn has taken one.
            let next = state.write_seq.checked_add(1).ok_or(WitnessError::Failed)?;
            let record = WitnessRecord { write_seq: if is_new { next } else { record.write_seq }, ..record };
            if self.put(state.place(), offset, &record).await {
                state.remember(record);
                return Ok(());
            }
        }
        Err(WitnessError::Failed)
    }

    /// Takes the state over into the other half.
    pub(super) async fn turn(&mut self, state: &mut State) -> Result<(), WitnessError> {
        let failed = WitnessError::Failed;
        let (old, half) = (state.half, 1 - state.half);
        let carried = state.records.iter().flatten().count();
        state.header.carried = u8::try_from(carried).map_err(|_| failed)?;
        state.header.generation = state.header.generation.checked_add(1).ok_or(failed)?;
        (state.header.write_seq, state.header.time) = (state.write_seq, state.time);
        (state.half, state.next) = (half, PAIRS);
        self.erase(half).await?;
        let bytes = state.header.emit();
        for offset in [0, HEADER] {
            self.program(half, offset, &bytes).await.then_some(()).ok_or(failed)?;
        }
        let note = WitnessRecord::note(state.write_seq.checked_add(1).ok_or(failed)?);
        for record in state.records.into_iter().flatten().chain([note]) {
            self.put(state.place(), state.next, &record).await.then_some(()).ok_or(failed)?;
            state.next += PAIR;
        }
        state.remember(note);
        self.erase(old).await?;
        state.is_clean = true;
        Ok(())
    }
}

/// What a copy of a record is.
enum Copy {
    Valid(WitnessRecord),
    Erased,
    /// Or not to be read.
    Bad,
}

/// A half as it was found.
pub(super) struct Scan {
    state: State,
    /// The record of a slot has but one valid copy.
    single: [bool; WITNESS_SLOTS],
    /// A pair behind the carried ones has two.
    is_double: bool,
    /// The last pair that counts is a note.
    ends_in_note: bool,
    /// A record that counted cannot be read.
    is_damaged: bool,
}

/// What the witness remembers.
#[derive(Debug)]
pub(super) struct State {
    half: u32,
    /// Where the next pair goes.
    next: u32,
    pub(super) header: WitnessHeader,
    pub(super) write_seq: u64,
    /// Of the newest cosignature.
    pub(super) time: u64,
    pub(super) records: [Option<WitnessRecord>; WITNESS_SLOTS],
    /// The other half is erased, for certain.
    is_clean: bool,
}

impl State {
    fn place(&self) -> (u32, u32) {
        (self.half, self.header.generation)
    }

    pub(super) fn record(&self, log_id: LogId) -> Option<&WitnessRecord> {
        self.records.iter().flatten().find(|record| record.log_id == log_id)
    }

    fn remember(&mut self, record: WitnessRecord) {
        self.write_seq = self.write_seq.max(record.write_seq);
        self.time = self.time.max(record.time);
        if let Some(slot) = self.records.get_mut(usize::from(record.slot)) {
            *slot = Some(record);
        }
    }
}
