//! When the writer thread writes checkpoints: at the start and the end of a run, after so many entries, after so much
//! time, and soon after an error.
//!
//! 1. A checkpoint covers committed entries only; tickets do not wait for it.
//! 2. When it cannot be written recording goes on, an alarm says so once, and it is tried again with the next entries.

use crate::checkpoints::Journal;
use crate::store::{Layout, StoreError};
use lowlight_core::{Head, LogId};
use std::time::{Duration, Instant};

/// Errors in a row are not worth a flush each.
const ERRORS_APART: Duration = Duration::from_secs(1);

/// After so many checkpoints the journal is looked through for notes that may go.
const THIN_EVERY: u64 = 5_000;

/// What was committed and is in no checkpoint yet.
#[derive(Debug)]
struct Open {
    log: LogId,
    head: Head,
    since: Instant,
    cause: Option<&'static str>,
}

/// The state of it.
#[derive(Debug)]
pub(super) struct Sealing {
    pub(super) journal: Journal,
    every: u64,
    interval: Duration,
    open: Option<Open>,
    /// Of which log the newest one is.
    log: Option<LogId>,
    /// Size and time of the newest checkpoint of this run.
    newest: (u64, Option<Instant>),
    /// An entry of the batch at hand is an error.
    pub(super) error_seen: bool,
    is_failing: bool,
    /// Checkpoints of this run.
    made: u64,
}

impl Sealing {
    pub(super) fn new(layout: Layout, every: u64, interval: Duration) -> Self {
        Self {
            journal: Journal::new(layout),
            every,
            interval,
            open: None,
            log: None,
            newest: (0, None),
            error_seen: false,
            is_failing: false,
            made: 0,
        }
    }

    /// Notes a batch that is durable; `is_start` when it began a run.
    pub(super) fn committed(&mut self, log: LogId, head: Head, is_start: bool) {
        // Checkpoints of another log say nothing about this one.
        if self.log.replace(log) != Some(log) {
            self.newest = (0, None);
        }
        let (size, at) = self.newest;
        let soon = std::mem::take(&mut self.error_seen) && at.is_none_or(|at| at.elapsed() >= ERRORS_APART);
        let now = if is_start {
            Some("start")
        } else if soon {
            Some("error")
        } else if head.size().saturating_sub(size) >= self.every {
            Some("entries")
        } else {
            None
        };
        let (since, before) = self.open.take().map_or((Instant::now(), None), |open| (open.since, open.cause));
        self.open = Some(Open { log, head, since, cause: before.or(now) });
    }

    /// Size of the newest checkpoint of this run.
    pub(super) fn newest_size(&self) -> u64 {
        self.newest.0
    }

    /// Whether the newest checkpoint could not be written.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// Size of what was committed and is in no checkpoint yet.
    pub(super) fn open_size(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.head.size())
    }

    /// What was committed is to be in a checkpoint now.
    pub(super) fn want(&mut self, cause: &'static str) {
        if let Some(open) = &mut self.open {
            open.cause.get_or_insert(cause);
        }
    }

    /// When the next checkpoint is due; `None` when everything is in one.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.as_ref().filter(|_| !self.is_failing).map(|open| super::after(open.since, self.interval))
    }

    /// Writes a checkpoint if one is due, or in any case at the end. An error is returned the first time only.
    pub(super) fn seal(&mut self, is_end: bool, now: i64) -> Result<(), StoreError> {
        let is_due = self.open.as_ref().is_some_and(|open| open.since.elapsed() >= self.interval);
        let Some(open) = self.open.take_if(|open| is_end || is_due || open.cause.is_some()) else { return Ok(()) };
        let cause = if is_end { "stop" } else { open.cause.unwrap_or("time") };
        match self.journal.seal(open.log, &open.head, cause, now) {
            Ok(_) => {
                self.newest = (open.head.size(), Some(Instant::now()));
                self.is_failing = false;
                self.made += 1;
                if cause == "start" || self.made.is_multiple_of(THIN_EVERY) {
                    // Notes that could not be thinned out are there longer, and that is all.
                    let _ = self.journal.thin();
                }
                Ok(())
            }
            Err(error) => {
                self.open = Some(open);
                if std::mem::replace(&mut self.is_failing, true) { Ok(()) } else { Err(error) }
            }
        }
    }
}
