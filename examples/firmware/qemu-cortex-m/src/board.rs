//! What the board has: NOR flash that stands in RAM (QEMU models none that can be written), and the SysTick counter.

use core::ptr::{read_volatile, write_volatile};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// Registers of the board, which no Rust object lives at.
pub fn read(address: usize) -> u32 {
    // SAFETY: the addresses of this module are those of devices that are always there, and aligned.
    unsafe { read_volatile(address as *const u32) }
}

/// As [`read`].
pub fn write(address: usize, value: u32) {
    // SAFETY: as for `read`; no device here writes to memory.
    unsafe { write_volatile(address as *mut u32, value) }
}

/// NOR flash in memory, with words of 8 bytes; what would need an erasure first is refused.
pub struct RamFlash<'a>(pub &'a mut [u8]);

const WORD: usize = 8;
/// Bytes of an erase block.
pub const BLOCK: usize = 4096;

impl RamFlash<'_> {
    fn part(&mut self, offset: u32, length: usize, unit: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let offset = offset as usize;
        if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        self.0.get_mut(offset..).and_then(|rest| rest.get_mut(..length)).ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl ErrorType for RamFlash<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for RamFlash<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let length = bytes.len();
        bytes.copy_from_slice(self.part(offset, length, 1)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for RamFlash<'_> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = BLOCK;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let length = to.checked_sub(from).ok_or(NorFlashErrorKind::OutOfBounds)? as usize;
        self.part(from, length, BLOCK)?.fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let part = self.part(offset, bytes.len(), WORD)?;
        if part.iter().zip(bytes).any(|(old, new)| old & new != *new) {
            return Err(NorFlashErrorKind::Other);
        }
        part.copy_from_slice(bytes);
        Ok(())
    }
}

const SYSTICK: usize = 0xE000_E010;
/// Where the counter begins.
pub const LARGEST: u32 = 0x00FF_FFFF;

/// Starts the counter: 25 MHz, so that under `-icount shift=0` (an instruction takes a nanosecond) it ticks every 40 instructions.
pub fn start_counter() {
    write(SYSTICK, 0);
    write(SYSTICK + 4, LARGEST);
    write(SYSTICK + 8, 0);
    write(SYSTICK, 5);
    // It is loaded at the first tick.
    while read(SYSTICK + 8) == 0 {
        core::hint::spin_loop();
    }
}

/// Counts down.
pub fn counter() -> u32 {
    read(SYSTICK + 8)
}
