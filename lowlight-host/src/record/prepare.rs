//! From a borrowed record to an owned, redacted one: redact, cut, encode.
//!
//! ```text
//! texts of header and event -> clean -> encoded head        contents -> redact, cut -> texts
//! ```
//!
//! 1. Every text passes redaction before it is copied anywhere.
//! 2. Cost is bounded by the content cap, whatever the size of the input.

use super::{Content, Record, RecordError};
use crate::redact::{Redactor, Session};
use lowlight_core::entry::{Audit, Clock, Event, FieldId, Header, Inference, Lifecycle, Log, MAX_FIELDS, MAX_INTEGER, TokensSource};
use lowlight_core::heapless;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

/// How a record's content is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentMode {
    /// Redacted content is stored.
    #[default]
    Full,
    /// Content is committed to, its salt is stored, the content is not.
    HashOnly,
    /// Content is neither stored nor committed to.
    None,
}

/// What preparing a record needs to know.
#[derive(Debug)]
pub struct Preparation<'p> {
    /// Redaction, if it is on, with the number of its policy.
    pub redactor: Option<(&'p Redactor, u32)>,
    /// How content is stored.
    pub mode: ContentMode,
    /// Most bytes of one content value.
    pub content_cap: usize,
    /// Default application.
    pub app: Option<&'p str>,
    /// Default environment.
    pub environment: Option<&'p str>,
    /// Whether token counts that nobody gave are estimated.
    pub estimate_tokens: bool,
    /// Now, ns since 1970-01-01T00:00:00Z.
    pub recorded: i64,
    /// Now, on a clock that never goes back, ns.
    pub monotonic: u64,
    /// Quality of `recorded`.
    pub clock: Clock,
}

/// A redacted record, ready for the queue.
///
/// ```text
/// head  = header, event and list of contents, encoded        texts = content values one after the other
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared {
    head: Vec<u8>,
    texts: String,
}

/// One redacted content value: its place in the texts follows from the lengths before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct PreparedContent {
    field: FieldId,
    length: u32,
    cut_from: Option<u64>,
}

/// The contents of one record.
type List = heapless::Vec<PreparedContent, MAX_FIELDS>;

/// What a [`Prepared`] holds, taken apart.
#[derive(Debug)]
pub struct Parts<'p> {
    /// The header; seq and run are still 0, an id of zeros means "make one".
    pub header: Header<'p>,
    /// The event.
    pub event: Event<'p>,
    contents: List,
    texts: &'p str,
}

impl Prepared {
    /// Head and texts.
    pub fn bytes(&self) -> [&[u8]; 2] {
        [&self.head, self.texts.as_bytes()]
    }
}

impl<'p> Parts<'p> {
    /// Takes head and texts apart; `None` when the event could not be encoded.
    pub fn new(head: &'p [u8], texts: &'p [u8]) -> Option<Self> {
        let (header, event, contents) = lowlight_core::postcard::from_bytes(head).ok()?;
        Some(Self { header, event, contents, texts: std::str::from_utf8(texts).ok()? })
    }

    /// Field, redacted value and original length of each content, ascending by field.
    pub fn contents(&self) -> impl Iterator<Item = (FieldId, &'p str, Option<u64>)> {
        let mut rest = self.texts;
        self.contents.iter().map(move |content| {
            // The lengths are those of the texts that were put together.
            let (text, after) = rest.split_at_checked(content.length as usize).unwrap_or_default();
            rest = after;
            (content.field, text, content.cut_from)
        })
    }
}

impl Record<'_> {
    /// Redacts, cuts and encodes. Cost is bounded by the content cap, whatever the size of the input.
    pub fn prepare(self, with: &Preparation<'_>) -> Result<Prepared, RecordError> {
        self.check()?;
        Ok(self.prepared(with))
    }

    /// The same of a record that was checked.
    pub(crate) fn prepared(self, with: &Preparation<'_>) -> Prepared {
        let mut session = with.redactor.map(|(redactor, _)| redactor.session());
        let mut cleaned: Vec<Option<String>> = Vec::new();
        let mut collect = |text: &str, cap: usize, alphabet: Alphabet| cleaned.push(clean(session.as_mut(), text, cap, alphabet));
        let (header, event) = (self.header(with), self.event.clone());
        map_header(&header, &mut |text, cap| (collect(text, cap, Alphabet::Text), text).1);
        map_event(&event, &mut |text, cap, alphabet| (collect(text, cap, alphabet), text).1);
        let texts_of_contents = prepare_contents(self.contents, with, session.as_mut());
        let mut cleaned = cleaned.iter();
        let mut pick = |text| cleaned.next().and_then(Option::as_deref).unwrap_or(text);
        let mut header = map_header(&header, &mut |text, _| pick(text));
        let mut event = map_event(&event, &mut |text, _, _| pick(text));
        if let Event::Inference(inference) = &mut event
            && with.estimate_tokens
        {
            estimate_tokens(inference, &texts_of_contents);
        }
        if let (Some(session), Some((_, number))) = (&session, with.redactor) {
            header.redactions = session.total();
            header.redaction_kinds = session.kinds();
            header.redaction_policy = number;
        }
        let mut texts = String::with_capacity(texts_of_contents.iter().map(|(_, text, _)| text.len()).sum());
        let mut contents = List::new();
        for (field, text, cut_from) in texts_of_contents {
            texts.push_str(&text);
            // Values are capped far below 4 GiB, and `check` has seen how many there are.
            let length = u32::try_from(text.len()).unwrap_or(0);
            let _ = contents.push(PreparedContent { field, length, cut_from });
        }
        // A Vec cannot run out of space; an event that cannot be encoded would leave no head, and is rejected later.
        let head = lowlight_core::postcard::to_extend(&(header, event, contents), Vec::with_capacity(256)).unwrap_or_default();
        Prepared { head, texts }
    }

    fn header<'h>(&self, with: &Preparation<'h>) -> Header<'h>
    where
        Self: 'h,
    {
        Header {
            occurred: self.occurred,
            app: self.app.or(with.app),
            environment: self.environment.or(with.environment),
            module: self.module,
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_id: self.parent_id,
            request_id: self.request_id,
            ..Header::new(with.recorded, with.monotonic.min(MAX_INTEGER), with.clock, self.id.unwrap_or_default(), self.severity)
        }
    }
}

/// Four characters a token, rounded up, where no count was given and the text is there as a whole.
fn estimate_tokens(inference: &mut Inference<'_>, contents: &[ContentText<'_>]) {
    let given = [inference.input_tokens, inference.output_tokens, inference.cached_tokens, inference.reasoning_tokens];
    if inference.tokens_source.is_some() || given.iter().any(Option::is_some) {
        return;
    }
    let tokens = |wanted| {
        let whole = contents.iter().find(|(field, _, cut_from)| *field == wanted && cut_from.is_none());
        whole.map(|(_, text, _)| text.chars().count().div_ceil(4) as u64)
    };
    (inference.input_tokens, inference.output_tokens) = (tokens(FieldId::PROMPT), tokens(FieldId::RESPONSE));
    if inference.input_tokens.or(inference.output_tokens).is_some() {
        inference.tokens_source = Some(TokensSource::Estimated);
    }
}

/// What characters a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Text,
    Token,
}

/// The text as it may be stored; `None` when it already is.
fn clean(session: Option<&mut Session<'_>>, text: &str, cap: usize, alphabet: Alphabet) -> Option<String> {
    let redacted = session.map_or(Cow::Borrowed(text), |session| session.cut_text(text, cap.max(text.len().min(1 << 16)) + (4 << 10)).0);
    if alphabet == Alphabet::Token {
        return (redacted != text).then(|| "redacted".to_owned());
    }
    let fits = redacted.len() <= cap && !redacted.contains('\0');
    match redacted {
        Cow::Borrowed(_) if fits => None,
        Cow::Owned(owned) if fits => Some(owned),
        redacted => {
            let mut owned = redacted.replace('\0', "\u{fffd}");
            if owned.len() > cap {
                let mut end = cap - '…'.len_utf8();
                while !owned.is_char_boundary(end) {
                    end -= 1;
                }
                owned.truncate(end);
                owned.push('…');
            }
            Some(owned)
        }
    }
}

type ContentText<'a> = (FieldId, Cow<'a, str>, Option<u64>);

fn prepare_contents<'a>(
    contents: Vec<(FieldId, Content<'a>)>,
    with: &Preparation<'_>,
    mut session: Option<&mut Session<'_>>,
) -> Vec<ContentText<'a>> {
    if with.mode == ContentMode::None {
        return Vec::new();
    }
    let cap = with.content_cap;
    let one = |(field, content): (FieldId, Content<'a>)| {
        let (text, cut_from) = match (content, session.as_deref_mut()) {
            (Content::Text(text), None) => cut(text, cap),
            (Content::Text(Cow::Borrowed(text)), Some(session)) => session.cut_text(text, cap),
            (Content::Text(Cow::Owned(text)), Some(session)) => {
                let (redacted, cut_from) = session.cut_text(&text, cap);
                (Cow::Owned(redacted.into_owned()), cut_from)
            }
            (Content::Json(value), session) => json_text(value, session, cap),
        };
        (field, text, cut_from)
    };
    contents.into_iter().map(one).collect()
}

/// A JSON value as text. An object over the cap loses its last members, so that what is left is still an object; what
/// is left out is never redacted, which bounds the cost.
fn json_text<'a>(mut value: Value, session: Option<&mut Session<'_>>, cap: usize) -> (Cow<'a, str>, Option<u64>) {
    let room = cap.saturating_sub(4 << 10);
    let mut cut_from = None;
    if let Value::Object(members) = &mut value {
        let (mut kept, mut whole) = (2, 2);
        members.retain(|key, member| {
            // Quotes, colon and comma; a key with escapes is a little longer.
            let size = key.len() + member.to_string().len() + 4;
            let fits = kept == whole && kept + size <= room;
            whole += size;
            kept += if fits { size } else { 0 };
            fits
        });
        cut_from = (kept != whole).then_some(whole as u64);
    }
    if let Some(session) = session {
        session.json(&mut value);
    }
    let (text, cut_text) = cut(Cow::Owned(value.to_string()), cap);
    (text, cut_from.or(cut_text))
}

fn cut(text: Cow<'_, str>, cap: usize) -> (Cow<'_, str>, Option<u64>) {
    let (kept, cut_from) = crate::redact::cut(&text, cap);
    let length = kept.len();
    match text {
        Cow::Borrowed(text) => (Cow::Borrowed(&text[..length]), cut_from),
        Cow::Owned(mut text) => {
            text.truncate(length);
            (Cow::Owned(text), cut_from)
        }
    }
}

/// Applies `change` to every text of a header, in order.
fn map_header<'i, 'o>(header: &Header<'i>, change: &mut impl FnMut(&'i str, usize) -> &'o str) -> Header<'o> {
    let mut map = |text: Option<&'i str>, cap| text.map(|text| change(text, cap));
    Header {
        app: map(header.app, 64),
        environment: map(header.environment, 32),
        module: map(header.module, 128),
        trace_id: map(header.trace_id, 64),
        span_id: map(header.span_id, 32),
        parent_id: map(header.parent_id, 32),
        request_id: map(header.request_id, 128),
        seq: header.seq,
        recorded: header.recorded,
        occurred: header.occurred,
        monotonic: header.monotonic,
        run: header.run,
        clock: header.clock,
        id: header.id,
        severity: header.severity,
        redactions: header.redactions,
        redaction_kinds: header.redaction_kinds,
        redaction_policy: header.redaction_policy,
    }
}

/// Applies `change` to every text of an event that callers can write, in order.
fn map_event<'i: 'o, 'o>(event: &Event<'i>, change: &mut impl FnMut(&'i str, usize, Alphabet) -> &'o str) -> Event<'o> {
    use Alphabet::{Text, Token};
    match event {
        Event::Inference(it) => Event::Inference(Inference {
            operation: change(it.operation, 32, Token),
            provider: it.provider.map(|text| change(text, 64, Text)),
            model: change(it.model, 128, Text),
            model_actual: it.model_actual.map(|text| change(text, 128, Text)),
            model_digest: it.model_digest.map(|text| change(text, 96, Text)),
            status: change(it.status, 32, Token),
            error_type: it.error_type.map(|text| change(text, 64, Text)),
            finish_reason: it.finish_reason.map(|text| change(text, 64, Text)),
            tier: it.tier.map(|text| change(text, 32, Text)),
            rate_version: it.rate_version.map(|text| change(text, 32, Text)),
            duration_ns: it.duration_ns,
            ttft_ns: it.ttft_ns,
            input_tokens: it.input_tokens,
            output_tokens: it.output_tokens,
            cached_tokens: it.cached_tokens,
            reasoning_tokens: it.reasoning_tokens,
            tokens_source: it.tokens_source,
            attempt: it.attempt,
            cost_nano_usd: it.cost_nano_usd,
        }),
        Event::Audit(it) => Event::Audit(Audit {
            event_type: change(it.event_type, 64, Token),
            registered: it.registered,
            action: it.action.map(|text| change(text, 128, Text)),
            outcome: it.outcome.map(|text| change(text, 32, Token)),
            resource: it.resource.map(|text| change(text, 128, Text)),
            auth_method: it.auth_method.map(|text| change(text, 64, Text)),
            cost_nano_usd: it.cost_nano_usd,
            rate_version: it.rate_version.map(|text| change(text, 32, Text)),
        }),
        Event::Log(it) => Event::Log(Log {
            target: it.target.map(|text| change(text, 128, Text)),
            file: it.file.map(|text| change(text, 256, Text)),
            line: it.line,
            function: it.function.map(|text| change(text, 128, Text)),
        }),
        Event::Lifecycle(Lifecycle::ModelLoaded { name, digest }) => {
            Event::Lifecycle(Lifecycle::ModelLoaded { name: change(name, 128, Text), digest: digest.map(|text| change(text, 96, Text)) })
        }
        // The recorder's own events have no text from outside.
        other => other.clone(),
    }
}
