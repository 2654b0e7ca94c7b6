//! What a caller hands over: one record, borrowed, before redaction.
//!
//! ```text
//! Record --prepare(redact, cut, bound)--> Prepared (owned, redacted) --queue--> Draft
//! ```
//!
//! 1. Nothing of a record reaches a [`Prepared`] without passing redaction.
//! 2. Texts over their cap are cut with a visible mark; tokens that break their alphabet are refused.

mod prepare;

pub use prepare::{ContentMode, Parts, Preparation, Prepared};

use lowlight_core::entry::{Audit, Event, FieldId, Import, Inference, Kind, Lifecycle, Log, MAX_INTEGER, Severity, is_token};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::time::Duration;

/// Event types that are known without being registered; others are recorded and marked.
pub const AUDIT_TAXONOMY: &[&str] = &[
    "access.denied",
    "access.granted",
    "access.revoked",
    "account.created",
    "account.deleted",
    "account.disabled",
    "account.updated",
    "agent.action",
    "agent.handoff",
    "ai.blocked",
    "ai.feedback",
    "ai.request",
    "ai.response",
    "approval.denied",
    "approval.granted",
    "approval.requested",
    "auth.failed",
    "auth.login",
    "auth.logout",
    "auth.mfa",
    "auth.password",
    "auth.token",
    "backup.created",
    "backup.restored",
    "config.change",
    "config.read",
    "consent.granted",
    "consent.withdrawn",
    "data.created",
    "data.deleted",
    "data.exported",
    "data.imported",
    "data.read",
    "data.updated",
    "deploy.finished",
    "deploy.rolled_back",
    "deploy.started",
    "device.attached",
    "device.detached",
    "error.raised",
    "file.deleted",
    "file.downloaded",
    "file.uploaded",
    "job.failed",
    "job.finished",
    "job.started",
    "key.created",
    "key.rotated",
    "model.deployed",
    "model.loaded",
    "model.removed",
    "model.updated",
    "permission.changed",
    "policy.changed",
    "role.assigned",
    "role.removed",
    "tool.called",
    "tool.failed",
    "ui.click",
    "ui.input",
    "ui.navigate",
    "ui.view",
    "workflow.finished",
    "workflow.started",
];

/// One content value.
#[derive(Debug, Clone)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Json(Value),
}

/// One record: an inference, an audit event or a log line, with its content.
///
/// ```
/// use lowlight_host::Record;
/// use std::time::Duration;
/// let record = Record::inference("phi-3-mini")
///     .prompt("is the door open?")
///     .response("no")
///     .duration(Duration::from_millis(87))
///     .actor("alice");
/// assert_eq!(record.kind(), lowlight_core::entry::Kind::Inference);
/// ```
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The event; its fields may be set directly.
    pub event: Event<'a>,
    /// When it happened, ns since 1970-01-01T00:00:00Z, if not now.
    pub occurred: Option<i64>,
    /// Record id; made by the recorder if absent.
    pub id: Option<[u8; 16]>,
    /// Severity, or level of a log line.
    pub severity: Severity,
    /// Application; the recorder's default if absent.
    pub app: Option<&'a str>,
    /// Environment; the recorder's default if absent.
    pub environment: Option<&'a str>,
    /// Module.
    pub module: Option<&'a str>,
    /// Trace id.
    pub trace_id: Option<&'a str>,
    /// Span id.
    pub span_id: Option<&'a str>,
    /// Parent span id.
    pub parent_id: Option<&'a str>,
    /// Request id.
    pub request_id: Option<&'a str>,
    contents: Vec<(FieldId, Content<'a>)>,
}

/// Why a record was refused at the door. The message never repeats what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A model name is empty.
    #[error("model is empty")]
    EmptyModel,
    /// A token breaks its alphabet.
    #[error("{0} must be 1 to {1} characters of a-z, 0-9, '_', '.' and '-'")]
    Token(&'static str, usize),
    /// A number does not fit.
    #[error("{0} is larger than 9223372036854775807")]
    Number(&'static str),
    /// An event that only the recorder itself writes.
    #[error("only inferences, audit events, log lines and loaded models can be recorded")]
    NotARecord,
    /// More than 16 content fields.
    #[error("more than 16 content fields")]
    TooManyFields,
}

impl<'a> Record<'a> {
    /// Entries of a device were taken in: what only an import may say.
    pub(crate) fn import(import: Import) -> Self {
        Self::new(Event::Import(import), Severity::Info)
    }

    fn new(event: Event<'a>, severity: Severity) -> Self {
        Self {
            event,
            occurred: None,
            id: None,
            severity,
            app: None,
            environment: None,
            module: None,
            trace_id: None,
            span_id: None,
            parent_id: None,
            request_id: None,
            contents: Vec::new(),
        }
    }

    /// An inference of `model`, operation `chat`, status `ok`.
    pub fn inference(model: &'a str) -> Self {
        Self::new(Event::Inference(inference(model)), Severity::Info)
    }

    /// An audit event such as `auth.login`.
    pub fn audit(event_type: &'a str) -> Self {
        let audit = Audit {
            event_type,
            registered: AUDIT_TAXONOMY.binary_search(&event_type).is_ok(),
            action: None,
            outcome: None,
            resource: None,
            auth_method: None,
            cost_nano_usd: None,
            rate_version: None,
        };
        Self::new(Event::Audit(audit), Severity::Info)
    }

    /// A log line of a level.
    pub fn log(level: Severity, message: impl Into<Cow<'a, str>>) -> Self {
        let log = Log { target: None, file: None, line: None, function: None };
        Self::new(Event::Log(log), level).text(FieldId::MESSAGE, message)
    }

    /// A model was loaded: name and digest of its file.
    pub fn model_loaded(name: &'a str, digest: Option<&'a str>) -> Self {
        Self::new(Event::Lifecycle(Lifecycle::ModelLoaded { name, digest }), Severity::Info)
    }

    /// The kind of entry this becomes.
    pub fn kind(&self) -> Kind {
        self.event.kind()
    }

    /// Sets a content field; a field set twice keeps the last value.
    #[must_use]
    pub fn text(mut self, field: FieldId, value: impl Into<Cow<'a, str>>) -> Self {
        self.set(field, Content::Text(value.into()));
        self
    }

    /// Sets the prompt.
    #[must_use]
    pub fn prompt(self, text: impl Into<Cow<'a, str>>) -> Self {
        self.text(FieldId::PROMPT, text)
    }

    /// Sets the response.
    #[must_use]
    pub fn response(self, text: impl Into<Cow<'a, str>>) -> Self {
        self.text(FieldId::RESPONSE, text)
    }

    /// Sets who did it.
    #[must_use]
    pub fn actor(self, subject: impl Into<Cow<'a, str>>) -> Self {
        self.text(FieldId::ACTOR, subject)
    }

    /// Sets the session.
    #[must_use]
    pub fn session(self, id: impl Into<Cow<'a, str>>) -> Self {
        self.text(FieldId::SESSION_ID, id)
    }

    /// Sets the attributes, a JSON object. Keys and values are redacted at every depth.
    #[must_use]
    pub fn attributes(mut self, attributes: Map<String, Value>) -> Self {
        self.set(FieldId::ATTRIBUTES, Content::Json(Value::Object(attributes)));
        self
    }

    /// Sets a content field to a JSON value, redacted at every depth and stored as its text.
    #[must_use]
    pub fn json(mut self, field: FieldId, value: Value) -> Self {
        self.set(field, Content::Json(value));
        self
    }

    /// Sets the error text; the status of an inference that was `ok` becomes `error`.
    #[must_use]
    pub fn error(mut self, text: impl Into<Cow<'a, str>>) -> Self {
        self.set(FieldId::ERROR, Content::Text(text.into()));
        self.severity = self.severity.max(Severity::Error);
        if let Event::Inference(inference) = &mut self.event
            && inference.status == "ok"
        {
            inference.status = "error";
        }
        self
    }

    /// Changes the inference, if it is one.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Inference<'a>)) -> Self {
        if let Event::Inference(inference) = &mut self.event {
            change(inference);
        }
        self
    }

    /// Changes the audit event, if it is one.
    #[must_use]
    pub fn with_audit(mut self, change: impl FnOnce(&mut Audit<'a>)) -> Self {
        if let Event::Audit(audit) = &mut self.event {
            change(audit);
        }
        self
    }

    /// Sets how long an inference took.
    #[must_use]
    pub fn duration(self, duration: Duration) -> Self {
        self.with(|inference| inference.duration_ns = Some(nanoseconds(duration)))
    }

    fn set(&mut self, field: FieldId, value: Content<'a>) {
        match self.contents.binary_search_by_key(&field, |known| known.0) {
            Ok(place) => self.contents[place].1 = value,
            Err(place) => self.contents.insert(place, (field, value)),
        }
    }

    pub(crate) fn check(&self) -> Result<(), RecordError> {
        let token = |name, value: &str, cap| if is_token(value, cap) { Ok(()) } else { Err(RecordError::Token(name, cap)) };
        let number = |name, value: Option<u64>| if value.unwrap_or(0) > MAX_INTEGER { Err(RecordError::Number(name)) } else { Ok(()) };
        if self.contents.len() > lowlight_core::entry::MAX_FIELDS {
            return Err(RecordError::TooManyFields);
        }
        match &self.event {
            Event::Inference(it) => {
                if it.model.is_empty() {
                    return Err(RecordError::EmptyModel);
                }
                token("operation", it.operation, 32)?;
                token("status", it.status, 32)?;
                number("duration", it.duration_ns)?;
                number("time to first token", it.ttft_ns)?;
                number("input_tokens", it.input_tokens)?;
                number("output_tokens", it.output_tokens)?;
                number("cached_tokens", it.cached_tokens)?;
                number("reasoning_tokens", it.reasoning_tokens)?;
                number("cost", it.cost_nano_usd)
            }
            Event::Audit(audit) => {
                token("event_type", audit.event_type, 64)?;
                audit.outcome.map_or(Ok(()), |outcome| token("outcome", outcome, 32))?;
                number("cost", audit.cost_nano_usd)
            }
            Event::Log(_) | Event::Lifecycle(Lifecycle::ModelLoaded { .. }) => Ok(()),
            _ => Err(RecordError::NotARecord),
        }
    }
}

/// An inference of which only the model is known.
pub fn inference(model: &str) -> Inference<'_> {
    Inference::new("chat", model, "ok")
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(MAX_INTEGER)
}
