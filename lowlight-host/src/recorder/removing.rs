//! Removing in the writer thread: retention that is due, erasure that is asked for, what an earlier run left over.
//!
//! ```text
//! order (caller, or the chooser's thread) -> tombstones -> checkpoint -> task by task, piece by piece -> WAL cut -> answer
//! ```
//!
//! 1. What is to be done is read from the tombstones, whoever wrote them: a crash between any two steps leaves the rest to
//!    the next start.
//! 2. Between two pieces batches are written; a piece holds the writers' lock for about [`PIECE`].
//! 3. "Erased" is said only after a WAL that holds nothing any more.

use super::queue::Hand;
use super::tasks::Task;
use super::worker::Worker;
use super::{Shared, now};
use crate::removal::{Choice, EraseError, Plan, RetentionPolicy, Room};
use crate::store::{ERASED, Layout, Reader, Store, StoreError, reserve};
use lowlight_core::{LogId, Sink as _};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Time of one piece, about.
pub(super) const PIECE: Duration = Duration::from_millis(30);
/// How long after a failure, or a reader that holds the WAL, the next attempt is made.
const PAUSE: Duration = Duration::from_millis(500);
/// How long retention may keep a recorder from ending.
const AT_CLOSE: Duration = Duration::from_secs(1);
/// How long after the last removal pages are given back to the file system.
const VACUUM_AFTER: Duration = Duration::from_secs(5);
/// How long removal may be in trouble until the log says so.
const TOLD_AFTER: Duration = Duration::from_secs(60);
/// The wall clock was set by more than this during the run: ages cannot be trusted.
const CLOCK_JUMP: u64 = 24 * 3600 * 1_000_000_000;

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Removed {
    /// Seqs of the tombstones that say so.
    pub tombstones: Vec<u64>,
    /// Whole entries.
    pub entries: u64,
    /// Content values.
    pub contents: u64,
    /// Entries that do not fit their hash: their blocks of 256 were left alone.
    pub altered: Vec<u64>,
    /// Entries of which an erasure removed content that was not what they committed to.
    pub unfit: Vec<u64>,
}

type Answer = SyncSender<Result<Removed, EraseError>>;

/// Something to remove.
#[derive(Debug)]
pub(super) struct Order {
    pub plans: Vec<Plan>,
    /// Redacted.
    pub reason: Option<String>,
    pub answer: Option<Answer>,
    /// From the chooser's thread: what could not be chosen, or why choosing failed.
    pub blocked: Option<String>,
    pub is_chosen: bool,
    /// The log it was chosen for, if it was chosen.
    pub log: Option<LogId>,
    /// There is more to choose at once.
    pub more: bool,
}

#[derive(Debug)]
struct Waiter {
    removed: Removed,
    answer: Answer,
}

/// The state of it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags of one thread")]
pub(super) struct Removing {
    interval: Duration,
    /// The order whose tombstones are being written, and their seqs so far.
    pub order: Option<Order>,
    pub seqs: Vec<u64>,
    pub(super) tasks: VecDeque<Task>,
    waiting: Vec<Waiter>,
    /// Tombstones are still to be looked for.
    pub(super) is_loaded: bool,
    pub(super) log: Option<LogId>,
    /// Sizes of checkpoints, ascending.
    pub(super) cuts: Vec<u64>,
    /// Newest tombstone after which the WAL is still to be cut.
    pub(super) traces: Option<u64>,
    /// Pages may hold copies of what is erased: the database is written anew before the WAL is cut.
    pub(super) rewrite: bool,
    /// The newest erasure that is not finished, and the one up to which the database was written anew.
    pub(super) erasure: Option<u64>,
    pub(super) rewritten: Option<u64>,
    /// Something was deleted in this log, now or before.
    pub(super) has_begun: bool,
    /// A row that passes for a tombstone and does not fit its hash.
    pub(super) forged: Option<u64>,
    vacuum: bool,
    /// Bytes of records since the free room was looked at, about.
    pub(super) written: usize,
    pub(super) not_before: Option<Instant>,
    pub(super) choose_at: Option<Instant>,
    is_choosing: bool,
    closing_since: Option<Instant>,
    pub(super) problems: Problems,
    /// Wall clock minus monotonic clock when the run began, ns.
    offset: i64,
}

/// What keeps removal from going on; each is there until it is over.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// The last step failed, or a reader is in the way.
    step: Option<String>,
    /// Since when that is so, and whether the log says it.
    since: Option<Instant>,
    is_told: bool,
    /// Something is over a limit and may not go, or nothing could be chosen.
    blocked: Option<String>,
    /// The policy of the configuration is not in force.
    pub(super) refused: Option<String>,
}

impl Drop for Removing {
    /// Whoever waits is not left without an answer, however the writer ended.
    fn drop(&mut self) {
        self.give_up("the recorder ended first");
    }
}

impl Removing {
    pub(super) fn new(interval: Duration, offset: i64) -> Self {
        Self {
            interval,
            order: None,
            seqs: Vec::new(),
            tasks: VecDeque::new(),
            waiting: Vec::new(),
            is_loaded: false,
            log: None,
            cuts: Vec::new(),
            traces: None,
            rewrite: false,
            erasure: None,
            rewritten: None,
            has_begun: false,
            forged: None,
            vacuum: false,
            written: 0,
            not_before: None,
            choose_at: None,
            is_choosing: false,
            closing_since: None,
            problems: Problems::default(),
            offset,
        }
    }

    /// Whether ages cannot be trusted, because the clock was set during the run.
    pub(super) fn is_unsafe(&self, shared: &Shared) -> bool {
        self.offset.abs_diff(shared.clock_offset()) > CLOCK_JUMP
    }

    fn has_work(&self) -> bool {
        !self.is_loaded || !self.tasks.is_empty() || self.traces.is_some() || self.vacuum
    }

    /// When a choice is due. What is named and still there would be counted again: not before it is carried out.
    fn choice_due(&self) -> Option<Instant> {
        self.choose_at.filter(|_| !self.is_choosing && self.is_loaded && self.tasks.is_empty())
    }

    /// When there is something to do; `None` when nothing is.
    pub(super) fn due(&self) -> Option<Instant> {
        let work = self.has_work().then(|| self.not_before.unwrap_or_else(Instant::now));
        let choose = self.choice_due();
        [work, choose].into_iter().flatten().min()
    }

    /// Whether there is something that the end of the recorder waits for, and nothing in the way: somebody who wants an answer,
    /// an erasure, and for a moment retention, which short runs would never come to otherwise.
    pub(super) fn is_owed(&mut self) -> bool {
        let is_erasing = self.traces.is_some() || self.tasks.iter().any(|task| task.by_policy.is_none());
        let has_time = self.closing_since.get_or_insert_with(Instant::now).elapsed() < AT_CLOSE;
        let retains = has_time && (!self.tasks.is_empty() || self.is_choosing);
        (!self.waiting.is_empty() || is_erasing || !self.is_loaded || retains) && self.not_before.is_none()
    }

    /// Whether the end waits for a choice.
    pub(super) fn awaits_choice(&self) -> bool {
        self.is_choosing && self.closing_since.is_some_and(|since| since.elapsed() < AT_CLOSE)
    }

    /// The recorder ends: whoever waits is told that the rest is for the next one.
    pub(super) fn give_up(&mut self, why: &str) {
        for waiter in self.waiting.drain(..) {
            let _ = waiter.answer.try_send(Err(EraseError::Pending(why.to_owned())));
        }
    }

    /// Retention is on from here on: the first choice is made at once.
    pub(super) fn begin(&mut self, policy: &RetentionPolicy, is_upkeep: bool) {
        self.choose_at = (!policy.removes_nothing() && !is_upkeep).then(Instant::now);
    }

    /// Whether retention is on.
    pub(super) fn is_on(&self) -> bool {
        self.choose_at.is_some()
    }

    /// The tombstones of the order are durable.
    pub(super) fn written(&mut self) {
        let Some(order) = self.order.take() else { return };
        let tombstones = std::mem::take(&mut self.seqs);
        if let Some(answer) = order.answer {
            self.waiting.push(Waiter { removed: Removed { tombstones, ..Removed::default() }, answer });
        }
        self.is_loaded = false;
        self.not_before = None;
    }

    /// Tells the one who waits for a tombstone what was done for it.
    pub(super) fn count(&mut self, tombstone: u64, add: &dyn Fn(&mut Removed)) {
        let waiter = self.waiting.iter_mut().find(|waiter| waiter.removed.tombstones.contains(&tombstone));
        if let Some(waiter) = waiter {
            add(&mut waiter.removed);
        }
    }

    pub(super) fn answer(&mut self, upto: u64) {
        let nothing_left = self.tasks.is_empty() && self.traces.is_none();
        let is_done = |waiter: &Waiter| waiter.removed.tombstones.last().map_or(nothing_left, |last| *last <= upto);
        for waiter in self.waiting.extract_if(.., |waiter| is_done(waiter)) {
            // Who has gone away does not want it.
            let _ = waiter.answer.try_send(Ok(waiter.removed));
        }
    }
}

impl Worker<'_> {
    /// Writes the tombstones of an order; what they name is removed later.
    pub(super) fn serve(&mut self, order: Order) -> bool {
        if order.is_chosen {
            self.removing.is_choosing = false;
            let soon = if order.more { Duration::ZERO } else { self.removing.interval };
            self.removing.choose_at = Some(Instant::now() + soon);
            self.tell_blocked(order.blocked.clone());
        }
        if order.plans.iter().all(|plan| plan.runs.is_empty()) {
            // Whoever asks for nothing waits for what is left over.
            if let Some(answer) = order.answer {
                self.removing.waiting.push(Waiter { removed: Removed::default(), answer });
                (self.removing.is_loaded, self.removing.not_before) = (false, None);
            }
            return true;
        }
        self.removing.order = Some(order);
        self.settle_batch(&Hand::default())
    }

    /// What passes for a tombstone and is none is said once.
    pub(super) fn tell_forged(&mut self) {
        if let Some(seq) = self.removing.forged.take() {
            let why = format!(
                "entry {seq} passes for a tombstone or a policy and does not fit its hash: it is not carried out; run `lowlight verify`"
            );
            self.alarm("removal_stopped", why);
        }
    }

    fn tell_blocked(&mut self, blocked: Option<String>) {
        if let Some(why) = blocked.as_ref().filter(|_| self.removing.problems.blocked.is_none()) {
            self.alarm("retention_blocked", why.clone());
        }
        self.removing.problems.blocked = blocked;
        self.tell_problem();
    }

    pub(super) fn tell_problem(&self) {
        let Problems { step, blocked, refused, .. } = &self.removing.problems;
        let mut state = self.shared.lock();
        state.stats.removal_problem.clone_from(step);
        state.stats.retention_problem = refused.as_ref().or(blocked.as_ref()).cloned();
    }

    /// Does what is due: a choice, or a piece of removal.
    pub(super) fn remove_some(&mut self, shared: &Arc<Shared>) {
        if self.removing.choice_due().is_some_and(|at| at <= Instant::now()) {
            return self.start_choosing(shared);
        }
        self.step();
    }

    /// One step of what is to be removed; after an error a pause, and what is to be done is read anew.
    pub(super) fn step(&mut self) {
        let opened = self.store.take().map_or_else(|| self.open(), Ok);
        let (step, store) = match opened {
            Ok(mut store) => {
                let step = self.removal_step(&mut store);
                store.rollback();
                (step, Some(store))
            }
            Err(error) => (Err(error), None),
        };
        match step {
            Ok(problem) => {
                self.store = store;
                self.removing.problems.step = problem.map(str::to_owned);
            }
            Err(error) => {
                self.removing.not_before = Some(Instant::now() + PAUSE);
                self.removing.is_loaded = false;
                self.removing.problems.step = Some(error.to_string());
                // As in `recover`.
                if matches!(error, StoreError::Full { .. }) {
                    self.store = store;
                }
            }
        }
        let Problems { step, since, is_told, .. } = &mut self.removing.problems;
        match step {
            None => (*since, *is_told) = (None, false),
            Some(why) if !*is_told && since.get_or_insert_with(Instant::now).elapsed() > TOLD_AFTER => {
                *is_told = true;
                let text = format!("what is to be removed has stayed for a minute: {why}");
                self.alarm("removal_stopped", text);
            }
            Some(_) => {}
        }
        self.tell_problem();
    }

    /// What stands in the way, if something does.
    fn removal_step(&mut self, store: &mut Store) -> Result<Option<&'static str>, StoreError> {
        let removing = &mut self.removing;
        removing.not_before = None;
        if !removing.is_loaded {
            let head = store.begin()?;
            removing.load(store, head.size(), &Layout::new(&self.shared.options.path))?;
            store.rollback();
            // Tombstones that another recorder wrote need a checkpoint as well, and it may not make one.
            let is_behind = self.sealing.newest_size().max(self.sealing.open_size()) < head.size();
            if let Some(log) = removing.log.filter(|_| is_behind && !removing.tasks.is_empty()) {
                self.sealing.committed(log, head, false);
            }
            self.tell_forged();
            let removing = &mut self.removing;
            if removing.tasks.is_empty() && removing.traces.is_none() {
                removing.answer(u64::MAX);
            }
            return Ok(None);
        }
        if let Some(task) = removing.tasks.front() {
            if self.sealing.newest_size() <= task.seq {
                self.sealing.want("removal");
                self.seal(false);
            }
            if self.removing.tasks.front().is_some_and(|task| self.sealing.newest_size() > task.seq) {
                return self.pieces(store).map(|()| None);
            }
            self.removing.not_before = Some(Instant::now() + PAUSE);
            return Ok(Some("the checkpoint that must come before a removal could not be written"));
        }
        if let Some(upto) = removing.traces {
            if removing.rewrite && store.rewrite()? {
                (removing.rewrite, removing.rewritten) = (false, removing.erasure);
            }
            if removing.rewrite || !store.truncate_wal()? {
                removing.not_before = Some(Instant::now() + PAUSE);
                return Ok(Some("a reader keeps the log open: what was erased is still in its WAL"));
            }
            store.begin()?;
            store.set_cursor(ERASED, upto)?;
            store.commit_removal()?;
            removing.traces = None;
            // What is free may be wanted again soon; moving pages about for nothing is dear.
            (removing.vacuum, removing.not_before) = (true, Some(Instant::now() + VACUUM_AFTER));
            removing.answer(upto);
            return Ok(None);
        }
        removing.vacuum = store.vacuum_some(false)?;
        Ok(None)
    }

    /// Chooses what retention removes on a thread of its own, which reads the log as anybody does.
    fn start_choosing(&mut self, shared: &Arc<Shared>) {
        if self.removing.is_unsafe(shared) {
            self.removing.choose_at = None;
            self.alarms
                .push(("retention_stopped", "the clock was set by more than a day: nothing is removed until the next start".to_owned()));
            return;
        }
        reserve::keep(&Layout::new(&shared.options.path));
        let (shared, at) = (Arc::clone(shared), (now(), shared.clock()));
        let choose = move || {
            let choose = || -> Result<_, StoreError> {
                let reader = Reader::open(&shared.options.path)?;
                let room = Room::of(&reader, shared.options.min_free, 0);
                Ok((Choice::in_force(&reader, at, room)?, reader.log_id()))
            };
            let inodes = few_inodes(&shared.options.path, shared.options.min_inodes);
            // The writer waits for an answer: without one it would never choose again.
            let (plans, blocked, more, log) = match std::panic::catch_unwind(AssertUnwindSafe(choose)) {
                Ok(Ok((choice, log))) => (choice.plans(), choice.blocked.or(inodes), choice.more, Some(log)),
                Ok(Err(error)) => (Vec::new(), Some(error.to_string()), false, None),
                Err(_) => (Vec::new(), Some("choosing what to remove failed with a panic".to_owned()), false, None),
            };
            let more = more && !plans.is_empty();
            shared.lock().orders.push_back(Order { plans, reason: None, answer: None, blocked, is_chosen: true, more, log });
            shared.work.notify_one();
        };
        let removing = &mut self.removing;
        let started = std::thread::Builder::new().name("lowlight-choose".to_owned()).spawn(choose);
        removing.is_choosing = started.is_ok();
        removing.choose_at = Some(Instant::now() + removing.interval);
        if let Err(error) = started {
            self.tell_blocked(Some(format!("no thread to choose what to remove: {error}")));
        }
    }
}

/// What is to be said when a file system has fewer free inodes than it should; those without a fixed number have 0 in all.
fn few_inodes(path: &std::path::Path, least: u64) -> Option<String> {
    let stat = rustix::fs::statvfs(path).ok().filter(|stat| stat.f_files > 0)?;
    let free = stat.f_favail;
    (free < least).then(|| format!("the file system has {free} free inodes, fewer than {least}: removing entries frees none, remove files"))
}
