//! Frames on a stream of bytes that may lose or change some (`docs/format.md`, section 17.1).
//!
//! Limits: a message is at most [`MAX_MESSAGE`] bytes.
//!
//! ```text
//! wire     0x00 | COBS(message) | 0x00
//! message  version u8 | kind u8 | request u16 | payload | crc32c u32
//! ```
//!
//! 1. 0x00 stands nowhere but between frames: whatever was lost, the next frame is found.
//! 2. What is not a whole message with the right checksum is dropped.
//!
//! COBS: Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2), 1999.

use crate::FORMAT;

/// Largest message, bytes.
pub const MAX_MESSAGE: usize = 4096;
/// Most bytes of a message on the wire, without the zeros around it.
pub const MAX_WIRE: usize = MAX_MESSAGE + MAX_MESSAGE / 254 + 1;
/// What a message adds before its payload, bytes.
pub const HEAD: usize = 4;
/// What a message adds to its payload, bytes.
pub const OVERHEAD: usize = HEAD + 4;

/// The checksum of messages, and of flash logs.
pub(crate) const CRC: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISCSI);

/// A message that was received whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Message<'a> {
    /// What it is about.
    pub kind: u8,
    /// The number that an answer has from its request.
    pub request: u16,
    /// The rest.
    pub payload: &'a [u8],
}

/// Puts these bytes into the front of `into`, one after the other, as long as they fit; what is left of it.
pub(crate) fn put_all<'b>(mut into: &'b mut [u8], parts: &[&[u8]]) -> &'b mut [u8] {
    for part in parts {
        match core::mem::take(&mut into).split_at_mut_checked(part.len()) {
            Some((slot, rest)) => {
                slot.copy_from_slice(part);
                into = rest;
            }
            None => break,
        }
    }
    into
}

/// Makes a message of the payload of `length` bytes that stands in `buffer` from [`HEAD`] on; `None` when it does not fit.
pub fn seal(buffer: &mut [u8], kind: u8, request: u16, length: usize) -> Option<&[u8]> {
    let end = HEAD.checked_add(length).filter(|end| *end + 4 <= MAX_MESSAGE)?;
    let [low, high] = request.to_le_bytes();
    *buffer.first_chunk_mut::<HEAD>()? = [FORMAT, kind, low, high];
    let sum = CRC.checksum(buffer.get(..end)?).to_le_bytes();
    buffer.get_mut(end..end + 4)?.copy_from_slice(&sum);
    buffer.get(..end + 4)
}

/// The bytes of a message on the wire, with the zeros around them.
pub fn wire(message: &[u8]) -> impl Iterator<Item = u8> {
    // What is left of the block that is given out, what follows it, and how many of the zeros around all blocks are to come.
    let (mut block, mut rest, mut zeros) = (&[][..], Some(message), 2_u8);
    core::iter::from_fn(move || {
        if let Some((byte, after)) = block.split_first() {
            block = after;
            return Some(*byte);
        }
        let Some(bytes) = rest.filter(|_| zeros < 2) else {
            zeros = zeros.checked_sub(1)?;
            return Some(0);
        };
        let run = bytes.iter().take(254).position(|byte| *byte == 0).unwrap_or(bytes.len().min(254));
        let (first, after) = bytes.split_at_checked(run)?;
        // A block of 254 says nothing of what follows it; any other stands for its bytes and a zero.
        rest = if run == 254 { Some(after).filter(|after| !after.is_empty()) } else { after.split_first().map(|(_, after)| after) };
        block = first;
        Some(u8::try_from(run + 1).unwrap_or(u8::MAX))
    })
}

/// Bodies with their lengths, u16, before them; what is left over at the end is left out.
pub(crate) fn prefixed(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || take_prefixed(&mut rest))
}

/// Takes the first of those bodies off.
pub(crate) fn take_prefixed<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (body, after) = after.split_at_checked(u16::from_le_bytes(*length).into())?;
    *rest = after;
    Some(body)
}

/// How many bodies those are; `None` where something is left over, or one is empty.
pub(crate) fn count_prefixed(bytes: &[u8]) -> Option<usize> {
    let (count, length) = prefixed(bytes).fold((0, 0), |(count, length), body| (count + 1, length + 2 + body.len()));
    (length == bytes.len() && prefixed(bytes).all(|body| !body.is_empty())).then_some(count)
}

/// Takes frames out of a stream; `N` bounds what a message takes on the wire.
#[derive(Debug)]
pub struct Receiver<const N: usize> {
    buffer: [u8; N],
    length: usize,
    /// What is received is no frame: dropped up to the next zero.
    is_lost: bool,
    /// The buffer holds a decoded message.
    is_whole: bool,
}

impl<const N: usize> Default for Receiver<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Receiver<N> {
    /// One that has received nothing.
    pub const fn new() -> Self {
        Self { buffer: [0; N], length: 0, is_lost: false, is_whole: false }
    }

    /// Takes a byte; whether a message is complete, which then is [`message`](Self::message) until the next byte.
    pub fn push(&mut self, byte: u8) -> bool {
        if core::mem::take(&mut self.is_whole) {
            self.length = 0;
        }
        if byte != 0 {
            match self.buffer.get_mut(self.length) {
                Some(slot) => {
                    *slot = byte;
                    self.length += 1;
                }
                None => self.is_lost = true,
            }
            return false;
        }
        let is_frame = !core::mem::take(&mut self.is_lost);
        let bytes = self.buffer.get_mut(..self.length).filter(|bytes| is_frame && !bytes.is_empty());
        self.length = bytes.and_then(|bytes| cobs::decode_in_place(bytes).ok()).unwrap_or(0);
        self.is_whole = self.message().is_some();
        if !self.is_whole {
            self.length = 0;
        }
        self.is_whole
    }

    /// The message that was completed by the last byte.
    pub fn message(&self) -> Option<Message<'_>> {
        let (rest, sum) = self.buffer.get(..self.length)?.split_last_chunk::<4>()?;
        if CRC.checksum(rest) != u32::from_le_bytes(*sum) {
            return None;
        }
        let ([version, kind, low, high], payload) = rest.split_first_chunk::<HEAD>()?;
        (*version == FORMAT).then_some(Message { kind: *kind, request: u16::from_le_bytes([*low, *high]), payload })
    }

    /// The buffer, to make an answer in; what was received is lost.
    pub fn buffer(&mut self) -> &mut [u8; N] {
        (self.length, self.is_whole) = (0, false);
        &mut self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn next(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }

    fn some(seed: &mut u64, length: usize) -> Vec<u8> {
        // Long runs with and without zeros.
        let zeros = next(seed) % 4;
        (0..length).map(|_| if zeros > 0 && next(seed).is_multiple_of(1 << (2 * zeros)) { 0 } else { next(seed) as u8 | 1 }).collect()
    }

    #[test]
    fn what_goes_onto_the_wire_comes_off_it() {
        let mut seed = 1;
        for length in (0..600).chain([1000, 2000, 4000, MAX_MESSAGE - OVERHEAD]) {
            let payload = some(&mut seed, length);
            let mut buffer = [0; MAX_MESSAGE];
            buffer[HEAD..HEAD + length].copy_from_slice(&payload);
            let message = seal(&mut buffer, 7, 300, length).unwrap().to_vec();
            let bytes: Vec<u8> = wire(&message).collect();
            let mut encoded = std::vec![0; message.len() + message.len() / 254 + 2];
            let size = cobs::encode(&message, &mut encoded);
            assert_eq!(bytes[1..bytes.len() - 1], encoded[..size], "{length}");
            let mut receiver = Receiver::<5000>::new();
            let whole: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| receiver.push(**byte)).map(|(at, _)| at).collect();
            assert_eq!(whole, [bytes.len() - 1]);
            assert_eq!(receiver.message(), Some(Message { kind: 7, request: 300, payload: &payload }));
        }
        assert!(wire(&[]).eq([0, 1, 0]));
        let mut buffer = [0; MAX_MESSAGE];
        assert_eq!(seal(&mut buffer, 7, 300, MAX_MESSAGE - OVERHEAD + 1), None);
    }

    #[test]
    fn a_line_that_loses_and_changes_bytes_never_gives_another_message() {
        let (mut seed, mut good) = (2, 0);
        let mut receiver = Receiver::<300>::new();
        let mut before = Vec::new();
        for round in 0..20_000 {
            let length = (next(&mut seed) % 280) as usize;
            let payload = some(&mut seed, length);
            let mut buffer = [0; 300];
            buffer[HEAD..HEAD + length].copy_from_slice(&payload);
            let message = seal(&mut buffer, 1, 2, length).unwrap().to_vec();
            let mut bytes: Vec<u8> = wire(&message).collect();
            for _ in 0..next(&mut seed) % 3 {
                let at = next(&mut seed) as usize % bytes.len();
                match next(&mut seed) % 3 {
                    0 => bytes[at] ^= 1 << (next(&mut seed) % 8),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, next(&mut seed) as u8),
                }
            }
            for byte in bytes {
                if receiver.push(byte) {
                    // The zero before this one may be the end of the one before.
                    let got = receiver.message().unwrap().payload;
                    assert!(got == payload || got == before, "{round}");
                    good += 1;
                }
            }
            before = payload;
        }
        assert!(good > 6_000, "{good}");
    }

    #[test]
    fn noise_is_no_message() {
        let (mut seed, mut receiver) = (3, Receiver::<64>::new());
        for _ in 0..2_000_000 {
            assert!(!receiver.push(next(&mut seed) as u8 & 0x0F));
        }
    }
}
