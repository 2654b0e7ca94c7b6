//! The fate of one record: a value to wait for, to await on any executor, or to ignore.

use super::Shared;
use lowlight_core::entry::GapReason;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is on disk under this seq and survives power loss.
    Durable(u64),
    /// It is not in the log; the log says how many were lost and why.
    Lost(LossReason),
    /// The recorder was closed before the record arrived.
    Closed,
    /// Not known yet when the time was over; the record may still become durable.
    Timeout,
}

/// Why a record was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "as in lowlight_core::entry::GapReason")]
pub enum LossReason {
    QueueFull,
    Sampled,
    DiskFull,
    Rejected,
    /// The recorder was closed and its deadline passed with the record still in memory.
    Abandoned,
}

impl LossReason {
    pub(super) fn of(reason: GapReason) -> Self {
        match reason {
            GapReason::QueueFull => Self::QueueFull,
            GapReason::Sampled => Self::Sampled,
            GapReason::DiskFull => Self::DiskFull,
            // A device's reset never comes from this queue.
            GapReason::Rejected | GapReason::DeviceReset => Self::Rejected,
        }
    }

    /// A word for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Sampled => "sampled",
            Self::DiskFull => "disk_full",
            Self::Rejected => "rejected",
            Self::Abandoned => "abandoned",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Cell {
    state: Mutex<Fate>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Fate {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    /// Threads inside `wait_for`: waking nobody would still be a system call.
    waiting: u32,
}

impl Cell {
    pub(super) fn resolve(&self, outcome: Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.outcome.is_none() {
            state.outcome = Some(outcome);
            if state.waiting > 0 {
                self.changed.notify_all();
            }
            let waker = state.waker.take();
            drop(state);
            if let Some(waker) = waker {
                // A waker is foreign code; its panic must not end the writer thread.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
            }
        }
    }
}

/// Resolves when the record is durable or lost. Ignoring it is fine.
#[derive(Debug)]
pub struct Ticket {
    pub(super) cell: Arc<Cell>,
    pub(super) shared: Arc<Shared>,
}

impl Ticket {
    /// Waits until the fate of the record is known. Never returns [`Outcome::Timeout`].
    ///
    /// Waiting makes the writer commit at once, together with all else that is queued.
    pub fn wait(&self) -> Outcome {
        self.wait_until(None)
    }

    /// Waits at most `timeout` without hurrying the writer: batches fill up first.
    pub fn wait_quietly(&self, timeout: Duration) -> Outcome {
        self.wait_for(Instant::now().checked_add(timeout))
    }

    /// Waits at most `timeout`.
    pub fn wait_timeout(&self, timeout: Duration) -> Outcome {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// The outcome, if it is known already.
    pub fn outcome(&self) -> Option<Outcome> {
        self.cell.state.lock().unwrap_or_else(PoisonError::into_inner).outcome
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Outcome {
        if let Some(outcome) = self.outcome() {
            return outcome;
        }
        self.shared.hurry();
        self.wait_for(deadline)
    }

    fn wait_for(&self, deadline: Option<Instant>) -> Outcome {
        let mut state = self.cell.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting += 1;
        loop {
            if let Some(outcome) = state.outcome {
                state.waiting -= 1;
                return outcome;
            }
            let Some(deadline) = deadline else {
                state = self.cell.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                state.waiting -= 1;
                return Outcome::Timeout;
            };
            state = self.cell.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.cell.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = state.outcome {
            return Poll::Ready(outcome);
        }
        state.waker = Some(context.waker().clone());
        drop(state);
        self.shared.hurry();
        Poll::Pending
    }
}
