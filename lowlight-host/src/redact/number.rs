//! Shapes of digits: payment cards, IBANs, social security numbers, telephone numbers; addresses are passed on.
//!
//! ```text
//! 4111 1111 1111 1111    groups of one separator: 4-4-4-4, 4-6-5, 4-6-4, or 13 to 19 digits in one piece
//! 123-45-6789            3-2-4
//! (555) 123-4567         3-3-4
//! ```
//!
//! Limits: eight groups are read; a separator is one space, no-break space, hyphen or full stop.

use super::bytes::{ALNUM, ALPHA, DIGIT, DOT, MINUS, UNDER, UPPER, WORD, at, is, run_end, run_start};
use super::kind::Kind;
use super::scan::{Scan, Span, Step, found};
use super::{checksum, net};

const GROUPS: usize = 8;

/// Groups of digits with one separator between two.
struct Groups {
    count: usize,
    len: [usize; GROUPS],
    end: [usize; GROUPS],
    /// The separator before each group but the first; kinds of spaces are one, kinds of hyphens too.
    sep: [u8; GROUPS],
}

/// The separator at `i` and its length.
fn separator(b: &[u8], i: usize) -> Option<(u8, usize)> {
    match at(b, i) {
        b' ' => Some((b' ', 1)),
        b'-' => Some((b'-', 1)),
        b'.' => Some((b'.', 1)),
        0xC2 if at(b, i + 1) == 0xA0 => Some((b' ', 2)),
        0xE2 if at(b, i + 1) == 0x80 => match at(b, i + 2) {
            0xAF | 0x89 => Some((b' ', 3)),
            0x90..=0x93 => Some((b'-', 3)),
            _ => None,
        },
        _ => None,
    }
}

fn groups(b: &[u8], start: usize) -> Groups {
    let mut g = Groups { count: 0, len: [0; GROUPS], end: [0; GROUPS], sep: [0; GROUPS] };
    let mut from = start;
    let mut sep = 0;
    for k in 0..GROUPS {
        let end = run_end(b, from, DIGIT);
        if end == from {
            break;
        }
        g.len[k] = end - from;
        g.end[k] = end;
        g.sep[k] = sep;
        g.count = k + 1;
        let Some((next, width)) = separator(b, end) else {
            break;
        };
        if !is(at(b, end + width), DIGIT) {
            break;
        }
        sep = next;
        from = end + width;
    }
    g
}

impl Groups {
    /// True when the first groups have these lengths and one separator.
    fn shape(&self, lens: &[usize]) -> bool {
        self.lens(lens) && (2..lens.len()).all(|k| self.sep[k] == self.sep[1])
    }

    fn lens(&self, lens: &[usize]) -> bool {
        self.count >= lens.len() && self.len[..lens.len()] == *lens
    }
}

/// What the run of digits at `i` begins.
#[inline]
pub(super) fn digit(s: &Scan<'_>, i: usize) -> Step {
    let b = s.bytes;
    let end = run_end(b, i, DIGIT);
    let (prev, next) = (s.prev(i), at(b, end));
    if next == b'-'
        && end - i == 4
        && let Some(end) = date_end(b, i)
        && !is(prev, WORD | MINUS | DOT)
    {
        return Step::Skip(end);
    }
    // Most runs are parts of times, names and decimals; none of the shapes below begins with these neighbours.
    let account = is(prev, UPPER) && is(s.prev2(i), UPPER);
    let shaped = matches!(next, b'-' | b'.') || at(b, i + 8) == b'-' || account;
    let inside = matches!(prev, b'.' | b':') && is(s.prev2(i), DIGIT);
    if !shaped && (inside || is(next, WORD) || (is(prev, WORD) && !s.behind_escape(i))) {
        return Step::Skip(end);
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
        (..=4, b'.') => net::mac_cisco(s, i),
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
        return found(international(s, i), end);
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
            13..=19 => card(s, i, end).or_else(|| loose_phone(s, i)),
            9 if ssn_near(s, i) && clear_right(b, end) => ssn(s, i, end),
            3 if s.prev(i) == b'(' && at(b, end) == b')' => bracketed(s, i, end),
            7..=12 => loose_phone(s, i),
            1..=6 if matches!(at(b, end), b'/' | b' ' | b'(' | b')') => loose_phone(s, i),
            _ => None,
        };
    }
    if len > 8 {
        return if len >= 13 { card(s, i, end) } else { loose_phone(s, i) };
    }
    let g = groups(b, i);
    if len == 4
        && let Some(span) = grouped_card(s, i, &g)
    {
        return Some(span);
    }
    if g.shape(&[3, 2, 4])
        && clear_right(b, g.end[2])
        && (g.sep[1] == b'-' || ssn_near(s, i))
        && let Some(span) = ssn(s, i, g.end[2])
    {
        return Some(span);
    }
    if let Some(span) = national(s, i, &g) {
        return Some(span);
    }
    let total: usize = g.len[..g.count].iter().sum();
    if total < 7 && !matches!(at(b, g.end[g.count - 1]), b'/' | b' ' | b'(') {
        return None;
    }
    loose_phone(s, i)
}

/// True when nothing behind a number makes it a part of something longer.
fn clear_right(b: &[u8], end: usize) -> bool {
    let (next, next2) = (at(b, end), at(b, end + 1));
    match next {
        b'.' => !is(next2, DIGIT),
        b'-' => !is(next2, ALNUM),
        b'@' => false,
        _ => !is(next, WORD),
    }
}

fn card(s: &Scan<'_>, start: usize, end: usize) -> Option<Span> {
    let (digits, n) = checksum::digits_of(s.bytes.get(start..end)?)?;
    (clear_right(s.bytes, end) && checksum::card(digits.get(..n)?)).then(|| Span::new(start, end, Kind::Card))
}

fn grouped_card(s: &Scan<'_>, i: usize, g: &Groups) -> Option<Span> {
    const SHAPES: [&[usize]; 6] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4, 2], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 1]];
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
        if let Some(span) = card(s, i, g.end[k - 1]) {
            return Some(span);
        }
    }
    None
}

fn ssn(s: &Scan<'_>, start: usize, end: usize) -> Option<Span> {
    let (digits, n) = checksum::digits_of(s.bytes.get(start..end)?)?;
    checksum::ssn(digits.get(..n)?).then(|| Span::new(start, end, Kind::Ssn))
}

/// `555-123-4567`, `555.123.4567`, `1-800-555-1234`: without a word that says so, the area begins with 2 to 9.
fn national(s: &Scan<'_>, i: usize, g: &Groups) -> Option<Span> {
    let b = s.bytes;
    let (area, last) = if g.lens(&[1, 3, 3, 4]) && at(b, i) == b'1' {
        (g.end[0] + 1, 3)
    } else if g.lens(&[3, 3, 4]) {
        (i, 2)
    } else {
        return None;
    };
    let marked = matches!(g.sep[last], b'-' | b'.');
    let ok = marked && matches!(at(b, area), b'2'..=b'9') && clear_right(b, g.end[last]);
    ok.then(|| Span::new(i, g.end[last], Kind::Phone))
}

/// `(555) 123-4567`: the digits in brackets stand at `i..end`.
fn bracketed(s: &Scan<'_>, i: usize, end: usize) -> Option<Span> {
    let b = s.bytes;
    let from = match separator(b, end + 1) {
        Some((_, width)) => end + 1 + width,
        None => end + 1,
    };
    let g = groups(b, from);
    let ok = g.lens(&[3, 4]) && clear_right(b, g.end[1]) && !is(s.prev2(i), ALNUM);
    if !ok {
        return None;
    }
    // `1 (555) 123-4567`
    let one = i >= s.floor + 3 && b.get(i - 3..i)? == b"1 (" && !is(s.prev(i - 3), WORD);
    Some(Span::new(if one { i - 3 } else { i - 1 }, g.end[1], Kind::Phone))
}

/// A number as people write it: the end, and how many digits, at most `most`.
fn written(b: &[u8], i: usize, most: usize) -> (usize, usize) {
    let (mut p, mut end, mut digits, mut gap) = (i, i, 0, 0);
    while digits < most {
        let c = at(b, p);
        if is(c, DIGIT) {
            digits += 1;
            gap = 0;
            p += 1;
            end = p;
            continue;
        }
        let width = match c {
            b'(' | b')' | b'/' => 1,
            _ => separator(b, p).map_or(0, |(_, w)| w),
        };
        gap += 1;
        if width == 0 || gap > 2 {
            break;
        }
        p += width;
    }
    (end, digits)
}

/// `+44 20 7946 0958`: the first digit behind the plus stands at `i`.
fn international(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    if at(b, i) == b'0' {
        return None;
    }
    let north_america = at(b, i) == b'1';
    let (end, digits) = written(b, i, if north_america { 11 } else { 15 });
    let spaced = end - i > digits;
    let enough = if north_america { digits == 11 } else { digits >= if spaced { 8 } else { 9 } };
    let round = b.get(end.saturating_sub(5)..end)?.iter().all(|&c| c == b'0');
    let right = clear_right(b, end) || (at(b, end) == b'-' && !is(at(b, end + 1), DIGIT));
    (enough && right && !round).then(|| Span::new(i - 1, end, Kind::Phone))
}

/// A number of 7 to 15 digits behind a word such as `phone`.
fn loose_phone(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    // The cheap question first: is there a word before it at all?
    let mut before = i;
    while before > s.floor && before + 6 > i && !is(at(b, before - 1), ALNUM) {
        before -= 1;
    }
    let word = before > s.floor && is(at(b, before - 1), ALPHA);
    if !word && !s.hint.phone && (at(b, i), at(b, i + 1)) != (b'0', b'0') {
        return None;
    }
    let (end, digits) = written(b, i, 16);
    if !(7..=15).contains(&digits) || !clear_right(b, end) {
        return None;
    }
    // `0044 20 7946 0958` is the international form too.
    let zeros = at(b, i) == b'0' && at(b, i + 1) == b'0' && matches!(at(b, i + 2), b'1'..=b'9') && end - i > digits && digits >= 11;
    if !zeros && !phone_near(s, i) {
        return None;
    }
    let start = if s.prev(i) == b'(' { i - 1 } else { i };
    Some(Span::new(start, end, Kind::Phone))
}

/// Calls `judge` with the words before `i`, last first, until it decides; digits end the search.
fn words_before(s: &Scan<'_>, i: usize, mut judge: impl FnMut(&str, u8) -> Option<bool>) -> bool {
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
        if let Some(word) = s.text.get(start..end) {
            let before = if start > s.floor { at(b, start - 1) } else { 0 };
            if let Some(answer) = judge(word, before) {
                return answer;
            }
        }
        end = start;
    }
    false
}

/// True when a word for telephones stands before the number, with at most filler words between.
fn phone_near(s: &Scan<'_>, i: usize) -> bool {
    const PHONE: [&str; 22] = [
        "tel",
        "telephone",
        "mobile",
        "mob",
        "cell",
        "cellphone",
        "call",
        "calling",
        "fax",
        "whatsapp",
        "sms",
        "dial",
        "telefon",
        "telefono",
        "telefone",
        "hotline",
        "handy",
        "ring",
        "phoned",
        "ph",
        "landline",
        "callback",
    ];
    const FILLER: [&str; 36] = [
        "number", "numbers", "no", "nr", "num", "is", "at", "me", "us", "on", "my", "our", "your", "the", "or", "and", "text", "now", "to",
        "him", "her", "them", "line", "home", "work", "office", "please", "can", "be", "reached", "directly", "back", "under", "desk",
        "it", "support",
    ];
    s.hint.phone
        || words_before(s, i, |word, before| {
            let first = at(word.as_bytes(), 0) | 0x20;
            let known = |list: &[&str]| list.iter().any(|w| at(w.as_bytes(), 0) == first && word.eq_ignore_ascii_case(w));
            let n = word.len();
            let tail = |k: usize| n >= k && word.is_char_boundary(n - k);
            let phone = (tail(5) && word[n - 5..].eq_ignore_ascii_case("phone") && !word.eq_ignore_ascii_case("microphone"))
                || (n >= 5 && word.is_char_boundary(5) && word[..5].eq_ignore_ascii_case("phone"))
                || word.ends_with("Tel");
            // `tool_call` is no telephone call.
            if phone || (known(&PHONE) && !(before == b'_' && word.eq_ignore_ascii_case("call"))) {
                return Some(true);
            }
            if known(&FILLER) { None } else { Some(false) }
        })
}

/// True when `SSN` or `social security` stands before the number.
fn ssn_near(s: &Scan<'_>, i: usize) -> bool {
    const FILLER: [&str; 10] = ["number", "no", "nr", "num", "is", "security", "my", "the", "his", "her"];
    s.hint.ssn
        || words_before(s, i, |word, _| {
            if word.eq_ignore_ascii_case("ssn") || word.eq_ignore_ascii_case("social") {
                return Some(true);
            }
            if FILLER.iter().any(|w| word.eq_ignore_ascii_case(w)) { None } else { Some(false) }
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
