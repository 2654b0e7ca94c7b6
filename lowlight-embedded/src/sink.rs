//! The contract of non-volatile storage for entries.
//!
//! ```text
//! append* --> stored, indices rising by one --> read_from --> ack --> may be reclaimed
//! ```
//!
//! 1. Indices are those of the device's chain: they rise by one and are never used twice.
//! 2. An index that was returned by `append` is either readable later or counted as reclaimed, whatever happens to power.
//! 3. Nothing that was never appended is ever returned by `read_from`.

use super::bisync;
use crate::Stored;
use embedded_io::Error;
use lowlight_core::link::DeviceStatus;

/// Non-volatile storage for the entries of one device log.
///
/// # Power loss
///
/// Power may go at any instant, also in the middle of an operation. What must hold at the next start is said at every
/// method. "Never happened" means that no trace of the operation is visible through this trait.
///
/// Errors are [`embedded_io::Error`], so that callers can tell "no space" from "broken" by
/// [`kind`](embedded_io::Error::kind) without knowing the driver.
#[bisync]
pub trait FlashSink {
    /// Why storage failed.
    type Error: Error;

    /// Appends encoded bodies in order and returns the index of the first.
    ///
    /// When it has returned `Ok`, all of `batch` survives power loss. When power goes before that, some prefix of
    /// `batch` may be there, in order and each body whole; the caller learns how much from [`status`](Self::status).
    /// An empty batch is `Ok` with the next index and writes nothing. A future that is dropped is as a power loss.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](embedded_io::ErrorKind::InvalidInput) if a body is larger than the storage can ever hold; nothing was written.
    /// [`OutOfMemory`](embedded_io::ErrorKind::OutOfMemory) if there is no space and the policy is to stop; the entries that found
    /// space are there, whole.
    /// Anything else: storage failed; the entries before the failure may be there, whole.
    async fn append(&mut self, batch: &[&[u8]]) -> Result<u64, Self::Error>;

    /// Reads the entry at `index`, or the oldest one after it that is still there, into `buffer`.
    ///
    /// `Ok(None)` means that nothing at or after `index` is stored. Reading changes nothing and is safe at any time.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](embedded_io::ErrorKind::InvalidInput) if `buffer` is too small for the entry.
    async fn read_from(&mut self, index: u64, buffer: &mut [u8]) -> Result<Option<Stored>, Self::Error>;

    /// Says that all entries below `upto` are safe elsewhere, so that their space may be reclaimed first.
    ///
    /// An acknowledgement may be forgotten on power loss (the entries are then sent again, which must be harmless), but
    /// never invented and never larger than what was said, nor than the next index.
    fn acknowledge(&mut self, upto: u64);

    /// Says how many entries were lost so far before they reached storage; may be forgotten on power loss.
    fn set_dropped(&mut self, dropped: u64);

    /// Does work that would otherwise delay an `append`, such as erasing ahead; call it when idle.
    ///
    /// Returns whether there was anything to do. Power loss inside is harmless: the work is done again.
    async fn maintain(&mut self) -> Result<bool, Self::Error>;

    /// Notes that nothing is under way: power may go now.
    async fn stop(&mut self) -> Result<(), Self::Error>;

    /// Where the log stands. Must agree with what `read_from` returns.
    fn status(&self) -> DeviceStatus;
}
