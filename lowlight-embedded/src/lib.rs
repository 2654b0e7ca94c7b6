//! The flash side of Lowlight, for microcontrollers: no `std`, no allocation.
//!
//! This version defines the contract of storage, [`FlashSink`]; firmware with FRAM, RRAM or an SD card can implement
//! it already. The flash log over NOR drivers is under way and is not part of this version.
#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod sink;

pub use sink::{FlashSink, FlashStatus, Stored};
