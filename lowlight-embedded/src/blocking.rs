//! Drivers that block, where the log expects drivers that can be awaited.

use crate::log::{FlashError, FlashLog};
use crate::sink::{FlashSink, FlashStatus, Stored};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use embedded_storage::nor_flash::{self as blocking};
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// A blocking `embedded-storage` driver as one that is always ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl<F: blocking::NorFlash, const MAX: usize> FlashSink for FlashLog<Blocking<F>, MAX> {
    type Error = FlashError;

    fn append(&mut self, batch: &[&[u8]]) -> Result<u64, FlashError> {
        wait(Self::append(self, batch))
    }

    fn read_from(&mut self, index: u64, buffer: &mut [u8]) -> Result<Option<Stored>, FlashError> {
        wait(self.read(index, buffer))
    }

    fn ack(&mut self, upto: u64) -> Result<(), FlashError> {
        self.acknowledge(upto);
        Ok(())
    }

    fn maintain(&mut self) -> Result<bool, FlashError> {
        wait(self.prepare())
    }

    fn status(&self) -> FlashStatus {
        Self::status(self)
    }
}
