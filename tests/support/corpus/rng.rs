//! Seeded choices (splitmix64), so that a corpus is a pure function of its half and its seed.

use super::Half;

/// Decimal digits.
pub const DIGITS: &str = "0123456789";
/// Lower-case hexadecimal digits.
pub const HEX: &str = "0123456789abcdef";
/// Upper-case letters.
pub const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Lower-case letters.
pub const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
/// Letters of both cases.
pub const ALPHA: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Upper-case letters and digits.
pub const UPPER_DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Letters and digits.
pub const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The alphabet of RFC 4648 section 6.
pub const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The alphabet of RFC 4648 section 4.
pub const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The URL-safe alphabet of RFC 4648 section 5.
pub const BASE64_URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A stream of choices for one half.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
    half: Half,
}

impl Rng {
    /// The stream of this half and seed; the halves never share one.
    pub fn new(half: Half, seed: u64) -> Self {
        let mark = match half {
            Half::Tuning => 0x5475_6e69_6e67_0001,
            Half::Unseen => 0x556e_7365_656e_0002,
        };
        let mut mixer = Self { state: mark, half };
        let state = mixer.draw() ^ seed;
        Self { state, half }
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high - low + 1)
    }

    /// A length or an index from `low` to `high`, both included.
    pub fn size(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// An index below `count`, which is not zero.
    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.draw() % count as u64).unwrap_or(0)
    }

    /// Any entry of a list that is not empty.
    pub fn any<T: Copy>(&mut self, pool: &[T]) -> T {
        pool[self.below(pool.len())]
    }

    /// An entry that only this half ever sees: even positions for tuning, odd ones for the unseen half.
    pub fn own<T: Copy>(&mut self, pool: &[T]) -> T {
        let offset = match self.half {
            Half::Tuning => 0,
            Half::Unseen => 1,
        };
        pool[2 * self.below(pool.len() / 2) + offset]
    }

    /// `len` characters of an ASCII alphabet.
    pub fn text(&mut self, alphabet: &str, len: usize) -> String {
        let letters = alphabet.as_bytes();
        (0..len).map(|_| char::from(self.any(letters))).collect()
    }

    /// Puts a list in a random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}
