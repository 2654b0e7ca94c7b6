//! Byte classes and bounded runs: the small tools every checker is built from.
//!
//! Limits: ASCII only; a byte of 0x80 or above belongs to no class. Nothing here panics on an index out of range:
//! [`at`] reads 0 behind the end.

/// A to Z.
pub(super) const UPPER: u8 = 1;
/// a to z.
pub(super) const LOWER: u8 = 2;
/// 0 to 9.
pub(super) const DIGIT: u8 = 4;
/// 0 to 9, a to f, A to F.
pub(super) const HEX: u8 = 8;
/// The underscore.
pub(super) const UNDER: u8 = 16;
/// The hyphen.
pub(super) const MINUS: u8 = 32;
/// `+`, `/` and `=`: what base64 adds to letters and digits.
pub(super) const BASE: u8 = 64;
/// The full stop.
pub(super) const DOT: u8 = 128;
/// Letters.
pub(super) const ALPHA: u8 = UPPER | LOWER;
/// Letters and digits.
pub(super) const ALNUM: u8 = ALPHA | DIGIT;
/// Letters, digits, underscore.
pub(super) const WORD: u8 = ALNUM | UNDER;
/// The base64url alphabet, which most vendor tokens use.
pub(super) const TOKEN: u8 = WORD | MINUS;

static FLAGS: [u8; 256] = flags();

const fn flags() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut c: u8 = 0;
    loop {
        let mut bits = 0;
        if c.is_ascii_uppercase() {
            bits |= UPPER;
        }
        if c.is_ascii_lowercase() {
            bits |= LOWER;
        }
        if c.is_ascii_digit() {
            bits |= DIGIT;
        }
        if c.is_ascii_hexdigit() {
            bits |= HEX;
        }
        match c {
            b'_' => bits |= UNDER,
            b'-' => bits |= MINUS,
            b'+' | b'/' | b'=' => bits |= BASE,
            b'.' => bits |= DOT,
            _ => {}
        }
        table[c as usize] = bits;
        if c == 255 {
            return table;
        }
        c += 1;
    }
}

/// True when the byte is in one of the classes.
#[inline]
pub(super) fn is(c: u8, classes: u8) -> bool {
    FLAGS[usize::from(c)] & classes != 0
}

/// The byte at `i`, 0 behind the end.
#[inline]
pub(super) fn at(b: &[u8], i: usize) -> u8 {
    b.get(i).copied().unwrap_or(0)
}

/// Where the run of the classes that begins at `from` ends.
#[inline]
pub(super) fn run_end(b: &[u8], from: usize, classes: u8) -> usize {
    let rest = b.get(from..).unwrap_or_default();
    from + rest.iter().position(|&c| !is(c, classes)).unwrap_or(rest.len())
}

/// Where the run of digits that begins at `from` ends: eight bytes at once, because runs of every length are common and a
/// loop that ends anywhere is a branch that is mostly guessed wrong.
#[inline]
pub(super) fn digits_end(b: &[u8], from: usize) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let Some(chunk) = b.get(from..).and_then(<[u8]>::first_chunk::<8>) else {
        return run_end(b, from, DIGIT);
    };
    // Digits become 0 to 9; adding 0x76 sets the highest bit of whatever is larger.
    let values = u64::from_le_bytes(*chunk) ^ (EACH * 0x30);
    let others = (((values & (EACH * 0x7f)) + EACH * 0x76) | values) & (EACH * 0x80);
    if others == 0 { run_end(b, from + 8, DIGIT) } else { from + others.trailing_zeros() as usize / 8 }
}

/// Where the run of the classes that ends at `to` begins: not before `floor`, at most `most` bytes.
#[inline]
pub(super) fn run_start(b: &[u8], to: usize, floor: usize, most: usize, classes: u8) -> usize {
    let stop = floor.max(to.saturating_sub(most));
    let window = b.get(stop..to).unwrap_or_default();
    to - window.iter().rev().position(|&c| !is(c, classes)).unwrap_or(window.len())
}

/// True when `text` has `word` at `from`, without regard to ASCII case.
pub(super) fn has_nocase(b: &[u8], from: usize, word: &[u8]) -> bool {
    b.get(from..from + word.len()).is_some_and(|s| s.eq_ignore_ascii_case(word))
}

/// True when the bytes contain `needle` (lower case), without regard to ASCII case; for short texts only.
pub(super) fn contains_nocase(b: &[u8], needle: &[u8]) -> bool {
    let first = needle.first().copied().unwrap_or(0);
    b.windows(needle.len().max(1)).any(|w| w.first().is_some_and(|c| c.to_ascii_lowercase() == first) && w.eq_ignore_ascii_case(needle))
}

/// The nearest character boundary at or before `i`.
#[inline]
pub(super) fn floor_char(text: &str, i: usize) -> usize {
    let mut i = i.min(text.len());
    while !text.is_char_boundary(i) {
        i -= 1;
    }
    i
}

/// The nearest character boundary at or after `i`.
#[inline]
pub(super) fn ceil_char(text: &str, i: usize) -> usize {
    let mut i = i.min(text.len());
    while !text.is_char_boundary(i) {
        i += 1;
    }
    i
}

/// Space, tab or line end.
pub(super) fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r')
}

/// A quotation mark of code.
pub(super) fn is_quote(c: u8) -> bool {
    matches!(c, b'"' | b'\'' | b'`')
}
