//! The board's serial line.

use super::board::{read, write};
use core::convert::Infallible;

const UART: usize = 0x4000_4000;

/// The CMSDK UART, polled.
pub struct Uart;

impl Uart {
    /// Turns it on.
    pub fn new() -> Self {
        write(UART + 16, 16);
        write(UART + 8, 3);
        Self
    }
}

impl embedded_io::ErrorType for Uart {
    type Error = Infallible;
}

impl embedded_io::ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(read(UART + 4) & 2 != 0)
    }
}

impl embedded_io::Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = bytes.first_mut() else { return Ok(0) };
        while read(UART + 4) & 2 == 0 {
            core::hint::spin_loop();
        }
        *first = read(UART).to_le_bytes()[0];
        Ok(1)
    }
}

impl embedded_io::Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            while read(UART + 4) & 1 != 0 {
                core::hint::spin_loop();
            }
            write(UART, u32::from(*byte));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
