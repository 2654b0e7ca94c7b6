//! Telephone numbers: the international form, the national forms of North America, and digits behind a word such as
//! `phone`.
//!
//! ```text
//! +44 20 7946 0958       a plus, a country, 8 to 15 digits
//! 555-123-4567           3-3-4, also with the area in brackets or a `1` before it
//! call me at 79460958    7 to 15 digits behind a word for telephones, with filler words between
//! ```
//!
//! Limits: 56 bytes are searched for the word.

use super::bytes::{ALNUM, DIGIT, WORD, at, has_nocase, is};
use super::groups::{Groups, clear_right, groups, separator};
use super::kind::Kind;
use super::number::words_before;
use super::scan::{Scan, Span};
use super::words::Words;

/// `555-123-4567`, `555.123.4567`, `1-800-555-1234`: without a word that says so, the area begins with 2 to 9.
pub(super) fn national(s: &Scan<'_>, i: usize, g: &Groups) -> Option<Span> {
    let b = s.bytes;
    let (area, last) = if g.lens(&[1, 3, 3, 4]) && at(b, i) == b'1' {
        (g.end(0) + 1, 3)
    } else if g.lens(&[3, 3, 4]) {
        (i, 2)
    } else {
        return None;
    };
    let marked = matches!(g.sep[last], b'-' | b'.');
    let ok = marked && matches!(at(b, area), b'2'..=b'9') && clear_right(b, g.end(last));
    ok.then(|| Span::new(i, g.end(last), Kind::Phone))
}

/// `(555) 123-4567`: the digits in brackets stand at `i..end`.
pub(super) fn bracketed(s: &Scan<'_>, i: usize, end: usize) -> Option<Span> {
    let b = s.bytes;
    let from = match separator(b, end + 1) {
        Some((_, width)) => end + 1 + width,
        None => end + 1,
    };
    let g = groups(b, from);
    let ok = g.lens(&[3, 4]) && clear_right(b, g.end(1)) && !is(s.prev2(i), ALNUM);
    if !ok {
        return None;
    }
    // `1 (555) 123-4567`
    let one = i >= s.floor + 3 && b.get(i - 3..i)? == b"1 (" && !is(s.prev(i - 3), WORD);
    Some(Span::new(if one { i - 3 } else { i - 1 }, g.end(1), Kind::Phone))
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
pub(super) fn international(s: &Scan<'_>, i: usize) -> Option<Span> {
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
pub(super) fn loose_phone(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    // `0044 20 7946 0958` is the international form too.
    let zeros = at(b, i) == b'0' && at(b, i + 1) == b'0' && matches!(at(b, i + 2), b'1'..=b'9');
    // The cheap question first: a row of numbers has no word before each.
    let row = is(s.prev2(i), DIGIT) && !is(s.prev(i), ALNUM) && !s.hint.phone;
    let near = !row && phone_near(s, i);
    if !near && !zeros {
        return None;
    }
    let (end, digits) = written(b, i, 16);
    let long = (7..=15).contains(&digits) && clear_right(b, end);
    let start = if s.prev(i) == b'(' { i - 1 } else { i };
    (long && (near || (end - i > digits && digits >= 11))).then(|| Span::new(start, end, Kind::Phone))
}

/// The same for digits in groups: few of them that nothing of a number follows are none.
pub(super) fn grouped_phone(s: &Scan<'_>, i: usize) -> Option<Span> {
    let span = loose_phone(s, i)?;
    let g = groups(s.bytes, i);
    (g.digits() >= 7 || matches!(at(s.bytes, g.end(g.count - 1)), b'/' | b' ' | b'(')).then_some(span)
}

/// Words for telephones; `phone` and what begins or ends with it are seen without a list.
static PHONE: Words<22> = Words::new([
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
]);

/// Words that may stand between one of those and the number.
static FILLER: Words<36> = Words::new([
    "number", "numbers", "no", "nr", "num", "is", "at", "me", "us", "on", "my", "our", "your", "the", "or", "and", "text", "now", "to",
    "him", "her", "them", "line", "home", "work", "office", "please", "can", "be", "reached", "directly", "back", "under", "desk", "it",
    "support",
]);

/// True when a word for telephones stands before the number, with at most filler words between.
fn phone_near(s: &Scan<'_>, i: usize) -> bool {
    s.hint.phone || words_before(s, i, phone_word)
}

/// What a word before a number says: a telephone, nothing of the kind, or that the word before it decides.
fn phone_word(word: &[u8], before: u8) -> Option<bool> {
    let phone = match word.last() {
        Some(b'e' | b'E') => {
            word.len() >= 5
                && matches!(word[word.len() - 2], b'n' | b'N')
                && has_nocase(word, word.len() - 5, b"phone")
                && !word.eq_ignore_ascii_case(b"microphone")
        }
        Some(b'l') => word.ends_with(b"Tel"),
        _ => false,
    };
    // `tool_call` is no telephone call.
    if phone || has_nocase(word, 0, b"phone") || (PHONE.contains(word) && !(before == b'_' && word.eq_ignore_ascii_case(b"call"))) {
        return Some(true);
    }
    if FILLER.contains(word) { None } else { Some(false) }
}
