//! What recorders, logs and their callers tell each other; the same with `async` and without.

use embedded_io::ErrorKind;
use embedded_storage::nor_flash::NorFlashErrorKind;
use lowlight_core::entry::{Clock, EntryError, GapReason};
use lowlight_core::link::Before;

/// An entry that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stored {
    /// Its index; larger than asked for when entries in between were reclaimed.
    pub index: u64,
    /// Length of its body in the buffer, bytes.
    pub length: usize,
    /// The leaf before it, as it was when it was appended; `None` where that is not known any more.
    pub before: Option<Before>,
}

/// What happens when flash is full of entries that nobody has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WhenFull {
    /// The oldest go; they are counted.
    #[default]
    Overwrite,
    /// Nothing more is appended until some are acknowledged.
    Stop,
}

/// How a log treats its flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Options {
    /// What happens when it is full.
    pub when_full: WhenFull,
    /// Whether what was programmed is read back and compared.
    pub verify: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { when_full: WhenFull::default(), verify: true }
    }
}

/// Why the log could not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlashError {
    /// The region is not whole sectors, or not 2 to 65,535 of them.
    Region,
    /// A log is there that has another `MAX`, write size, erase size or region.
    Layout,
    /// An entry is longer than a frame holds, or empty.
    TooLarge,
    /// The buffer is shorter than the entry.
    Buffer,
    /// Flash is full, and what is there must be acknowledged first.
    Full,
    /// Five places in a row could not be programmed or erased; fewer in a ring of so few sectors. Only a new mount tries again.
    Failed,
    /// Flash could not be read.
    Flash(NorFlashErrorKind),
}

impl core::fmt::Display for FlashError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Region => "the region must begin and end at an erase block and have 2 to 65,535 of them",
            Self::Layout => {
                "the flash holds a log with another MAX, write size, erase size or region: mount it as it was, or erase it for a new one"
            }
            Self::TooLarge => "the entry is empty or longer than a frame holds: raise MAX, or write less into it",
            Self::Buffer => "the buffer is shorter than the entry: give one of MAX bytes",
            Self::Full => "flash is full: acknowledge what was drained, or choose WhenFull::Overwrite",
            Self::Failed => "flash could not be programmed at five places in a row: it is worn out or write-protected",
            Self::Flash(_) => "flash could not be read",
        })
    }
}

impl core::error::Error for FlashError {}

impl embedded_io::Error for FlashError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Region | Self::Layout | Self::TooLarge | Self::Buffer => ErrorKind::InvalidInput,
            Self::Full => ErrorKind::OutOfMemory,
            Self::Failed | Self::Flash(_) => ErrorKind::Other,
        }
    }
}

/// What the clocks of the device say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Now {
    /// ns since 1970-01-01T00:00:00Z, as far as `clock` can be trusted; 0 where it was never set.
    pub wall: i64,
    /// ns since power on.
    pub monotonic: u64,
    /// How much `wall` can be trusted.
    pub clock: Clock,
}

/// What the firmware says about itself at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Software<'a> {
    /// Name and version, at most 64 bytes.
    pub name: &'a str,
    /// Id of the build, at most 64 bytes.
    pub build: Option<&'a str>,
    /// Id of the device, at most 64 bytes.
    pub device: Option<&'a str>,
    /// The random bytes are from a true random source. If not, a commitment may be guessed: it is not erasure-safe, and entry 0
    /// says so.
    pub true_random: bool,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Recorded {
    /// It waits to be written.
    Queued,
    /// It was lost, and is counted.
    Lost(GapReason),
    /// The queue is full and the policy is to wait: flush, then try again. It is not counted.
    Full,
    /// It breaks the format, or is larger than `BODY` - 8.
    Refused(EntryError),
}

/// Why a recorder could not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StartError<E> {
    /// A text of [`Software`] is too long, or `BODY` is too small for the entries of a start.
    Entry(EntryError),
    /// Storage failed.
    Sink(E),
}

impl<E> From<EntryError> for StartError<E> {
    fn from(error: EntryError) -> Self {
        Self::Entry(error)
    }
}

impl<E: core::fmt::Display> core::fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Entry(error) => error.fmt(f),
            Self::Sink(error) => error.fmt(f),
        }
    }
}

impl<E: core::fmt::Debug + core::fmt::Display> core::error::Error for StartError<E> {}
