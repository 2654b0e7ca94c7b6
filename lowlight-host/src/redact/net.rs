//! Addresses: IPv4, IPv6, MAC, UUIDs, and credentials in URLs.
//!
//! Limits: IPv6 is confirmed by the parser of the standard library on at most 64 bytes.

use std::net::Ipv6Addr;

use super::bytes::{ALNUM, ALPHA, DIGIT, DOT, HEX, TOKEN, UNDER, WORD, at, has_nocase, is, is_quote, is_space, run_end, run_start};
use super::kind::Kind;
use super::scan::{Scan, Span, Step};
use super::words::Words;
use super::{judge, tokens};

/// What a colon with two slashes begins: credentials, a webhook; or what a `data:` image lets us pass over.
pub(super) fn url(s: &Scan<'_>, i: usize) -> Option<Step> {
    let b = s.bytes;
    if let Some(end) = data_end(s, i) {
        return Some(Step::Skip(end));
    }
    if at(b, i + 1) != b'/' || at(b, i + 2) != b'/' {
        return None;
    }
    let from = i + 3;
    if let Some(hook) = tokens::webhook(s, from) {
        let mut scheme = run_start(b, i, s.floor, 8, ALPHA);
        // The letter of an escape is not part of the scheme: `\nhttps`.
        if s.prev(scheme) == b'\\' && matches!(at(b, scheme), b'n' | b'r' | b't') {
            scheme += 1;
        }
        return Some(Step::Found(Span { start: scheme, ..hook }));
    }
    let span = credentials(s, from)?;
    Some(Step::Found(span))
}

/// The end of `data:image/png;base64,...`: nothing in it is text.
fn data_end(s: &Scan<'_>, i: usize) -> Option<usize> {
    let b = s.bytes;
    let start = i.checked_sub(4)?;
    if start < s.floor || !has_nocase(b, start, b"data") || !is(at(b, i + 1), ALPHA) {
        return None;
    }
    let window = b.get(i + 1..b.len().min(i + 80))?;
    let comma = window.iter().position(|&c| c == b',')?;
    let head = window.get(..comma)?;
    let media: [&[u8]; 4] = [b"image/", b"audio/", b"video/", b"application/"];
    if !head.ends_with(b";base64") || !media.iter().any(|m| head.starts_with(m)) {
        return None;
    }
    Some(run_end(b, i + 1 + comma + 1, ALNUM | super::bytes::BASE))
}

/// `user:password` between the slashes and the last `@` of the authority.
fn credentials(s: &Scan<'_>, from: usize) -> Option<Span> {
    let b = s.bytes;
    // Most authorities are a host and nothing else.
    if matches!(at(b, run_end(b.get(..b.len().min(from + 128))?, from, TOKEN | DOT)), b'/' | b'?' | b'#' | b' ') {
        return None;
    }
    let mut end = from;
    let mut last = None;
    let mut colon = None;
    let mut slash = false;
    while end < b.len() {
        let c = b[end];
        if is_space(c) || is_quote(c) || (last.is_some() && matches!(c, b'\\' | b',' | b')' | b']')) {
            break;
        }
        match c {
            b'@' => {
                last = Some(end);
                if slash {
                    break;
                }
            }
            b':' if colon.is_none() => colon = Some(end),
            b'/' | b'?' | b'#' => {
                // A password may have a slash in it; a port and a path may have an `@` behind them.
                let port = colon.is_none_or(|k| run_end(b, k + 1, DIGIT) == end);
                if last.is_some() || port || end - from > 128 {
                    break;
                }
                slash = true;
            }
            _ => {}
        }
        if slash && end - from > 192 {
            break;
        }
        end += 1;
    }
    let at_sign = last?;
    let info = b.get(from..at_sign)?;
    match colon.filter(|&k| k < at_sign) {
        Some(k) => {
            let secret = b.get(k + 1..at_sign)?;
            let head = secret.get(..secret.len().min(512))?;
            (!judge::is_stand_in(head)).then(|| Span::new(from, at_sign, Kind::UrlCredentials))
        }
        // A token alone before the `@`.
        None => {
            let digit = info.iter().any(u8::is_ascii_digit);
            (info.len() >= 16 && digit && !judge::is_stand_in(info.get(..info.len().min(512))?))
                .then(|| Span::new(from, at_sign, Kind::UrlCredentials))
        }
    }
}

/// An IPv6 or MAC address in which the colon at `i` is the first.
pub(super) fn colon_address(s: &Scan<'_>, i: usize) -> Option<Step> {
    let b = s.bytes;
    let next = at(b, i + 1);
    if !is(next, HEX) && next != b':' {
        return None;
    }
    let start = run_start(b, i, s.floor, 5, HEX);
    if i - start > 4 || (start == i && next != b':') || matches!(s.prev(start), b':' | b'.') {
        return None;
    }
    if is(s.prev(start), WORD) && !s.behind_escape(start) {
        return None;
    }
    let mut end = i;
    let mut colons = 0usize;
    while is(at(b, end), HEX | DOT) || at(b, end) == b':' {
        colons += usize::from(b[end] == b':');
        end += 1;
    }
    if colons < 2 {
        return None;
    }
    let run = end;
    if is(at(b, end), ALNUM | UNDER) || end - start > 64 {
        return Some(Step::Skip(run));
    }
    while end > i && (is(at(b, end - 1), DOT) || (at(b, end - 1) == b':' && at(b, end - 2) != b':')) {
        end -= 1;
    }
    let text = s.text.get(start..end)?;
    if let Some(kind) = address_kind(s, text, start, end) {
        let zone = if kind == Kind::Ipv6 && at(b, end) == b'%' {
            let limit = b.len().min(end + 17);
            run_end(b.get(..limit)?, end + 1, TOKEN | DOT)
        } else {
            end
        };
        let end = if zone > end + 1 { zone } else { end };
        return Some(Step::Found(Span::new(start, end, kind)));
    }
    Some(Step::Skip(run))
}

fn address_kind(s: &Scan<'_>, text: &str, start: usize, end: usize) -> Option<Kind> {
    let pairs = text.split(':').all(|group| group.len() == 2);
    let groups = text.split(':').count();
    if pairs && (groups == 6 || groups == 8) && !text.contains('.') {
        return Some(Kind::Mac);
    }
    text.parse::<Ipv6Addr>().ok()?;
    // `::` alone, `a::b` and slices of code (`x[::2]`, `x[1::2, ::3]`) are not addresses.
    let digit = text.bytes().any(|c| c.is_ascii_digit());
    let before = s.prev(start);
    let indexed = before == b'[' && (is(s.prev2(start), WORD) || matches!(s.prev2(start), b']' | b')'));
    let sliced = at(s.bytes, end) == b']' && before != b'[';
    (digit && !indexed && !sliced).then_some(Kind::Ipv6)
}

/// The IPv4 address in the dotted chain at `i`; otherwise the whole chain is passed over.
pub(super) fn dotted_number(s: &Scan<'_>, i: usize) -> Step {
    let b = s.bytes;
    let mut end = i;
    let mut groups = 0u32;
    let mut small = true;
    loop {
        let begin = end;
        let mut value = 0u32;
        while is(at(b, end), DIGIT) {
            value = if end - begin < 4 { value * 10 + u32::from(b[end] - b'0') } else { value };
            end += 1;
        }
        small &= value <= 255 && (end - begin == 1 || (end - begin <= 3 && b[begin] != b'0'));
        groups += 1;
        if at(b, end) != b'.' || !is(at(b, end + 1), DIGIT) {
            break;
        }
        end += 1;
    }
    let next = at(b, end);
    let right = !is(next, WORD) && !(next == b'-' && is(at(b, end + 1), ALPHA));
    if groups == 4 && small && right && !is_version(s, i) {
        return Step::Found(Span::new(i, end, Kind::Ipv4));
    }
    Step::Skip(end)
}

/// True when what stands before the number at `i` says that it is a version or a section.
fn is_version(s: &Scan<'_>, i: usize) -> bool {
    static WORDS: Words<24> = Words::new([
        "version",
        "versions",
        "ver",
        "v",
        "release",
        "released",
        "build",
        "rev",
        "revision",
        "firmware",
        "section",
        "sections",
        "sec",
        "chapter",
        "clause",
        "sdk",
        "driver",
        "kernel",
        "upgrade",
        "upgraded",
        "update",
        "updated",
        "oid",
        "assemblyversion",
    ]);
    static FILLER: Words<5> = Words::new(["to", "from", "is", "number", "no"]);
    let (prev, prev2) = (s.prev(i), s.prev2(i));
    // `Chrome/120.0.0.0` but `//10.0.0.1`; `pkg==1.2.3.4`, `>=1.2.3.4`, `^1.2.3.4`.
    if (prev == b'/' && is(prev2, ALNUM)) || matches!(prev, b'^' | b'~') {
        return true;
    }
    if prev == b'=' && matches!(prev2, b'=' | b'>' | b'<' | b'~' | b'!' | b'^') {
        return true;
    }
    let mut end = i;
    for _ in 0..3 {
        let stop = s.floor.max(end.saturating_sub(4));
        while end > stop && matches!(at(s.bytes, end - 1), b' ' | b'"' | b'\'' | b':' | b'=' | b'.' | b'(' | b'\\') {
            end -= 1;
        }
        let start = run_start(s.bytes, end, s.floor, 24, ALPHA);
        let Some(word) = s.bytes.get(start..end).filter(|w| !w.is_empty()) else {
            return false;
        };
        if WORDS.contains(word) || word.ends_with(b"Version") {
            return true;
        }
        if !FILLER.contains(word) {
            return false;
        }
        end = start;
    }
    false
}

/// True when a UUID with free ends begins at `start`.
pub(super) fn is_uuid(b: &[u8], start: usize, floor: usize) -> bool {
    let Some(body) = b.get(start..start + 36) else {
        return false;
    };
    let shaped = body.iter().enumerate().all(|(k, &c)| match k {
        8 | 13 | 18 | 23 => c == b'-',
        _ => is(c, HEX),
    });
    let left = start <= floor || !is(at(b, start - 1), ALNUM);
    shaped && left && !is(at(b, start + 36), ALNUM)
}

/// `00-1A-2B-3C-4D-5E` at `start`.
pub(super) fn mac_dash(s: &Scan<'_>, start: usize) -> Option<Span> {
    let body = s.bytes.get(start..start + 17)?;
    if start < s.floor || at(body, 2) != b'-' || at(body, 5) != b'-' {
        return None;
    }
    let shaped = body.iter().enumerate().all(|(k, &c)| if k % 3 == 2 { c == b'-' } else { is(c, HEX) });
    let next = at(s.bytes, start + 17);
    let right = !is(next, WORD) && !(next == b'-' && is(at(s.bytes, start + 18), ALNUM));
    (shaped && right && s.begins_word(start) && s.prev(start) != b'-').then(|| Span::new(start, start + 17, Kind::Mac))
}

/// `001a.2b3c.4d5e` at `start`: a digit and a letter at least, so that neither words nor numbers count.
pub(super) fn mac_cisco(s: &Scan<'_>, start: usize) -> Option<Span> {
    let body = s.bytes.get(start..start + 14)?;
    if start < s.floor || at(body, 4) != b'.' || at(body, 9) != b'.' {
        return None;
    }
    let shaped = body.iter().enumerate().all(|(k, &c)| if k % 5 == 4 { c == b'.' } else { is(c, HEX) });
    let next = at(s.bytes, start + 14);
    let right = !is(next, WORD) && !(next == b'.' && is(at(s.bytes, start + 15), ALNUM));
    let mixed = body.iter().any(|&c| is(c, ALPHA)) && body.iter().any(u8::is_ascii_digit);
    (shaped && mixed && right && s.begins_word(start) && s.prev(start) != b'.').then(|| Span::new(start, start + 14, Kind::Mac))
}
