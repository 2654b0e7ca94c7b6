//! E-mail addresses, read outwards from the `@` (or `%40`).
//!
//! Limits: 128 bytes of local part, 255 of domain; the domain needs a top-level name of two letters or more.

use super::bytes::{ALNUM, ALPHA, DIGIT, DOT, HEX, MINUS, UNDER, WORD, at, is, run_end, run_start};
use super::kind::Kind;
use super::scan::{Scan, Span};
use super::words::Words;

/// Ends that no top-level domain has: image and source files (`icon@2x.png`).
static FILES: Words<16> =
    Words::new(["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "scss", "js", "mjs", "ts", "tsx", "html", "json", "yaml", "yml"]);

/// The address whose at-sign stands at `i` and is `width` bytes long.
pub(super) fn at_sign(s: &Scan<'_>, i: usize, width: usize) -> Option<Span> {
    let start = if s.prev(i) == b'"' { quoted_local(s, i) } else { None };
    let start = start.or_else(|| plain_local(s, i))?;
    let end = domain_end(s, i + width)?;
    let local = s.text.get(start..i)?;
    // The user name of Git hosts is no person.
    if local == "git" || (local.ends_with("git") && s.prev(start) == b'/') {
        return None;
    }
    // The user of a URL is part of the URL, apart from `mailto://`.
    if s.prev(start) == b'/' && s.prev2(start) == b'/' {
        return None;
    }
    Some(Span::new(start, end, Kind::Email))
}

fn is_local(c: char) -> bool {
    match c {
        // Combining marks are not alphanumeric, names have them.
        '.' | '_' | '%' | '+' | '-' | '\'' | '&' | '!' | '#' | '$' | '*' | '~' | '^' | '\u{300}'..='\u{36f}' => true,
        _ => c.is_alphanumeric(),
    }
}

/// Scripts that write no space between words: a name in ASCII behind them begins where they end.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{e00}'..='\u{eff}')
}

fn plain_local(s: &Scan<'_>, i: usize) -> Option<usize> {
    let head = s.text.get(s.floor..i)?;
    // Letters, digits and the usual marks first; anything else is read character by character from there.
    let ascii = run_start(s.bytes, i, s.floor, 128, WORD | DOT | MINUS);
    if ascii < i
        && is(at(s.bytes, ascii), ALNUM)
        && matches!(s.prev(ascii), 0 | b' ' | b'\n' | b':' | b'<' | b'(' | b'"' | b',' | b';' | b'=')
    {
        return is(at(s.bytes, i - 1), ALNUM | UNDER | MINUS).then_some(ascii);
    }
    let mut start = i;
    let mut right = '@';
    for (k, c) in head.char_indices().rev() {
        let cut = is_unspaced(c) && right.is_ascii() && right != '@';
        if !is_local(c) || cut || i - (s.floor + k) > 128 {
            break;
        }
        start = s.floor + k;
        right = c;
    }
    // The letter of an escape belongs to the escape: `\nbob@...`.
    if s.prev(start) == b'\\' && matches!(at(s.bytes, start), b'n' | b'r' | b't') {
        start += 1;
    }
    // `%3Dbob%40...`: the escape is not part of the name.
    while at(s.bytes, start) == b'%' && is(at(s.bytes, start + 1), HEX) && is(at(s.bytes, start + 2), HEX) && start + 3 < i {
        start += 3;
    }
    let local = s.text.get(start..i)?;
    let trimmed = local.trim_start_matches(|c: char| !(c.is_alphanumeric() || c == '_'));
    let start = i - trimmed.len();
    let last = s.prev(i);
    (!trimmed.is_empty() && last != b'.' && last != b'\'').then_some(start)
}

/// `"john doe"@example.org`, also with escaped quotation marks; the closing mark stands before `i`.
fn quoted_local(s: &Scan<'_>, i: usize) -> Option<usize> {
    let b = s.bytes;
    let escaped = s.prev2(i) == b'\\';
    let close = if escaped { i - 2 } else { i - 1 };
    let stop = s.floor.max(close.saturating_sub(68));
    let mut p = close;
    while p > stop {
        p -= 1;
        match at(b, p) {
            b'\n' | b'\r' => return None,
            b'"' => {
                // An escaped mark inside an unescaped pair is part of the name.
                let slash = p > s.floor && at(b, p - 1) == b'\\';
                if slash && !escaped {
                    continue;
                }
                let start = if escaped && slash { p - 1 } else { p };
                return (p + 1 < close).then_some(start);
            }
            _ => {}
        }
    }
    None
}

/// The end of the domain that begins at `from`, or of a literal such as `[192.168.0.1]`.
fn domain_end(s: &Scan<'_>, from: usize) -> Option<usize> {
    let b = s.bytes;
    if at(b, from) == b'[' {
        let window = b.get(from..b.len().min(from + 48))?;
        let close = window.iter().position(|&c| c == b']')?;
        let body = s.text.get(from + 1..from + close)?;
        let body = body.strip_prefix("IPv6:").unwrap_or(body);
        return body.parse::<std::net::IpAddr>().is_ok().then_some(from + close + 1);
    }
    if let Some((top, end)) = ascii_domain(b, from) {
        return confirm_domain(s, from, top, end);
    }
    let rest = s.text.get(from..)?;
    let mut end = from;
    let mut dot = None;
    let mut prev = '.';
    for (k, c) in rest.char_indices() {
        if k > 255 {
            break;
        }
        match c {
            // Two dots, or a dot first, end it.
            '.' if prev == '.' || prev == '-' => break,
            '.' => {}
            '-' if prev == '.' => break,
            '-' => {}
            // Text of an unspaced script behind an ASCII domain is not part of it.
            _ if is_unspaced(c) && prev.is_ascii_alphanumeric() => break,
            _ if c.is_alphanumeric() => {
                end = from + k + c.len_utf8();
                if prev == '.' && k > 0 {
                    dot = Some(from + k);
                }
            }
            _ => break,
        }
        prev = c;
    }
    confirm_domain(s, from, dot?, end)
}

/// Where the last label begins and where it ends, when the domain at `from` is ASCII and its marks stand single.
fn ascii_domain(b: &[u8], from: usize) -> Option<(usize, usize)> {
    let stop = run_end(b.get(..b.len().min(from + 200))?, from, ALNUM | DOT | MINUS);
    if at(b, stop) >= 0x80 || stop == from + 200 {
        return None;
    }
    let body = b.get(from..stop)?;
    let end = body.iter().rposition(|&c| is(c, ALNUM))? + 1;
    let (mut top, mut mark) = (None, true);
    for (k, &c) in body.get(..end)?.iter().enumerate() {
        let before = std::mem::replace(&mut mark, !is(c, ALNUM));
        if before && mark {
            return None;
        }
        top = if c == b'.' { Some(k + 1) } else { top };
    }
    Some((from + top?, from + end))
}

fn confirm_domain(s: &Scan<'_>, from: usize, top: usize, end: usize) -> Option<usize> {
    let b = s.bytes;
    let name = s.text.get(top..end)?;
    let letters = if name.is_ascii() {
        name.len() >= 2 && name.bytes().all(|c| is(c, ALPHA))
    } else {
        name.chars().all(char::is_alphabetic) && name.chars().count() >= 2
    };
    let puny = name.len() > 4 && name.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("xn--"));
    let file = FILES.contains(name.as_bytes());
    // `pkg@1.2.3-beta.rc`: a version; `m@n.dot(v)`: a product of matrices.
    let digits = run_end(b, from, DIGIT);
    let version = digits > from && at(b, digits) == b'.' && is(at(b, digits + 1), DIGIT);
    let call = at(b, end) == b'(' || (at(b, end) == b'_' && is(at(b, end + 1), ALNUM));
    ((letters || puny) && !file && !version && !call).then_some(end)
}
