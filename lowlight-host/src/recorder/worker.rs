//! The writer thread: collects a batch, writes it, tells the tickets; stays alive whatever storage does.
//!
//! ```text
//! open (retry) -> start entries -> { collect -> write (retry, reopen, quarantine) -> settle }* -> stop entry -> end
//! ```
//!
//! 1. A batch stays in hand until storage says that it is durable or the recorder is told to give up.
//! 2. After a failed COMMIT the stored leaf at our first seq tells whether the batch is there; nothing is written twice.
//! 3. Losses are written as Gap entries in front of the next batch; they are forgotten only once that is durable.

use super::beside::Beside;
use super::doubt::{Attempt, Doubt, Settled};
use super::entries::{self, Entropy};
use super::queue::{Hand, Item};
use super::removing::{Order, Removing};
use super::sealing::Sealing;
use super::{LossReason, MAX_BATCH_BYTES, Outcome, Shared, State, after, now};
use crate::keys;
use crate::removal::EraseError;
use crate::store::{Layout, RunLock, Store, StoreError};
use lowlight_core::entry::{GapReason, Predecessor};
use lowlight_core::{Batch, LogId, Losses};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// What the thread owns.
pub(super) struct Worker<'s> {
    pub(super) shared: &'s Shared,
    pub(super) sealing: Sealing,
    witnessing: Option<Beside>,
    pub(super) copying: Option<Beside>,
    pub(super) removing: Removing,
    /// The log says that the next key takes the place of the key.
    pub(super) rotating: bool,
    pub(super) store: Option<Store>,
    pub(super) run: Option<RunLock>,
    pub(super) entropy: Entropy,
    pub(super) losses: Losses,
    pub(super) alarms: Vec<(&'static str, String)>,
    pub(super) predecessor: Option<Predecessor>,
    pub(super) doubt: Doubt,
    /// Whether the attempt that closing is owed was made.
    last_attempt: bool,
    /// Open without verifying, once.
    pub(super) skip_verify: bool,
    /// What is wrong with the log, when a batch found it damaged.
    pub(super) damage: Option<String>,
    /// The log in which the entries that begin this run are durable.
    pub(super) run_log: Option<LogId>,
    /// Wall clock minus monotonic clock at the start or the last step, ns.
    pub(super) offset: i64,
    /// The wall clock was set and no durable entry says so: what it would show, and what it shows.
    pub(super) clock_set: Option<(i64, i64)>,
}

/// What there is to do next.
enum Work {
    Batch(Hand),
    Order(Order),
}

/// Ends the recorder when the thread ends, even by a panic, so that nobody waits for ever.
struct EndGuard<'s>(&'s Shared);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closing = true;
        state.ended = true;
        state.opened.get_or_insert(Ok(()));
        let left = state.queue.take_items();
        for answer in state.orders.drain(..).filter_map(|order| order.answer) {
            let _ = answer.try_send(Err(EraseError::NotWritten("the recorder ended".to_owned())));
        }
        // After a panic there may be records in hand as well; their tickets resolve as they are dropped.
        let unsettled = state.stats.queued;
        state.stats.queued = 0;
        state.in_hand = 0;
        (0..unsettled).for_each(|_| state.stats.lost.count(LossReason::Abandoned));
        drop(state);
        self.0.progress.notify_all();
        drop(left);
    }
}

pub(super) fn run(shared: &Arc<Shared>) {
    let _end = EndGuard(shared);
    let options = &shared.options;
    let mut worker = Worker {
        shared,
        witnessing: None,
        copying: None,
        sealing: Sealing::new(Layout::new(&options.path), options.checkpoint_every, options.checkpoint_interval),
        removing: Removing::new(options.retention_interval, shared.clock_offset()),
        rotating: false,
        store: None,
        run: None,
        entropy: Entropy::default(),
        losses: Losses::new(),
        alarms: Vec::new(),
        predecessor: None,
        doubt: Doubt::default(),
        last_attempt: false,
        skip_verify: false,
        damage: None,
        run_log: None,
        offset: shared.clock_offset(),
        clock_set: None,
    };
    worker.measure_clock();
    worker.start_beside(shared);
    // The start entries go through the same path as any batch: an empty one.
    if !worker.settle_batch(&Hand::default()) {
        return;
    }
    while let Some(work) = worker.collect(shared) {
        worker.measure_clock();
        let goes_on = match work {
            Work::Batch(hand) => worker.settle_batch(&hand),
            Work::Order(order) => worker.serve(order),
        };
        if !goes_on {
            return;
        }
    }
    worker.stop();
}

impl Worker<'_> {
    /// Waits for the next batch or order; `None` when the recorder is closing and nothing is left to do. Pieces of removal
    /// are done here: one before each batch, and while nothing else is to be done.
    fn collect(&mut self, shared: &Arc<Shared>) -> Option<Work> {
        let options = &self.shared.options;
        let mut state = self.shared.lock();
        let mut may_remove = true;
        loop {
            // What the log is to say is written without waiting for a record.
            if !self.alarms.is_empty() {
                state.loss_since.get_or_insert_with(Instant::now);
            }
            if let Some(order) = state.orders.pop_front() {
                return Some(Work::Order(order));
            }
            let is_wanted = !state.closing || (!state.abandon && self.removing.is_owed());
            if (may_remove || state.queue.is_empty()) && is_wanted && self.removing.due().is_some_and(|due| due <= Instant::now()) {
                may_remove = false;
                drop(state);
                self.remove_some(shared);
                state = self.shared.lock();
                continue;
            }
            if state.queue.is_empty() {
                if state.closing && !is_wanted {
                    return None;
                }
                if state.closing && self.removing.awaits_choice() {
                    state = self.shared.work.wait_timeout(state, FIRST_PAUSE).unwrap_or_else(PoisonError::into_inner).0;
                    continue;
                }
                let Some(since) = state.loss_since else {
                    state = self.wait_idle(state);
                    continue;
                };
                // Losses with nothing behind them are written all the same, when the usual window is over.
                let left = after(since, options.max_loss_window).saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Some(Work::Batch(Hand::default()));
                }
                state = self.shared.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let due = after(state.oldest.unwrap_or_else(Instant::now), options.max_loss_window);
            let full = state.queue.len() >= options.batch_entries || state.queue.weight() >= options.batch_bytes;
            let left = due.saturating_duration_since(Instant::now());
            if full || state.urgent || state.closing || left.is_zero() {
                break;
            }
            state = self.shared.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(Work::Batch(self.drain(&mut state)))
    }

    /// Waits for work, or until some of its own is due; when entries are in no checkpoint for too long, writes one.
    fn wait_idle<'m>(&mut self, state: MutexGuard<'m, State>) -> MutexGuard<'m, State>
    where
        Self: 'm,
    {
        let seal = self.sealing.due();
        let Some(due) = [seal, self.removing.due()].into_iter().flatten().min() else {
            return self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let left = due.saturating_duration_since(Instant::now());
        if seal.is_some_and(|seal| seal <= Instant::now()) {
            drop(state);
            self.seal(false);
            return self.shared.lock();
        }
        self.shared.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }

    /// At the start of a run, under the writers' lock: checkpoints beyond the end of the log are of another past.
    fn look_at_journal(&mut self, log: Option<LogId>, size: u64) {
        let Some(log) = log else { return };
        match self.sealing.journal.set_aside_if_ahead(log, size, now()) {
            Ok(None) => {}
            Ok(Some(aside)) => {
                let name = aside.file_name().unwrap_or_default().display();
                let text = format!("checkpoints go on beyond the log, which was cut or put back; moved to quarantine/{name}");
                self.alarm("journal_ahead", text);
            }
            Err(error) => self.alarm("checkpoint_failed", format!("the journal of checkpoints cannot be used: {error}")),
        }
    }

    /// Starts what goes on beside the writer.
    fn start_beside(&mut self, shared: &Arc<Shared>) {
        match super::copying::start(shared) {
            Ok(copying) => self.copying = copying,
            Err(error) => self.copy_fails(format!("no thread for the copy: {error}")),
        }
        match super::witnessing::start(shared) {
            Ok(witnessing) => self.witnessing = witnessing,
            Err(error) => {
                let text = format!("no thread for the witness: {error}");
                self.alarm("witness_silent", text.clone());
                self.shared.lock().stats.witness_problem = Some(text);
            }
        }
    }

    /// Something that the log is to say; once, however often it happens before it can be written.
    pub(super) fn alarm(&mut self, code: &'static str, text: impl Into<String>) {
        if !self.alarms.iter().any(|(known, _)| *known == code) {
            self.alarms.push((code, text.into()));
        }
    }

    pub(super) fn seal(&mut self, is_end: bool) {
        let (before, was_failing) = (self.sealing.newest_size(), self.sealing.is_failing());
        let sealed = self.sealing.seal(is_end, now());
        if self.sealing.newest_size() != before {
            self.witnessing.iter().chain(&self.copying).for_each(Beside::wake);
        }
        if was_failing && !self.sealing.is_failing() {
            self.shared.lock().stats.checkpoint_problem = None;
        }
        if let Err(error) = sealed {
            self.alarm("checkpoint_failed", format!("a checkpoint could not be written: {error}"));
            self.shared.lock().stats.checkpoint_problem = Some(error.to_string());
        }
    }

    fn drain(&mut self, state: &mut State) -> Hand {
        state.first_in_hand = state.entered - state.queue.len() as u64;
        let hand = state.queue.take(self.shared.options.batch_bytes.max(MAX_BATCH_BYTES));
        state.in_hand = hand.items.len() as u64;
        if state.queue.is_empty() {
            state.urgent = false;
            self.shared.hurried.store(false, Ordering::Release);
            state.oldest = None;
        }
        self.shared.progress.notify_all();
        hand
    }

    /// Writes a batch, however long it takes; `false` when the recorder is to end without it.
    pub(super) fn settle_batch(&mut self, hand: &Hand) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.write(hand) {
                Ok(outcomes) => {
                    self.settled(&hand.items, &outcomes);
                    self.seal(false);
                    self.wake_copying();
                    self.keep_room(hand.length());
                    return true;
                }
                Err(error) => {
                    if !self.recover(error, &mut pause) {
                        // They are counted, with those still queued, when the thread ends; their tickets resolve as they are dropped.
                        return false;
                    }
                }
            }
        }
    }

    fn settled(&mut self, items: &[Item], outcomes: &[Outcome]) {
        // Tickets first: whoever sees `flush` return finds them resolved.
        for (item, outcome) in items.iter().zip(outcomes) {
            item.cell.resolve(*outcome);
        }
        let mut state = self.shared.lock();
        state.stats.queued -= items.len() as u64;
        state.in_hand = 0;
        state.stats.waiting = None;
        state.locked_out = false;
        state.queue.set_full_reason(GapReason::QueueFull);
        state.stats.log_id = self.store.as_ref().and_then(Store::log_id).map(|id| id.to_string());
        state.opened.get_or_insert(Ok(()));
        for outcome in outcomes {
            match outcome {
                Outcome::Durable(seq) => {
                    state.stats.durable += 1;
                    state.stats.last_seq = Some(*seq);
                }
                _ => state.stats.lost.count(LossReason::Rejected),
            }
        }
        drop(state);
        self.shared.progress.notify_all();
    }

    /// Decides what to do about a failure; `false` means give up.
    fn recover(&mut self, error: StoreError, pause: &mut Duration) -> bool {
        let opening = self.store.is_none();
        // Only a full disk leaves the connection as it was: one that is busy longer than SQLite waits may itself hold a lock that it
        // could not give back. Closing it may wait for the disk, so callers must be able to go on meanwhile.
        let is_full = matches!(error, StoreError::Full { .. });
        if !is_full {
            self.store = None;
        } else if self.make_room() {
            *pause = FIRST_PAUSE;
        }
        let mut state = self.shared.is_waiting(&error);
        if is_full {
            state.queue.set_full_reason(GapReason::DiskFull);
            self.alarm("disk_full", "storage had no space or was read-only; what was dropped stands in a gap entry");
        }
        if error.is_hopeless() && opening && self.run_log.is_none() && state.opened.is_none() {
            state.opened = Some(Err(error));
            return false;
        }
        drop(state);
        if let StoreError::Corrupt { why, .. } = error {
            self.damage = Some(why);
        }
        self.rest(pause)
    }

    /// Waits, longer each time; `false` when nobody waits for the outcome any more.
    fn rest(&mut self, pause: &mut Duration) -> bool {
        let until = Instant::now() + *pause;
        *pause = (*pause * 2).min(LAST_PAUSE);
        let mut state = self.shared.lock();
        while !state.abandon {
            // Whoever closes gets one more attempt at once, instead of what is left of a long pause.
            if state.closing && !std::mem::replace(&mut self.last_attempt, true) {
                break;
            }
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { break };
            state = self.shared.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.abandon
    }

    /// One attempt at a batch, start entries first if they are still to be written.
    pub(super) fn write(&mut self, hand: &Hand) -> Result<Vec<Outcome>, StoreError> {
        let mut store = match self.store.take() {
            Some(store) => store,
            None => self.open()?,
        };
        let result = self.write_to(&mut store, hand);
        self.store = Some(store);
        result
    }

    fn write_to(&mut self, store: &mut Store, hand: &Hand) -> Result<Vec<Outcome>, StoreError> {
        let mut batch = Batch::begin(store)?;
        let (first, log) = (batch.head().size(), batch.sink().log_id());
        if let Some(Settled { outcomes, alarms, tombstones }) = self.doubt.settle(batch.sink())? {
            self.removing.seqs = tombstones;
            // A COMMIT that failed was durable after all: all entries of the batch are there.
            let head = batch.head().clone();
            drop(batch);
            if let Some(log) = log {
                self.sealing.committed(log, head, Some(log) != self.run_log);
            }
            self.committed(alarms, log);
            self.count_rejected(&outcomes);
            return Ok(outcomes);
        }
        // While an attempt may be there, the next has nothing to say that did not stand in it.
        if self.doubt.is_empty() {
            let fresh = {
                let mut state = self.shared.lock();
                state.loss_since = None;
                self.alarms.append(&mut state.alarms);
                state.queue.losses().take().collect::<Vec<_>>()
            };
            fresh.into_iter().for_each(|gap| self.losses.merge(gap));
        }
        // Another log than the one this run was started in: moved aside, replaced, or not there before.
        let is_start = first == 0 || log.is_none() || log != self.run_log;
        if is_start {
            self.look_at_journal(log, first);
            self.run = None;
            self.run = Some(entries::start(self, &mut batch)?);
        }
        let run = self.run.as_ref().map_or(0, |run| run.number);
        entries::notices(&mut batch, run, self)?;
        entries::tombstones(&mut batch, run, self)?;
        let records = batch.head().size();
        let mut outcomes = Vec::with_capacity(hand.items.len());
        for record in hand.records() {
            outcomes.push(entries::append(
                &mut batch,
                record,
                (run, self.shared.options.content),
                &mut self.entropy,
                &mut self.sealing.error_seen,
            )?);
        }
        if batch.head().size() == first {
            self.doubt = Doubt::default();
            self.count_rejected(&outcomes);
            return Ok(outcomes);
        }
        let leaf = batch.sink().leaf(first)?;
        match batch.commit() {
            Ok(head) => {
                if let Some(log) = log {
                    self.sealing.committed(log, head, is_start);
                }
            }
            Err(error) => {
                if let Some(leaf) = leaf {
                    let (alarms, tombstones) = (self.alarms.len(), self.removing.seqs.clone());
                    self.doubt.add(Attempt { first, leaf, records, alarms, tombstones }, outcomes);
                }
                return Err(error);
            }
        }
        self.committed(self.alarms.len(), log);
        self.count_rejected(&outcomes);
        Ok(outcomes)
    }

    /// Records that storage refused become a gap of the next batch.
    fn count_rejected(&mut self, outcomes: &[Outcome]) {
        let rejected = outcomes.iter().filter(|outcome| **outcome == Outcome::Lost(LossReason::Rejected)).count() as u64;
        if rejected > 0 {
            self.losses.add(GapReason::Rejected, rejected, now());
            self.shared.lock().loss_since.get_or_insert_with(Instant::now);
        }
    }

    /// What went into the batch that is durable now, its first `alarms` among it, need not be written again.
    fn committed(&mut self, alarms: usize, log: Option<LogId>) {
        self.run_log = log;
        if std::mem::take(&mut self.rotating)
            && let Err(error) = keys::complete_rotation(&Layout::new(&self.shared.options.path))
        {
            self.alarm("rotation_failed", format!("the next key could not be put in its place: {error}"));
        }
        if self.removing.order.is_some() {
            self.sealing.want("removal");
            self.removing.written();
        }
        self.doubt = Doubt::default();
        self.losses = Losses::new();
        self.clock_set = None;
        self.alarms.drain(..alarms.min(self.alarms.len()));
        self.predecessor = None;
    }

    /// Writes the stop entry and marks the run as stopped.
    fn stop(&mut self) {
        let why = self.shared.lock().stats.removal_problem.clone().unwrap_or_else(|| "the recorder ended first".to_owned());
        self.removing.give_up(&why);
        let (mut pause, mut attempts) = (FIRST_PAUSE, 0);
        while let Err(error) = self.try_stop(attempts) {
            drop(self.shared.is_waiting(&error));
            if error.is_hopeless() || !self.rest(&mut pause) {
                return;
            }
            attempts += 1;
        }
        self.shared.lock().locked_out = false;
        self.seal(true);
        if !self.shared.lock().abandon {
            self.copying.iter().for_each(Beside::wake);
            Beside::finish([self.copying.take(), self.witnessing.take()]);
        }
    }

    fn try_stop(&mut self, attempts: u64) -> Result<(), StoreError> {
        let mut store = self.store.take().map_or_else(|| self.open(), Ok)?;
        let done = entries::stop(self, &mut store, attempts > 0);
        // As in `recover`.
        self.store = matches!(done, Ok(()) | Err(StoreError::Full { .. })).then_some(store);
        done
    }
}
