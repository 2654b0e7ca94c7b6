//! Shapes without punctuation, found at the rarest letter in them: `AIza`, `AKIA`, `SK...`, `eyJ`, `Bearer`,
//! `dapi...`, `password is ...`.

use super::bytes::{ALNUM, ALPHA, BASE, DIGIT, DOT, HEX, LOWER, TOKEN, UNDER, UPPER, at, has_nocase, is, run_end};
use super::kind::Kind;
use super::scan::{Scan, Span};
use super::{assign, judge, tokens};

/// The span around the letter at `i`, if it is one of ours.
pub(super) fn letter(s: &Scan<'_>, i: usize) -> Option<Span> {
    match at(s.bytes, i) {
        b'A' => google(s, i).or_else(|| aws(s, i)).or_else(|| twilio(s, i, b'C')).or_else(|| atlassian(s, i)),
        b'S' => twilio(s, i, b'K'),
        b'J' => i.checked_sub(2).and_then(|start| jwt(s, start)),
        b'B' | b'b' => bearer(s, i),
        b'p' | b'P' => password_is(s, i).or_else(|| databricks(s, i)),
        _ => None,
    }
}

/// The token without punctuation that begins at `start`: for values of assignments.
pub(super) fn at_start(s: &Scan<'_>, start: usize) -> Option<Span> {
    match at(s.bytes, start) {
        b'A' => google(s, start).or_else(|| aws(s, start)),
        b'S' => twilio(s, start, b'K').or_else(|| tokens::dotted(s, start + 2)),
        b'e' => jwt(s, start),
        _ => None,
    }
}

fn google(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    if b.get(i..i + 4)? != b"AIza" || !s.begins_word(i) {
        return None;
    }
    let body = b.get(i + 4..i + 39)?;
    // One character more is a run of something else, base64 for example.
    let whole = body.iter().all(|&c| is(c, TOKEN)) && !is(at(b, i + 39), ALNUM);
    (whole && !tokens::is_filler(body)).then(|| Span::new(i, i + 39, Kind::GoogleKey))
}

fn aws(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    let head = b.get(i..i + 4)?;
    if !matches!(head, b"AKIA" | b"ASIA" | b"ABIA" | b"ACCA") {
        return None;
    }
    let body = b.get(i + 4..i + 20)?;
    // An underscore before it is fine (`KEY_AKIA...`), a letter is not.
    let alone = !is(s.prev(i), ALNUM) || s.behind_escape(i);
    let whole = body.iter().all(|&c| is(c, UPPER | DIGIT)) && !is(at(b, i + 20), ALNUM | UNDER);
    (alone && whole && !tokens::is_filler(body)).then(|| Span::new(i, i + 20, Kind::AwsKeyId))
}

fn twilio(s: &Scan<'_>, i: usize, second: u8) -> Option<Span> {
    let b = s.bytes;
    if at(b, i + 1) != second || !is(at(b, i + 2), HEX) || !s.begins_word(i) {
        return None;
    }
    let body = b.get(i + 2..i + 34)?;
    let hex = body.iter().all(|&c| c.is_ascii_digit() || matches!(c, b'a'..=b'f'));
    (hex && !is(at(b, i + 34), ALNUM | UNDER) && !tokens::is_filler(body)).then(|| Span::new(i, i + 34, Kind::TwilioKey))
}

fn atlassian(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    if b.get(i..i + 6)? != b"ATATT3" || !s.begins_word(i) {
        return None;
    }
    let end = run_end(b, i, TOKEN | BASE);
    (end - i >= 60).then(|| Span::new(i, end, Kind::ApiKey))
}

fn databricks(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    let start = i.checked_sub(2)?;
    if start < s.floor || b.get(start..i + 2)? != b"dapi" || !s.begins_word(start) {
        return None;
    }
    let limit = b.len().min(i + 2 + 33);
    let end = run_end(b.get(..limit)?, i + 2, HEX);
    (end - (i + 2) == 32).then(|| Span::new(start, end, Kind::ApiKey))
}

/// A JSON web token: two to five base64url parts, the first begins with `eyJ` at `start`.
fn jwt(s: &Scan<'_>, start: usize) -> Option<Span> {
    let b = s.bytes;
    // Only the first `eyJ` of a run is read: a row of them costs one reading.
    if start < s.floor || b.get(start..start + 3)? != b"eyJ" {
        return None;
    }
    if (is(s.prev(start), TOKEN) && !s.behind_escape(start)) || !is(at(b, start + 3), TOKEN) {
        return None;
    }
    let head = run_end(b, start, TOKEN);
    if head - start < 10 || at(b, head) != b'.' {
        return None;
    }
    let payload = run_end(b, head + 1, TOKEN);
    let nested = b.get(head + 1..head + 4).is_some_and(|h| h == b"eyJ");
    // The second part of an encrypted token may be empty.
    let sealed = payload == head + 1 && at(b, payload) == b'.' && is(at(b, payload + 1), TOKEN);
    if !sealed && payload - head < 6 {
        return None;
    }
    if at(b, payload) != b'.' {
        return (nested && payload - head > 10).then(|| Span::new(start, payload, Kind::Jwt));
    }
    let mut end = payload;
    for _ in 0..3 {
        if at(b, end) != b'.' {
            break;
        }
        let next = run_end(b, end + 1, TOKEN);
        if next == end + 1 {
            break;
        }
        end = next;
    }
    Some(Span::new(start, end, Kind::Jwt))
}

/// `Bearer` and a credential, without the name of the header before it.
fn bearer(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    if !has_nocase(b, i, b"bearer") || !s.begins_word(i) || at(b, i + 6) != b' ' {
        return None;
    }
    let from = run_spaces(b, i + 6);
    if let Some(span) = exact(s, from) {
        return Some(span);
    }
    let end = run_end(b, from, TOKEN | BASE | DOT);
    let end = if end > from && at(b, end - 1) == b'.' { end - 1 } else { end };
    let body = b.get(from..end)?;
    let digit = body.iter().take(256).any(u8::is_ascii_digit);
    let letter = body.iter().take(256).any(|&c| is(c, ALPHA));
    (body.len() >= 12 && digit && letter && !judge::is_stand_in(body)).then(|| Span::new(from, end, Kind::Authorization))
}

/// The exact vendor token at `from`, if any.
pub(super) fn exact(s: &Scan<'_>, from: usize) -> Option<Span> {
    at_start(s, from).or_else(|| tokens::at_start(s, from))
}

fn run_spaces(b: &[u8], from: usize) -> usize {
    let mut i = from;
    while i < from + 8 && at(b, i) == b' ' {
        i += 1;
    }
    i
}

/// `password is hunter2`: prose that tells a password; the value needs a digit or a symbol, or quotation marks.
fn password_is(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    if !has_nocase(b, i, b"pass") || is(s.prev(i), ALNUM) {
        return None;
    }
    let word_end = run_end(b.get(..b.len().min(i + 16))?, i, ALPHA);
    // Most passwords in a text stand behind a separator: those are found there.
    if at(b, word_end) != b' ' {
        return None;
    }
    let verbs: [&[u8]; 4] = [b" is ", b" was ", b" is: ", b" ist "];
    let verb = verbs.into_iter().find(|v| has_nocase(b, word_end, v))?;
    let word = b.get(i..word_end)?;
    let known: [&[u8]; 5] = [b"password", b"passphrase", b"passcode", b"passwort", b"pass"];
    if !known.iter().any(|k| word.eq_ignore_ascii_case(k)) {
        return None;
    }
    let from = run_spaces(b, word_end + verb.len());
    let value = assign::value_at(s, from)?;
    let body = b.get(value.start..value.end)?;
    let marked = body.iter().any(|&c| c.is_ascii_digit()) || body.iter().any(|c| b"!@#$%^&*+~=".contains(c));
    let plain = body.iter().all(|&c| is(c, LOWER | UPPER));
    let ok = (value.quoted || marked) && !(plain && !value.quoted) && body.len() >= 4;
    (ok && !judge::is_stand_in(body)).then(|| Span::new(value.start, value.end, Kind::Secret))
}
