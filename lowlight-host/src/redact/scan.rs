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
//! - a placeholder of ours in the text, or a terminal's colour code, is passed over and acts as the end of a span.

use super::bytes::{ALNUM, DIGIT, HEX, UNDER, UPPER, at, ceil_char, floor_char, is, run_end};
use super::kind::Kind;
use super::rules::Policy;
use super::triggers::Triggers;
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
#[derive(Clone, Copy)]
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

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str, policy: &'a Policy, hint: Hint, open: bool) -> Self {
        Self { text, bytes: text.as_bytes(), floor: 0, open, hint, policy }
    }

    /// Adds the spans of the built-in rules to `out`.
    pub(super) fn run(&mut self, out: &mut Vec<Span>) {
        let mut triggers = Triggers::new(self.bytes);
        let mut from = 0;
        while let Some(i) = triggers.next(from) {
            from = self.step(i, out).max(i + 1);
        }
    }

    /// The same with every byte for a trigger, which must find the same.
    #[cfg(any(test, fuzzing))]
    pub(super) fn run_slowly(&mut self, out: &mut Vec<Span>) {
        let mut i = 0;
        while i < self.bytes.len() {
            i = self.step(i, out).max(i + 1);
        }
    }

    /// Asks the checker of the trigger at `i`, adds what it finds to `out`, and says where to go on.
    #[inline]
    fn step(&mut self, i: usize, out: &mut Vec<Span>) -> usize {
        let b = self.bytes;
        let found = match b[i] {
            b'0'..=b'9' => {
                let step = number::digit(self, i);
                return self.take_step(step, out);
            }
            b':' => {
                if let Some(step) = self.colon(i) {
                    return self.take_step(step, out);
                }
                assign::assign(self, i)
            }
            b'-' => {
                let step = self.dash(i);
                return self.take_step(step, out);
            }
            b'[' => return self.bracket(i),
            b'=' => assign::assign(self, i),
            b'@' => email::at_sign(self, i, 1),
            b'_' => tokens::at_separator(self, i),
            b'.' => self.full_stop(i),
            b'%' if at(b, i + 1) == b'4' && at(b, i + 2) == b'0' => email::at_sign(self, i, 3),
            b'<' => flags::closing_tag(self, i),
            b'>' | b'?' | b'%' => None,
            _ => letters::letter(self, i),
        };
        // A copy of what is mostly nothing costs more than finding out that it is nothing.
        match &found {
            None => i + 1,
            Some(span) => self.take(*span, out),
        }
    }

    #[inline]
    fn take_step(&mut self, step: Step, out: &mut Vec<Span>) -> usize {
        match step {
            Step::Skip(to) => to,
            Step::Found(span) => self.take(span, out),
        }
    }

    /// Adds a span, unless its value is allowed; the end of it.
    fn take(&mut self, span: Span, out: &mut Vec<Span>) -> usize {
        let start = floor_char(self.text, span.start.max(self.floor));
        let end = ceil_char(self.text, span.end);
        if start < end {
            self.floor = end;
            let allowed = self.policy.has_allowed() && self.policy.allowed(self.text.get(start..end).unwrap_or(""));
            if !allowed {
                if out.capacity() == 0 {
                    // Texts with one span mostly have more.
                    out.reserve(32);
                }
                out.push(Span { start, end, ..span });
            }
        }
        end
    }

    fn full_stop(&self, i: usize) -> Option<Span> {
        // Returned one by one: chained, each answer would be copied to the next.
        if let Some(span) = tokens::at_separator(self, i) {
            return Some(span);
        }
        if let Some(span) = tokens::dotted(self, i) {
            return Some(span);
        }
        net::mac_cisco(self, i.checked_sub(4)?)
    }

    /// Addresses and bot tokens with a colon in them; otherwise it may be that of an assignment.
    fn colon(&self, i: usize) -> Option<Step> {
        let (prev, next) = (self.prev(i), at(self.bytes, i + 1));
        if (next == b'/' || matches!(prev, b'a' | b'A'))
            && let Some(step) = net::url(self, i)
        {
            return Some(step);
        }
        if (is(next, HEX) || next == b':')
            && let Some(step) = net::colon_address(self, i)
        {
            return Some(step);
        }
        if is(prev, DIGIT) { tokens::telegram(self, i).map(Step::Found) } else { None }
    }

    fn dash(&self, i: usize) -> Step {
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

    fn bracket(&mut self, i: usize) -> usize {
        match placeholder_end(self.bytes, i, self.policy).or_else(|| self.colour_end(i)) {
            Some(end) => {
                self.floor = end;
                end
            }
            None => i + 1,
        }
    }

    /// The end of a terminal's colour code, raw or as the escape of a string, whose bracket stands at `i`: it is no part
    /// of a word beside it.
    fn colour_end(&self, i: usize) -> Option<usize> {
        let b = self.bytes;
        let head = b.get(self.floor..i)?;
        let starts: [&[u8]; 7] = [b"\x1b", b"\\x1b", b"\\x1B", b"\\u001b", b"\\u001B", b"\\033", b"\\e"];
        let code = b.get(i + 1..b.len().min(i + 18))?;
        let end = code.iter().position(|c| !matches!(c, b'0'..=b'9' | b';' | b'?'))?;
        let last = matches!(at(code, end), b'm' | b'K');
        (last && starts.iter().any(|start| head.ends_with(start))).then_some(i + end + 2)
    }

    /// The byte before `i`, 0 at the floor.
    #[inline]
    pub(super) fn prev(&self, i: usize) -> u8 {
        if i <= self.floor {
            return 0;
        }
        at(self.bytes, i - 1)
    }

    /// The byte two before `i`, 0 at the floor.
    #[inline]
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
