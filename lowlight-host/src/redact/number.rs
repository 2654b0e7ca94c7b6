//! Shapes of digits: payment cards, IBANs, social security numbers; telephone numbers and addresses are passed on.
//!
//! ```text
//! 4111 1111 1111 1111    groups of one separator: 4-4-4-4, 4-6-5, 4-6-4, or 13 to 19 digits in one piece
//! 123-45-6789            3-2-4
//! ```

use super::bytes::{ALNUM, ALPHA, DIGIT, DOT, MINUS, UNDER, WORD, at, digits_end, is, run_end, run_start};
use super::groups::{Groups, clear_right, groups, separator};
use super::kind::Kind;
use super::scan::{Scan, Span, Step, found};
use super::words::Words;
use super::{checksum, net, phone};

/// What the run of digits at `i` begins.
#[inline]
pub(super) fn digit(s: &Scan<'_>, i: usize) -> Step {
    let b = s.bytes;
    let end = digits_end(b, i);
    let (prev, next) = (s.prev(i), at(b, end));
    if next == b'-'
        && end - i == 4
        && let Some(end) = date_end(b, i)
        && !is(prev, WORD | MINUS | DOT)
    {
        return Step::Skip(time_end(b, end).unwrap_or(end));
    }
    // Most runs are parts of times, names and decimals; none of the shapes below begins with these neighbours.
    let account = is(prev, ALPHA) && is(s.prev2(i), ALPHA);
    let shaped = matches!(next, b'-' | b'.') || at(b, i + 8) == b'-' || account;
    if !shaped {
        if is(next, WORD) && prev != b'%' {
            // A hash or an identifier: no shape begins in the middle of a word, but for one behind an escape.
            return Step::Skip(run_end(b, end, ALNUM));
        }
        let inside = matches!(prev, b'.' | b':') && is(s.prev2(i), DIGIT);
        if inside || is(next, WORD) || (is(prev, WORD) && !s.behind_escape(i)) {
            return Step::Skip(end);
        }
        // A few digits alone are nothing: what goes on, goes on with one of these.
        if end - i <= 6 && !matches!(next, b' ' | b'/' | b'(' | b')' | 0xC2 | 0xE2) {
            return Step::Skip(end);
        }
    }
    digits(s, i, end)
}

/// The end of a date of this or the last century, `2026-11-22`, that begins at `i`: no other shape begins like one.
fn date_end(b: &[u8], i: usize) -> Option<usize> {
    let date = b.get(i..i + 10)?;
    let digits = [5, 6, 8, 9].iter().all(|&k| is(at(date, k), DIGIT));
    let century = date.starts_with(b"19") || date.starts_with(b"20");
    let sensible = matches!(at(date, 5), b'0' | b'1') && matches!(at(date, 8), b'0'..=b'3');
    let ends = !is(at(b, i + 10), DIGIT | MINUS) && !(at(b, i + 10) == b'.' && is(at(b, i + 11), DIGIT));
    (digits && century && sensible && at(date, 7) == b'-' && ends).then_some(i + 10)
}

/// The end of a time of day, `T10:05:35.250Z`, behind a date that ends at `i`.
fn time_end(b: &[u8], i: usize) -> Option<usize> {
    let time = b.get(i..i + 9)?;
    let parted = matches!(at(time, 0), b'T' | b' ') && at(time, 3) == b':' && at(time, 6) == b':';
    if !parted || ![1, 2, 4, 5, 7, 8].iter().all(|&k| is(at(time, k), DIGIT)) {
        return None;
    }
    let mut end = i + 9;
    if matches!(at(b, end), b'.' | b',') {
        end = digits_end(b, end + 1);
    }
    if at(b, end) == b'Z' {
        end += 1;
    }
    // More colons or digits would make it the start of an address.
    (!is(at(b, end), WORD | MINUS | DOT) && at(b, end) != b':').then_some(end)
}

/// The same for a run that its neighbours do not rule out.
#[inline(never)]
fn digits(s: &Scan<'_>, i: usize, end: usize) -> Step {
    let b = s.bytes;
    let len = end - i;
    let (prev, prev2) = (s.prev(i), s.prev2(i));
    if is(prev, ALPHA)
        && len >= 2
        && let Some(span) = i.checked_sub(2).and_then(|start| iban(s, start))
    {
        return Step::Found(span);
    }
    if is(prev, WORD) && !s.behind_escape(i) {
        return Step::Skip(end);
    }
    if len <= 8 && at(b, i + 8) == b'-' && net::is_uuid(b, i, s.floor) {
        return s.uuid(i);
    }
    let next = at(b, end);
    let mac = match (len, next) {
        (2, b'-') => net::mac_dash(s, i),
        (4, b'.') => net::mac_cisco(s, i),
        _ => None,
    };
    if let Some(span) = mac {
        return Step::Found(span);
    }
    if is(next, WORD) {
        return Step::Skip(end);
    }
    // The middle of a number, a date or a name: `1,234`, `3.14`, `12:34`, `INV-2024`.
    let inside = match prev {
        b'.' | b':' => is(prev2, DIGIT),
        b',' => is(prev2, DIGIT) && len == 3,
        b'-' => is(prev2, ALNUM),
        _ => false,
    };
    if inside {
        return Step::Skip(end);
    }
    if prev == b'+' && !is(prev2, ALNUM) {
        return found(phone::international(s, i), end);
    }
    if let Some(span) = shapes(s, i, end) {
        return Step::Found(span);
    }
    if next == b'.' && is(at(b, end + 1), DIGIT) {
        return net::dotted_number(s, i);
    }
    Step::Skip(end)
}

/// Cards, social security numbers and telephone numbers that begin at `i`; the first run of digits ends at `end`.
fn shapes(s: &Scan<'_>, i: usize, end: usize) -> Option<Span> {
    let b = s.bytes;
    let len = end - i;
    let grouped = separator(b, end).is_some_and(|(_, w)| is(at(b, end + w), DIGIT));
    if !grouped {
        return match len {
            13..=19 => card(s, i, end).or_else(|| phone::loose_phone(s, i)),
            9 if ssn_near(s, i) && clear_right(b, end) => ssn(s, i, end),
            3 if s.prev(i) == b'(' && at(b, end) == b')' => phone::bracketed(s, i, end),
            7..=12 => phone::loose_phone(s, i),
            1..=6 if matches!(at(b, end), b'/' | b' ' | b'(' | b')') => phone::loose_phone(s, i),
            _ => None,
        };
    }
    if len > 8 {
        return if len >= 13 { card(s, i, end) } else { phone::loose_phone(s, i) };
    }
    // All other shapes of groups begin with four digits, three, or a one, and go on with two digits or more.
    let fits = len == 3 || len == 4 || (len, at(b, i)) == (1, b'1');
    if !fits || !separator(b, end).is_some_and(|(_, w)| is(at(b, end + w + 1), DIGIT)) {
        return phone::grouped_phone(s, i);
    }
    let g = groups(b, i);
    if len == 4
        && let Some(span) = grouped_card(s, i, &g)
    {
        return Some(span);
    }
    if g.shape(&[3, 2, 4])
        && clear_right(b, g.end(2))
        && (g.sep[1] == b'-' || ssn_near(s, i))
        && let Some(span) = ssn(s, i, g.end(2))
    {
        return Some(span);
    }
    phone::national(s, i, &g).or_else(|| phone::grouped_phone(s, i))
}

fn card(s: &Scan<'_>, start: usize, end: usize) -> Option<Span> {
    let text = s.bytes.get(start..end)?;
    (clear_right(s.bytes, end) && checksum::card(text)).then(|| Span::new(start, end, Kind::Card))
}

fn grouped_card(s: &Scan<'_>, i: usize, g: &Groups) -> Option<Span> {
    const SHAPES: [&[u8]; 6] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4, 2], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 1]];
    for shape in SHAPES {
        if !g.shape(shape) {
            continue;
        }
        let k = shape.len();
        // One more group of four, or one before, makes it a row of numbers.
        let row = g.count > k && g.len[k] == 4 && g.sep[k] == g.sep[1];
        let before = s.prev(i) == b' ' && run_start(s.bytes, i - 1, s.floor, 5, DIGIT) + 5 == i;
        if row || (before && is(s.prev2(i), DIGIT)) {
            return None;
        }
        if let Some(span) = card(s, i, g.end(k - 1)) {
            return Some(span);
        }
    }
    None
}

fn ssn(s: &Scan<'_>, start: usize, end: usize) -> Option<Span> {
    let (digits, n) = checksum::digits_of(s.bytes.get(start..end)?)?;
    checksum::ssn(digits.get(..n)?).then(|| Span::new(start, end, Kind::Ssn))
}

/// Calls `judge` with the words before `i`, last first, until it decides; digits end the search.
pub(super) fn words_before(s: &Scan<'_>, i: usize, judge: impl Fn(&[u8], u8) -> Option<bool>) -> bool {
    let b = s.bytes;
    let mut end = i;
    let stop = s.floor.max(i.saturating_sub(56));
    for _ in 0..6 {
        while end > stop && !is(at(b, end - 1), ALNUM) {
            // A bracket of a placeholder is the end of a span.
            if at(b, end - 1) == b']' {
                return false;
            }
            end -= 1;
        }
        let start = run_start(b, end, stop, 24, ALPHA);
        if start == end {
            return false;
        }
        let before = if start > s.floor { at(b, start - 1) } else { 0 };
        if let Some(answer) = b.get(start..end).and_then(|word| judge(word, before)) {
            return answer;
        }
        end = start;
    }
    false
}

/// True when `SSN` or `social security` stands before the number.
fn ssn_near(s: &Scan<'_>, i: usize) -> bool {
    static FILLER: Words<10> = Words::new(["number", "no", "nr", "num", "is", "security", "my", "the", "his", "her"]);
    s.hint.ssn
        || words_before(s, i, |word, _| {
            if word.eq_ignore_ascii_case(b"ssn") || word.eq_ignore_ascii_case(b"social") {
                return Some(true);
            }
            if FILLER.contains(word) { None } else { Some(false) }
        })
}

/// An IBAN whose country stands at `start`, with single spaces or hyphens between its characters.
fn iban(s: &Scan<'_>, start: usize) -> Option<Span> {
    let b = s.bytes;
    if start < s.floor || !is(at(b, start), ALPHA) || !s.begins_word(start) {
        return None;
    }
    let want = checksum::iban_len([at(b, start), at(b, start + 1)])?;
    let mut chars = [0u8; 34];
    let (mut n, mut p) = (0, start);
    while n < want {
        let c = at(b, p);
        if is(c, ALNUM) {
            *chars.get_mut(n)? = c;
            n += 1;
            p += 1;
            continue;
        }
        // Groups have four characters; the digits of the check come first.
        let (kind, width) = separator(b, p)?;
        if kind == b'.' || n < 4 || !is(at(b, p + width), ALNUM) {
            return None;
        }
        p += width;
    }
    let ok = !is(at(b, p), ALNUM | UNDER) && checksum::iban(chars.get(..n)?);
    ok.then(|| Span::new(start, p, Kind::Iban))
}
