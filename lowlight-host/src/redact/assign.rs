//! Secret assignments: `password=...`, `api_key: ...`, `"token": "..."`, the same inside an escaped JSON text, and the
//! `Authorization` and `Cookie` headers.
//!
//! ```text
//!   \"db_password\" : \"hunter2\"          key is read backwards from the separator, value forwards;
//!     |---key----|  ^    |value|           the span is the value without its quotation marks
//! ```
//!
//! Limits: a key has at most 64 bytes; a bare value is judged on its first 512 bytes and accepted when it is longer.

use super::bytes::{
    ALNUM, ALPHA, BASE, DIGIT, DOT, LOWER, MINUS, TOKEN, UNDER, at, has_nocase, is, is_quote, is_space, run_end, run_start,
};
use super::keys::{self, Strength};
use super::kind::Kind;
use super::scan::{Scan, Span, placeholder_end};
use super::{judge, letters};

const KEY_MOST: usize = 64;
const JUDGED: usize = 512;
/// How far a list of values is read for its end.
const LIST: usize = 1024;

/// A value behind a separator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quoted: bool,
}

/// A key before a separator.
struct Key {
    start: usize,
    end: usize,
    strength: Strength,
}

/// The secret whose separator (`:` or `=`) stands at `i`.
#[inline]
pub(super) fn assign(s: &Scan<'_>, i: usize) -> Option<Span> {
    let (prev, prev2) = (s.prev(i), s.prev2(i));
    // Two letters tell most words before a separator from every name of a secret, and no name has only two.
    if is(prev, ALPHA) && is(prev2, ALPHA) && !s.policy.has_keys() {
        let short = i < 3 || !is(at(s.bytes, i - 3), TOKEN | DOT);
        if short || !keys::may_end(prev2, prev) {
            return None;
        }
    }
    behind_key(s, i)
}

fn behind_key(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    let (prev, prev2) = (s.prev(i), s.prev2(i));
    // `12:34`: no name of a secret ends in a digit, but for `cvv2`.
    if is(prev, DIGIT) && is(at(b, i + 1), DIGIT) && !matches!(prev2, b'v' | b'V') {
        return None;
    }
    let key = key_before(s, i, true)?;
    let mut from = i + 1;
    let mut compared = false;
    // `:=`, `=>`, `==` and `===`; `::` is a path.
    if at(b, i) == b':' && at(b, from) == b':' {
        return None;
    }
    for _ in 0..2 {
        if matches!(at(b, from), b'=' | b'>') {
            compared |= at(b, i) == b'=' && at(b, from) == b'=';
            from += 1;
        }
    }
    let spaces = skip_blank(b, from);
    match key.strength {
        Strength::Authorization => return authorization(s, spaces),
        Strength::Cookie => return cookie(s, spaces),
        _ => {}
    }
    // What is read in vain must be short, or the next candidate reads it again.
    if compared && opening(b, spaces).is_none() {
        return None;
    }
    let value = value_at(s, spaces)?;
    accept(s, &key, value, i, spaces > from)
}

fn accept(s: &Scan<'_>, key: &Key, value: Value, i: usize, spaced: bool) -> Option<Span> {
    let b = s.bytes;
    let body = b.get(value.start..value.end)?;
    if let Some(exact) = letters::exact(s, value.start) {
        let end = if value.quoted { exact.end } else { exact.end.max(value.end) };
        return Some(Span { end, ..exact });
    }
    let name = b.get(key.start..key.end)?;
    let scene = judge::Scene {
        strength: key.strength,
        quoted: value.quoted,
        colon: at(b, i) == b':',
        spaced: spaced || is_space(s.prev(i)),
        next: at(b, value.end),
        next2: at(b, value.end + 1),
        line_start: key.start == s.floor || matches!(at(b, key.start.wrapping_sub(1)), b'\n' | b'\r'),
        key: name,
    };
    if body.len() <= JUDGED && !judge::is_secret(body, &scene) {
        return None;
    }
    Some(Span::new(value.start, value.end, kind_of(name, body)))
}

/// AWS secrets and Azure keys have a shape only together with their key.
fn kind_of(name: &[u8], body: &[u8]) -> Kind {
    // All of them end in `key`.
    if name.last().is_some_and(|&c| is(c, ALPHA) && c | 0x20 != b'y') {
        return Kind::Secret;
    }
    let mut buffer = [0u8; 64];
    let name = keys::normal_in(name, &mut buffer);
    if body.len() == 40 && (name.ends_with(b"secretaccesskey") || name.ends_with(b"secretkey")) {
        return Kind::AwsSecret;
    }
    if name.ends_with(b"accountkey") || name.ends_with(b"sharedaccesskey") {
        return Kind::AzureKey;
    }
    Kind::Secret
}

fn skip_blank(b: &[u8], from: usize) -> usize {
    let mut i = from;
    while i < from + 16 && matches!(at(b, i), b' ' | b'\t') {
        i += 1;
    }
    i
}

/// Steps back over a quotation mark and the backslashes that escape it.
fn back_over_quote(s: &Scan<'_>, end: usize) -> usize {
    let mut e = end;
    if is_quote(s.prev(e)) {
        e -= 1;
        while e + 8 > end && s.prev(e) == b'\\' {
            e -= 1;
        }
    }
    e
}

fn key_before(s: &Scan<'_>, i: usize, typed: bool) -> Option<Key> {
    let b = s.bytes;
    let mut end = i;
    while end + 4 > i && matches!(s.prev(end), b' ' | b'\t') {
        end -= 1;
    }
    // `environ["PASSWORD"] = ...`
    if s.prev(end) == b']' {
        end -= 1;
    }
    end = back_over_quote(s, end);
    // Markdown: `**Password**: ...`
    while end + 12 > i && s.prev(end) == b'*' {
        end -= 1;
    }
    let mut start = run_start(b, end, s.floor, KEY_MOST + 1, TOKEN | DOT);
    if start == end || end - start > KEY_MOST {
        return None;
    }
    // The letter of an escape is not part of the key: `\npassword=`.
    if s.prev(start) == b'\\' && matches!(at(b, start), b'n' | b'r' | b't') {
        start += 1;
    }
    let word = b.get(start..end)?;
    if let Some(strength) = keys::strength(word, s.policy) {
        return Some(Key { start, end, strength });
    }
    // `password: str = "..."`: the word before `=` is a type, the key is before the colon.
    if typed && at(b, i) == b'=' && matches!(word, b"str" | b"string" | b"String" | b"SecretStr") {
        let mut colon = start;
        while colon + 4 > start && matches!(s.prev(colon), b' ' | b'&') {
            colon -= 1;
        }
        return if s.prev(colon) == b':' { key_before(s, colon - 1, false) } else { None };
    }
    spaced_key(s, start, end)
}

/// `API key: ...`, `secret key = ...`: the last word is `key`, the one before says which.
fn spaced_key(s: &Scan<'_>, start: usize, end: usize) -> Option<Key> {
    let b = s.bytes;
    let word = b.get(start..end)?;
    if !word.eq_ignore_ascii_case(b"key") && !word.eq_ignore_ascii_case(b"code") {
        return None;
    }
    if s.prev(start) != b' ' {
        return None;
    }
    let first = run_start(b, start - 1, s.floor, 24, ALNUM);
    let strength = keys::strength(b.get(first..end)?, s.policy)?;
    Some(Key { start: first, end, strength })
}

/// The quotation mark that opens a value at `from`: where it stands, which, and how many backslashes escape it.
fn opening(b: &[u8], from: usize) -> Option<(usize, u8, usize)> {
    let mut i = from;
    // A string prefix: b"...", f'...'.
    if matches!(at(b, i), b'b' | b'r' | b'u' | b'f') && is_quote(at(b, i + 1)) {
        i += 1;
    }
    let mut slashes = 0;
    while slashes < 8 && at(b, i + slashes) == b'\\' {
        slashes += 1;
    }
    let quote = at(b, i + slashes);
    is_quote(quote).then_some((i + slashes, quote, slashes))
}

/// The value that begins at `from`: quoted (also with escaped quotation marks), a list of such, or bare.
pub(super) fn value_at(s: &Scan<'_>, from: usize) -> Option<Value> {
    let b = s.bytes;
    if let Some((mark, quote, slashes)) = opening(b, from) {
        let mut start = mark + 1;
        // Three quotation marks of Python; two are an empty text.
        if slashes == 0 && at(b, start) == quote && at(b, start + 1) == quote {
            start += 2;
        }
        // A key block is found as a whole by its own rule, over the lines of the text.
        if b.get(start..)?.starts_with(b"-----BEGIN") {
            return None;
        }
        let end = quoted_end(s, start, quote, slashes);
        return (end > start).then_some(Value { start, end, quoted: true });
    }
    if matches!(at(b, from), b'[' | b'{') && opening(b, from + 1).is_some() {
        // A list is taken as a whole; what an object means its keys say.
        let list = b.get(from + 1..b.len().min(from + LIST))?;
        let close = list.iter().position(|&c| matches!(c, b']' | b'[' | b'\n')).filter(|&k| list[k] != b'[' && at(b, from) == b'[');
        return close.map(|close| Value { start: from + 1, end: from + 1 + close, quoted: true });
    }
    if b.get(from..)?.starts_with(b"-----BEGIN") {
        return None;
    }
    let end = bare_end(s, from);
    let bracket = end == from + 1 && matches!(at(b, from), b'[' | b'{');
    (end > from && !bracket).then_some(Value { start: from, end, quoted: false })
}

/// The offset of the closing quotation mark; without one the end of the line, or of a cut text.
fn quoted_end(s: &Scan<'_>, start: usize, quote: u8, slashes: usize) -> usize {
    let b = s.bytes;
    let mut p = start;
    let mut line = None;
    while p < b.len() {
        let c = b[p];
        if c == quote {
            return line.unwrap_or(p);
        }
        if c == b'\n' && line.is_none() {
            if !s.open {
                return p;
            }
            line = Some(p);
        }
        if c == b'\\' {
            let mut run = p;
            while at(b, run) == b'\\' {
                run += 1;
            }
            let count = run - p;
            if slashes > 0 && count <= slashes && at(b, run) == quote {
                return line.unwrap_or(p);
            }
            // Without escaping outside, an even run of backslashes leaves the mark behind it alone.
            p = if slashes > 0 || count % 2 == 1 { run + 1 } else { run };
            continue;
        }
        p += 1;
    }
    b.len()
}

fn bare_end(s: &Scan<'_>, from: usize) -> usize {
    let b = s.bytes;
    let mut p = from;
    loop {
        // Most values have nothing but these in them.
        p = run_end(b, p, TOKEN | BASE | DOT);
        let c = at(b, p);
        if is_space(c) || matches!(c, b'"' | b'`' | 0) || (c == b'\'' && !is(at(b, p + 1), ALNUM)) {
            break;
        }
        if c == b'<' && p > from && matches!(at(b, p + 1), b'/' | b'b') {
            break;
        }
        if c == b'\\' && (matches!(at(b, p + 1), b'n' | b'r' | b't' | b'\\') || is_quote(at(b, p + 1))) {
            break;
        }
        // A placeholder of ours is no part of a value.
        if c == b'[' && placeholder_end(b, p, s.policy).is_some() {
            break;
        }
        if p > from && matches!(c, b',' | b';' | b'&' | b'|') && separates(b, p + 1) {
            break;
        }
        p += 1;
    }
    // Punctuation of the sentence, and brackets that were opened outside.
    let head = b.get(from..p.min(from + JUDGED)).unwrap_or_default();
    let [round, square, curly] = [b'(', b'[', b'{'].map(|open| head.contains(&open));
    while p > from {
        let drop = match b[p - 1] {
            b'.' | b',' | b';' | b':' => true,
            b')' => !round,
            b']' => !square,
            b'}' => !curly,
            _ => false,
        };
        if !drop {
            break;
        }
        p -= 1;
    }
    p
}

/// True when what follows a comma, semicolon or ampersand is the end or another key.
fn separates(b: &[u8], from: usize) -> bool {
    let c = at(b, from);
    if c == 0 || is_space(c) || is_quote(c) || matches!(c, b'&' | b'{' | b'}' | b'[' | b']' | b')') {
        return true;
    }
    let limit = b.len().min(from + 32);
    let end = run_end(b.get(..limit).unwrap_or(b), from, TOKEN);
    end > from && matches!(at(b, end), b'=' | b':')
}

/// A quotation mark, the end of the line, or an escape: no value of a header goes on behind it.
fn ends_header(c: u8) -> bool {
    is_quote(c) || matches!(c, b'\n' | b'\r' | b'\\')
}

/// The credential behind `Authorization:`; the scheme stays.
fn authorization(s: &Scan<'_>, from: usize) -> Option<Span> {
    let b = s.bytes;
    let mut i = from;
    while i < from + 9 && (at(b, i) == b'\\' || is_quote(at(b, i))) {
        i += 1;
    }
    let word_end = run_end(b.get(..b.len().min(i + 24))?, i, ALNUM | MINUS | UNDER);
    let word = b.get(i..word_end)?;
    let schemes: [&[u8]; 8] = [b"bearer", b"basic", b"token", b"negotiate", b"apikey", b"key", b"digest", b"bot"];
    let known = schemes.iter().any(|k| word.eq_ignore_ascii_case(k));
    let line = word.eq_ignore_ascii_case(b"digest") || has_nocase(b, i, b"AWS4-HMAC-SHA256");
    let start = if (known || line) && at(b, word_end) == b' ' { skip_blank(b, word_end) } else { i };
    if let Some(exact) = letters::exact(s, start) {
        return Some(exact);
    }
    let stops = |k: usize, c: u8| {
        let placed = c == b'[' && placeholder_end(b, start + k, s.policy).is_some();
        ends_header(c) || placed || (k > 0 && !line && (is_space(c) || matches!(c, b',' | b';' | b')' | b'<' | b'>' | b'}')))
    };
    let rest = b.get(start..)?;
    let read = |most: usize| rest.iter().take(most).enumerate().find(|&(k, &c)| stops(k, c)).map_or(rest.len().min(most), |(k, _)| k);
    // Judged by its beginning, so that nothing long is read in vain.
    let head = rest.get(..read(JUDGED))?;
    let digit = head.iter().any(u8::is_ascii_digit);
    let shaped = if start > i { digit || head.len() >= 12 } else { digit && head.len() >= 8 };
    let plain = head.iter().all(|&c| is(c, LOWER | MINUS | UNDER)) && head.len() < 16;
    (shaped && !plain && !judge::is_stand_in(head)).then(|| Span::new(start, start + read(usize::MAX), Kind::Authorization))
}

/// The pairs behind `Cookie:`, to the end of the line or the closing quotation mark.
fn cookie(s: &Scan<'_>, from: usize) -> Option<Span> {
    let b = s.bytes;
    let mut i = from;
    while i < from + 9 && (at(b, i) == b'\\' || is_quote(at(b, i))) {
        i += 1;
    }
    let rest = b.get(i..)?;
    let read = |most: usize| rest.iter().take(most).position(|&c| ends_header(c)).unwrap_or(rest.len().min(most));
    // Only pairs count, `cookie: chocolate` does not; judged by the beginning, so that nothing long is read in vain.
    let head = rest.get(..read(JUDGED))?;
    let name_end = run_end(head, 0, TOKEN);
    let paired = name_end > 0 && at(head, name_end) == b'=' && !judge::is_stand_in(head.get(name_end + 1..)?);
    paired.then(|| Span::new(i, i + read(usize::MAX), Kind::Secret))
}
