//! A thread beside the writer that brings what is committed to another place: a witness, a copy.
//!
//! 1. The writer never waits for it; closing waits [`PATIENCE`] and a little.
//! 2. It does not end before it is told to: a panic in an attempt is a failure like others.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long one attempt may take, and closing.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long after a failure it is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long until it is tried again where somebody else was just at it; what is committed meanwhile is brought together.
const APART: Duration = Duration::from_millis(200);
/// An attempt that lasts longer hangs: a share that does not answer, for instance.
const HANGS: Duration = Duration::from_secs(60);
/// How long it takes to end an attempt whose time is over.
const TO_END: Duration = Duration::from_millis(500);

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    Done,
    /// Somebody else is at it.
    Busy,
    Failed,
}

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Beside {
    wake: SyncSender<()>,
    /// Ends when the thread does.
    ended: Receiver<()>,
    /// Until when there is time, once it is to end.
    deadline: Arc<OnceLock<Instant>>,
    /// When the attempt began that goes on.
    begun: Arc<Mutex<Option<Instant>>>,
}

impl Beside {
    /// Starts it; `attempt` is told how long it may take.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn start(name: &str, mut attempt: impl FnMut(Duration) -> Attempt + Send + 'static) -> std::io::Result<Self> {
        let ((wake, woken), (ending, ended)) = (sync_channel(1), sync_channel(1));
        let (deadline, begun) = (Arc::new(OnceLock::new()), Arc::new(Mutex::new(None)));
        let (until, since) = (Arc::clone(&deadline), Arc::clone(&begun));
        let run = move || {
            let _ending: SyncSender<()> = ending;
            let timed = |left| {
                let set = |at| *since.lock().unwrap_or_else(PoisonError::into_inner) = at;
                set(Some(Instant::now()));
                let done = std::panic::catch_unwind(AssertUnwindSafe(|| attempt(left))).unwrap_or(Attempt::Failed);
                set(None);
                done
            };
            run(timed, &woken, &until);
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { wake, ended, deadline, begun })
    }

    /// Whether an attempt lasts for so long that it will not end by itself.
    pub(super) fn hangs(&self) -> bool {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|begun| begun.elapsed() > HANGS)
    }

    /// There is something new. Does not wait: one word is enough for several.
    pub(super) fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// Lets those bring what is left, all at the same time.
    pub(super) fn finish(those: [Option<Self>; 2]) {
        let deadline = Instant::now() + PATIENCE;
        let ending = those.map(|it| {
            it.map(|it| {
                let _ = it.deadline.set(deadline);
                it.ended
            })
        });
        for ended in ending.iter().flatten() {
            let _ = ended.recv_timeout((deadline + TO_END).saturating_duration_since(Instant::now()));
        }
    }
}

fn run(mut attempt: impl FnMut(Duration) -> Attempt, woken: &Receiver<()>, deadline: &OnceLock<Instant>) {
    let left = || deadline.get().map_or(PATIENCE, |deadline| deadline.saturating_duration_since(Instant::now()));
    let mut pause = None::<Duration>;
    loop {
        let is_end = match pause {
            None => woken.recv().is_err(),
            Some(pause) => woken.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected),
        };
        if is_end && pause.is_none() {
            return;
        }
        let mut done = attempt(left());
        while is_end && done == Attempt::Busy && !left().is_zero() {
            std::thread::sleep(APART);
            done = attempt(left());
        }
        if is_end {
            return;
        }
        pause = match done {
            Attempt::Done => None,
            Attempt::Busy => Some(APART),
            Attempt::Failed => Some(pause.map_or(AGAIN.0, |pause| (pause * 2).clamp(AGAIN.0, AGAIN.1))),
        };
        if deadline.get().is_none() {
            std::thread::sleep(APART);
        }
    }
}
