//! Removing what is in a log without breaking its evidence (`docs/format.md`, section 13).
//!
//! ```text
//! choose (retention: old or too much; erasure: asked for) -> tombstone -> checkpoint -> delete, chunk by chunk
//! ```
//!
//! 1. Nothing is deleted that no tombstone names, and no tombstone is acted on before a checkpoint includes it.
//! 2. What a crash left over is found from the tombstones themselves, and finished by the next writer.

mod erase;
mod policy;
mod retention;
mod rules;
mod runs;

pub use erase::{Erase, EraseError, Found, fields, find};
pub use policy::{MAX_RULES, RetentionPolicy, Rule};
pub use retention::{Choice, Room, choose};
pub use rules::{RuleEntries, Rules};
pub use runs::Runs;

use lowlight_core::entry::Cause;

/// What one kind of tombstone is to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Bitmap of content fields; 0 = whole entries.
    pub fields: u64,
    /// Why.
    pub cause: Cause,
    /// Which entries.
    pub runs: Runs,
}

/// All content fields.
pub const ALL_FIELDS: u64 = u64::MAX;
