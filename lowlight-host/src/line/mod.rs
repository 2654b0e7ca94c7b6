//! The host's end of the link: requests over a line that may lose bytes (`docs/format.md`, section 17).
//!
//! Limits: one request at a time; at most [`MAX_ASIDE`] bytes of what was no frame are kept.

mod port;

pub use port::{OpenPort, Port};
pub(crate) use port::{Until, connect};

use lowlight_core::frame::{HEAD, MAX_MESSAGE, MAX_WIRE, Message, Receiver, seal, wire};
use lowlight_core::link::{ANSWER, Answer, Ask, REFUSED, Request, parse_answer};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Most bytes kept of what was no frame.
pub const MAX_ASIDE: u64 = 1 << 20;
/// Speed of a serial line where none is given, bits a second.
pub const BAUD: u32 = 115_200;
/// How often a request that gets no answer is made again.
const TRIES: u32 = 5;

/// Why the other end gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It does not answer.
    #[error("the device does not answer: check the line, its speed (--baud), and that the firmware serves the link")]
    Silent,
    /// What comes is no answer.
    #[error("{0} bytes came and no answer: check the speed of the line (--baud), and that the firmware serves the link")]
    Noise(u64),
    /// It does not know the request, or cannot read its log.
    #[error("the device refused: its log cannot be read, or its firmware does not know this request")]
    Refused,
    /// What is to be asked does not fit a message.
    #[error("the request is longer than a message of the link holds")]
    TooLong,
    /// The system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What is kept of bytes that were no frame.
#[derive(Debug)]
pub struct Aside {
    path: Option<PathBuf>,
    /// Bytes since the last zero, as far as they are kept, and how many.
    bytes: Vec<u8>,
    run: u64,
    /// How many bytes were no frame.
    pub count: u64,
}

impl Aside {
    /// Keeps them in the file at `path`, behind what is there; without one they are counted.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, bytes: Vec::new(), run: 0, count: 0 }
    }

    /// A byte came; `is_frame` when it was the last of one.
    fn push(&mut self, byte: u8, is_frame: bool) {
        if byte != 0 {
            self.run += 1;
            if self.bytes.len() < 2 * MAX_MESSAGE {
                self.bytes.push(byte);
            }
        } else if is_frame {
            (self.run, self.bytes) = (0, Vec::new());
        } else {
            self.end();
        }
    }

    /// What came since the last zero is no frame.
    fn end(&mut self) {
        self.count += std::mem::take(&mut self.run);
        let bytes = std::mem::take(&mut self.bytes);
        let Some(path) = self.path.as_ref().filter(|_| !bytes.is_empty()) else { return };
        let room = path.metadata().map_or(MAX_ASIDE, |meta| MAX_ASIDE.saturating_sub(meta.len()));
        let kept = bytes.get(..usize::try_from(room.saturating_sub(1)).unwrap_or(0)).unwrap_or(&bytes);
        if kept.is_empty() {
            return;
        }
        // What is kept of a fault is a help and no evidence: it stops no import. Nor does a pipe in its place.
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
        let file = File::options().create(true).append(true).mode(0o600).custom_flags(flags).open(path);
        let _ = file.and_then(|mut file| {
            file.write_all(kept)?;
            file.write_all(&[0])
        });
    }
}

/// A line to a device.
#[derive(Debug)]
pub struct Line<P> {
    port: P,
    receiver: Box<Receiver<MAX_WIRE>>,
    /// What was received and not yet looked at.
    received: VecDeque<u8>,
    number: u16,
    patience: Duration,
    /// What was no frame.
    pub aside: Aside,
}

impl<P: Port> Line<P> {
    /// A line over `port`, on which an answer may take `patience`.
    pub fn new(port: P, patience: Duration, aside: Aside) -> Self {
        // Another number than that of a host that was killed before: its answers may still be on the way.
        let mut random = [0; 2];
        let _ = crate::random::fill(&mut random);
        Self { port, receiver: Box::default(), received: VecDeque::new(), number: u16::from_le_bytes(random), patience, aside }
    }

    /// Asks, and hands each answer to `each` until it says that it was the last. A request of which some answers were lost is made
    /// again: `request` says how it goes on.
    ///
    /// # Errors
    ///
    /// [`LineError::Silent`] or [`LineError::Noise`] when no answer comes after five requests, [`LineError::Refused`], what the port says, and
    /// what `each` does.
    pub fn ask<T, E: From<LineError>>(
        &mut self,
        state: &mut T,
        request: impl Fn(&T) -> Request,
        mut each: impl FnMut(&mut T, Answer<'_>) -> Result<Answered, E>,
    ) -> Result<(), E> {
        let mut tries = 0;
        while tries < TRIES {
            let asked = request(state);
            self.send(|buffer| {
                let mut fields = [0; 9];
                let (kind, payload) = asked.emit(&mut fields);
                buffer.get_mut(HEAD..HEAD + payload.len())?.copy_from_slice(payload);
                Some((kind, payload.len()))
            })?;
            loop {
                let answered = self.answer(self.patience, |message| match Answer::parse(message.kind, message.payload)? {
                    Answer::Refused => Some(Err(LineError::Refused.into())),
                    answer => Some(each(state, answer)),
                })?;
                match answered.transpose()? {
                    None => break,
                    Some(Answered::Last) => return Ok(()),
                    Some(Answered::More) => tries = 0,
                    // A message was lost: the rest of the answers is of no use.
                    Some(Answered::Lost) => break,
                }
            }
            tries += 1;
        }
        Err(self.silent().into())
    }

    /// Sends a message of the kind and length of payload that `emit` puts into a buffer behind its head.
    fn send(&mut self, emit: impl FnOnce(&mut [u8]) -> Option<(u8, usize)>) -> Result<(), LineError> {
        let mut buffer = [0; MAX_MESSAGE];
        self.number = self.number.wrapping_add(1);
        let message = emit(&mut buffer).and_then(|(kind, length)| seal(&mut buffer, kind, self.number, length));
        let bytes: Vec<u8> = wire(message.ok_or(LineError::TooLong)?).collect();
        Ok(self.port.send(&bytes)?)
    }

    /// The answer to a request that has one, asked again until `until`: what follows its status, if the device knows the request.
    ///
    /// # Errors
    ///
    /// [`LineError::Silent`] or [`LineError::Noise`] when no answer came until then, [`LineError::Refused`], and what the port says.
    pub fn exchange(&mut self, ask: &Ask<'_>, until: Instant) -> Result<(u16, String), LineError> {
        while Instant::now() < until {
            let mut asked = 0;
            self.send(|buffer| ask.emit(buffer).inspect(|(kind, _)| asked = *kind))?;
            let patience = self.patience.min(until.saturating_duration_since(Instant::now()));
            let answer = self.answer(patience, |message| match message.kind {
                REFUSED => Some(Err(LineError::Refused)),
                kind if kind == asked | ANSWER => parse_answer(message.payload).map(|(status, text)| Ok((status, text.to_owned()))),
                _ => None,
            })?;
            if let Some(answer) = answer {
                return answer;
            }
        }
        Err(self.silent())
    }

    fn silent(&mut self) -> LineError {
        self.aside.end();
        if self.aside.count > 0 { LineError::Noise(self.aside.count) } else { LineError::Silent }
    }

    /// The next answer to the newest request of which `take` makes something; `None` when none comes.
    fn answer<T>(&mut self, patience: Duration, mut take: impl FnMut(Message<'_>) -> Option<T>) -> Result<Option<T>, LineError> {
        let until = Instant::now() + patience;
        let mut bytes = [0; 4096];
        loop {
            let Some(byte) = self.received.pop_front() else {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(None);
                }
                let count = self.port.receive(&mut bytes, left)?.unwrap_or(0);
                self.received.extend(bytes.iter().take(count));
                continue;
            };
            let is_whole = self.receiver.push(byte);
            self.aside.push(byte, is_whole);
            let message = self.receiver.message().filter(|message| is_whole && message.request == self.number);
            if let Some(taken) = message.and_then(&mut take) {
                return Ok(Some(taken));
            }
        }
    }
}

/// What an answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// The last one.
    Last,
    /// There are more.
    More,
    /// Not what comes next.
    Lost,
}
