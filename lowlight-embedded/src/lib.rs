//! The flash side of Lowlight, for microcontrollers: no `std`, no allocation.
//!
//! - [`FlashSink`]: the contract of storage; firmware with FRAM, RRAM or an SD card implements it
//! - [`FlashLog`]: the implementation over NOR flash drivers of `embedded-storage`, async or through [`Blocking`]
//! - [`Recorder`]: events in, chained entries in a [`FlashSink`] out, by way of a bounded queue
//! - [`Link`]: answers what a host asks about the log, over a serial port
//! - `Witness` (feature `witness`): cosigns what a host's log has grown to, and never again less
//! - `sim` (feature): NOR flash in memory that is stricter than real one, loses power, tears and wears
#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

#[cfg(feature = "sim")]
extern crate std;

mod blocking;
mod link;
mod log;
mod recorder;
#[cfg(feature = "sim")]
pub mod sim;
mod sink;
#[cfg(feature = "witness")]
mod witness;

pub use blocking::{Blocking, wait};
pub use link::Link;
pub use log::{FlashError, FlashLog, Options, WhenFull};
pub use lowlight_core::link::DeviceStatus;
pub use recorder::{Now, Recorded, Recorder, Software, StartError};
pub use sink::{FlashSink, Stored};
#[cfg(feature = "witness")]
pub use witness::{Provisioning, Reply, Witness, WitnessError};
