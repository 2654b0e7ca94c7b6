//! One entry as a row of columns: the form it has in the database and, with names for numbers, in exports.
//!
//! ```text
//! Entry --values--> [Value; 56] <--> SQL row, export line --body--> canonical bytes --decode--> Entry
//! ```
//!
//! 1. The columns are the truth: a body is always encoded from them.
//! 2. A column that does not belong to the kind is NULL; anything else is malformed (`docs/format.md`, section 8.1).

use lowlight_core::entry::codec::{self, Buffer};
use lowlight_core::entry::{Audit, Clock, Event, GAP_REASONS, Gap, Header, Inference, Kind, Log, Severity, TokensSource};
use lowlight_core::{Digest, Entry};

/// Declares the columns once: the enum, the names, and which kinds each belongs to.
macro_rules! columns {
    ($($variant:ident $name:literal $kinds:expr,)*) => {
        /// A column of the `entry` table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "named after the columns, which docs/format.md defines")]
        pub enum Col { $($variant,)* }
        /// Names of the columns, in the order of the table.
        pub const NAMES: &[&str] = &[$($name,)*];
        const ALL: &[Col] = &[$(Col::$variant,)*];
        const KINDS: &[u16] = &[$($kinds,)*];
    };
}

const KNOWN: u16 = 0x3ff;
const INFERENCE: u16 = 1 << 1;
const AUDIT: u16 = 1 << 2;
const LOG: u16 = 1 << 3;
const GAP: u16 = 1 << 5;
const PAYLOAD: u16 = KNOWN & !(INFERENCE | AUDIT | LOG | GAP);
const UNKNOWN: u16 = 1 << 10;
const EVERY: u16 = KNOWN | UNKNOWN;

columns! {
    Seq "seq" EVERY, Kind "kind" EVERY, Leaf "leaf" EVERY, Fields "fields" KNOWN,
    Recorded "recorded" KNOWN, Occurred "occurred" KNOWN, Monotonic "monotonic" KNOWN,
    Run "run" KNOWN, Clock "clock" KNOWN, Id "id" KNOWN, Severity "severity" KNOWN, App "app" KNOWN,
    Environment "environment" KNOWN, Module "module" KNOWN, TraceId "trace_id" KNOWN, SpanId "span_id" KNOWN,
    ParentId "parent_id" KNOWN, RequestId "request_id" KNOWN, Redactions "redactions" KNOWN,
    RedactionKinds "redaction_kinds" KNOWN, RedactionPolicy "redaction_policy" KNOWN,
    Operation "operation" INFERENCE, Provider "provider" INFERENCE, Model "model" INFERENCE,
    ModelActual "model_actual" INFERENCE, ModelDigest "model_digest" INFERENCE, Status "status" INFERENCE,
    ErrorType "error_type" INFERENCE, FinishReason "finish_reason" INFERENCE, DurationNs "duration_ns" INFERENCE,
    TtftNs "ttft_ns" INFERENCE, InputTokens "input_tokens" INFERENCE, OutputTokens "output_tokens" INFERENCE,
    CachedTokens "cached_tokens" INFERENCE, ReasoningTokens "reasoning_tokens" INFERENCE,
    TokensSource "tokens_source" INFERENCE, Attempt "attempt" INFERENCE, Tier "tier" INFERENCE,
    CostNanoUsd "cost_nano_usd" INFERENCE | AUDIT, RateVersion "rate_version" INFERENCE | AUDIT,
    EventType "event_type" AUDIT, Registered "registered" AUDIT, Action "action" AUDIT, Outcome "outcome" AUDIT,
    Resource "resource" AUDIT, AuthMethod "auth_method" AUDIT, Target "target" LOG, File "file" LOG, Line "line" LOG,
    Function "function" LOG, Reason "reason" GAP, Lost "lost" GAP, LostFrom "lost_from" GAP, LostTo "lost_to" GAP,
    Event "event" PAYLOAD, Raw "raw" UNKNOWN,
}

/// Number of columns.
pub const COUNT: usize = NAMES.len();

/// A value of a column. Text may be any bytes, as a damaged file has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the storage classes of a strict table")]
pub enum Value<'a> {
    #[default]
    Null,
    Int(i64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// A row: one value per column.
pub type Row<'a> = [Value<'a>; COUNT];

/// Why a row does not make a body.
pub type Malformed = &'static str;

impl Col {
    /// The columns in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied()
    }

    /// The name.
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Whether entries of that kind may have a value here.
    pub fn belongs_to(self, kind: Kind) -> bool {
        KINDS[self as usize] & kind_bit(kind) != 0
    }

    /// Names of the numbers of an enum column, in order.
    pub fn number_names(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Clock => Some(&CLOCKS),
            Self::Severity => Some(&SEVERITIES),
            Self::TokensSource => Some(&TOKENS_SOURCES),
            Self::Reason => Some(&REASONS),
            _ => None,
        }
    }
}

/// Names of the clock qualities.
pub const CLOCKS: [&str; 3] = ["unset", "rtc", "synchronised"];
/// Names of the severities.
pub const SEVERITIES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];
/// Names of the sources of token counts.
pub const TOKENS_SOURCES: [&str; 3] = ["reported", "derived", "estimated"];
const REASONS: [&str; 5] = ["queue_full", "sampled", "disk_full", "rejected", "device_reset"];
const SEVERITY_VALUES: [Severity; 6] = [Severity::Trace, Severity::Debug, Severity::Info, Severity::Warn, Severity::Error, Severity::Fatal];
const CLOCK_VALUES: [Clock; 3] = [Clock::Unset, Clock::Rtc, Clock::Synchronised];
const SOURCE_VALUES: [TokensSource; 3] = [TokensSource::Reported, TokensSource::Derived, TokensSource::Estimated];

/// The severity of that name.
pub fn severity_from_name(name: &str) -> Option<Severity> {
    let position = SEVERITIES.iter().position(|known| *known == name)?;
    SEVERITY_VALUES.get(position).copied()
}

#[inline]
fn kind_bit(kind: Kind) -> u16 {
    if kind == Kind::Unknown { UNKNOWN } else { 1 << kind.number() }
}

fn unsigned(value: u64) -> Value<'static> {
    Value::Int(value.cast_signed())
}

fn optional_unsigned(value: Option<u64>) -> Value<'static> {
    value.map_or(Value::Null, unsigned)
}

fn text(value: Option<&str>) -> Value<'_> {
    value.map_or(Value::Null, |text| Value::Text(text.as_bytes()))
}

/// The row of an understood entry.
///
/// `payload` is used for the bytes of events that are stored encoded, `fields` must be its encoded slots.
pub fn row<'r>(entry: &'r Entry<'r>, fields: &'r [u8], leaf: &'r Digest, payload: &'r mut Buffer) -> Row<'r> {
    let mut row = [Value::Null; COUNT];
    let mut set = |col: Col, value: Value<'r>| row[col as usize] = value;
    let header = &entry.header;
    set(Col::Seq, unsigned(header.seq));
    set(Col::Kind, Value::Int(entry.event.kind().number().into()));
    set(Col::Recorded, Value::Int(header.recorded));
    set(Col::Occurred, header.occurred.map_or(Value::Null, Value::Int));
    set(Col::Monotonic, unsigned(header.monotonic));
    set(Col::Run, unsigned(header.run));
    set(Col::Clock, Value::Int(header.clock as i64));
    set(Col::Id, Value::Blob(&header.id));
    set(Col::Severity, Value::Int(header.severity as i64));
    set(Col::App, text(header.app));
    set(Col::Environment, text(header.environment));
    set(Col::Module, text(header.module));
    set(Col::TraceId, text(header.trace_id));
    set(Col::SpanId, text(header.span_id));
    set(Col::ParentId, text(header.parent_id));
    set(Col::RequestId, text(header.request_id));
    set(Col::Redactions, Value::Int(header.redactions.into()));
    set(Col::RedactionKinds, unsigned(header.redaction_kinds));
    set(Col::RedactionPolicy, Value::Int(header.redaction_policy.into()));
    set(Col::Fields, Value::Blob(fields));
    set(Col::Leaf, Value::Blob(&leaf.0));
    match &entry.event {
        Event::Inference(inference) => inference_row(inference, &mut set),
        Event::Audit(audit) => audit_row(audit, &mut set),
        Event::Log(log) => {
            set(Col::Target, text(log.target));
            set(Col::File, text(log.file));
            set(Col::Line, log.line.map_or(Value::Null, |line| Value::Int(line.into())));
            set(Col::Function, text(log.function));
        }
        Event::Gap(gap) => {
            set(Col::Reason, Value::Int(gap.reason as i64));
            set(Col::Lost, unsigned(gap.lost));
            set(Col::LostFrom, Value::Int(gap.lost_from));
            set(Col::LostTo, Value::Int(gap.lost_to));
        }
        // An event that cannot be encoded leaves the column NULL, which no reader accepts; the writer has checked it.
        event => set(Col::Event, codec::encode_event(event, payload).map_or(Value::Null, Value::Blob)),
    }
    row
}

fn inference_row<'r>(inference: &'r Inference<'r>, set: &mut impl FnMut(Col, Value<'r>)) {
    set(Col::Operation, text(Some(inference.operation)));
    set(Col::Provider, text(inference.provider));
    set(Col::Model, text(Some(inference.model)));
    set(Col::ModelActual, text(inference.model_actual));
    set(Col::ModelDigest, text(inference.model_digest));
    set(Col::Status, text(Some(inference.status)));
    set(Col::ErrorType, text(inference.error_type));
    set(Col::FinishReason, text(inference.finish_reason));
    set(Col::DurationNs, optional_unsigned(inference.duration_ns));
    set(Col::TtftNs, optional_unsigned(inference.ttft_ns));
    set(Col::InputTokens, optional_unsigned(inference.input_tokens));
    set(Col::OutputTokens, optional_unsigned(inference.output_tokens));
    set(Col::CachedTokens, optional_unsigned(inference.cached_tokens));
    set(Col::ReasoningTokens, optional_unsigned(inference.reasoning_tokens));
    set(Col::TokensSource, inference.tokens_source.map_or(Value::Null, |source| Value::Int(source as i64)));
    set(Col::Attempt, inference.attempt.map_or(Value::Null, |attempt| Value::Int(attempt.into())));
    set(Col::Tier, text(inference.tier));
    set(Col::CostNanoUsd, optional_unsigned(inference.cost_nano_usd));
    set(Col::RateVersion, text(inference.rate_version));
}

fn audit_row<'r>(audit: &'r Audit<'r>, set: &mut impl FnMut(Col, Value<'r>)) {
    set(Col::EventType, text(Some(audit.event_type)));
    set(Col::Registered, Value::Int(audit.registered.into()));
    set(Col::Action, text(audit.action));
    set(Col::Outcome, text(audit.outcome));
    set(Col::Resource, text(audit.resource));
    set(Col::AuthMethod, text(audit.auth_method));
    set(Col::CostNanoUsd, optional_unsigned(audit.cost_nano_usd));
    set(Col::RateVersion, text(audit.rate_version));
}

/// Reads columns with the checks of section 8.1; the entry's own limits are checked when it is encoded.
struct Columns<'r, 'a>(&'r Row<'a>);

impl<'a> Columns<'_, 'a> {
    fn int(&self, col: Col) -> Result<Option<i64>, Malformed> {
        match self.0[col as usize] {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(value)),
            _ => Err("a number is stored as something else"),
        }
    }

    fn must<T>(value: Option<T>) -> Result<T, Malformed> {
        value.ok_or("a value that every such entry has is not there")
    }

    fn unsigned(&self, col: Col) -> Result<Option<u64>, Malformed> {
        self.int(col)?.map(|value| u64::try_from(value).map_err(|_| "a number is negative that cannot be")).transpose()
    }

    fn small(&self, col: Col) -> Result<Option<u32>, Malformed> {
        self.int(col)?.map(|value| u32::try_from(value).map_err(|_| "a number is outside its range")).transpose()
    }

    fn one_of<T: Copy>(&self, col: Col, values: &[T]) -> Result<Option<T>, Malformed> {
        let Some(number) = self.unsigned(col)? else { return Ok(None) };
        let value = usize::try_from(number).ok().and_then(|number| values.get(number));
        value.copied().map(Some).ok_or("a number stands for nothing")
    }

    fn text(&self, col: Col) -> Result<Option<&'a str>, Malformed> {
        match self.0[col as usize] {
            Value::Null => Ok(None),
            Value::Text(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| "a text is not UTF-8"),
            _ => Err("a text is stored as something else"),
        }
    }

    fn blob(&self, col: Col) -> Result<&'a [u8], Malformed> {
        match self.0[col as usize] {
            Value::Blob(bytes) => Ok(bytes),
            _ => Err("bytes that every such entry has are not there"),
        }
    }

    fn header(&self) -> Result<Header<'a>, Malformed> {
        Ok(Header {
            seq: Self::must(self.unsigned(Col::Seq)?)?,
            recorded: Self::must(self.int(Col::Recorded)?)?,
            occurred: self.int(Col::Occurred)?,
            monotonic: Self::must(self.unsigned(Col::Monotonic)?)?,
            run: Self::must(self.unsigned(Col::Run)?)?,
            clock: Self::must(self.one_of(Col::Clock, &CLOCK_VALUES)?)?,
            id: self.blob(Col::Id)?.try_into().map_err(|_| "an id is not 16 bytes")?,
            severity: Self::must(self.one_of(Col::Severity, &SEVERITY_VALUES)?)?,
            app: self.text(Col::App)?,
            environment: self.text(Col::Environment)?,
            module: self.text(Col::Module)?,
            trace_id: self.text(Col::TraceId)?,
            span_id: self.text(Col::SpanId)?,
            parent_id: self.text(Col::ParentId)?,
            request_id: self.text(Col::RequestId)?,
            redactions: Self::must(self.small(Col::Redactions)?)?,
            redaction_kinds: Self::must(self.unsigned(Col::RedactionKinds)?)?,
            redaction_policy: Self::must(self.small(Col::RedactionPolicy)?)?,
        })
    }

    fn inference(&self) -> Result<Inference<'a>, Malformed> {
        Ok(Inference {
            operation: Self::must(self.text(Col::Operation)?)?,
            provider: self.text(Col::Provider)?,
            model: Self::must(self.text(Col::Model)?)?,
            model_actual: self.text(Col::ModelActual)?,
            model_digest: self.text(Col::ModelDigest)?,
            status: Self::must(self.text(Col::Status)?)?,
            error_type: self.text(Col::ErrorType)?,
            finish_reason: self.text(Col::FinishReason)?,
            duration_ns: self.unsigned(Col::DurationNs)?,
            ttft_ns: self.unsigned(Col::TtftNs)?,
            input_tokens: self.unsigned(Col::InputTokens)?,
            output_tokens: self.unsigned(Col::OutputTokens)?,
            cached_tokens: self.unsigned(Col::CachedTokens)?,
            reasoning_tokens: self.unsigned(Col::ReasoningTokens)?,
            tokens_source: self.one_of(Col::TokensSource, &SOURCE_VALUES)?,
            attempt: self.small(Col::Attempt)?,
            tier: self.text(Col::Tier)?,
            cost_nano_usd: self.unsigned(Col::CostNanoUsd)?,
            rate_version: self.text(Col::RateVersion)?,
        })
    }

    fn audit(&self) -> Result<Audit<'a>, Malformed> {
        Ok(Audit {
            event_type: Self::must(self.text(Col::EventType)?)?,
            registered: Self::must(self.one_of(Col::Registered, &[false, true])?)?,
            action: self.text(Col::Action)?,
            outcome: self.text(Col::Outcome)?,
            resource: self.text(Col::Resource)?,
            auth_method: self.text(Col::AuthMethod)?,
            cost_nano_usd: self.unsigned(Col::CostNanoUsd)?,
            rate_version: self.text(Col::RateVersion)?,
        })
    }

    fn gap(&self) -> Result<Gap, Malformed> {
        let reasons = GAP_REASONS.map(|(reason, _)| reason);
        Ok(Gap {
            reason: Self::must(self.one_of(Col::Reason, &reasons)?)?,
            lost: Self::must(self.unsigned(Col::Lost)?)?,
            lost_from: Self::must(self.int(Col::LostFrom)?)?,
            lost_to: Self::must(self.int(Col::LostTo)?)?,
        })
    }
}

/// The kind that a row claims; every column of another kind must be NULL.
pub fn kind(row: &Row<'_>) -> Result<Kind, Malformed> {
    let number = Columns(row).unsigned(Col::Kind)?.and_then(|number| u8::try_from(number).ok());
    let kind = number.and_then(Kind::from_number).ok_or("the kind is not a known number")?;
    let bit = kind_bit(kind);
    let stray = row.iter().zip(KINDS).any(|(value, kinds)| *value != Value::Null && kinds & bit == 0);
    if stray { Err("a column has a value that entries of this kind do not have") } else { Ok(kind) }
}

/// The encoded list of slots, as it is stored.
pub fn fields<'a>(row: &Row<'a>) -> &'a [u8] {
    Columns(row).blob(Col::Fields).unwrap_or_default()
}

/// Encodes the body that the columns stand for.
pub fn body<'b>(row: &Row<'_>, buffer: &'b mut Buffer) -> Result<&'b [u8], Malformed> {
    let columns = Columns(row);
    let kind = kind(row)?;
    if kind == Kind::Unknown {
        return raw_body(columns.blob(Col::Raw)?, buffer);
    }
    let header = columns.header()?;
    let fields = columns.blob(Col::Fields)?;
    let mut tagged;
    let event = match kind {
        Kind::Inference => Event::Inference(columns.inference()?),
        Kind::Audit => Event::Audit(columns.audit()?),
        Kind::Log => {
            let (target, file, function) = (columns.text(Col::Target)?, columns.text(Col::File)?, columns.text(Col::Function)?);
            Event::Log(Log { target, file, line: columns.small(Col::Line)?, function })
        }
        Kind::Gap => Event::Gap(columns.gap()?),
        _ => {
            let payload = columns.blob(Col::Event)?;
            tagged = [kind.number(); lowlight_core::entry::MAX_BODY];
            let tagged = tagged.get_mut(..=payload.len()).ok_or("an event is larger than a body can be")?;
            tagged[1..].copy_from_slice(payload);
            codec::decode_event(tagged).map_err(|_| "an event's bytes are not a valid encoding")?
        }
    };
    codec::encode_with_fields(&header, &event, fields, buffer).map_err(|_| "a value is outside the limits of the format")
}

fn raw_body<'b>(raw: &[u8], buffer: &'b mut Buffer) -> Result<&'b [u8], Malformed> {
    match codec::decode(raw) {
        Err(lowlight_core::entry::EntryError::NotUnderstood) => {}
        _ => return Err("bytes kept as not understood are not those of a later version or kind"),
    }
    let target = buffer.get_mut(..raw.len()).ok_or("bytes kept as not understood are larger than a body can be")?;
    target.copy_from_slice(raw);
    Ok(target)
}
