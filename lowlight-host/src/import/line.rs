//! The host's end of the link: requests over a line that may lose bytes (`docs/format.md`, section 17).
//!
//! Limits: one request at a time; at most [`MAX_ASIDE`] bytes of what was no frame are kept.

use super::ImportError;
use lowlight_core::frame::{HEAD, MAX_MESSAGE, MAX_WIRE, Receiver, seal, wire};
use lowlight_core::link::{Answer, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Most bytes kept of what was no frame.
pub const MAX_ASIDE: u64 = 1 << 20;
/// How often a request that gets no answer is made again.
const TRIES: u32 = 5;

/// Something that bytes go to and come from.
pub trait Port {
    /// Waits for bytes; `None` when none came in that time.
    ///
    /// # Errors
    ///
    /// What the system says; the end of the line is [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    fn receive(&mut self, bytes: &mut [u8], patience: Duration) -> io::Result<Option<usize>>;

    /// Sends all bytes.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A serial device, a pty or a Unix socket.
#[derive(Debug)]
pub struct OpenPort(File);

impl OpenPort {
    /// Opens the line at `path`; a terminal is made raw, with `baud` bits a second.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(path: &Path, baud: u32) -> io::Result<Self> {
        if path.metadata()?.file_type().is_socket() {
            return Ok(Self(File::from(OwnedFd::from(UnixStream::connect(path)?))));
        }
        let flags = rustix::fs::OFlags::NOCTTY.bits() | rustix::fs::OFlags::NONBLOCK.bits();
        let file = File::options().read(true).write(true).custom_flags(flags.cast_signed()).open(path)?;
        if rustix::termios::isatty(&file) {
            let mut settings = rustix::termios::tcgetattr(&file)?;
            settings.make_raw();
            settings.set_speed(baud)?;
            settings.control_modes |= rustix::termios::ControlModes::CLOCAL | rustix::termios::ControlModes::CREAD;
            rustix::termios::tcsetattr(&file, rustix::termios::OptionalActions::Now, &settings)?;
        }
        Ok(Self(file))
    }

    /// Whether it is ready within that time.
    fn is_ready(&self, flags: PollFlags, patience: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::from_borrowed_fd(self.0.as_fd(), flags)];
        let patience = Timespec { tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX), tv_nsec: patience.subsec_nanos().into() };
        match poll(&mut fds, Some(&patience)) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Port for OpenPort {
    fn receive(&mut self, bytes: &mut [u8], patience: Duration) -> io::Result<Option<usize>> {
        if !self.is_ready(PollFlags::IN, patience)? {
            return Ok(None);
        }
        match self.0.read(bytes) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the line was closed at the other end")),
            Ok(count) => Ok(Some(count)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.0.write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.is_ready(PollFlags::OUT, Duration::from_secs(10))? {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "the line takes no more bytes"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What is kept of bytes that were no frame.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    /// Bytes since the last zero.
    bytes: Vec<u8>,
    /// How many bytes were no frame.
    pub count: u64,
}

impl Aside {
    /// Keeps them in the file at `path`, behind what is there.
    pub fn new(path: PathBuf) -> Self {
        Self { path, bytes: Vec::new(), count: 0 }
    }

    /// A byte came; `is_frame` when it was the last of one.
    fn push(&mut self, byte: u8, is_frame: bool) {
        if byte != 0 {
            if self.bytes.len() < 2 * MAX_MESSAGE {
                self.bytes.push(byte);
            }
            return;
        }
        if !is_frame && !self.bytes.is_empty() {
            self.count += self.bytes.len() as u64;
            let room = self.path.metadata().map_or(MAX_ASIDE, |meta| MAX_ASIDE.saturating_sub(meta.len()));
            let kept = self.bytes.get(..usize::try_from(room.saturating_sub(1)).unwrap_or(0)).unwrap_or(&self.bytes);
            if kept.is_empty() {
                return self.bytes.clear();
            }
            // What is kept of a fault is a help and no evidence: it stops no import.
            let _ = File::options().create(true).append(true).mode(0o600).open(&self.path).and_then(|mut file| {
                file.write_all(kept)?;
                file.write_all(&[0])
            });
        }
        self.bytes.clear();
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
    /// again by `again`, which says how it goes on.
    ///
    /// # Errors
    ///
    /// [`ImportError::Silent`] or [`ImportError::Noise`] when no answer comes after five requests, [`ImportError::Refused`], and what the port says.
    pub fn ask<T>(
        &mut self,
        state: &mut T,
        request: impl Fn(&T) -> Request,
        mut each: impl FnMut(&mut T, Answer<'_>) -> Result<Answered, ImportError>,
    ) -> Result<(), ImportError> {
        let mut tries = 0;
        while tries < TRIES {
            self.number = self.number.wrapping_add(1);
            let asked = request(state);
            self.send(&asked)?;
            loop {
                match self.answer(|answer| each(state, answer))? {
                    None => break,
                    Some(Answered::Last) => return Ok(()),
                    Some(Answered::More) => tries = 0,
                    // A message was lost: the rest of the answers is of no use.
                    Some(Answered::Lost) => break,
                }
            }
            tries += 1;
        }
        Err(if self.aside.count > 0 { ImportError::Noise(self.aside.count) } else { ImportError::Silent })
    }

    fn send(&mut self, request: &Request) -> Result<(), ImportError> {
        let (mut buffer, mut fields) = ([0; 64], [0; 9]);
        let (kind, payload) = request.emit(&mut fields);
        if let Some(slot) = buffer.get_mut(HEAD..HEAD + payload.len()) {
            slot.copy_from_slice(payload);
        }
        let bytes: Vec<u8> = seal(&mut buffer, kind, self.number, payload.len()).map(|message| wire(message).collect()).unwrap_or_default();
        Ok(self.port.send(&bytes)?)
    }

    /// The next answer to the newest request; `None` when none comes.
    fn answer<T>(&mut self, mut each: impl FnMut(Answer<'_>) -> Result<T, ImportError>) -> Result<Option<T>, ImportError> {
        let until = Instant::now() + self.patience;
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
            if !is_whole {
                continue;
            }
            let Some(message) = self.receiver.message().filter(|message| message.request == self.number) else { continue };
            match Answer::parse(message.kind, message.payload) {
                Some(Answer::Refused) => return Err(ImportError::Refused),
                Some(answer) => return each(answer).map(Some),
                None => {}
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
