//! A line of `record`'s input as a record.
//!
//! 1. A refusal names the field and the reason, never the value.
//! 2. A key that is not known becomes an attribute; nothing given is thrown away silently.

use crate::json::Strict;
use crate::random;
use crate::record::{AUDIT_TAXONOMY, Record};
use crate::store::columns::{SEVERITIES, TOKENS_SOURCES, severity_from_name};
use lowlight_core::entry::{Event, FieldId, MAX_INTEGER, Severity, TokensSource};
use serde_json::{Map, Value};

/// Longest line, in bytes.
pub(super) const MAX_LINE: usize = 16 << 20;

/// Why a line was refused.
pub(crate) type Refusal = String;

/// A parsed line; records borrow from it.
#[derive(Debug)]
pub(crate) struct Input {
    object: Map<String, Value>,
}

/// Keys of every kind.
const COMMON: &[&str] = &[
    "kind",
    "seq",
    "recorded",
    "timestamp",
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
    "metadata",
    "user",
    "actor",
    "actor_metadata",
    "principal",
    "error",
    "resource_id",
    "before",
    "after",
    "correlation_id",
    "session_id",
    "prompt",
    "input_text",
    "response",
    "output_text",
    "message",
    "cost_usd",
    "rate_version",
];
const INFERENCE: &[&str] = &[
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
];
const AUDIT: &[&str] = &["event_type", "action", "outcome", "resource", "auth_method"];
const LOG: &[&str] = &["level", "target", "file", "line", "function"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inference,
    Audit,
    Log,
}

impl Input {
    /// Parses a line; `Ok(None)` for a blank one.
    pub fn parse(line: &[u8]) -> Result<Option<Self>, Refusal> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
        // serde_json's messages may quote the input; the place is enough.
        let Strict(value) = serde_json::from_str(text).map_err(|error| describe(&error))?;
        match value {
            Value::Object(mut object) => {
                object.retain(|_, value| !value.is_null());
                Ok(Some(Self { object }))
            }
            _ => Err("not a JSON object".to_owned()),
        }
    }

    /// The record id, if one was given.
    pub fn id(&self) -> Result<Option<[u8; 16]>, Refusal> {
        let id = self.text("id")?.map(|text| random::parse_uuid(text).ok_or_else(|| "id is not a UUID".to_owned()));
        let id = id.transpose()?;
        if id == Some([0; 16]) { Err("id is the nil UUID".to_owned()) } else { Ok(id) }
    }

    /// The record; `registered` are event types known in addition to the built-in ones. The second value is an event
    /// type that is not known.
    pub fn record(&self, registered: &[String]) -> Result<(Record<'_>, Option<&str>), Refusal> {
        let kind = match self.text("kind")?.unwrap_or("inference") {
            "inference" => Kind::Inference,
            "audit" => Kind::Audit,
            "log" => Kind::Log,
            _ => return Err("kind must be inference, audit or log".to_owned()),
        };
        let mut unknown = None;
        let mut record = match kind {
            Kind::Inference => self.inference()?,
            Kind::Audit => {
                let event_type = self.text("event_type")?.ok_or("event_type is missing")?;
                let known = AUDIT_TAXONOMY.binary_search(&event_type).is_ok() || registered.iter().any(|own| own == event_type);
                unknown = (!known).then_some(event_type);
                self.audit(event_type, known)?
            }
            Kind::Log => self.log()?,
        };
        self.header(&mut record)?;
        let record = self.contents(record, kind)?;
        Ok((record, unknown))
    }

    fn inference(&self) -> Result<Record<'_>, Refusal> {
        let model = self.text("model")?.ok_or("model is missing")?;
        let source = self.text("tokens_source")?;
        let tokens_source = match source.map(|source| TOKENS_SOURCES.iter().position(|known| *known == source)) {
            None => None,
            Some(Some(0)) => Some(TokensSource::Reported),
            Some(Some(1)) => Some(TokensSource::Derived),
            Some(Some(_)) => Some(TokensSource::Estimated),
            Some(None) => return Err("tokens_source must be reported, derived or estimated".to_owned()),
        };
        let mut record = Record::inference(model);
        if let Event::Inference(it) = &mut record.event {
            it.operation = self.text("operation")?.unwrap_or("chat");
            it.provider = self.text("provider")?;
            it.model_actual = self.text("model_actual")?;
            it.model_digest = self.text("model_digest")?;
            let failed = self.object.contains_key("error");
            it.status = self.text("status")?.unwrap_or(if failed { "error" } else { "ok" });
            it.error_type = self.text("error_type")?;
            it.finish_reason = self.text("finish_reason")?;
            it.duration_ns = self.scaled("latency_ms", 6)?;
            it.ttft_ns = self.scaled("ttft_ms", 6)?;
            it.input_tokens = self.count("input_tokens")?;
            it.output_tokens = self.count("output_tokens")?;
            it.cached_tokens = self.count("cached_tokens")?;
            it.reasoning_tokens = self.count("reasoning_tokens")?;
            it.tokens_source = tokens_source;
            it.attempt = self.count("attempt")?.map(u32::try_from).transpose().map_err(|_| "attempt is too large")?;
            it.tier = self.text("tier")?;
            it.cost_nano_usd = self.scaled("cost_usd", 9)?;
            it.rate_version = self.text("rate_version")?;
        }
        Ok(record)
    }

    fn audit<'i>(&'i self, event_type: &'i str, known: bool) -> Result<Record<'i>, Refusal> {
        let mut record = Record::audit(event_type);
        if let Event::Audit(it) = &mut record.event {
            it.registered = known;
            it.action = self.text("action")?;
            it.outcome = self.text("outcome")?;
            it.resource = self.text("resource")?;
            it.auth_method = self.text("auth_method")?;
            it.cost_nano_usd = self.scaled("cost_usd", 9)?;
            it.rate_version = self.text("rate_version")?;
            if let Some(Value::Object(principal)) = self.object.get("principal") {
                it.auth_method = match principal.get("auth_method") {
                    None | Some(Value::Null) => it.auth_method,
                    Some(Value::String(_)) if it.auth_method.is_some() => return Err("auth_method is given twice".to_owned()),
                    Some(Value::String(method)) => Some(method),
                    Some(_) => return Err("principal.auth_method is not a text".to_owned()),
                };
            }
        }
        Ok(record)
    }

    fn log(&self) -> Result<Record<'_>, Refusal> {
        let level = match self.text("level")? {
            None => Severity::Info,
            Some(name) => severity(name).ok_or("level must be trace, debug, info, warn, error or fatal")?,
        };
        let message = self.text("message")?.ok_or("message is missing")?;
        let mut record = Record::log(level, message);
        if let Event::Log(it) = &mut record.event {
            it.target = self.text("target")?;
            it.file = self.text("file")?;
            it.line = self.count("line")?.map(u32::try_from).transpose().map_err(|_| "line is too large")?;
            it.function = self.text("function")?;
        }
        Ok(record)
    }

    fn header<'i>(&'i self, record: &mut Record<'i>) -> Result<(), Refusal> {
        let time = self.one_of("timestamp", "occurred")?;
        record.occurred = time.map(|time| crate::time::parse_rfc3339(time).ok_or("the time is not RFC 3339 with an offset")).transpose()?;
        record.id = self.id()?;
        if let Some(name) = self.text("severity")? {
            if matches!(record.event, Event::Log(_)) && self.object.contains_key("level") {
                return Err("level and severity are the same field".to_owned());
            }
            record.severity = severity(name).ok_or_else(|| format!("severity must be one of {}", SEVERITIES.join(", ")))?;
        }
        record.app = self.text("app")?;
        record.environment = self.text("environment")?;
        record.module = self.text("module")?;
        record.trace_id = self.text("trace_id")?;
        record.span_id = self.text("span_id")?;
        record.parent_id = self.text("parent_id")?;
        record.request_id = self.text("request_id")?;
        Ok(())
    }

    fn contents<'i>(&'i self, mut record: Record<'i>, kind: Kind) -> Result<Record<'i>, Refusal> {
        let severity = record.severity;
        let texts = [
            (FieldId::PROMPT, self.one_of("prompt", "input_text")?),
            (FieldId::RESPONSE, self.one_of("response", "output_text")?),
            (FieldId::MESSAGE, self.text("message")?),
            (FieldId::RESOURCE_ID, self.text("resource_id")?),
            (FieldId::CORRELATION_ID, self.text("correlation_id")?),
            (FieldId::SESSION_ID, self.text("session_id")?),
        ];
        for (field, text) in texts {
            if let Some(text) = text {
                record = record.text(field, text);
            }
        }
        if let Some(error) = self.text("error")? {
            let status = if let Event::Inference(it) = &record.event { Some(it.status) } else { None };
            // A status that was given stays; `Record::error` only fills in the default.
            record = record.error(error).with(|it| it.status = status.unwrap_or(it.status));
            if self.object.contains_key("severity") || self.object.contains_key("level") {
                record.severity = severity;
            }
        }
        for (field, key) in [(FieldId::BEFORE, "before"), (FieldId::AFTER, "after")] {
            record = match self.object.get(key) {
                None => record,
                Some(Value::String(text)) => record.text(field, text.as_str()),
                Some(value) => record.json(field, value.clone()),
            };
        }
        record = self.principal(record)?;
        self.attributes(record, kind)
    }

    fn principal<'i>(&'i self, mut record: Record<'i>) -> Result<Record<'i>, Refusal> {
        let user = self.one_of("user", "actor")?;
        let metadata = self.object.get("actor_metadata");
        let (subject, metadata) = match self.object.get("principal") {
            None => (user, metadata),
            Some(_) if user.is_some() => return Err("principal and user are the same field".to_owned()),
            Some(Value::String(subject)) => (Some(subject.as_str()), metadata),
            Some(Value::Object(principal)) => {
                if principal.keys().any(|key| !matches!(key.as_str(), "subject" | "auth_method" | "metadata")) {
                    return Err("principal has a key other than subject, auth_method and metadata".to_owned());
                }
                let subject = match principal.get("subject") {
                    None | Some(Value::Null) => None,
                    Some(Value::String(subject)) => Some(subject.as_str()),
                    Some(_) => return Err("principal.subject is not a text".to_owned()),
                };
                (subject, principal.get("metadata").filter(|value| !value.is_null()).or(metadata))
            }
            Some(_) => return Err("principal is neither a text nor an object".to_owned()),
        };
        if let Some(subject) = subject {
            record = record.actor(subject);
        }
        let mut metadata = match metadata {
            None => Map::new(),
            Some(Value::Object(metadata)) => metadata.clone(),
            Some(_) => return Err("metadata of the actor is not an object".to_owned()),
        };
        // Only audit events have a column for it.
        let method = self.object.get("principal").and_then(|principal| principal.get("auth_method")).filter(|method| !method.is_null());
        if let (Some(method), false) = (method, matches!(record.event, Event::Audit(_))) {
            metadata.insert("auth_method".to_owned(), method.clone());
        }
        Ok(if metadata.is_empty() { record } else { record.json(FieldId::ACTOR_METADATA, metadata.into()) })
    }

    fn attributes<'i>(&'i self, record: Record<'i>, kind: Kind) -> Result<Record<'i>, Refusal> {
        let own = match kind {
            Kind::Inference => INFERENCE,
            Kind::Audit => AUDIT,
            Kind::Log => LOG,
        };
        let mut attributes = match self.object.get("metadata") {
            None => Map::new(),
            Some(Value::Object(metadata)) => metadata.clone(),
            Some(_) => return Err("metadata is not an object".to_owned()),
        };
        for (key, value) in &self.object {
            let misplaced_cost = kind == Kind::Log && matches!(key.as_str(), "cost_usd" | "rate_version");
            let is_known = (COMMON.contains(&key.as_str()) && !misplaced_cost) || own.contains(&key.as_str());
            if !is_known && attributes.insert(key.clone(), value.clone()).is_some() {
                return Err("an unknown key stands in metadata too".to_owned());
            }
        }
        Ok(if attributes.is_empty() { record } else { record.attributes(attributes) })
    }

    fn text(&self, key: &'static str) -> Result<Option<&str>, Refusal> {
        match self.object.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{key} is not a text")),
        }
    }

    /// A field with two names.
    fn one_of(&self, first: &'static str, second: &'static str) -> Result<Option<&str>, Refusal> {
        match (self.text(first)?, self.text(second)?) {
            (Some(_), Some(_)) => Err(format!("{first} and {second} are the same field")),
            (one, other) => Ok(one.or(other)),
        }
    }

    fn count(&self, key: &'static str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.object.get(key) else { return Ok(None) };
        let number = value.as_u64().or_else(|| value.as_f64().and_then(whole));
        number.filter(|number| *number <= MAX_INTEGER).map(Some).ok_or_else(|| format!("{key} is not a whole number from 0 on"))
    }

    /// A decimal number times 10^digits, rounded to the nearest integer, halves away from zero.
    fn scaled(&self, key: &'static str, digits: i32) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.object.get(key) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        let number = number.ok_or_else(|| format!("{key} is not a number from 0 on"))?;
        whole((number * 10_f64.powi(digits)).round())
            .filter(|number| *number <= MAX_INTEGER)
            .map(Some)
            .ok_or_else(|| format!("{key} is too large"))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::float_cmp, reason = "checked: whole, not negative, below 2^63")]
fn whole(number: f64) -> Option<u64> {
    ((0.0..9_223_372_036_854_775_808.0).contains(&number) && number.trunc() == number).then_some(number as u64)
}

fn severity(name: &str) -> Option<Severity> {
    match name.to_ascii_lowercase().as_str() {
        "warning" => Some(Severity::Warn),
        "critical" => Some(Severity::Fatal),
        name => severity_from_name(name),
    }
}

/// A parse error without the text that caused it.
fn describe(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let what = if message.starts_with("a key occurs twice") {
        "a key occurs twice in one object"
    } else if message.contains("lone leading surrogate") || message.contains("surrogate") {
        "a lone surrogate is not valid text"
    } else if message.starts_with("recursion limit") {
        "nested deeper than 128 levels"
    } else if message.contains("number out of range") {
        "a number is out of range"
    } else if error.is_eof() {
        "not JSON: it ends too early"
    } else {
        "not JSON"
    };
    format!("{what} (at column {})", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        match Input::parse(line.as_bytes()) {
            Ok(Some(input)) => input.record(&[]).map(|_| ()).unwrap_err(),
            Ok(None) => panic!("blank"),
            Err(why) => why,
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_never_the_value() {
        for line in [
            r#"{"model":"m","latency_ms":"hunter2"}"#,
            r#"{"model":{"hunter2":1}}"#,
            r#"{"model":"m","status":"ok","prompt":"a","input_text":"hunter2"}"#,
            r#"{"model":"m","hunter2":1,"hunter2":2}"#,
            r#"{"model":"m","metadata":"hunter2"}"#,
            r#"{"model":"m","timestamp":"hunter2"}"#,
            r#"{"model":"m","prompt":"\ud800hunter2"}"#,
            r"hunter2",
        ] {
            let why = refused(line);
            assert!(!why.is_empty() && !why.contains("hunter2"), "{line}: {why}");
        }
    }

    #[test]
    fn milliseconds_become_exact_nanoseconds() {
        let input = Input::parse(br#"{"model":"m","latency_ms":87.3,"cost_usd":0.00012}"#).unwrap().unwrap();
        let (record, _) = input.record(&[]).unwrap();
        let Event::Inference(it) = record.event else { panic!("not an inference") };
        assert_eq!((it.duration_ns, it.cost_nano_usd), (Some(87_300_000), Some(120_000)));
    }

    #[test]
    fn numbers_that_are_not_counts_are_refused() {
        for value in ["-1", "1.5", "1e400", "\"7\"", "9223372036854775808", "true"] {
            let line = format!(r#"{{"model":"m","input_tokens":{value}}}"#);
            let recorded = Input::parse(line.as_bytes()).ok().flatten().is_some_and(|input| input.record(&[]).is_ok());
            assert!(!recorded, "{value}");
        }
    }

    #[test]
    fn an_error_without_a_status_means_error() {
        let status = |line: &str| {
            let input = Input::parse(line.as_bytes()).unwrap().unwrap();
            let Event::Inference(it) = input.record(&[]).unwrap().0.event else { panic!("not an inference") };
            it.status.to_owned()
        };
        assert_eq!(status(r#"{"model":"m","error":"boom"}"#), "error");
        assert_eq!(status(r#"{"model":"m","error":"boom","status":"filtered"}"#), "filtered");
        assert_eq!(status(r#"{"model":"m"}"#), "ok");
    }
}
