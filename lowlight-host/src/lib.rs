//! Lowlight on Linux: a local-first flight recorder for AI.
//!
//! Layers, top to bottom:
//!
//! - [`recorder`]: any thread hands records over, one thread writes them
//! - [`record`]: what a caller hands over
//! - [`redact`]: what must not reach queue or disk
//! - [`store`]: one SQLite database per log
//! - [`mod@line`]: the host's end of the link to a device; [`import`]: logs of devices
//! - [`verify`], [`export`], [`view`]: what is in a log, for auditors, programs and people
//!
//! Invariants of the crate:
//!
//! 1. Nothing blocks a caller of [`Recorder::record`] on disk, and nothing it is given makes it panic.
//! 2. Nothing reaches the queue without passing redaction.
//! 3. A record is called durable only after COMMIT has returned.
//! 4. No network code.
//!
//! The bytes are those of `docs/format.md`; `docs/guide.md` shows how to use it.

pub mod checkpoints;
pub mod config;
pub mod copy;
pub mod export;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod import;
mod json;
pub mod keys;
pub mod line;
pub mod prove;
mod random;
pub mod record;
pub mod recorder;
pub mod redact;
pub mod removal;
pub mod store;
pub mod time;
pub mod verify;
pub mod view;
pub mod witness;

#[doc(hidden)]
pub mod cli;

pub use record::{ContentMode, Record, RecordError};
pub use recorder::{Builder, LossReason, Outcome, Recorder, RecorderError, Span, Stats, Ticket};
