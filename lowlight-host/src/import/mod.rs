//! Taking in logs of devices: over a line, from a capture of one, from an image of flash.
//!
//! ```text
//! line -> frames -> entries -> DeviceStore (durable) -> import entry in the host's log (durable) -> acknowledgement to the device
//! ```
//!
//! 1. A device is told that entries are safe only after they and the entry about them are durable.
//! 2. Nothing that a device or a line says makes the host lose what it has; what does not fit is kept beside what was there.
//! 3. What was taken in before is not taken in again.

mod image;
mod read;
mod store;
mod take;
mod verify;

pub use image::{is_capture, open as open_image, read, verify_image};
pub use read::open_device;
pub use store::{DeviceStore, Stretch, devices};
pub use take::{Import, Source, Taken};
pub use verify::{DeviceReport, verify_devices};
pub(crate) use verify::{made_devices, names_of_devices};

use crate::line::LineError;
use crate::store::StoreError;
use lowlight_core::LogId;
use std::path::PathBuf;

/// Why an import did not do all of its work. What was taken in until then stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The device gave no answer.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Another import has the device in hand.
    #[error("another import is taking in device {0}: wait for it")]
    Busy(LogId),
    /// The capture says of no device.
    #[error("neither an image of flash with a log in it (is it erased?), nor a capture of a line with the status of a device")]
    Capture,
    /// What was taken in before is not what it was.
    #[error(
        "of device {0} what was taken in from entry {1} on is not what came in: run `lowlight verify`, and put back a copy of device.db"
    )]
    Changed(LogId, u64),
    /// The device has entries in so many pieces that an entry of the log for each would fill it.
    #[error("the device has its entries in more than 10,000 pieces: what came was kept; run it again for more")]
    Scattered,
    /// It was asked to stop.
    #[error("stopped: {0} entries were taken in; run it again for the rest")]
    Stopped(u64),
    /// Another device answers, or answered, on the same line.
    #[error("another device answers on the line, {0}: take in one at a time")]
    OtherDevice(LogId),
    /// The image cannot be read.
    #[error("the image cannot be read: {0}")]
    Image(#[from] lowlight_core::flash::ImageError),
    /// There is not one device as it was asked for.
    #[error("{0}")]
    Device(String),
    /// A database of a device is not what it should be.
    #[error("{path}: {why}")]
    #[expect(missing_docs, reason = "said by the message")]
    Store { path: PathBuf, why: String },
    /// The host's log did not take the entry.
    #[error("the log of this host did not take the entry about it ({0}): free space or look at `lowlight doctor`, then run it again")]
    NotRecorded(String),
    /// A file of the log.
    #[error(transparent)]
    Log(#[from] StoreError),
    /// SQLite.
    #[error("the database of the device: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
