//! An entry as people and other programs read it: the names of `record`'s input, milliseconds and dollars.
//!
//! 1. What is written here can be fed to `record` again.
//! 2. Numbers are exact decimals, never rounded through floating point.

use crate::random;
use crate::store::columns::{SEVERITIES, TOKENS_SOURCES};
use crate::store::{DbSource, StoreError};
use crate::time::rfc3339;
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Cause, Clock, Event, FieldId, Kind, Lifecycle, Tombstone};
use lowlight_core::source::{EntrySource, Item};
use lowlight_core::{Digest, Entry};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Columns of CSV, in order.
pub const NAMES: &[&str] = &[
    "seq",
    "kind",
    "recorded",
    "occurred",
    "id",
    "severity",
    "app",
    "environment",
    "module",
    "trace_id",
    "span_id",
    "parent_id",
    "request_id",
    "operation",
    "provider",
    "model",
    "model_actual",
    "model_digest",
    "status",
    "error_type",
    "finish_reason",
    "latency_ms",
    "ttft_ms",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "tokens_source",
    "attempt",
    "tier",
    "cost_usd",
    "rate_version",
    "event_type",
    "action",
    "outcome",
    "resource",
    "auth_method",
    "level",
    "target",
    "file",
    "line",
    "function",
    "prompt",
    "response",
    "message",
    "metadata",
    "user",
    "actor_metadata",
    "error",
    "resource_id",
    "before",
    "after",
    "correlation_id",
    "session_id",
    "reason",
    "event",
];

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// A decimal, written out.
    Number(String),
    /// A text.
    Text(String),
    /// A JSON value.
    Json(Value),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its seq.
    pub seq: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its leaf.
    pub leaf: Option<Digest>,
    /// ns since power on, when the clock was never set: then `recorded` says nothing.
    pub since_start: Option<u64>,
    cells: Vec<(&'static str, Cell)>,
}

impl View {
    /// A value by its name in [`NAMES`].
    pub fn get(&self, name: &str) -> Option<&Cell> {
        self.cells.iter().find(|(known, _)| *known == name).map(|(_, cell)| cell)
    }

    /// A value as text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|cell| match cell {
            Cell::Number(text) | Cell::Text(text) => text.clone(),
            Cell::Json(value) => value.to_string(),
        })
    }

    /// All values, in order.
    pub fn cells(&self) -> impl Iterator<Item = (&'static str, &Cell)> {
        self.cells.iter().map(|(name, cell)| (*name, cell))
    }

    /// One line of JSON in the form of `record`'s input.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        let principal = self.kind == Kind::Audit && self.get("user").is_some();
        for (name, cell) in self.cells() {
            if principal && matches!(name, "user" | "auth_method" | "actor_metadata") {
                continue;
            }
            push(&mut out, name, cell);
        }
        if principal {
            let mut inner = String::from("{");
            for (from, to) in [("user", "subject"), ("auth_method", "auth_method"), ("actor_metadata", "metadata")] {
                if let Some(cell) = self.get(from) {
                    push(&mut inner, to, cell);
                }
            }
            let _ = write!(out, "{}\"principal\":{inner}}}", if out.len() > 1 { "," } else { "" });
        }
        out.push('}');
        out
    }

    fn new(seq: u64, leaf: Option<Digest>) -> Self {
        let mut view = Self { seq, kind: Kind::Unknown, leaf, since_start: None, cells: Vec::with_capacity(24) };
        view.put("seq", Cell::Number(seq.to_string()));
        view
    }

    fn put(&mut self, name: &'static str, cell: Cell) {
        self.cells.push((name, cell));
    }

    fn text_of(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.put(name, Cell::Text(text.to_owned()));
        }
    }

    fn number(&mut self, name: &'static str, number: Option<impl std::fmt::Display>) {
        if let Some(number) = number {
            self.put(name, Cell::Number(number.to_string()));
        }
    }

    fn decimal(&mut self, name: &'static str, value: Option<u64>, digits: u32) {
        if let Some(value) = value {
            self.put(name, Cell::Number(decimal(value, digits)));
        }
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let header = &entry.header;
        self.kind = entry.event.kind();
        self.put("kind", Cell::Text(self.kind.name().to_owned()));
        self.put("recorded", Cell::Text(rfc3339(header.recorded)));
        self.since_start = (header.clock == Clock::Unset).then_some(header.monotonic);
        self.text_of("occurred", header.occurred.map(rfc3339).as_deref());
        self.put("id", Cell::Text(random::uuid_text(header.id)));
        let level = SEVERITIES[header.severity as usize];
        self.text_of(if self.kind == Kind::Log { "level" } else { "severity" }, Some(level));
        self.text_of("app", header.app);
        self.text_of("environment", header.environment);
        self.text_of("module", header.module);
        self.text_of("trace_id", header.trace_id);
        self.text_of("span_id", header.span_id);
        self.text_of("parent_id", header.parent_id);
        self.text_of("request_id", header.request_id);
        self.event(&entry.event);
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Inference(it) => {
                self.text_of("operation", Some(it.operation));
                self.text_of("provider", it.provider);
                self.text_of("model", Some(it.model));
                self.text_of("model_actual", it.model_actual);
                self.text_of("model_digest", it.model_digest);
                self.text_of("status", Some(it.status));
                self.text_of("error_type", it.error_type);
                self.text_of("finish_reason", it.finish_reason);
                self.decimal("latency_ms", it.duration_ns, 6);
                self.decimal("ttft_ms", it.ttft_ns, 6);
                self.number("input_tokens", it.input_tokens);
                self.number("output_tokens", it.output_tokens);
                self.number("cached_tokens", it.cached_tokens);
                self.number("reasoning_tokens", it.reasoning_tokens);
                self.text_of("tokens_source", it.tokens_source.map(|source| TOKENS_SOURCES[source as usize]));
                self.number("attempt", it.attempt);
                self.text_of("tier", it.tier);
                self.decimal("cost_usd", it.cost_nano_usd, 9);
                self.text_of("rate_version", it.rate_version);
            }
            Event::Audit(it) => {
                self.text_of("event_type", Some(it.event_type));
                self.text_of("action", it.action);
                self.text_of("outcome", it.outcome);
                self.text_of("resource", it.resource);
                self.text_of("auth_method", it.auth_method);
                self.decimal("cost_usd", it.cost_nano_usd, 9);
                self.text_of("rate_version", it.rate_version);
            }
            Event::Log(it) => {
                self.text_of("target", it.target);
                self.text_of("file", it.file);
                self.number("line", it.line);
                self.text_of("function", it.function);
            }
            other => self.put("event", Cell::Json(system_event(other))),
        }
    }

    fn content(&mut self, field: FieldId, value: &str) {
        let name = match field {
            FieldId::ATTRIBUTES => "metadata",
            FieldId::ACTOR => "user",
            _ => field.name(),
        };
        let parsed = matches!(name, "metadata" | "actor_metadata").then(|| serde_json::from_str(value).ok()).flatten();
        self.put(name, parsed.map_or_else(|| Cell::Text(value.to_owned()), Cell::Json));
    }
}

fn push(out: &mut String, name: &str, cell: &Cell) {
    if !out.ends_with('{') {
        out.push(',');
    }
    let _ = write!(out, "\"{name}\":");
    match cell {
        Cell::Number(number) => out.push_str(number),
        Cell::Text(text) => out.push_str(&Value::from(text.as_str()).to_string()),
        Cell::Json(value) => out.push_str(&value.to_string()),
    }
}

/// `value` · 10^-digits as a decimal without trailing zeros.
///
/// ```
/// assert_eq!(lowlight_host::view::decimal(87_300_000, 6), "87.3");
/// ```
pub fn decimal(value: u64, digits: u32) -> String {
    let unit = 10_u64.pow(digits);
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{rest:0width$}", width = digits as usize);
    text.trim_end_matches('0').to_owned()
}

/// What the recorder itself wrote, as JSON.
fn system_event(event: &Event<'_>) -> Value {
    match event {
        Event::Open(open) => json!({
            "log_id": open.log_id.to_string(),
            "role": if open.role == lowlight_core::entry::Role::Host { "host" } else { "device" },
            "true_random": open.true_random,
            "vkey": open.vkey,
            "predecessor": open.predecessor.map(|it| json!({
                "log_id": it.log_id.map(|id| id.to_string()), "size": it.size, "root": it.root.map(|root| root.to_string()),
            })),
        }),
        Event::Lifecycle(lifecycle) => lifecycle_event(lifecycle),
        Event::Gap(gap) => json!({
            "reason": gap.reason.name(), "lost": gap.lost, "from": rfc3339(gap.lost_from), "to": rfc3339(gap.lost_to),
        }),
        Event::Tombstone(it) => tombstone(it),
        Event::Policy(it) => json!({ "number": it.policy.number }),
        Event::KeyChange(it) => json!({ "old_vkey": it.old_vkey, "new_vkey": it.new_vkey }),
        Event::Import(it) => json!({ "log_id": it.log_id.to_string(), "first": it.first, "end": it.end }),
        Event::Inference(_) | Event::Audit(_) | Event::Log(_) => Value::Null,
    }
}

/// What was removed, why, and from which entries: first and last of each run.
fn tombstone(it: &Tombstone) -> Value {
    let names = || (0..64).filter_map(FieldId::new).filter(|field| it.fields >> field.get() & 1 == 1).map(|field| field.name().to_string());
    let removed = match it.fields {
        0 => json!("entries"),
        u64::MAX => json!("content"),
        _ => json!(names().collect::<Vec<_>>()),
    };
    let runs: Vec<_> = it.runs.iter().map(|run| json!([run.start, run.end().saturating_sub(1)])).collect();
    match it.cause {
        Cause::Retention(policy) => json!({ "removed": removed, "cause": "retention", "policy": policy, "runs": runs }),
        Cause::Erasure => json!({ "removed": removed, "cause": "erasure", "runs": runs }),
    }
}

fn lifecycle_event(event: &Lifecycle<'_>) -> Value {
    match event {
        Lifecycle::Start { software, build, device } => json!({"what":"start","software":software,"build":build,"device":device}),
        Lifecycle::Stop { received, written, lost } => json!({"what":"stop","received":received,"written":written,"lost":lost}),
        Lifecycle::UncleanStop { run, last_seq, at_most } => {
            json!({"what":"unclean_stop","run":run,"last_seq":last_seq,"at_most":at_most})
        }
        Lifecycle::ModelLoaded { name, digest } => json!({"what":"model_loaded","name":name,"digest":digest}),
        Lifecycle::ConfigChanged { digest } => json!({"what":"config_changed","digest":digest.to_string()}),
        Lifecycle::RedactionPolicy { number, digest } => {
            json!({"what":"redaction_policy","number":number,"fingerprint":digest.to_string()})
        }
        Lifecycle::ClockSet { before, after, .. } => json!({"what":"clock_set","before":rfc3339(*before),"after":rfc3339(*after)}),
        Lifecycle::Exported { first, end, entries } => json!({"what":"exported","first":first,"end":end,"entries":entries}),
        Lifecycle::Alarm { code, detail } => json!({"what":"alarm","code":code,"detail":detail}),
    }
}

/// Entries of a source, one at a time, with their contents.
pub struct Views<'r> {
    source: DbSource<'r>,
    pending: Option<View>,
}

impl<'r> Views<'r> {
    /// Reads from `source`.
    pub fn new(source: DbSource<'r>) -> Self {
        Self { source, pending: None }
    }

    fn advance(&mut self) -> Result<Option<View>, StoreError> {
        loop {
            let view = match self.source.next()? {
                Some(Item::Content { seq, field, value, .. }) => {
                    if let (Some(pending), Some(value)) = (self.pending.as_mut().filter(|view| view.seq == seq), value) {
                        pending.content(field, &String::from_utf8_lossy(value));
                    }
                    continue;
                }
                Some(Item::Entry { seq, body, leaf, .. }) => {
                    let mut view = View::new(seq, Some(leaf));
                    match decode(body) {
                        Ok(entry) => view.entry(&entry),
                        Err(error) => view.put("event", Cell::Json(json!({ "unreadable": error.to_string() }))),
                    }
                    Some(view)
                }
                Some(Item::Malformed { seq, leaf, why }) => {
                    let mut view = View::new(seq.unwrap_or(0), leaf);
                    view.put("event", Cell::Json(json!({ "malformed": why })));
                    Some(view)
                }
                Some(Item::LeafOnly { seq, leaf }) => Some(View::new(seq, Some(leaf))),
                Some(Item::Removed { .. }) => continue,
                None => None,
            };
            let is_end = view.is_none();
            let done = std::mem::replace(&mut self.pending, view);
            if done.is_some() || is_end {
                return Ok(done);
            }
        }
    }
}

impl Iterator for Views<'_> {
    type Item = Result<View, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
