//! Short lists of words, compared without regard to ASCII case.
//!
//! Limits: words have 1 to 31 bytes and begin with a letter.

/// A list of words with a table that tells most other words from all of them.
pub(super) struct Words<const N: usize> {
    words: [&'static str; N],
    /// For each first letter the lengths of the words that begin with it: bit n for n bytes.
    lengths: [u32; 32],
}

impl<const N: usize> Words<N> {
    pub(super) const fn new(words: [&'static str; N]) -> Self {
        let mut lengths = [0; 32];
        let mut k = 0;
        while k < N {
            // The lowest five bits of a letter do not depend on its case.
            lengths[(words[k].as_bytes()[0] & 31) as usize] |= 1 << words[k].len();
            k += 1;
        }
        Self { words, lengths }
    }

    /// True when `word` is one of the list.
    #[inline]
    pub(super) fn contains(&self, word: &[u8]) -> bool {
        let Some(&first) = word.first().filter(|_| word.len() < 32) else { return false };
        self.lengths[usize::from(first & 31)] >> word.len() & 1 == 1
            && self.words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
    }
}
