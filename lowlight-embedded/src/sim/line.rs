//! A serial line that loses, changes and doubles bytes.

use super::Random;
use embedded_io::{ErrorType, Read, ReadReady, Write};

/// A port over which, in both directions, one byte of so many is lost, changed in one bit, or comes twice.
///
/// ```
/// use embedded_io::Write as _;
/// use lowlight_embedded::sim::Lossy;
///
/// let mut buffer = [0; 16];
/// let mut line = Lossy::new(&mut buffer[..], 1, 3);
/// line.write_all(b"ten bytes.").unwrap();
/// let left = line.into_inner().len();
/// assert_ne!(&buffer[..16 - left], b"ten bytes.");
/// ```
#[derive(Debug)]
pub struct Lossy<P> {
    port: P,
    random: Random,
    /// Of so many bytes one is harmed; 0: none.
    pub one_in: usize,
    /// One that comes again.
    again: Option<u8>,
}

impl<P> Lossy<P> {
    /// A line in front of `port` on which one byte of `one_in` is harmed.
    pub fn new(port: P, seed: u64, one_in: usize) -> Self {
        Self { port, random: Random(seed), one_in, again: None }
    }

    /// The port behind it.
    pub fn into_inner(self) -> P {
        self.port
    }

    /// What becomes of a byte: how often it comes, and as what.
    fn harm(&mut self, byte: u8) -> (usize, u8) {
        if self.one_in == 0 || self.random.below(self.one_in) > 0 {
            return (1, byte);
        }
        match self.random.below(3) {
            0 => (0, byte),
            1 => (1, byte ^ 1 << self.random.below(8)),
            _ => (2, byte),
        }
    }
}

impl<P: ErrorType> ErrorType for Lossy<P> {
    type Error = P::Error;
}

impl<P: ReadReady> ReadReady for Lossy<P> {
    fn read_ready(&mut self) -> Result<bool, P::Error> {
        Ok(self.again.is_some() || self.port.read_ready()?)
    }
}

impl<P: Read> Read for Lossy<P> {
    /// One byte at a time; waits for another when one was lost.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, P::Error> {
        let Some(slot) = bytes.first_mut() else { return Ok(0) };
        if let Some(byte) = self.again.take() {
            *slot = byte;
            return Ok(1);
        }
        loop {
            let mut byte = [0];
            if self.port.read(&mut byte)? == 0 {
                return Ok(0);
            }
            let [received] = byte;
            let (count, byte) = self.harm(received);
            if count > 0 {
                *slot = byte;
                self.again = (count > 1).then_some(byte);
                return Ok(1);
            }
        }
    }
}

impl<P: Write> Write for Lossy<P> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, P::Error> {
        for byte in bytes {
            let (count, byte) = self.harm(*byte);
            for _ in 0..count {
                self.port.write_all(&[byte])?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), P::Error> {
        self.port.flush()
    }
}
