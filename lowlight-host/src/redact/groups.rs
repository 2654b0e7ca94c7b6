//! Groups of digits, as cards, accounts and telephone numbers are written.
//!
//! ```text
//! 4111 1111-1111.1111    lengths 4 4 4 4, separators ' ' '-' '.'
//! ```
//!
//! Limits: eight groups are read; a separator is one space, no-break space, hyphen or full stop.

use super::bytes::{ALNUM, DIGIT, WORD, at, digits_end, is};

const GROUPS: usize = 8;

/// Groups of digits with one separator between two.
pub(super) struct Groups {
    start: usize,
    pub(super) count: usize,
    /// Lengths; a group of more than 255 digits counts as 255.
    pub(super) len: [u8; GROUPS],
    /// Ends, from the start of the first group on.
    end: [u32; GROUPS],
    /// The separator before each group but the first; kinds of spaces are one, kinds of hyphens too.
    pub(super) sep: [u8; GROUPS],
}

/// The separator at `i` and its length.
pub(super) fn separator(b: &[u8], i: usize) -> Option<(u8, usize)> {
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

pub(super) fn groups(b: &[u8], start: usize) -> Groups {
    let mut g = Groups { start, count: 0, len: [0; GROUPS], end: [0; GROUPS], sep: [0; GROUPS] };
    let (mut from, mut sep) = (start, 0);
    for k in 0..GROUPS {
        let end = digits_end(b, from);
        if end == from {
            break;
        }
        g.len[k] = u8::try_from(end - from).unwrap_or(u8::MAX);
        g.end[k] = u32::try_from(end - start).unwrap_or(u32::MAX);
        g.sep[k] = sep;
        g.count = k + 1;
        let Some((next, width)) = separator(b, end) else {
            break;
        };
        if !is(at(b, end + width), DIGIT) {
            break;
        }
        (from, sep) = (end + width, next);
    }
    g
}

impl Groups {
    /// True when the first groups have these lengths and one separator.
    pub(super) fn shape(&self, lens: &[u8]) -> bool {
        self.lens(lens) && (2..lens.len()).all(|k| self.sep[k] == self.sep[1])
    }

    pub(super) fn lens(&self, lens: &[u8]) -> bool {
        self.count >= lens.len() && self.len.iter().zip(lens).all(|(have, want)| have == want)
    }

    /// Where group `k` ends in the text.
    pub(super) fn end(&self, k: usize) -> usize {
        self.start + self.end[k] as usize
    }

    pub(super) fn digits(&self) -> usize {
        self.len.iter().map(|&len| usize::from(len)).sum()
    }
}

/// True when nothing behind a number makes it a part of something longer.
pub(super) fn clear_right(b: &[u8], end: usize) -> bool {
    let (next, next2) = (at(b, end), at(b, end + 1));
    match next {
        b'.' => !is(next2, DIGIT),
        b'-' => !is(next2, ALNUM),
        b'@' => false,
        _ => !is(next, WORD),
    }
}
