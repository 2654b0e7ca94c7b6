//! The flash side of Lowlight, for microcontrollers: no `std`, no allocation.
//!
//! - [`FlashSink`]: the contract of storage; firmware with FRAM, RRAM or an SD card implements it
//! - [`FlashLog`]: the implementation over NOR flash drivers of `embedded-storage`
//! - [`Recorder`]: events in, chained entries in a [`FlashSink`] out, by way of a bounded queue
//! - [`Link`]: answers what a host asks about the log, over a serial port
//! - `Witness` (feature `witness`): cosigns what a host's log has grown to, and never again less
//!
//! All of these are here for drivers that wait in futures, and once more in [`blocking`], from the same source, for those that block.
//!
//! - `sim` (feature): NOR flash in memory that is stricter than real one, loses power, tears and wears
#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

#[cfg(feature = "sim")]
extern crate std;

mod adapter;
#[cfg(feature = "witness")]
mod reply;
#[cfg(feature = "sim")]
pub mod sim;
mod types;

/// For firmware whose drivers wait in futures, as those of embassy do.
#[path = "."]
#[expect(async_fn_in_trait, reason = "the futures of a microcontroller need not be sent to another thread")]
mod asynchronous {
    use bisync_macros::{internal_delete as only_blocking, internal_noop as bisync};
    use embedded_io_async::Write;
    use embedded_storage_async::nor_flash::NorFlash;

    mod link;
    mod log;
    mod recorder;
    mod sink;
    #[cfg(feature = "witness")]
    mod witness;

    pub use link::Link;
    pub use log::FlashLog;
    pub use recorder::Recorder;
    pub use sink::FlashSink;
    #[cfg(feature = "witness")]
    pub use witness::Witness;
}

/// The same for drivers that block, made of the same source: for a main loop. A fifth less code than with futures.
#[path = "."]
#[allow(clippy::duplicate_mod, reason = "once with async and once without")]
pub mod blocking {
    use bisync_macros::{internal_noop as only_blocking, internal_strip_async as bisync};
    use embedded_io::Write;
    use embedded_storage::nor_flash::NorFlash;

    mod link;
    mod log;
    mod recorder;
    mod sink;
    #[cfg(feature = "witness")]
    mod witness;

    pub use link::Link;
    pub use log::FlashLog;
    pub use recorder::Recorder;
    pub use sink::FlashSink;
    #[cfg(feature = "witness")]
    pub use witness::Witness;
}

pub use adapter::{Blocking, wait};
pub use asynchronous::*;
pub use lowlight_core::link::DeviceStatus;
#[cfg(feature = "witness")]
pub use reply::{Provisioning, Reply, WitnessError};
pub use types::{FlashError, Now, Options, Recorded, Software, StartError, Stored, WhenFull};

/// The guide's code is compiled with the tests.
#[cfg(all(doctest, feature = "witness"))]
#[doc = include_str!("../../docs/firmware.md")]
struct Guide;
