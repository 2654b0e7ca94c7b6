//! Reading and writing that ends at a deadline, whatever the other end does.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A pipe or a socket, for one conversation.
pub(crate) struct Timed<F> {
    file: F,
    deadline: Instant,
}

impl<F: AsFd> Timed<F> {
    /// All of it may take `patience`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn new(file: F, patience: Duration) -> std::io::Result<Self> {
        rustix::io::ioctl_fionbio(&file, true)?;
        Ok(Self { file, deadline: Instant::now() + patience })
    }

    fn wait(&self, what: PollFlags) -> std::io::Result<()> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "it did not answer in time"));
            }
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&self.file, what)], timeout.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tries until it is done or time is over.
    fn insist(&self, what: PollFlags, mut attempt: impl FnMut() -> rustix::io::Result<usize>) -> std::io::Result<usize> {
        loop {
            match attempt() {
                Err(Errno::AGAIN) => self.wait(what)?,
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }
}

impl<F: AsFd> Read for Timed<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.insist(PollFlags::IN, || rustix::io::read(&self.file, &mut *buffer))
    }
}

impl<F: AsFd> Write for Timed<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.insist(PollFlags::OUT, || rustix::io::write(&self.file, bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
