//! A progress line for work over a second, on a terminal only.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// Shows nothing for the first second, and nothing at all when stderr is not a terminal.
pub struct Progress {
    label: &'static str,
    next: Instant,
    shown: bool,
}

impl Progress {
    /// A line with a word for what is being done.
    pub fn new(label: &'static str) -> Self {
        Self { label, next: Instant::now() + FIRST, shown: false }
    }

    /// Notes how much was done, where nobody knows of how much.
    pub fn count(&mut self, done: u64) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        let mut err = std::io::stderr().lock();
        if err.is_terminal() {
            self.shown = true;
            let _ = write!(err, "\r{} {done}", self.label);
        }
    }

    /// Notes how far the work is.
    pub fn at(&mut self, done: u64, total: u64) {
        // Looking at the clock costs more than an entry.
        if done.is_multiple_of(1024) {
            self.now(done, total);
        }
    }

    /// As [`Self::at`], for work of which a piece takes longer than a look at the clock.
    pub fn now(&mut self, done: u64, total: u64) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        let mut err = std::io::stderr().lock();
        if err.is_terminal() {
            self.shown = true;
            let percent = (done * 100).checked_div(total).unwrap_or(100).min(100);
            // A terminal that has gone away needs no progress.
            let _ = write!(err, "\r{} {percent:>3} % ({done} of {total})", self.label);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
