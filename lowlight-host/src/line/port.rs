//! The line itself: a serial device, a pty or a Unix socket.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another process may have the line before it is said to be busy.
const FOR_OTHERS: Duration = Duration::from_secs(3);
/// How long is waited until it is asked whether to stop.
const TO_ASK: Duration = Duration::from_secs(1);
/// How long it may take until a line has taken what is sent.
const TO_SEND: Duration = Duration::from_secs(5);
/// How long until a socket whose queue of connections is full is tried again.
const AGAIN: Duration = Duration::from_millis(20);

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
        let kind = path.metadata()?.file_type();
        if !kind.is_socket() && !kind.is_char_device() {
            // Whatever else it is would be written over.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no line: give a serial device, a pty or a Unix socket"));
        }
        if kind.is_socket() {
            return Ok(Self(File::from(OwnedFd::from(connect(path, FOR_OTHERS)?))));
        }
        let flags = rustix::fs::OFlags::NOCTTY.bits() | rustix::fs::OFlags::NONBLOCK.bits();
        let file = File::options().read(true).write(true).custom_flags(flags.cast_signed()).open(path)?;
        lock(&file)?;
        if rustix::termios::isatty(&file) {
            let mut settings = rustix::termios::tcgetattr(&file)?;
            settings.make_raw();
            settings.set_speed(baud)?;
            // What holds the line back with its wires would hold this process back.
            settings.control_modes.remove(rustix::termios::ControlModes::CRTSCTS);
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
        let until = Instant::now() + TO_SEND;
        while !bytes.is_empty() {
            match self.0.write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() || !self.is_ready(PollFlags::OUT, left)? {
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

/// One process at a time: two would take each other's answers.
fn lock(file: &File) -> io::Result<()> {
    let until = Instant::now() + FOR_OTHERS;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Err(std::fs::TryLockError::WouldBlock) => {
                let why = "another process has the line: an import, or a recorder that asks its witness";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Connects without waiting for a socket that nobody serves and whose queue is full.
pub(crate) fn connect(path: &Path, patience: Duration) -> std::io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
    let begun = Instant::now();
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = UnixStream::from(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?);
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => break,
            Err(rustix::io::Errno::AGAIN) if begun.elapsed() < patience => std::thread::sleep(AGAIN),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(socket)
}

/// A port at which nobody waits any more once a stop was asked for.
pub(crate) struct Until<'a, P> {
    pub port: P,
    pub is_stopped: &'a dyn Fn() -> bool,
}

impl<P: Port> Port for Until<'_, P> {
    fn receive(&mut self, bytes: &mut [u8], patience: Duration) -> io::Result<Option<usize>> {
        // A signal wakes who waits, another thread does not.
        if (self.is_stopped)() { Err(io::Error::other("stopped")) } else { self.port.receive(bytes, patience.min(TO_ASK)) }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.port.send(bytes)
    }
}
