//! Removal on request: retention now, and erasure.

use super::removing::{Order, Removed};
use super::{Recorder, after, now};
use crate::removal::{Choice, Erase, EraseError, Plan, Room};
use crate::store::{Reader, StoreError};
use lowlight_core::LogId;
use lowlight_core::entry::Cause;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// How long nothing may come off while something stands in the way, before the caller is told.
const STALLED: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Most bytes of the reason of an erasure.
const MAX_REASON: usize = 1_024;

/// Why retention did not do all of its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Removing failed, or is not finished.
    #[error(transparent)]
    Removal(#[from] EraseError),
}

/// What retention did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// What was removed.
    pub removed: Removed,
    /// What is over a limit and is kept by its minimum age, in words.
    pub blocked: Option<String>,
}

impl Recorder {
    /// Erases content: value and salt go from every file of the log, the entry and its commitments stay. Waits until nothing
    /// of it is left.
    ///
    /// # Errors
    ///
    /// [`EraseError::Pending`] when the time was over first, or nothing came off for half a minute, for instance because a
    /// reader keeps the WAL in use: the tombstone is in the log, and the rest is done as soon as it can be, by this recorder
    /// or the next.
    pub fn erase(&self, erase: &Erase, deadline: Duration) -> Result<Removed, EraseError> {
        if erase.runs.is_empty() || erase.fields == 0 {
            return Err(EraseError::Nothing);
        }
        let reason = erase.reason.as_deref().map(|reason| self.redacted(reason));
        let plan = Plan { fields: erase.fields, cause: Cause::Erasure, runs: erase.runs.clone() };
        self.order(vec![plan], reason, None, deadline)
    }

    /// Removes what the retention policy in force says is too old or too much, now.
    ///
    /// # Errors
    ///
    /// [`PruneError`]; what was removed until then stays removed and explained.
    pub fn prune(&self, deadline: Duration) -> Result<Pruned, PruneError> {
        let until = after(Instant::now(), deadline);
        let mut pruned = Pruned::default();
        loop {
            let shared = self.shared();
            let reader = Reader::open(&shared.options.path)?;
            let room = Room::of(&reader, shared.options.min_free, 0);
            let choice = Choice::in_force(&reader, (now(), shared.clock()), room)?;
            let log = reader.log_id();
            drop(reader);
            pruned.blocked.clone_from(&choice.blocked);
            let plans = choice.plans();
            if plans.is_empty() {
                self.finish_removal(until.saturating_duration_since(Instant::now()))?;
                return Ok(pruned);
            }
            let removed = self.order(plans, None, Some(log), until.saturating_duration_since(Instant::now()))?;
            // What is left alone because it was altered is chosen again and again.
            let is_stuck = removed.entries == 0 && removed.contents == 0;
            pruned.removed.tombstones.extend(removed.tombstones);
            pruned.removed.entries += removed.entries;
            pruned.removed.contents += removed.contents;
            pruned.removed.altered.extend(removed.altered);
            if is_stuck || !choice.more {
                return Ok(pruned);
            }
        }
    }

    /// Waits until everything that tombstones name is gone from every file of the log: what an earlier run left over.
    ///
    /// # Errors
    ///
    /// As for [`erase`](Self::erase).
    pub fn finish_removal(&self, deadline: Duration) -> Result<(), EraseError> {
        self.order(Vec::new(), None, None, deadline).map(drop)
    }

    fn redacted(&self, reason: &str) -> String {
        let mut end = reason.len().min(MAX_REASON);
        match &self.shared().redactor {
            Some((redactor, _)) => redactor.session().cut_text(reason, MAX_REASON).0.into_owned(),
            None => {
                while !reason.is_char_boundary(end) {
                    end -= 1;
                }
                reason[..end].to_owned()
            }
        }
    }

    fn order(&self, plans: Vec<Plan>, reason: Option<String>, log: Option<LogId>, deadline: Duration) -> Result<Removed, EraseError> {
        let (answer, answered) = sync_channel(1);
        let shared = self.shared();
        {
            let mut state = shared.lock();
            if state.closing {
                return Err(EraseError::NotWritten("the recorder is closed".to_owned()));
            }
            state.orders.push_back(Order { plans, reason, answer: Some(answer), blocked: None, is_chosen: false, more: false, log });
        }
        shared.work.notify_one();
        let until = after(Instant::now(), deadline);
        let (mut moved, mut came_off) = (Instant::now(), None);
        loop {
            match answered.recv_timeout(LOOK.min(until.saturating_duration_since(Instant::now()))) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(EraseError::NotWritten("the recorder ended".to_owned())),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let stats = shared.lock().stats.clone();
            let count = Some(stats.removed_entries + stats.removed_contents);
            let why = stats.removal_problem.or(stats.waiting);
            if why.is_none() || count != came_off {
                (moved, came_off) = (Instant::now(), count);
            }
            if Instant::now() >= until || moved.elapsed() >= STALLED {
                return Err(EraseError::Pending(why.unwrap_or_else(|| "there is more to remove than that".to_owned())));
            }
        }
    }
}
