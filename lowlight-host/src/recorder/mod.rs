//! The recorder: any thread hands records over and goes on, one thread writes them.
//!
//! Limits: at most the configured number of entries and bytes in memory, plus one batch in hand.
//!
//! ```text
//! record() -> redact -> queue (bounded) -> writer thread -> COMMIT -> tickets
//! ```
//!
//! 1. `record` never waits for disk. Under [`OverflowPolicy::Block`](lowlight_core::OverflowPolicy::Block) it waits for space, up to its deadline.
//! 2. `received == durable + queued + lost`, at every instant, over all kinds of loss.
//! 3. A ticket resolves exactly once: durable with its seq, or lost with the reason.
//! 4. Nothing a callback or a waker does stops the writer thread.

mod beside;
mod builder;
mod clock;
mod copying;
mod doubt;
mod entries;
mod opening;
mod queue;
mod remove;
mod removing;
mod room;
mod sealing;
mod span;
mod stats;
mod tasks;
mod ticket;
mod witnessing;
mod worker;

pub use builder::{Builder, MAX_BATCH, MAX_BATCH_BYTES, MAX_QUEUE, MAX_QUEUE_BYTES, Pressure, VerifyAtStart};
pub use copying::CopyOptions;
pub use remove::{PruneError, Pruned};
pub use removing::Removed;
pub use span::Span;
pub use stats::{Lost, Stats};
pub use ticket::{LossReason, Outcome, Ticket};
pub use witnessing::{WitnessOptions, ask_witness};

use crate::record::{Preparation, Prepared, Record, RecordError};
use crate::redact::{RedactError, Redactor};
use crate::store::StoreError;
use lowlight_core::entry::{Clock, GapReason, Import};
use lowlight_core::queue::Pushed;
use queue::{Item, Queue};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use ticket::Cell;

/// Why a recorder could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecorderError {
    /// Redaction is configured wrongly.
    #[error(transparent)]
    Redaction(#[from] RedactError),
    /// The log cannot be written, now or later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The retention policy breaks a limit of the format.
    #[error("the retention policy cannot be kept: {0}")]
    Retention(lowlight_core::entry::EntryError),
    /// The writer thread could not be started.
    #[error("the writer thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The queue could not be allocated.
    #[error("no memory for the queue ({0}); choose a smaller bound in bytes")]
    Memory(std::collections::TryReserveError),
}

/// The time was over before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{pending} records were not durable yet when the time was over")]
pub struct TimedOut {
    /// Records still in memory.
    pub pending: u64,
}

#[expect(clippy::struct_excessive_bools, reason = "independent flags under one lock, each with its own story")]
struct State {
    queue: Queue,
    stats: Stats,
    /// Records that ever entered the ring: the next one's number. Those in it are the newest.
    entered: u64,
    /// Records that the writer has in hand, and the number of the first of them.
    in_hand: u64,
    first_in_hand: u64,
    /// When the first loss came that no gap entry tells of yet.
    loss_since: Option<Instant>,
    /// When the oldest record in the ring came.
    oldest: Option<Instant>,
    /// Somebody waits: commit without collecting more.
    urgent: bool,
    closing: bool,
    /// The deadline of `close` has passed: give up at the next failure.
    abandon: bool,
    ended: bool,
    opened: Option<Result<(), StoreError>>,
    turn: u32,
    above_mark: bool,
    /// The writer cannot use the log. Others of this process keep off it: a lock that could not be given back goes with the
    /// last connection.
    locked_out: bool,
    /// Removals that callers, or the retention policy, ask for.
    orders: std::collections::VecDeque<removing::Order>,
    /// What other threads found, to be written as alarms.
    alarms: Vec<(&'static str, String)>,
}

impl State {
    /// Number of the oldest record that is neither durable nor lost. What the writer has in hand is older than the ring.
    fn oldest_unsettled(&self) -> u64 {
        if self.in_hand > 0 { self.first_in_hand } else { self.entered - self.queue.len() as u64 }
    }
}

struct Shared {
    options: Builder,
    redactor: Option<(Redactor, u32)>,
    epoch: Instant,
    clock: AtomicU8,
    hurried: AtomicBool,
    state: Mutex<State>,
    /// Signalled for the writer thread.
    work: Condvar,
    /// Signalled for everyone else.
    progress: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Shared {
    fn new(options: Builder, redactor: Option<Redactor>) -> Result<Self, RecorderError> {
        let redactor = redactor.map(|redactor| {
            let [a, b, c, d, ..] = redactor.fingerprint();
            // Any policy in force has a number other than 0.
            (redactor, u32::from_le_bytes([a, b, c, d]).max(1))
        });
        let state = State {
            queue: Queue::new(&options).map_err(RecorderError::Memory)?,
            stats: Stats::default(),
            entered: 0,
            in_hand: 0,
            first_in_hand: 0,
            loss_since: None,
            oldest: None,
            urgent: false,
            closing: false,
            abandon: false,
            ended: false,
            opened: None,
            turn: 0,
            above_mark: false,
            locked_out: false,
            orders: std::collections::VecDeque::new(),
            alarms: Vec::new(),
        };
        Ok(Self {
            options,
            redactor,
            epoch: Instant::now(),
            clock: AtomicU8::new(0),
            hurried: AtomicBool::new(false),
            state: Mutex::new(state),
            work: Condvar::new(),
            progress: Condvar::new(),
        })
    }

    /// Notes what the writer cannot go on for.
    fn is_waiting(&self, error: &StoreError) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.stats.waiting = Some(error.to_string());
        state.locked_out = !matches!(error, StoreError::Full { .. });
        state
    }

    /// A poisoned lock only means that some caller panicked; the state is consistent at every unlock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hurry(&self) {
        if !self.hurried.swap(true, Ordering::AcqRel) && !self.urge(&mut self.lock()) {
            self.hurried.store(false, Ordering::Release);
        }
    }

    fn clock(&self) -> Clock {
        match self.clock.load(Ordering::Relaxed) {
            0 => Clock::Unset,
            1 => Clock::Rtc,
            _ => Clock::Synchronised,
        }
    }

    fn monotonic(&self) -> u64 {
        crate::record::nanoseconds(self.epoch.elapsed())
    }

    /// Wall clock minus monotonic clock, ns: constant until the wall clock is set.
    fn clock_offset(&self) -> i64 {
        now().saturating_sub(i64::try_from(self.monotonic()).unwrap_or(i64::MAX))
    }

    fn wait_opened(&self, deadline: Duration) -> Result<(), StoreError> {
        let until = after(Instant::now(), deadline);
        let mut state = self.lock();
        while state.opened.is_none() {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { break };
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // From here on the recorder is open, whatever storage says later: it goes on trying.
        state.opened.replace(Ok(())).unwrap_or(Ok(()))
    }
}

/// The instant that long after another, or one that nobody lives to see.
fn after(instant: Instant, duration: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    instant.checked_add(duration).unwrap_or_else(|| instant + CENTURY)
}

/// Nanoseconds since 1970-01-01T00:00:00Z.
fn now() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

/// A handle to a log that is open for recording; cheap to clone. The last one to go closes it.
///
/// ```
/// use lowlight_host::{Outcome, Record, Recorder};
/// use std::time::Duration;
/// let dir = tempfile::tempdir()?;
/// let recorder = Recorder::builder(dir.path().join("logs")).open()?;
/// let ticket = recorder.record(Record::inference("phi-3-mini").prompt("hello").response("hi"))?;
/// assert!(matches!(ticket.wait(), Outcome::Durable(_)));
/// recorder.close(Duration::from_secs(5))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Recorder {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        // Who wants to know calls `close`.
        let _ = self.0.close(Duration::from_secs(5));
    }
}

impl Recorder {
    /// Options for a log in directory `path`.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref().to_path_buf())
    }

    fn from_shared(shared: Arc<Shared>) -> Self {
        Self { handle: Arc::new(Handle(shared)) }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }

    /// Hands a record over and returns at once.
    ///
    /// # Errors
    ///
    /// A record that breaks the format's limits is refused; nothing of it is kept or counted.
    pub fn record(&self, record: Record<'_>) -> Result<Ticket, RecordError> {
        record.check()?;
        Ok(self.accept(record))
    }

    /// Hands over what says that entries of a device were taken in.
    pub(crate) fn import(&self, import: Import) -> Ticket {
        self.accept(Record::import(import))
    }

    /// Says in the log what somebody must look at, in front of what is written next.
    pub(crate) fn alarm(&self, code: &'static str, text: String) {
        self.shared().lock().alarms.push((code, text));
    }

    fn accept(&self, record: Record<'_>) -> Ticket {
        let shared = self.shared();
        let options = &shared.options;
        let recorded = now();
        let preparation = Preparation {
            redactor: shared.redactor.as_ref().map(|(redactor, number)| (redactor, *number)),
            mode: options.content,
            content_cap: options.content_cap,
            app: options.app.as_deref(),
            environment: options.environment.as_deref(),
            estimate_tokens: options.estimate_tokens,
            recorded,
            monotonic: shared.monotonic(),
            clock: shared.clock(),
        };
        let prepared = record.prepared(&preparation);
        let cell = Arc::new(Cell::default());
        shared.push(Item { cell: Arc::clone(&cell) }, &prepared, recorded);
        Ticket { cell, shared: Arc::clone(shared) }
    }

    /// Starts an inference of `model`; see [`Span`].
    pub fn span(&self, model: &str) -> Span {
        Span::new(self.clone(), model)
    }

    /// Waits until all records accepted before the call are durable or lost.
    ///
    /// # Errors
    ///
    /// The deadline passed first.
    pub fn flush(&self, deadline: Duration) -> Result<(), TimedOut> {
        self.shared().flush(deadline)
    }

    /// Accepts no more records, waits until all are durable or lost, writes the stop entry. Safe to call twice.
    ///
    /// # Errors
    ///
    /// The deadline passed first: the writer goes on with what it has in hand and gives up at the next failure.
    pub fn close(&self, deadline: Duration) -> Result<Stats, TimedOut> {
        self.shared().close(deadline)
    }

    /// Counts so far.
    pub fn stats(&self) -> Stats {
        self.shared().lock().stats.clone()
    }
}

impl Shared {
    fn push(&self, mut item: Item, prepared: &Prepared, recorded: i64) {
        let mut state = self.lock();
        let turn = state.turn;
        if !state.closing {
            state.turn = (turn + 1) % self.options.sample_one_in;
            if turn != 0 {
                state.queue.losses().add(GapReason::Sampled, 1, recorded);
                return self.lost(state, &item, LossReason::Sampled);
            }
        }
        let weight = queue::weight(prepared);
        let mut until = None;
        loop {
            if state.closing {
                drop(state);
                return item.cell.resolve(Outcome::Closed);
            }
            let mut evicted = Vec::new();
            let pushed = state.queue.push(item, prepared, recorded, &mut evicted);
            let full = LossReason::of(state.queue.full_reason());
            state.stats.queued -= evicted.len() as u64;
            evicted.iter().for_each(|_| state.stats.lost.count(full));
            if !evicted.is_empty() {
                state.loss_since.get_or_insert_with(Instant::now);
            }
            match pushed {
                Pushed::Queued => {
                    self.queued(state, weight, !evicted.is_empty());
                    // After unlocking: a waker is foreign code and may call back.
                    return evicted.iter().for_each(|old| old.cell.resolve(Outcome::Lost(full)));
                }
                Pushed::Lost(item, reason) => return self.lost(state, &item, LossReason::of(reason)),
                Pushed::Full(back) => item = back,
            }
            // OverflowPolicy::Block: wait for the writer, up to the deadline.
            let until = *until.get_or_insert_with(|| after(Instant::now(), self.options.block_for));
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                let reason = state.queue.full_reason();
                state.queue.losses().add(reason, 1, recorded);
                return self.lost(state, &item, full);
            };
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn queued(&self, mut state: MutexGuard<'_, State>, weight: usize, evicted: bool) {
        state.stats.received += 1;
        state.stats.queued += 1;
        state.entered += 1;
        let count = state.queue.len();
        let first = count == 1;
        if first {
            state.oldest = Some(Instant::now());
        }
        // Told once, by the record that makes it full: waking costs a system call even when nobody sleeps.
        let (bytes, full) = (state.queue.weight(), self.options.batch_bytes);
        let batch_is_full = count == self.options.batch_entries || (bytes >= full && bytes - weight < full);
        let above = state.queue.len() * 5 >= self.options.queue_entries.min(MAX_QUEUE) * 4;
        let rising = above && !state.above_mark;
        state.above_mark = above;
        let pressure = self.pressure(&state);
        drop(state);
        if first || batch_is_full {
            self.work.notify_one();
        }
        if rising || evicted {
            self.tell(pressure);
        }
    }

    fn lost(&self, mut state: MutexGuard<'_, State>, item: &Item, reason: LossReason) {
        state.stats.received += 1;
        state.loss_since.get_or_insert_with(Instant::now);
        state.stats.lost.count(reason);
        let pressure = self.pressure(&state);
        drop(state);
        // The writer may be asleep with an empty queue; the loss is to be written all the same.
        self.work.notify_one();
        item.cell.resolve(Outcome::Lost(reason));
        self.tell(pressure);
    }

    fn pressure(&self, state: &State) -> Pressure {
        let capacity = self.options.queue_entries.min(MAX_QUEUE) as u64;
        Pressure { queued: state.stats.queued, capacity, lost: state.stats.lost.total() }
    }

    /// Calls the callback, outside the lock; its panics stay here, and records it makes itself do not call it again.
    fn tell(&self, pressure: Pressure) {
        thread_local!(static INSIDE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
        let Some(callback) = &self.options.on_pressure else { return };
        if INSIDE.replace(true) {
            return;
        }
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| callback(pressure)));
        INSIDE.set(false);
    }

    fn flush(&self, deadline: Duration) -> Result<(), TimedOut> {
        let until = after(Instant::now(), deadline);
        let mut state = self.lock();
        let target = state.entered;
        loop {
            if state.oldest_unsettled() >= target || state.ended {
                return Ok(());
            }
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return Err(TimedOut { pending: state.stats.queued });
            };
            self.urge(&mut state);
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes the writer commit what is queued without collecting more. With nothing queued there is nothing to hurry:
    /// the next record must not be committed alone for it.
    fn urge(&self, state: &mut State) -> bool {
        let waiting = !state.queue.is_empty();
        if waiting {
            state.urgent = true;
            self.work.notify_one();
        }
        waiting
    }

    fn close(&self, deadline: Duration) -> Result<Stats, TimedOut> {
        let until = after(Instant::now(), deadline);
        let mut state = self.lock();
        state.closing = true;
        state.urgent = true;
        self.work.notify_all();
        while !state.ended {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                state.abandon = true;
                self.work.notify_all();
                return Err(TimedOut { pending: state.stats.queued });
            };
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(state.stats.clone())
    }
}
