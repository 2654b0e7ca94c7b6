//! Secrets behind flags of a command line (`--password hunter2`, `-u user:pass`) and inside XML elements.

use super::bytes::{TOKEN, at, is, is_space, run_end, run_start};
use super::keys::{self, Strength};
use super::kind::Kind;
use super::scan::{Scan, Span};
use super::{assign, judge, letters};

/// `--password hunter2`: the dashes stand at `i..end`, the value behind a space.
pub(super) fn long_flag(s: &Scan<'_>, i: usize, end: usize) -> Option<Span> {
    let b = s.bytes;
    if end - i != 2 || !s.begins_word(i) {
        return None;
    }
    let name_end = run_end(b.get(..b.len().min(end + 48))?, end, TOKEN);
    if at(b, name_end) != b' ' {
        return None;
    }
    let name = b.get(end..name_end)?;
    let strength = keys::strength(name, s.policy)?;
    if matches!(strength, Strength::Code | Strength::Authorization | Strength::Cookie) {
        return None;
    }
    let value = assign::value_at(s, name_end + 1)?;
    if let Some(exact) = letters::exact(s, value.start) {
        return Some(exact);
    }
    let body = b.get(value.start..value.end)?;
    if at(body, 0) == b'-' {
        return None;
    }
    // A flag is a separator without a space: what `password=` would accept.
    let scene = judge::Scene {
        strength,
        quoted: value.quoted,
        colon: false,
        spaced: false,
        next: at(b, value.end),
        next2: at(b, value.end + 1),
        line_start: false,
        key: name,
    };
    let head = body.get(..body.len().min(512))?;
    judge::is_secret(head, &scene).then(|| Span::new(value.start, value.end, Kind::Secret))
}

/// `-u user:password`: the password; the dash stands at `i`.
pub(super) fn short_flag(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    if at(b, i + 1) != b'u' || at(b, i + 2) != b' ' || !is_space(s.prev(i)) {
        return None;
    }
    let value = assign::value_at(s, i + 3)?;
    let body = b.get(value.start..value.end)?;
    let colon = body.iter().take(128).position(|&c| c == b':')?;
    let secret = body.get(colon + 1..)?;
    let user = body.get(..colon)?;
    let named = !user.is_empty() && user.iter().all(|&c| is(c, TOKEN) || matches!(c, b'.' | b'@' | b'+'));
    let path = secret.starts_with(b"//");
    (named && !path && secret.len() >= 3 && !judge::is_stand_in(secret))
        .then(|| Span::new(value.start + colon + 1, value.end, Kind::Secret))
}

/// `<password>hunter2</password>`: the closing tag begins at `i`.
pub(super) fn closing_tag(s: &Scan<'_>, i: usize) -> Option<Span> {
    let b = s.bytes;
    if at(b, i + 1) != b'/' {
        return None;
    }
    let name_end = run_end(b.get(..b.len().min(i + 50))?, i + 2, TOKEN);
    let name = b.get(i + 2..name_end)?;
    if at(b, name_end) != b'>' {
        return None;
    }
    let strength = keys::strength(name, s.policy)?;
    let stop = s.floor.max(i.saturating_sub(256));
    let mut start = i;
    while start > stop && !matches!(at(b, start - 1), b'>' | b'<') {
        start -= 1;
    }
    if start == stop || at(b, start - 1) != b'>' {
        return None;
    }
    let open_start = run_start(b, start - 1, s.floor, 48, TOKEN);
    if b.get(open_start..start - 1)? != name || s.prev(open_start) != b'<' {
        return None;
    }
    let body = b.get(start..i)?;
    let scene = judge::Scene { strength, quoted: true, colon: false, spaced: false, next: b'<', next2: b'/', line_start: false, key: name };
    (!body.is_empty() && judge::is_secret(body, &scene)).then(|| Span::new(start, i, Kind::Secret))
}
