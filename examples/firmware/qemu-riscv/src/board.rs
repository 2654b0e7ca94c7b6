//! What the `virt` board has, at the addresses that QEMU gives it (hw/riscv/virt.c): UART, flash, clocks, and a way to end.

use core::convert::Infallible;
use core::ptr::{read_volatile, write_volatile};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

const UART: usize = 0x1000_0000;
const FLASH: usize = 0x2200_0000;
const FLASH_SIZE: usize = 32 << 20;
const ERASE_SIZE: usize = 256 << 10;
const TIMER: usize = 0x0200_BFF8;
const CLOCK: usize = 0x0010_1000;
const FINISHER: usize = 0x0010_0000;

/// Registers of the board, which no Rust object lives at.
fn read<T>(address: usize) -> T {
    // SAFETY: the addresses of this module are those of devices that are always there, aligned for what is read from them.
    unsafe { read_volatile(address as *const T) }
}

fn write<T>(address: usize, value: T) {
    // SAFETY: as for `read`; no device here writes to memory.
    unsafe { write_volatile(address as *mut T, value) }
}

/// Time since power on, 100 ns.
pub fn ticks() -> u64 {
    loop {
        let (high, low, again) = (read::<u32>(TIMER + 4), read::<u32>(TIMER), read::<u32>(TIMER + 4));
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

/// ns since 1970-01-01T00:00:00Z, of the board's real-time clock.
pub fn wall() -> i64 {
    let low = read::<u32>(CLOCK);
    let high = read::<u32>(CLOCK + 4);
    i64::try_from(u64::from(high) << 32 | u64::from(low)).unwrap_or(0)
}

/// Ends QEMU with that exit code.
pub fn exit(code: u16) -> ! {
    write::<u32>(FINISHER, if code == 0 { 0x5555 } else { u32::from(code) << 16 | 0x3333 });
    loop {
        core::hint::spin_loop();
    }
}

/// The 16550 UART, polled.
pub struct Uart;

/// How long the next byte of a message may take, 100 ns: longer than any takes, and short beside an inference.
const NEXT_BYTE: u64 = 5_000;

impl Uart {
    /// Turns its FIFO on: 16 bytes may come while the model runs, instead of one.
    pub fn new() -> Self {
        write::<u8>(UART + 2, 1);
        Self
    }
}

impl embedded_io::ErrorType for Uart {
    type Error = Infallible;
}

impl embedded_io::ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        let begun = ticks();
        loop {
            if read::<u8>(UART + 5) & 1 != 0 {
                return Ok(true);
            }
            if ticks() - begun > NEXT_BYTE {
                return Ok(false);
            }
        }
    }
}

impl embedded_io::Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = bytes.first_mut() else { return Ok(0) };
        while read::<u8>(UART + 5) & 1 == 0 {
            core::hint::spin_loop();
        }
        *first = read(UART);
        Ok(1)
    }
}

impl embedded_io::Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            while read::<u8>(UART + 5) & 0x20 == 0 {
                core::hint::spin_loop();
            }
            write(UART, *byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The second bank of NOR flash: two 16-bit chips side by side with Intel's command set (CFI 1), each command on both.
///
/// QEMU's model replaces bits where real flash only clears them; what would need an erasure first is refused here.
pub struct Cfi;

const BOTH: u32 = 0x0001_0001;
const PROGRAM: u32 = 0x40 * BOTH;
const ERASE: u32 = 0x20 * BOTH;
const CONFIRM: u32 = 0xD0 * BOTH;
const CLEAR: u32 = 0x50 * BOTH;
const ARRAY: u32 = 0xFF * BOTH;
const READY: u32 = 0x80 * BOTH;
/// Erase, program, voltage and lock errors.
const FAILED: u32 = 0x3A * BOTH;

impl Cfi {
    /// Waits until both chips are ready, and goes back to reading; whether all went well.
    fn finish(address: usize) -> Result<(), NorFlashErrorKind> {
        let status = loop {
            let status = read::<u32>(address);
            if status & READY == READY {
                break status;
            }
        };
        write(FLASH, CLEAR);
        write(FLASH, ARRAY);
        if status & FAILED == 0 { Ok(()) } else { Err(NorFlashErrorKind::Other) }
    }

    fn check(offset: u32, length: usize, unit: usize) -> Result<usize, NorFlashErrorKind> {
        let offset = offset as usize;
        if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        if length > FLASH_SIZE || offset > FLASH_SIZE - length {
            return Err(NorFlashErrorKind::OutOfBounds);
        }
        Ok(FLASH + offset)
    }
}

impl ErrorType for Cfi {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Cfi {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let from = Self::check(offset, bytes.len(), 4)?;
        for (address, word) in (from..).step_by(4).zip(bytes.chunks_exact_mut(4)) {
            word.copy_from_slice(&read::<u32>(address).to_le_bytes());
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        FLASH_SIZE
    }
}

impl NorFlash for Cfi {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let length = to.checked_sub(from).ok_or(NorFlashErrorKind::OutOfBounds)? as usize;
        let first = Self::check(from, length, ERASE_SIZE)?;
        for block in (first..first + length).step_by(ERASE_SIZE) {
            write(block, ERASE);
            write(block, CONFIRM);
            Self::finish(block)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let from = Self::check(offset, bytes.len(), 4)?;
        for (address, word) in (from..).step_by(4).zip(bytes.as_chunks::<4>().0) {
            let word = u32::from_le_bytes(*word);
            if read::<u32>(address) & word != word {
                return Err(NorFlashErrorKind::Other);
            }
            write(address, PROGRAM);
            write(address, word);
            Self::finish(address)?;
        }
        Ok(())
    }
}
