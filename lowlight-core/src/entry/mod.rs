//! The record model: what one entry of a log says (`docs/format.md`, sections 2 and 3).
//!
//! Limits: [`MAX_BODY`], [`MAX_FIELDS`], [`MAX_CONTENT`]; every text has a cap, every integer fits an `i64`.
//!
//! ```text
//! body = version 1 | seq | header | event | fields (id, state, cut_from, commitment)*
//! ```
//!
//! 1. The header is never erased and holds no content; content lives beside the body and is only committed to by it.
//! 2. [`Entry::check`] accepts exactly what [`codec::decode`] can return.

pub mod codec;
mod event;
mod evidence;
mod field;
mod retention;

pub use event::{
    Audit, Event, GAP_REASONS, Gap, GapReason, Inference, Kind, Lifecycle, Log, Open, Payload, Predecessor, Role, TokensSource,
};
pub use evidence::{Cause, Import, KeyChange, MAX_RUNS, Policy, Run, Signature, Tombstone};
pub use field::{FieldId, Slot, SlotState, Slots};
pub use retention::{Facts, Retention, RetentionRule};

use serde::{Deserialize, Serialize};

/// Largest encoded body, in bytes.
pub const MAX_BODY: usize = 2048;
/// Most content fields of one entry.
pub const MAX_FIELDS: usize = 16;
/// Largest content value, in bytes.
pub const MAX_CONTENT: usize = 16 * 1024 * 1024;
/// Largest unsigned integer of a body: it must fit a signed 64-bit column.
pub const MAX_INTEGER: u64 = i64::MAX as u64;
/// Most entries of one log.
pub const MAX_SIZE: u64 = 1 << 56;

/// How much the wall clock could be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Clock {
    /// Never set since power on.
    Unset,
    /// Read from a real-time clock.
    Rtc,
    /// Kept in step with a time source.
    Synchronised,
}

/// Severity of an entry; for an ordinary log line it is the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "the names are the standard levels")]
pub enum Severity {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// A UUIDv7 (RFC 9562, section 5.7) of that time, Unix milliseconds; the rest of it is `random`.
pub const fn uuid_v7(milliseconds: u64, random: [u8; 16]) -> [u8; 16] {
    let [_, _, a, b, c, d, e, f] = milliseconds.to_be_bytes();
    let [_, _, _, _, _, _, version, g, variant, rest @ ..] = random;
    let [h, i, j, k, l, m, n] = rest;
    [a, b, c, d, e, f, version & 0x0F | 0x70, g, variant & 0x3F | 0x80, h, i, j, k, l, m, n]
}

/// What every entry says, whatever its event. Holds no content and is never erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header<'a> {
    // `codec::peek_run` steps over these fields as they are encoded, one after the other.
    /// Position in the log, from 0. Set when the entry is sealed.
    pub seq: u64,
    /// When the entry was accepted, ns since 1970-01-01T00:00:00Z.
    pub recorded: i64,
    /// When it happened, as the caller claims, ns since 1970-01-01T00:00:00Z.
    pub occurred: Option<i64>,
    /// Clock that never goes back within one run, ns.
    pub monotonic: u64,
    /// Number of the start of a writer process.
    pub run: u64,
    /// Quality of `recorded`.
    pub clock: Clock,
    /// UUIDv7.
    pub id: [u8; 16],
    /// Severity, or level of a log line.
    pub severity: Severity,
    /// Application, at most 64 bytes.
    #[serde(borrow)]
    pub app: Option<&'a str>,
    /// Environment such as `prod`, at most 32 bytes.
    pub environment: Option<&'a str>,
    /// Module of the application, at most 128 bytes.
    pub module: Option<&'a str>,
    /// Trace id, at most 64 bytes (W3C: 32 hex digits).
    pub trace_id: Option<&'a str>,
    /// Span id, at most 32 bytes (W3C: 16 hex digits).
    pub span_id: Option<&'a str>,
    /// Parent span id, at most 32 bytes.
    pub parent_id: Option<&'a str>,
    /// Request id, at most 128 bytes.
    pub request_id: Option<&'a str>,
    /// How many spans of text were replaced.
    pub redactions: u32,
    /// Bitmap of the kinds replaced.
    pub redaction_kinds: u64,
    /// Number of the redaction policy, 0 when redaction was off.
    pub redaction_policy: u32,
}

/// One entry without its content: what is encoded, hashed and chained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The header.
    #[serde(borrow)]
    pub header: Header<'a>,
    /// What happened.
    pub event: Event<'a>,
    /// Commitments to the content fields.
    pub fields: Slots,
}

/// Why an entry or its bytes break the format; the text names the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EntryError {
    /// The bytes are not an encoding of an entry.
    #[error("body is not a valid encoding")]
    Encoding,
    /// The bytes decode, but not to their only encoding, or bytes are left over.
    #[error("body is not in its canonical encoding")]
    NotCanonical,
    /// The encoded body would be larger than [`MAX_BODY`].
    #[error("body is larger than {MAX_BODY} bytes")]
    TooLarge,
    /// A version or an event of a newer format.
    #[error("body is of a version or kind that this software does not understand")]
    NotUnderstood,
    /// A text is longer than its cap, holds U+0000, or breaks its alphabet.
    #[error("text of {0} is too long or has a character that is not allowed there")]
    Text(&'static str),
    /// A number is outside its range.
    #[error("value of {0} is outside its range")]
    Range(&'static str),
    /// Fields or runs are not in ascending order, or appear twice.
    #[error("{0} are not strictly ascending")]
    Order(&'static str),
}

impl Header<'_> {
    /// A header with what every entry has, and none of the texts; seq and run are 0.
    pub const fn new(recorded: i64, monotonic: u64, clock: Clock, id: [u8; 16], severity: Severity) -> Self {
        Self {
            seq: 0,
            recorded,
            occurred: None,
            monotonic,
            run: 0,
            clock,
            id,
            severity,
            app: None,
            environment: None,
            module: None,
            trace_id: None,
            span_id: None,
            parent_id: None,
            request_id: None,
            redactions: 0,
            redaction_kinds: 0,
            redaction_policy: 0,
        }
    }

    fn check(&self) -> Result<(), EntryError> {
        range("seq", self.seq, MAX_SIZE - 1)?;
        range("monotonic", self.monotonic, MAX_INTEGER)?;
        range("run", self.run, MAX_INTEGER)?;
        range("redaction_kinds", self.redaction_kinds, MAX_INTEGER)?;
        optional("app", self.app, 64)?;
        optional("environment", self.environment, 32)?;
        optional("module", self.module, 128)?;
        optional("trace_id", self.trace_id, 64)?;
        optional("span_id", self.span_id, 32)?;
        optional("parent_id", self.parent_id, 32)?;
        optional("request_id", self.request_id, 128)
    }
}

impl Entry<'_> {
    /// Checks every limit of the format, except the size of the whole body.
    pub fn check(&self) -> Result<(), EntryError> {
        self.header.check()?;
        self.event.check()?;
        field::check(&self.fields)
    }
}

pub(crate) fn text(name: &'static str, value: &str, cap: usize) -> Result<(), EntryError> {
    if value.len() > cap || value.as_bytes().contains(&0) { Err(EntryError::Text(name)) } else { Ok(()) }
}

pub(crate) fn optional(name: &'static str, value: Option<&str>, cap: usize) -> Result<(), EntryError> {
    value.map_or(Ok(()), |value| text(name, value, cap))
}

/// A token: 1 to `cap` bytes of `[a-z0-9_.-]`.
pub(crate) fn token(name: &'static str, value: &str, cap: usize) -> Result<(), EntryError> {
    if is_token(value, cap) { Ok(()) } else { Err(EntryError::Text(name)) }
}

/// Whether `value` is 1 to `cap` bytes of `[a-z0-9_.-]`.
///
/// ```
/// assert!(lowlight_core::entry::is_token("text_completion", 32));
/// assert!(!lowlight_core::entry::is_token("Chat", 32));
/// ```
pub fn is_token(value: &str, cap: usize) -> bool {
    let allowed = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    !value.is_empty() && value.len() <= cap && value.as_bytes().iter().all(allowed)
}

pub(crate) fn range(name: &'static str, value: u64, most: u64) -> Result<(), EntryError> {
    if value > most { Err(EntryError::Range(name)) } else { Ok(()) }
}
