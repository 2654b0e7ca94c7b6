//! Base64 as C2SP formats use it: the standard alphabet (RFC 4648 section 4), padded, canonical only.
//!
//! Limits: no allocation; a decoder hands out byte after byte.
//!
//! 1. One value has one text: missing padding, bits behind the end and white space are refused.

use crate::chain::Digest;
use core::fmt;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes that print as base64.
#[derive(Debug, Clone, Copy)]
pub struct Base64<'a>(pub &'a [u8]);

impl fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for group in self.0.chunks(3) {
            let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..4_usize {
                let value = (bits >> (18 - 6 * place) & 63) as usize;
                let letter = if place <= group.len() { ALPHABET.get(value).copied().unwrap_or(b'=') } else { b'=' };
                f.write_char(letter.into())?;
            }
        }
        Ok(())
    }
}

fn value(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

/// Decodes `text`, handing each byte to `take`; `None` when it is not canonical, else the number of bytes.
pub fn decode(text: &[u8], mut take: impl FnMut(u8)) -> Option<usize> {
    let (groups, rest) = text.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut count = 0;
    for (number, group) in groups.iter().enumerate() {
        let padding = if number + 1 == groups.len() { group.iter().rev().take_while(|letter| **letter == b'=').count() } else { 0 };
        if padding > 2 {
            return None;
        }
        let letters = group.get(..4 - padding)?;
        let bits = letters.iter().try_fold(0, |bits, letter| Some(bits << 6 | value(*letter)?))? << (6 * padding);
        let [_, bytes @ ..] = bits.to_be_bytes();
        let (kept, cut) = bytes.split_at(3 - padding);
        if cut.iter().any(|byte| *byte != 0) {
            return None;
        }
        kept.iter().for_each(|byte| take(*byte));
        count += kept.len();
    }
    Some(count)
}

/// Decodes `text` into exactly `N` bytes.
pub fn decode_array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    let mut free = out.iter_mut();
    let mut fits = true;
    let count = decode(text, |byte| match free.next() {
        Some(slot) => *slot = byte,
        None => fits = false,
    })?;
    (fits && count == N).then_some(out)
}

/// Decodes a digest.
pub fn digest(text: &[u8]) -> Option<Digest> {
    decode_array(text).map(Digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(text.as_bytes(), |byte| out.push(byte)).map(|count| {
            assert_eq!(count, out.len());
            out
        })
    }

    #[test]
    fn every_short_value_has_one_text() {
        // RFC 4648 section 10.
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(Base64(bytes.as_bytes()).to_string(), text);
            assert_eq!(decoded(text).as_deref(), Some(bytes.as_bytes()));
        }
        for byte in 0..=255_u8 {
            for bytes in [&[byte][..], &[byte, !byte], &[byte, 0, byte]] {
                assert_eq!(decoded(&Base64(bytes).to_string()).as_deref(), Some(bytes));
            }
        }
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for text in ["Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "====", "Z===", "Zm 8", "Zm8=Zm8=", "Zm-_", "Zm8=\n", "=Zm8"] {
            assert_eq!(decoded(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_array_takes_its_length_only() {
        assert_eq!(decode_array::<3>(b"Zm9v"), Some(*b"foo"));
        assert_eq!(decode_array::<2>(b"Zm9v"), None);
        assert_eq!(decode_array::<4>(b"Zm9v"), None);
    }
}
