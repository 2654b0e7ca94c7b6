//! The one pass over a text: a table finds trigger bytes, a checker for each confirms the candidate around it.
//!
//! ```text
//! text   ...  mail bob@example.org  or call +44 20 7946 0958 ...
//!                     ^ trigger '@'            ^ trigger digit
//!                  |---------------|          |--------------|   spans
//!                                   ^ floor: no later checker looks back past the end of the last span
//! ```
//!
//! Invariants:
//! - a checker looks back a bounded number of bytes, never before `floor`;
//! - a checker that looks far ahead either accepts, or the bytes it read cannot be read again by the next candidate;
//! - spans come out in order, do not overlap, are not empty, and begin and end on character boundaries;
//! - a placeholder of ours in the text is passed over and acts as the end of a span.

use super::bytes::{ALNUM, DIGIT, TOKEN, UNDER, UPPER, at, ceil_char, floor_char, is, run_end, run_start_with};
use super::kind::Kind;
use super::rules::Policy;
use super::{assign, email, flags, letters, net, number, pem, tokens};

/// A span to redact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// Which own rule, when the kind is `Custom`.
    pub(super) rule: usize,
}

impl Span {
    pub(super) fn new(start: usize, end: usize, kind: Kind) -> Self {
        Self { start, end, kind, rule: 0 }
    }
}

/// What the name of a JSON key says about the value below it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hint {
    pub(super) phone: bool,
    pub(super) ssn: bool,
}

/// What a checker says about its trigger.
pub(super) enum Step {
    /// Nothing here; go on at this offset (or behind the trigger, whichever is later).
    Skip(usize),
    /// A span.
    Found(Span),
}

/// What a checker may look at.
pub(super) struct Scan<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    /// The end of the last span: nothing before it may be part of a candidate.
    pub(super) floor: usize,
    /// The text was cut at its end: what is open there is redacted to the end.
    pub(super) open: bool,
    pub(super) hint: Hint,
    pub(super) policy: &'a Policy,
}

const DIGITS: u8 = 1;
const AT: u8 = 2;
const COLON: u8 = 3;
const EQUALS: u8 = 4;
const SEPARATOR: u8 = 5;
const DASH: u8 = 6;
const FULL_STOP: u8 = 7;
const BRACKET: u8 = 8;
const LETTER: u8 = 9;
const PERCENT: u8 = 10;
const LESS: u8 = 11;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut c: u8 = 0;
    loop {
        table[c as usize] = match c {
            b'0'..=b'9' => DIGITS,
            b'@' => AT,
            b':' => COLON,
            b'=' => EQUALS,
            b'_' => SEPARATOR,
            b'-' => DASH,
            b'.' => FULL_STOP,
            b'[' => BRACKET,
            // The rarest letter of each shape that has no punctuation in it: `AIza`, `AKIA`, `SK`, `eyJ`, `Bearer`,
            // `password is`.
            b'A' | b'B' | b'b' | b'S' | b'J' | b'p' | b'P' => LETTER,
            b'%' => PERCENT,
            b'<' => LESS,
            _ => 0,
        };
        if c == 255 {
            return table;
        }
        c += 1;
    }
}

/// Bytes looked at together while a text has nothing to offer.
const CHUNK: usize = 32;

/// The next trigger byte at or behind `from`.
#[inline]
fn next_trigger(b: &[u8], from: usize) -> Option<usize> {
    // Triggers stand close together or far apart: one by one first, then in chunks.
    let near = b.len().min(from + CHUNK / 2);
    let mut i = from;
    while i < near {
        if is_trigger(b, i) {
            return Some(i);
        }
        i += 1;
    }
    while let (Some(here), Some(next), Some(after)) = (b.get(i..i + CHUNK), b.get(i + 1..=i + CHUNK), b.get(i + 2..i + CHUNK + 2)) {
        // Comparisons without a branch: the compiler turns them into a few vector instructions.
        let triples = here.iter().zip(next).zip(after);
        if triples.fold(false, |seen, ((&here, &next), &after)| seen | may_trigger(here, next, after)) {
            break;
        }
        i += CHUNK;
    }
    (i..b.len()).find(|&i| is_trigger(b, i))
}

#[inline]
fn is_trigger(b: &[u8], i: usize) -> bool {
    match CLASS[usize::from(b[i])] {
        0 => false,
        LETTER => plausible(b, i),
        _ => true,
    }
}

/// Whether a byte may be a trigger, seen with the two behind it: true for every trigger, and for little else.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch, and branches are what this does without")]
fn may_trigger(here: u8, next: u8, after: u8) -> bool {
    let (lower, second, third) = (here | 0x20, next | 0x20, after | 0x20);
    // `-` `.` `/` digits `:`, then `<` `=` `>` `?` `@`, of which some are none.
    let punctuation = here.wrapping_sub(b'-') <= b':' - b'-' || here.wrapping_sub(b'<') <= b'@' - b'<';
    let others = (here == b'_') | (here == b'[') | (here == b'%') | (here == b'A') | (here == b'J') | ((here == b'S') & (next == b'K'));
    let bearer = (lower == b'b') & (second == b'e') & (third == b'a');
    let password = (lower == b'p') & (((second == b'a') & (third == b's')) | (next == b'i'));
    punctuation | others | bearer | password
}

/// Whether the neighbours of a trigger letter leave one of its shapes possible: prose is full of the letters alone.
fn plausible(b: &[u8], i: usize) -> bool {
    let lower = |k: usize| at(b, k) | 0x20;
    match b.get(i) {
        Some(b'A') => matches!(at(b, i + 1), b'I' | b'K' | b'S' | b'B' | b'C' | b'T'),
        Some(b'S') => at(b, i + 1) == b'K',
        Some(b'J') => i > 0 && at(b, i - 1) == b'y',
        Some(b'B' | b'b') => lower(i + 1) == b'e' && lower(i + 2) == b'a',
        Some(b'p' | b'P') => (lower(i + 1) == b'a' && lower(i + 2) == b's') || at(b, i + 1) == b'i',
        _ => true,
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str, policy: &'a Policy, hint: Hint, open: bool) -> Self {
        Self { text, bytes: text.as_bytes(), floor: 0, open, hint, policy }
    }

    /// Adds the spans of the built-in rules to `out`.
    pub(super) fn run(&mut self, out: &mut Vec<Span>) {
        let mut i = 0;
        while let Some(trigger) = next_trigger(self.bytes, i) {
            match self.step(trigger) {
                Step::Skip(to) => i = to.max(trigger + 1),
                Step::Found(span) => {
                    let start = floor_char(self.text, span.start.max(self.floor));
                    let end = ceil_char(self.text, span.end);
                    i = end.max(trigger + 1);
                    if start >= end {
                        continue;
                    }
                    self.floor = end;
                    let value = self.text.get(start..end).unwrap_or("");
                    if !self.policy.allowed(value) {
                        out.push(Span { start, end, ..span });
                    }
                }
            }
        }
    }

    fn step(&mut self, i: usize) -> Step {
        let b = self.bytes;
        match CLASS[usize::from(b[i])] {
            DIGITS => number::digit(self, i),
            AT => found(email::at_sign(self, i, 1), i + 1),
            COLON => self.colon(i),
            EQUALS => found(assign::assign(self, i), i + 1),
            SEPARATOR => found(tokens::at_separator(self, i), i + 1),
            DASH => self.dash(i),
            // The end of a sentence is followed by a space: no shape with a full stop in it goes on there.
            FULL_STOP if !is(at(b, i + 1), TOKEN) => Step::Skip(i + 1),
            FULL_STOP => found(
                tokens::at_separator(self, i)
                    .or_else(|| tokens::dotted(self, i))
                    .or_else(|| i.checked_sub(4).and_then(|start| net::mac_cisco(self, start))),
                i + 1,
            ),
            BRACKET => self.bracket(i),
            LETTER => found(letters::letter(self, i), i + 1),
            PERCENT if at(b, i + 1) == b'4' && at(b, i + 2) == b'0' => found(email::at_sign(self, i, 3), i + 1),
            LESS => found(flags::closing_tag(self, i), i + 1),
            _ => Step::Skip(i + 1),
        }
    }

    fn colon(&mut self, i: usize) -> Step {
        if let Some(step) = net::url(self, i) {
            return step;
        }
        if let Some(step) = net::colon_address(self, i) {
            return step;
        }
        found(tokens::telegram(self, i).or_else(|| assign::assign(self, i)), i + 1)
    }

    fn dash(&mut self, i: usize) -> Step {
        let b = self.bytes;
        if at(b, i + 1) == b'-' {
            // A token's body may begin with its separator.
            if let Some(span) = tokens::at_separator(self, i) {
                return Step::Found(span);
            }
            let mut end = i;
            while at(b, end) == b'-' {
                end += 1;
            }
            if end - i >= 5
                && let Some(span) = pem::block(self, end - 5)
            {
                return Step::Found(span);
            }
            return found(flags::long_flag(self, i, end), end);
        }
        if let Some(start) = i.checked_sub(8)
            && start >= self.floor
            && net::is_uuid(b, start, self.floor)
        {
            return self.uuid(start);
        }
        found(
            tokens::at_separator(self, i)
                .or_else(|| i.checked_sub(2).and_then(|start| net::mac_dash(self, start)))
                .or_else(|| flags::short_flag(self, i)),
            i + 1,
        )
    }

    /// What to do with a UUID: a span when the switch is on, otherwise nothing inside it is looked at.
    pub(super) fn uuid(&self, start: usize) -> Step {
        if self.policy.uuids { Step::Found(Span::new(start, start + 36, Kind::Uuid)) } else { Step::Skip(start + 36) }
    }

    fn bracket(&mut self, i: usize) -> Step {
        match placeholder_end(self.bytes, i, self.policy) {
            Some(end) => {
                self.floor = end;
                Step::Skip(end)
            }
            None => Step::Skip(i + 1),
        }
    }

    /// The byte before `i`, 0 at the floor.
    pub(super) fn prev(&self, i: usize) -> u8 {
        if i <= self.floor {
            return 0;
        }
        let prev = at(self.bytes, i - 1);
        // The end of a colour code is no letter of a word.
        if matches!(prev, b'm' | b'K') && self.behind_colour(i) { 0 } else { prev }
    }

    /// True when a terminal's colour code, raw or as the escape of a string, ends just before `i`.
    fn behind_colour(&self, i: usize) -> bool {
        let b = self.bytes;
        let from = run_start_with(b, i - 1, self.floor, 16, |c| c.is_ascii_digit() || c == b';' || c == b'?');
        let head = b.get(self.floor..from).unwrap_or_default();
        head.strip_suffix(b"[").is_some_and(|head| {
            let starts: [&[u8]; 6] = [b"\x1b", b"\\x1b", b"\\x1B", b"\\u001b", b"\\033", b"\\e"];
            starts.iter().any(|start| head.ends_with(start)) || head.ends_with(b"\\u001B")
        })
    }

    /// The byte two before `i`, 0 at the floor.
    pub(super) fn prev2(&self, i: usize) -> u8 {
        if i < self.floor + 2 { 0 } else { at(self.bytes, i - 2) }
    }

    /// True when what begins at `i` is a word of its own: no letter, digit or underscore before it, apart from the
    /// last character of an escape (`\n`, `%3D`).
    pub(super) fn begins_word(&self, i: usize) -> bool {
        let prev = self.prev(i);
        !is(prev, ALNUM | UNDER) || self.behind_escape(i)
    }

    /// True when an escape ends just before `i`.
    pub(super) fn behind_escape(&self, i: usize) -> bool {
        let (prev, prev2) = (self.prev(i), self.prev2(i));
        let letter = matches!(prev, b'n' | b'r' | b't') && prev2 == b'\\';
        let percent = i >= self.floor + 3 && at(self.bytes, i - 3) == b'%';
        letter || (percent && prev2.is_ascii_hexdigit() && prev.is_ascii_hexdigit())
    }
}

/// A step from what a checker found, if anything.
pub(super) fn found(span: Option<Span>, next: usize) -> Step {
    span.map_or(Step::Skip(next), Step::Found)
}

/// The end of the placeholder of ours that begins with the bracket at `i`.
pub(super) fn placeholder_end(b: &[u8], i: usize, policy: &Policy) -> Option<usize> {
    if at(b, i) != b'[' || !is(at(b, i + 1), UPPER) {
        return None;
    }
    let limit = b.len().min(i + 48);
    let head = b.get(..limit)?;
    let name_end = run_end(head, i + 1, UPPER | DIGIT | UNDER);
    if at(b, name_end) != b']' {
        return None;
    }
    let body = b.get(i + 1..name_end)?;
    let split = body.iter().rposition(|&c| c == b'_')?;
    let (name, digits) = (body.get(..split)?, body.get(split + 1..)?);
    let numbered = (1..=7).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    (numbered && policy.is_label(name)).then_some(name_end + 1)
}
