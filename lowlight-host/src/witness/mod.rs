//! A witness: remembers how large a log was, where the box that writes the log cannot make it forget (`docs/format.md`,
//! sections 10 and 14).
//!
//! ```text
//! recorder --checkpoint, growth proof--> witness: check, persist, read back, cosign --cosignature--> DIR/witnessed
//! ```
//!
//! 1. A state that is gone or damaged is never begun anew: the witness stops.
//! 2. What it signs for a size it has on disk, at that size or larger.

mod client;
mod serve;
mod state;
mod timed;

pub use client::{Client, Endpoint, WitnessError};
pub use serve::serve;
pub use state::{Info, Slot, Witness};
pub(crate) use timed::Timed;

/// Most bytes of an `add` request.
pub const MAX_REQUEST: usize = 128 << 10;
/// Most bytes of a request line.
pub const MAX_LINE: usize = 1_024;
/// Logs of one name that a witness remembers.
pub const SLOTS: usize = 4;

/// An answer: status and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As in HTTP.
    pub status: u16,
    /// What it says.
    pub body: String,
}
