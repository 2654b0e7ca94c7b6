//! NOR flash in memory, for tests: stricter than real flash, and it loses power where it is told to. And a serial line that harms bytes:
//! [`Lossy`].
//!
//! ```text
//! word   erased (all 1) -- program once --> programmed -- program again --> refused, counted as a violation
//!                       -- power goes ----> torn: any of its bits may have gone to 0; some read differently at each start
//! ```
//!
//! 1. What is misaligned, out of range, or programmed twice is refused and counted in [`Sim::violations`].
//! 2. A word whose program was cut before any of its bits moved is still erased; one that may read as erased and may not is
//!    not to be programmed.
//! 3. After a cut everything fails until [`Sim::power_on`].

mod line;

pub use line::Lossy;

use crate::wait;
use embedded_storage::nor_flash as blocking;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use std::vec::Vec;

/// Random numbers of a seed (`SplitMix64`, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}

/// An operation that changes flash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// These bytes are programmed at that offset.
    Write(u32, Vec<u8>),
    /// The block at that offset is erased.
    Erase(u32),
}

/// What a cut of power leaves of the operation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// Nothing of it.
    Before,
    /// All of it; nobody learned that it was done.
    After,
    /// Some first words, then one of which any bits have changed. Of a block that was erased: some words from the front.
    Front,
    /// Any words, each of them torn. Of a block that was erased: each bit by chance, one chance for the whole block.
    Any,
    /// All of it, but one bit reads differently from start to start.
    Weak,
    /// As `Any`, and words that were torn cannot be read.
    Poison,
    /// Nothing can be seen of it, except that a bit of one word reads differently from start to start.
    Ghost,
}

/// All of them.
pub const TEARS: [Tear; 7] = [Tear::Before, Tear::After, Tear::Front, Tear::Any, Tear::Weak, Tear::Poison, Tear::Ghost];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Erased,
    Programmed,
    Torn,
    /// Cannot be read.
    Poison,
}

/// Operations that fail without a cut of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// So many succeed before.
    pub after: u64,
    /// How many fail then.
    pub count: u64,
    /// They leave what [`Tear::Any`] leaves; otherwise they change nothing.
    pub tears: bool,
}

/// NOR flash with a write size of `W` and erase blocks of `S` bytes.
#[derive(Debug, Clone)]
pub struct Sim<const W: usize, const S: usize> {
    bytes: Vec<u8>,
    words: Vec<Word>,
    /// Bytes with a bit that reads differently from start to start.
    weak: Vec<(usize, u8)>,
    /// How often each block was erased.
    pub wear: Vec<u32>,
    /// What was refused.
    pub violations: u32,
    /// How often it was read, and how many bytes in all.
    pub reads: (u64, u64),
    /// How many words were programmed, and in how many operations.
    pub programs: (u64, u64),
    /// Every operation with the flash before it, while this is there.
    pub journal: Option<Vec<(Self, Operation)>>,
    /// An erasure is skipped, as a mistake, where the block reads as erased.
    pub skips_erased: bool,
    /// Operations that fail, counted from here on.
    pub fails: Option<Failing>,
    /// Reads that fail, counted from here on; nothing is torn by that.
    pub fails_reads: Option<Failing>,
    random: Random,
    is_off: bool,
}

impl<const W: usize, const S: usize> Sim<W, S> {
    /// Erased flash of that many blocks.
    pub fn new(blocks: usize, seed: u64) -> Self {
        Self {
            bytes: std::vec![0xFF; blocks * S],
            words: std::vec![Word::Erased; blocks * S / W],
            weak: Vec::new(),
            wear: std::vec![0; blocks],
            violations: 0,
            reads: (0, 0),
            programs: (0, 0),
            journal: None,
            skips_erased: false,
            fails: None,
            fails_reads: None,
            random: Random(seed),
            is_off: false,
        }
    }

    /// Flash that holds these bytes; what is not 0xFF counts as programmed. A rest that is no whole block is left out.
    pub fn load(image: &[u8], seed: u64) -> Self {
        let mut sim = Self::new(image.len() / S, seed);
        sim.bytes.copy_from_slice(image.get(..image.len() / S * S).unwrap_or_default());
        for (word, bytes) in sim.words.iter_mut().zip(image.chunks(W)) {
            if bytes.iter().any(|byte| *byte != 0xFF) {
                *word = Word::Programmed;
            }
        }
        sim
    }

    /// The bytes as they read, whatever power is.
    pub fn image(&self) -> &[u8] {
        &self.bytes
    }

    /// Flips one bit, as years and radiation do.
    pub fn flip(&mut self, bit: usize) {
        if let Some(byte) = self.bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// Power goes in the middle of `operation`.
    pub fn cut(&mut self, operation: &Operation, tear: Tear, seed: u64) {
        self.random = Random(seed);
        match (operation, tear) {
            (_, Tear::Before) => {}
            (Operation::Write(at, bytes), Tear::After) => self.program(*at, bytes),
            (Operation::Erase(at), Tear::After) => self.clear(*at),
            (Operation::Write(at, bytes), tear) => self.tear_write(*at, bytes, tear),
            (Operation::Erase(at), tear) => self.tear_erase(*at, tear),
        }
        self.is_off = true;
    }

    /// Power comes back; what is weak reads as something else.
    pub fn power_on(&mut self) {
        self.is_off = false;
        for (at, mask) in &self.weak {
            if let Some(byte) = self.bytes.get_mut(*at) {
                *byte = if self.random.below(2) == 0 { *byte & !mask } else { *byte | mask };
            }
        }
    }

    fn program(&mut self, at: u32, bytes: &[u8]) {
        let at = at as usize;
        self.bytes.iter_mut().skip(at).zip(bytes).for_each(|(own, new)| *own &= new);
        self.words.iter_mut().skip(at / W).take(bytes.len() / W).for_each(|word| *word = Word::Programmed);
    }

    fn clear(&mut self, at: u32) {
        let at = at as usize;
        self.bytes.iter_mut().skip(at).take(S).for_each(|byte| *byte = 0xFF);
        self.words.iter_mut().skip(at / W).take(S / W).for_each(|word| *word = Word::Erased);
        self.weak.retain(|(weak, _)| !(at..at + S).contains(weak));
        if let Some(wear) = self.wear.get_mut(at / S) {
            *wear += 1;
        }
    }

    /// One bit of those bytes is weak, and its word not to be programmed.
    fn weaken(&mut self, at: usize, length: usize) {
        let at = at + self.random.below(length);
        self.weak.push((at, 1 << self.random.below(8)));
        if let Some(word) = self.words.get_mut(at / W) {
            *word = Word::Torn;
        }
    }

    fn torn(tear: Tear) -> Word {
        match tear {
            Tear::Poison => Word::Poison,
            _ => Word::Torn,
        }
    }

    fn tear_write(&mut self, at: u32, bytes: &[u8], tear: Tear) {
        if tear == Tear::Ghost {
            return self.weaken(at as usize, bytes.len());
        }
        if tear == Tear::Weak {
            self.program(at, bytes);
            return self.weaken(at as usize, bytes.len());
        }
        let (at, count) = (at as usize, bytes.len() / W);
        let whole = self.random.below(count);
        for (number, new) in bytes.chunks(W).enumerate() {
            let state = match tear {
                Tear::Front if number < whole => Word::Programmed,
                Tear::Front if number > whole => continue,
                Tear::Front => Word::Torn,
                _ => match self.random.below(4) {
                    0 => continue,
                    1 => Word::Programmed,
                    _ => Self::torn(tear),
                },
            };
            let own = self.bytes.iter_mut().skip(at + number * W);
            for (own, new) in own.zip(new) {
                // Some of the bits that were to go have gone.
                let noise = if state == Word::Programmed { 0 } else { self.random.number().to_le_bytes()[0] };
                *own &= new | noise;
            }
            // A word of which no bit has moved is as good as one that was left alone.
            let is_blank = self.bytes.iter().skip(at + number * W).take(W).all(|byte| *byte == 0xFF);
            if let Some(word) = self.words.get_mut(at / W + number).filter(|_| !is_blank) {
                *word = state;
            }
        }
    }

    fn tear_erase(&mut self, at: u32, tear: Tear) {
        if matches!(tear, Tear::Weak | Tear::Ghost) {
            if tear == Tear::Weak {
                self.clear(at);
            }
            self.words.iter_mut().skip(at as usize / W).take(S / W).for_each(|word| *word = Word::Torn);
            return self.weaken(at as usize, S);
        }
        let at = at as usize;
        let (front, chance) = (self.random.below(S / W), self.random.below(11));
        for number in 0..S / W {
            let state = match tear {
                Tear::Front if number < front => Word::Erased,
                Tear::Front => continue,
                _ => Self::torn(tear),
            };
            for own in self.bytes.iter_mut().skip(at + number * W).take(W) {
                let mut noise = 0;
                for bit in 0..8 {
                    noise |= u8::from(self.random.below(10) < chance) << bit;
                }
                *own |= if state == Word::Erased { 0xFF } else { noise };
            }
            if let Some(word) = self.words.get_mut(at / W + number) {
                // A block whose erasure was cut holds no word that may be programmed, whatever it reads as.
                *word = if state == Word::Erased { Word::Torn } else { state };
            }
        }
        if let Some(wear) = self.wear.get_mut(at / S) {
            *wear += 1;
        }
    }

    fn note(&mut self, operation: Operation) {
        if let Some(mut journal) = self.journal.take() {
            journal.push((self.clone(), operation));
            self.journal = Some(journal);
        }
    }

    fn check(&mut self, at: u32, length: usize, unit: usize) -> Result<(), NorFlashErrorKind> {
        if self.is_off {
            return Err(NorFlashErrorKind::Other);
        }
        let kind = if !(at as usize).is_multiple_of(unit) || !length.is_multiple_of(unit) {
            NorFlashErrorKind::NotAligned
        } else if at as usize + length > self.bytes.len() {
            NorFlashErrorKind::OutOfBounds
        } else {
            return Ok(());
        };
        self.violations += 1;
        Err(kind)
    }
}

/// Whether the next operation fails; `Some(true)` leaves something torn.
fn fails(failing: &mut Option<Failing>) -> Option<bool> {
    let failing = failing.as_mut().filter(|failing| failing.count > 0)?;
    if failing.after > 0 {
        failing.after -= 1;
        return None;
    }
    failing.count -= 1;
    Some(failing.tears)
}

impl<const W: usize, const S: usize> ErrorType for Sim<W, S> {
    type Error = NorFlashErrorKind;
}

impl<const W: usize, const S: usize> ReadNorFlash for Sim<W, S> {
    const READ_SIZE: usize = W;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.check(offset, bytes.len(), W)?;
        self.reads = (self.reads.0 + 1, self.reads.1 + bytes.len() as u64);
        let at = offset as usize;
        let is_poison = self.words.iter().skip(at / W).take(bytes.len() / W).any(|word| *word == Word::Poison);
        if fails(&mut self.fails_reads).is_some() || is_poison {
            return Err(NorFlashErrorKind::Other);
        }
        bytes.iter_mut().zip(self.bytes.iter().skip(at)).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const W: usize, const S: usize> NorFlash for Sim<W, S> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = S;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.check(from, to.saturating_sub(from) as usize, S)?;
        for block in (from..to).step_by(S) {
            self.note(Operation::Erase(block));
            if let Some(tears) = fails(&mut self.fails) {
                if tears {
                    self.tear_erase(block, Tear::Any);
                }
                return Err(NorFlashErrorKind::Other);
            }
            let is_blank = self.bytes.iter().skip(block as usize).take(S).all(|byte| *byte == 0xFF);
            if !(self.skips_erased && is_blank) {
                self.clear(block);
            }
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.check(offset, bytes.len(), W)?;
        let at = offset as usize;
        if self.words.iter().skip(at / W).take(bytes.len() / W).any(|word| *word != Word::Erased) {
            self.violations += 1;
            return Err(NorFlashErrorKind::Other);
        }
        self.note(Operation::Write(offset, bytes.to_vec()));
        if let Some(tears) = fails(&mut self.fails) {
            if tears {
                self.tear_write(offset, bytes, Tear::Any);
            }
            return Err(NorFlashErrorKind::Other);
        }
        self.programs = (self.programs.0 + (bytes.len() / W) as u64, self.programs.1 + 1);
        self.program(offset, bytes);
        Ok(())
    }
}

impl<const W: usize, const S: usize> blocking::ReadNorFlash for Sim<W, S> {
    const READ_SIZE: usize = W;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        wait(ReadNorFlash::read(self, offset, bytes))
    }

    fn capacity(&self) -> usize {
        ReadNorFlash::capacity(self)
    }
}

impl<const W: usize, const S: usize> blocking::NorFlash for Sim<W, S> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = S;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        wait(NorFlash::erase(self, from, to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        wait(NorFlash::write(self, offset, bytes))
    }
}
