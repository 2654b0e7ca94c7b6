//! One entry's worth of redaction: finds the spans of a text, numbers their values and writes the placeholders.
//!
//! Invariants: the same value of the same name has the same number in one session; numbers begin at 1 and count up;
//! a text without a span is borrowed and costs no allocation.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::bytes::floor_char;
use super::custom::Exhausted;
use super::cut::{SLACK, cut_points};
use super::kind::Kind;
use super::numbers::Numbers;
use super::rules::Policy;
use super::scan::{Hint, Scan, Span};

/// One entry's worth of redaction: numbering, counts and kinds across its fields.
///
/// Made by [`Redactor::session`](super::Redactor::session).
pub struct Session<'r> {
    policy: &'r Policy,
    numbers: Numbers,
    spans: Vec<Span>,
    total: u32,
    kinds: u64,
}

impl std::fmt::Debug for Session<'_> {
    /// Shows counts only: a session holds the values it redacted.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("total", &self.total).field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

impl<'r> Session<'r> {
    pub(super) fn new(policy: &'r Policy) -> Self {
        Self { policy, numbers: Numbers::default(), spans: Vec::new(), total: 0, kinds: 0 }
    }

    /// Redacts a text. Clean text is borrowed.
    pub fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        self.scrub(text, text.len(), Hint::default(), false)
    }

    /// Cuts a text over `cap` bytes as [`cut`](fn@super::cut) does, and redacts the kept part.
    ///
    /// Reads the 4 KiB behind the kept part too, so that a secret which begins in the kept part is recognised by its
    /// whole; a key block or an assignment that is still open at the cap is redacted to the end. Costs time in
    /// proportion to `cap`, not to the text. The second value is the original length in bytes when it was cut.
    pub fn cut_text<'t>(&mut self, text: &'t str, cap: usize) -> (Cow<'t, str>, Option<u64>) {
        let Some((window, keep)) = cut_points(text, cap) else {
            return (self.text(text), None);
        };
        let window = text.get(..window).unwrap_or("");
        let kept = self.scrub(window, keep, Hint::default(), true);
        // A placeholder may be longer than what it replaces; the promise about the length holds all the same.
        let most = cap.saturating_sub(SLACK);
        let kept = if kept.len() > most { shorten(kept, most) } else { kept };
        (kept, Some(text.len() as u64))
    }

    /// How many spans were replaced so far.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The kinds replaced so far: bit n is the [`Kind`] with discriminant n.
    #[must_use]
    pub fn kinds(&self) -> u64 {
        self.kinds
    }

    pub(super) fn policy(&self) -> &'r Policy {
        self.policy
    }

    /// Redacts `window` and returns its first `keep` bytes; a span over that end is redacted to the end.
    pub(super) fn scrub<'t>(&mut self, window: &'t str, keep: usize, hint: Hint, open: bool) -> Cow<'t, str> {
        let kept = window.get(..keep).unwrap_or(window);
        if !self.policy.enabled {
            return Cow::Borrowed(kept);
        }
        match self.pass(window, keep, hint, open) {
            Ok(None) => Cow::Borrowed(kept),
            Ok(Some(text)) => Cow::Owned(text),
            Err(Exhausted) => Cow::Owned(self.withhold(Some(window))),
        }
    }

    /// One scan and one rendering; `None` when nothing changed.
    fn pass(&mut self, window: &str, keep: usize, hint: Hint, open: bool) -> Result<Option<String>, Exhausted> {
        let mut spans = std::mem::take(&mut self.spans);
        spans.clear();
        let result = find(self.policy, window, hint, open, &mut spans);
        let text = match result {
            Ok(()) if spans.first().is_some_and(|span| span.start < keep) => Ok(Some(self.render(window, keep, &spans))),
            Ok(()) => Ok(None),
            Err(error) => Err(error),
        };
        self.spans = spans;
        text
    }

    fn render(&mut self, window: &str, keep: usize, spans: &[Span]) -> String {
        // Most placeholders are shorter than what they stand for.
        let mut out = String::with_capacity(keep + keep / 8 + 16);
        let mut from = 0;
        for span in spans.iter().take_while(|span| span.start < keep) {
            out.push_str(window.get(from..span.start).unwrap_or(""));
            let value = window.get(span.start..span.end).unwrap_or("");
            let number = self.numbers.of(span.kind, span.rule, Some(value));
            self.count(span.kind);
            let label = match span.kind {
                Kind::Custom => self.policy.custom.label(span.rule),
                kind => kind.name(),
            };
            write_placeholder(&mut out, label, number);
            from = span.end;
        }
        if from < keep {
            out.push_str(window.get(from..keep).unwrap_or(""));
        }
        out
    }

    /// A placeholder for a whole value; without an identity it has a number of its own.
    pub(super) fn replace(&mut self, kind: Kind, identity: Option<&str>) -> String {
        let number = self.numbers.of(kind, 0, identity);
        self.count(kind);
        let mut out = String::with_capacity(kind.name().len() + 8);
        write_placeholder(&mut out, kind.name(), number);
        out
    }

    /// The placeholder of a text that could not be scanned.
    pub(super) fn withhold(&mut self, identity: Option<&str>) -> String {
        self.replace(Kind::Withheld, identity)
    }

    fn count(&mut self, kind: Kind) {
        self.total = self.total.saturating_add(1);
        self.kinds |= kind.bit();
    }
}

fn write_placeholder(out: &mut String, label: &str, number: u32) {
    out.push('[');
    out.push_str(label);
    out.push('_');
    let digit = |value: u32| char::from(b'0' + u8::try_from(value % 10).unwrap_or(0));
    match number {
        0..=9 => out.push(digit(number)),
        10..=99 => {
            out.push(digit(number / 10));
            out.push(digit(number));
        }
        // Writing to a `String` cannot fail.
        _ => drop(write!(out, "{number}")),
    }
    out.push(']');
}

/// Drops whole placeholders and characters from the end until at most `most` bytes are left.
fn shorten(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    let mut end = floor_char(&text, most);
    // Half a placeholder would not be one any more.
    let head = text.get(..end).unwrap_or("");
    if let Some(open) = head.rfind('[') {
        let whole = head.get(open..).is_some_and(|tail| tail.contains(']'));
        if !whole && end - open < 48 {
            end = open;
        }
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or("")),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// The spans of a text in order: built-in rules and own rules, overlapping ones joined.
pub(super) fn find(policy: &Policy, text: &str, hint: Hint, open: bool, spans: &mut Vec<Span>) -> Result<(), Exhausted> {
    Scan::new(text, policy, hint, open).run(spans);
    let built_in = spans.len();
    policy.custom.run(text, policy, spans)?;
    if spans.len() == built_in {
        return Ok(());
    }
    // The earliest start wins, then the longest; the winner takes what the loser had beyond it, because the rest of
    // a secret is still part of one.
    spans.sort_by_key(|span| (span.start, usize::MAX - span.end, span.rule));
    spans.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end;
        if overlaps {
            kept.end = kept.end.max(next.end);
        }
        overlaps
    });
    Ok(())
}
