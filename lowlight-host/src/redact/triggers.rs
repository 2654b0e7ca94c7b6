//! Trigger bytes of a text, found 64 at a time: the bytes at which some checker may find something.
//!
//! ```text
//! block   c a l l   + 4 4   2 0 ,   k e y =        each byte is judged with the one before and two behind it
//! mask    0 0 0 0 0 0 1 1 0 1 1 0 0 0 0 0 1        one bit a byte; bits are taken from the lowest up
//! ```
//!
//! Invariants:
//! - every byte at which a checker could find something has its bit;
//! - no branch depends on the text while a block is judged: the compiler makes vector instructions of it.

/// Bytes judged together: one bit each in a mask.
const BLOCK: usize = 64;
/// A block with the byte before it and the two behind it.
type Window = [u8; BLOCK + 3];

/// The positions of trigger bytes, lowest first.
pub(super) struct Triggers<'a> {
    bytes: &'a [u8],
    /// Where the block begins that `mask` belongs to.
    base: usize,
    /// What is left of the block.
    mask: u64,
}

impl<'a> Triggers<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, base: 0, mask: mask(bytes, 0) }
    }

    /// The first trigger at or behind `from`, which must not become smaller from call to call.
    #[inline]
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        if from >= self.base + BLOCK {
            self.base = from - from % BLOCK;
            self.mask = mask(self.bytes, self.base);
        }
        // Below the base nothing is left; `from` lies in the block or before it.
        self.mask &= u64::MAX << from.saturating_sub(self.base);
        while self.mask == 0 {
            self.base += BLOCK;
            if self.base >= self.bytes.len() {
                return None;
            }
            self.mask = mask(self.bytes, self.base);
        }
        Some(self.base + self.mask.trailing_zeros() as usize)
    }
}

fn mask(b: &[u8], base: usize) -> u64 {
    if let Some(window) = base.checked_sub(1).and_then(|from| b.get(from..)).and_then(<[u8]>::first_chunk) {
        return judge(window);
    }
    // The ends of the text: zeros stand for what is not there.
    let mut window: Window = [0; BLOCK + 3];
    let from = base.saturating_sub(1);
    let rest = b.get(from..).unwrap_or_default();
    let begin = usize::from(base == 0);
    window.iter_mut().skip(begin).zip(rest).for_each(|(slot, byte)| *slot = *byte);
    judge(&window)
}

fn judge(window: &Window) -> u64 {
    let mut flags = [0_u8; BLOCK];
    let bytes = window.iter().zip(window.iter().skip(1)).zip(window.iter().skip(2).zip(window.iter().skip(3)));
    for (flag, ((&before, &here), (&next, &after))) in flags.iter_mut().zip(bytes) {
        *flag = u8::from(is_trigger(before, here, next, after));
    }
    if flags.iter().fold(0, |any, flag| any | flag) == 0 {
        return 0;
    }
    let (words, _) = flags.as_chunks::<8>();
    words.iter().enumerate().fold(0, |mask, (k, word)| {
        // The product gathers the lowest bits of eight bytes in its highest byte.
        let bits = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask | bits << (8 * k)
    })
}

/// Whether a checker may find something at `here`; true for a few bytes more than that, where telling costs more.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch, and branches are what this does without")]
fn is_trigger(before: u8, here: u8, next: u8, after: u8) -> bool {
    // Digits and `:`, then `<` `=` `>` `?` `@`.
    let marks = (here.wrapping_sub(b'0') <= b':' - b'0') | (here.wrapping_sub(b'<') <= b'@' - b'<');
    // The end of a sentence is followed by a space: no shape with `-`, `.` or `_` in it goes on with one.
    let joint = ((here.wrapping_sub(b'-') <= b'.' - b'-') | (here == b'_')) & (next > b',');
    let opening = (here == b'[') | (here == b'%');
    // The rarest letter of each shape that has no punctuation in it: `AIza`, `AKIA`, `SK`, `eyJ`, `Bearer`, `dapi`,
    // `password is`.
    let upper = next.wrapping_sub(b'A') <= b'T' - b'A';
    let vendor = ((here == b'A') & upper) | ((here == b'S') & (next == b'K')) | ((here == b'J') & (before == b'y'));
    let (lower, next_lower, after_lower) = (here | 0x20, next | 0x20, after | 0x20);
    let bearer = (lower == b'b') & (next_lower == b'e') & (after_lower == b'a');
    let password = (lower == b'p') & (((next_lower == b'a') & (after_lower == b's')) | (next == b'i'));
    marks | joint | opening | vendor | bearer | password
}
