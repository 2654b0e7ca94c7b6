//! Signals that end `record` and `import` in order: SIGTERM, SIGINT and SIGHUP end the input of the one, as closing it would, and the other behind what came.
//!
//! 1. What was read before the signal is treated as at the end of any input: durable, or counted as lost.
//! 2. A second signal does what it does everywhere else: it kills.
//! 3. A signal that whoever started the command has it ignore (`nohup`) stays ignored.

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs::File;
use std::io::{Read, Result};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether one of the signals has come.
pub(super) struct Stop {
    seen: Arc<AtomicBool>,
    /// Becomes readable when one comes.
    bell: UnixStream,
}

impl Stop {
    /// Watches for the signals from now on.
    pub(super) fn watch() -> Result<Self> {
        let seen = Arc::new(AtomicBool::new(false));
        let (bell, ring) = UnixStream::pair()?;
        let ignored = ignored();
        for signal in [SIGTERM, SIGINT, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0) {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&seen))?;
            signal_hook::flag::register(signal, Arc::clone(&seen))?;
            signal_hook::low_level::pipe::register(signal, ring.try_clone()?)?;
        }
        Ok(Self { seen, bell })
    }

    pub(super) fn is_seen(&self) -> bool {
        self.seen.load(Ordering::Acquire)
    }
}

/// The signals that this process ignores: bit n - 1 for signal n. None where the system does not say.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A file that ends when a signal comes.
pub(super) struct UntilStopped<'s> {
    pub(super) file: File,
    pub(super) stop: &'s Stop,
}

impl Read for UntilStopped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            if self.stop.is_seen() {
                return Ok(0);
            }
            let mut both = [PollFd::new(&self.file, PollFlags::IN), PollFd::new(&self.stop.bell, PollFlags::IN)];
            match poll(&mut both, None) {
                // The signal itself wakes the wait.
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) if both[1].revents().is_empty() => return self.file.read(buffer),
                Ok(_) => {}
            }
        }
    }
}
