//! What an entry is, how it is chained, how it is checked: the part of Lowlight that a host and a microcontroller share.
//!
//! Layers, bottom to top; each knows only those above it in this list:
//!
//! - [`commit`]: salts and commitments, which hide a value now and prove it later
//! - [`entry`]: header, events, content slots and their one canonical encoding
//! - [`chain`]: digests, genesis, the head of a log
//! - [`tree`]: RFC 6962 tree over the chain's leaves
//! - [`note`]: signed notes, checkpoints, proof files, the rules of a witness
//! - [`queue`]: fixed-capacity ring with overflow policies and exact loss counts
//! - [`sink`], [`writer`]: drafts in, sealed entries out
//! - [`source`], [`verify`]: entries in, verdict out
//! - `flash`, `frame`, `link` (feature `device`): bytes of a flash log, frames and messages of the link to a device
//!
//! Invariants of the crate:
//!
//! 1. No `std`, no allocation, no unsafe code, no clock, no randomness, no I/O: time, salts and ids are arguments.
//! 2. One entry has one encoding; whatever decodes re-encodes to the same bytes.
//! 3. Nothing panics on data that came from outside.
//!
//! The bytes are those of `docs/format.md`.
#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

pub mod chain;
pub mod commit;
pub mod entry;
#[cfg(feature = "device")]
pub mod flash;
#[cfg(feature = "device")]
pub mod frame;
#[cfg(feature = "device")]
pub mod link;
pub mod note;
pub mod queue;
pub mod sink;
pub mod source;
pub mod tree;
pub mod verify;
pub mod writer;

pub use chain::{Digest, Head, LogId};
pub use commit::{Commitment, Salt};
pub use entry::{Entry, Event, FieldId, Header};
pub use heapless;
pub use postcard;
pub use queue::{Losses, OverflowPolicy, Ring};
pub use sink::Sink;
pub use source::EntrySource;
pub use tree::Frontier;
pub use verify::{Problem, ProblemKind, Verdict, Verifier};
pub use writer::{Batch, Draft};

/// Version of every format in `docs/format.md`.
pub const FORMAT: u8 = 1;
