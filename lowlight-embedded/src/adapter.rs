//! Drivers that block, where the log expects drivers that can be awaited.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use embedded_storage::nor_flash::{self as blocking};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// A blocking driver, of flash (`embedded-storage`) or of a serial port (`embedded-io`), as one that is always ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Blocking<F>(pub F);

impl<F: blocking::ErrorType> ErrorType for Blocking<F> {
    type Error = F::Error;
}

impl<F: blocking::ReadNorFlash> ReadNorFlash for Blocking<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: blocking::NorFlash> NorFlash for Blocking<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0.erase(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.write(offset, bytes)
    }
}

/// Runs a future to its end on this thread. With a blocking driver it ends at the first poll; any other is polled again and again.
///
/// ```
/// assert_eq!(lowlight_embedded::wait(async { 1 + 1 }), 2);
/// ```
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

impl<P: embedded_io::ErrorType> embedded_io::ErrorType for Blocking<P> {
    type Error = P::Error;
}

impl<P: embedded_io::Write> embedded_io_async::Write for Blocking<P> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, P::Error> {
        self.0.write(bytes)
    }

    async fn flush(&mut self) -> Result<(), P::Error> {
        self.0.flush()
    }
}
