//! Private key blocks: PEM, OpenSSH and PGP armour, on lines or with escaped line ends.
//!
//! ```text
//! -----BEGIN RSA PRIVATE KEY-----  body  -----END RSA PRIVATE KEY-----
//! ^ start of the span                                    end of the span ^
//! ```
//!
//! Limits: a block without an end is redacted as far as its body looks like base64; in a cut text to the end.

use memchr::memmem;

use super::bytes::{ALNUM, BASE, at, is};
use super::kind::Kind;
use super::scan::{Scan, Span};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const RULE: &[u8] = b"-----";

/// The private key block whose first dash stands at `start`.
pub(super) fn block(s: &Scan<'_>, start: usize) -> Option<Span> {
    let b = s.bytes;
    let rest = b.get(start..)?.strip_prefix(BEGIN)?;
    let label_from = start + BEGIN.len();
    let label = rest.get(..rest.len().min(48))?;
    let Some(label_len) = memmem::find(label, RULE) else {
        // The text was cut inside the label.
        let cut = s.open && rest.len() < 48 && memmem::find(label, b"PRIV").is_some();
        return cut.then(|| Span::new(start, b.len(), Kind::PrivateKey));
    };
    memmem::find(label.get(..label_len)?, b"PRIVATE KEY")?;
    let body = label_from + label_len + RULE.len();
    // A block ends before the next one begins: what is read for this block is not read again for the next.
    let tail = b.get(body..)?;
    let next = memmem::find(tail, BEGIN);
    let tail = tail.get(..next.unwrap_or(tail.len()))?;
    if let Some(found) = memmem::find(tail, END) {
        let end_label = body + found + END.len();
        let window = b.get(end_label..b.len().min(end_label + 48))?;
        let end = memmem::find(window, RULE).map_or(end_label, |k| end_label + k + RULE.len());
        return has_key(tail.get(..found)?).then(|| Span::new(start, end, Kind::PrivateKey));
    }
    if s.open && next.is_none() {
        return Some(Span::new(start, b.len(), Kind::PrivateKey));
    }
    let end = body_end(b.get(..body + tail.len())?, body);
    has_key(b.get(body..end)?).then(|| Span::new(start, end, Kind::PrivateKey))
}

/// True when eight characters of base64 stand together: a block quoted with `...` has none.
fn has_key(body: &[u8]) -> bool {
    body.split(|&c| !is(c, ALNUM | BASE)).any(|part| part.len() >= 8)
}

/// Where the lines of base64 and headers end that begin at `from`.
fn body_end(b: &[u8], from: usize) -> usize {
    let mut end = from;
    let mut p = from;
    let mut keyed = false;
    while p < b.len() {
        // Line ends, also escaped, and what joins quoted lines in code.
        while matches!(at(b, p), b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'\'' | b'+' | b',') && p < b.len() {
            p += 1;
        }
        if at(b, p) == b'\\' && matches!(at(b, p + 1), b'n' | b'r') {
            p += 2;
            continue;
        }
        let begin = p;
        while p < b.len() && is(b[p], ALNUM | BASE) {
            p += 1;
        }
        let part = p - begin;
        let header = !keyed && (at(b, p) == b':' || (at(b, p) == b'-' && part > 0));
        if header {
            while p < b.len() && b[p] != b'\n' && b[p] != b'\\' {
                p += 1;
            }
            continue;
        }
        if part < 16 && !(keyed && part > 0 && !is(at(b, p), ALNUM) && at(b, p) != b' ') {
            break;
        }
        keyed |= part >= 16;
        end = p;
    }
    end
}
