//! Events: what happened (`docs/format.md`, section 3). The order of every enum is part of the format.

use super::Retention;
use super::evidence::{Import, KeyChange, Policy, Tombstone};
use super::{Clock, EntryError, MAX_INTEGER, MAX_SIZE, optional, range, text, token};
use crate::chain::{Digest, LogId};
use serde::{Deserialize, Serialize};

/// One event. The variant's number is the `kind` of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event<'a> {
    /// Entry 0 of every log.
    #[serde(borrow)]
    Open(Open<'a>),
    /// A model was asked.
    Inference(Inference<'a>),
    /// Somebody did something that matters.
    Audit(Audit<'a>),
    /// An ordinary log line.
    Log(Log<'a>),
    /// Something about the recorder itself.
    Lifecycle(Lifecycle<'a>),
    /// Entries were lost before they reached the log.
    Gap(Gap),
    /// Entries or contents are about to be deleted.
    Tombstone(Tombstone),
    /// The retention policy changes.
    Policy(Policy<'a>),
    /// The log key changes.
    KeyChange(KeyChange<'a>),
    /// A range of another log was taken in.
    Import(Import),
}

/// What one kind of event says. Encoded by [`encode_payload`](super::codec::encode_payload) firmware has no code for the other kinds.
pub trait Payload: Serialize {
    /// The kind of its entries.
    const KIND: Kind;

    /// Checks every limit of the format.
    ///
    /// # Errors
    ///
    /// [`EntryError`], with what breaks it.
    fn check(&self) -> Result<(), EntryError>;
}

/// Kind of an entry, as a number and a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "same variants as Event, plus Unknown for entries not understood")]
pub enum Kind {
    Open,
    Inference,
    Audit,
    Log,
    Lifecycle,
    Gap,
    Tombstone,
    Policy,
    KeyChange,
    Import,
    Unknown,
}

const KINDS: [(Kind, u8, &str); 11] = [
    (Kind::Open, 0, "open"),
    (Kind::Inference, 1, "inference"),
    (Kind::Audit, 2, "audit"),
    (Kind::Log, 3, "log"),
    (Kind::Lifecycle, 4, "lifecycle"),
    (Kind::Gap, 5, "gap"),
    (Kind::Tombstone, 6, "tombstone"),
    (Kind::Policy, 7, "policy"),
    (Kind::KeyChange, 8, "key_change"),
    (Kind::Import, 9, "import"),
    (Kind::Unknown, 255, "unknown"),
];

impl Kind {
    /// The number, as in the `kind` column.
    pub const fn number(self) -> u8 {
        match self {
            Self::Unknown => 255,
            known => known as u8,
        }
    }

    /// The name, as in exports.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|row| row.0 == self).map_or("unknown", |row| row.2)
    }

    /// The kind of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        KINDS.iter().find(|row| row.1 == number).map(|row| row.0)
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        KINDS.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// Whether a user wrote it (inference, audit, log) rather than the recorder.
    pub fn is_record(self) -> bool {
        matches!(self, Self::Inference | Self::Audit | Self::Log)
    }
}

impl Event<'_> {
    /// The kind of this event.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Open(_) => Kind::Open,
            Self::Inference(_) => Kind::Inference,
            Self::Audit(_) => Kind::Audit,
            Self::Log(_) => Kind::Log,
            Self::Lifecycle(_) => Kind::Lifecycle,
            Self::Gap(_) => Kind::Gap,
            Self::Tombstone(_) => Kind::Tombstone,
            Self::Policy(_) => Kind::Policy,
            Self::KeyChange(_) => Kind::KeyChange,
            Self::Import(_) => Kind::Import,
        }
    }

    pub(super) fn check(&self) -> Result<(), EntryError> {
        match self {
            Self::Open(open) => open.check(),
            Self::Inference(inference) => inference.check(),
            Self::Audit(audit) => audit.check(),
            Self::Log(log) => log.check(),
            Self::Lifecycle(lifecycle) => lifecycle.check(),
            Self::Gap(gap) => gap.check(),
            Self::Tombstone(tombstone) => tombstone.check(),
            Self::Policy(policy) => policy.policy.check(),
            Self::KeyChange(change) => change.check(),
            Self::Import(import) => range("first", import.first, MAX_SIZE).and(range("end", import.end, MAX_SIZE)),
        }
    }
}

/// What kind of machine writes a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "self-explanatory")]
pub enum Role {
    Host,
    Device,
}

/// The log that this one follows; what could not be read is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "self-explanatory")]
pub struct Predecessor {
    pub log_id: Option<LogId>,
    pub size: Option<u64>,
    pub root: Option<Digest>,
}

/// Payload of entry 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open<'a> {
    /// The log's id.
    pub log_id: LogId,
    /// Host or device.
    pub role: Role,
    /// Whether salts come from a true random source; if not, commitments are not erasure-safe.
    pub true_random: bool,
    /// Retention policy in force from the start.
    #[serde(borrow)]
    pub policy: Retention<'a>,
    /// Verification key of the log, C2SP vkey, at most 256 bytes.
    pub vkey: Option<&'a str>,
    /// Key that may shorten retention, C2SP vkey, at most 256 bytes.
    pub erasure_vkey: Option<&'a str>,
    /// The log before this one.
    pub predecessor: Option<Predecessor>,
}

impl Payload for Open<'_> {
    const KIND: Kind = Kind::Open;

    fn check(&self) -> Result<(), EntryError> {
        self.policy.check()?;
        optional("vkey", self.vkey, 256)?;
        optional("erasure_vkey", self.erasure_vkey, 256)?;
        let size = self.predecessor.and_then(|predecessor| predecessor.size);
        range("predecessor size", size.unwrap_or(0), MAX_INTEGER)
    }
}

/// Where token counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TokensSource {
    /// The model server said so.
    Reported,
    /// Computed from other reported figures.
    Derived,
    /// Characters divided by four.
    Estimated,
}

/// A model was asked. Unknown is `None`, never 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inference<'a> {
    /// `chat`, `embeddings`, `detect`, ...; a token of at most 32 bytes.
    pub operation: &'a str,
    /// Provider or server, at most 64 bytes.
    pub provider: Option<&'a str>,
    /// Requested model, 1 to 128 bytes.
    pub model: &'a str,
    /// Model that answered, at most 128 bytes.
    pub model_actual: Option<&'a str>,
    /// Digest of the model file, at most 96 bytes, for instance `sha256:...`.
    pub model_digest: Option<&'a str>,
    /// `ok`, `error`, `cancelled`, `filtered` or an own token of at most 32 bytes.
    pub status: &'a str,
    /// Class of error, at most 64 bytes.
    pub error_type: Option<&'a str>,
    /// Why the model stopped, at most 64 bytes.
    pub finish_reason: Option<&'a str>,
    /// Whole duration, ns.
    pub duration_ns: Option<u64>,
    /// Time to first token, ns.
    pub ttft_ns: Option<u64>,
    /// Tokens of the request.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: Option<u64>,
    /// Tokens read from a cache.
    pub cached_tokens: Option<u64>,
    /// Tokens spent on reasoning.
    pub reasoning_tokens: Option<u64>,
    /// Where the counts come from.
    pub tokens_source: Option<TokensSource>,
    /// Number of the attempt.
    pub attempt: Option<u32>,
    /// Service tier, at most 32 bytes.
    pub tier: Option<&'a str>,
    /// Cost, 10^-9 US dollars.
    pub cost_nano_usd: Option<u64>,
    /// Version of the rates behind `cost_nano_usd`, at most 32 bytes.
    pub rate_version: Option<&'a str>,
}

impl<'a> Inference<'a> {
    /// An inference of which nothing else is known.
    pub const fn new(operation: &'a str, model: &'a str, status: &'a str) -> Self {
        Self {
            operation,
            provider: None,
            model,
            model_actual: None,
            model_digest: None,
            status,
            error_type: None,
            finish_reason: None,
            duration_ns: None,
            ttft_ns: None,
            input_tokens: None,
            output_tokens: None,
            cached_tokens: None,
            reasoning_tokens: None,
            tokens_source: None,
            attempt: None,
            tier: None,
            cost_nano_usd: None,
            rate_version: None,
        }
    }
}

impl Payload for Inference<'_> {
    const KIND: Kind = Kind::Inference;

    fn check(&self) -> Result<(), EntryError> {
        token("operation", self.operation, 32)?;
        token("status", self.status, 32)?;
        optional("provider", self.provider, 64)?;
        text("model", self.model, 128)?;
        if self.model.is_empty() {
            return Err(EntryError::Text("model"));
        }
        optional("model_actual", self.model_actual, 128)?;
        optional("model_digest", self.model_digest, 96)?;
        optional("error_type", self.error_type, 64)?;
        optional("finish_reason", self.finish_reason, 64)?;
        optional("tier", self.tier, 32)?;
        optional("rate_version", self.rate_version, 32)?;
        let numbers = [
            ("duration_ns", self.duration_ns),
            ("ttft_ns", self.ttft_ns),
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
            ("cached_tokens", self.cached_tokens),
            ("reasoning_tokens", self.reasoning_tokens),
            ("cost_nano_usd", self.cost_nano_usd),
        ];
        numbers.iter().try_for_each(|(name, value)| range(name, value.unwrap_or(0), MAX_INTEGER))
    }
}

/// Somebody did something that matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit<'a> {
    /// Dotted type such as `auth.login`: 1 to 64 bytes of `[a-z0-9_.-]`.
    pub event_type: &'a str,
    /// Whether the type was known to the recorder's taxonomy.
    pub registered: bool,
    /// What was done, at most 128 bytes.
    pub action: Option<&'a str>,
    /// How it ended; a token of at most 32 bytes.
    pub outcome: Option<&'a str>,
    /// Type of the resource, at most 128 bytes.
    pub resource: Option<&'a str>,
    /// How the actor proved who it was, at most 64 bytes.
    pub auth_method: Option<&'a str>,
    /// Cost, 10^-9 US dollars.
    pub cost_nano_usd: Option<u64>,
    /// Version of the rates behind `cost_nano_usd`, at most 32 bytes.
    pub rate_version: Option<&'a str>,
}

impl Payload for Audit<'_> {
    const KIND: Kind = Kind::Audit;

    fn check(&self) -> Result<(), EntryError> {
        token("event_type", self.event_type, 64)?;
        optional("action", self.action, 128)?;
        self.outcome.map_or(Ok(()), |outcome| token("outcome", outcome, 32))?;
        optional("resource", self.resource, 128)?;
        optional("auth_method", self.auth_method, 64)?;
        range("cost_nano_usd", self.cost_nano_usd.unwrap_or(0), MAX_INTEGER)?;
        optional("rate_version", self.rate_version, 32)
    }
}

/// An ordinary log line; its text is content, its level the header's severity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log<'a> {
    /// Logger, at most 128 bytes.
    pub target: Option<&'a str>,
    /// Source file, at most 256 bytes.
    pub file: Option<&'a str>,
    /// Source line.
    pub line: Option<u32>,
    /// Function, at most 128 bytes.
    pub function: Option<&'a str>,
}

impl Payload for Log<'_> {
    const KIND: Kind = Kind::Log;

    fn check(&self) -> Result<(), EntryError> {
        optional("target", self.target, 128)?;
        optional("file", self.file, 256)?;
        optional("function", self.function, 128)
    }
}

/// Something about the recorder itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are defined in docs/format.md, section 3")]
pub enum Lifecycle<'a> {
    /// A writer started.
    Start { software: &'a str, build: Option<&'a str>, device: Option<&'a str> },
    /// A writer stopped in order, with its totals. Its number stands in `codec::peek_run` as well.
    Stop { received: u64, written: u64, lost: u64 },
    /// An earlier run ended without a stop; `at_most` entries may have been in memory.
    UncleanStop { run: u64, last_seq: Option<u64>, at_most: u64 },
    /// A model was loaded.
    ModelLoaded { name: &'a str, digest: Option<&'a str> },
    /// The configuration changed.
    ConfigChanged { digest: Digest },
    /// From here on entries may name redaction policy `number`, whose fingerprint is `digest`.
    RedactionPolicy { number: u32, digest: Digest },
    /// The wall clock was set.
    ClockSet { before: i64, after: i64, quality: Clock },
    /// A range was exported.
    Exported { first: u64, end: u64, entries: u64 },
    /// Something that an operator should look at.
    Alarm { code: &'a str, detail: &'a str },
}

impl Payload for Lifecycle<'_> {
    const KIND: Kind = Kind::Lifecycle;

    fn check(&self) -> Result<(), EntryError> {
        let number = |value: &u64| range("lifecycle number", *value, MAX_INTEGER);
        match self {
            Self::Start { software, build, device } => {
                text("software", software, 64)?;
                optional("build", *build, 64)?;
                optional("device", *device, 64)
            }
            Self::Stop { received, written, lost } => [received, written, lost].into_iter().try_for_each(number),
            Self::UncleanStop { run, last_seq, at_most } => [*run, last_seq.unwrap_or(0), *at_most].iter().try_for_each(number),
            Self::ModelLoaded { name, digest } => text("name", name, 128).and(optional("digest", *digest, 96)),
            Self::Exported { first, end, entries } => [first, end, entries].into_iter().try_for_each(number),
            Self::Alarm { code, detail } => token("code", code, 32).and(text("detail", detail, 256)),
            Self::ConfigChanged { .. } | Self::RedactionPolicy { .. } | Self::ClockSet { .. } => Ok(()),
        }
    }
}

/// Why entries were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum GapReason {
    /// The queue was full.
    QueueFull,
    /// The sampling policy left them out.
    Sampled,
    /// There was no space on disk.
    DiskFull,
    /// Storage refused the entry.
    Rejected,
    /// A device was reset with entries in memory.
    DeviceReset,
}

/// Every reason with its name, in the order of the format.
pub const GAP_REASONS: [(GapReason, &str); 5] = [
    (GapReason::QueueFull, "queue_full"),
    (GapReason::Sampled, "sampled"),
    (GapReason::DiskFull, "disk_full"),
    (GapReason::Rejected, "rejected"),
    (GapReason::DeviceReset, "device_reset"),
];

impl GapReason {
    /// The name, as in exports.
    pub fn name(self) -> &'static str {
        GAP_REASONS.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }
}

/// Entries were lost before they reached the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// How many, at least 1.
    pub lost: u64,
    /// Time of the first loss, ns since 1970-01-01T00:00:00Z.
    pub lost_from: i64,
    /// Time of the last loss, ns since 1970-01-01T00:00:00Z.
    pub lost_to: i64,
}

impl Payload for Gap {
    const KIND: Kind = Kind::Gap;

    fn check(&self) -> Result<(), EntryError> {
        if self.lost == 0 { Err(EntryError::Range("lost")) } else { range("lost", self.lost, MAX_INTEGER) }
    }
}
