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

use super::worker::Worker;
use super::{Shared, now};
use crate::checkpoints::Checkpoints;
use crate::removal::{ALL_FIELDS, Choice, EraseError, Plan, RetentionPolicy, Room, RuleEntries as _};
use crate::store::{Altered, BLOCK, Block256, ERASED, Layout, REMOVED, Reader, Store, StoreError, reserve};
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Cause, Clock, Event, Facts};
use lowlight_core::{LogId, Sink as _};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Time of one piece, about.
const PIECE: Duration = Duration::from_millis(30);
/// How long after a failure, or a reader that holds the WAL, the next attempt is made.
const PAUSE: Duration = Duration::from_millis(500);
/// How long after the last removal pages are given back to the file system.
const VACUUM_AFTER: Duration = Duration::from_secs(5);
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
    /// There is more to choose at once.
    pub more: bool,
}

/// A tombstone whose work is not done.
#[derive(Debug)]
pub(super) struct Task {
    seq: u64,
    fields: u64,
    runs: VecDeque<Range<u64>>,
    /// Of an erasure: what is still to be overwritten before anything is deleted.
    blank: VecDeque<Range<u64>>,
    /// The policy it appeals to, and when.
    by_policy: Option<(RetentionPolicy, i64, Clock)>,
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
    log: Option<LogId>,
    /// Sizes of checkpoints, ascending.
    cuts: Vec<u64>,
    /// Newest tombstone after which the WAL is still to be cut.
    traces: Option<u64>,
    /// Pages may hold copies of what is erased: the database is written anew before the WAL is cut.
    rewrite: bool,
    vacuum: bool,
    /// Bytes of records since the free room was looked at, about.
    pub(super) written: usize,
    pub(super) not_before: Option<Instant>,
    pub(super) choose_at: Option<Instant>,
    is_choosing: bool,
    is_blocked: bool,
    /// Wall clock minus monotonic clock when the run began, ns.
    offset: i64,
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
            vacuum: false,
            written: 0,
            not_before: None,
            choose_at: None,
            is_choosing: false,
            is_blocked: false,
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

    /// When there is something to do; `None` when nothing is.
    pub(super) fn due(&self) -> Option<Instant> {
        let work = self.has_work().then(|| self.not_before.unwrap_or_else(Instant::now));
        let choose = self.choose_at.filter(|_| !self.is_choosing);
        [work, choose].into_iter().flatten().min()
    }

    /// Whether somebody waits for an answer, or an erasure is not finished, and nothing is in the way.
    pub(super) fn is_owed(&self) -> bool {
        let is_erasing = self.traces.is_some() || self.tasks.iter().any(|task| task.by_policy.is_none());
        (!self.waiting.is_empty() || is_erasing || !self.is_loaded) && self.not_before.is_none()
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
        self.is_loaded = false;
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
    fn count(&mut self, tombstone: u64, add: &dyn Fn(&mut Removed)) {
        let waiter = self.waiting.iter_mut().find(|waiter| waiter.removed.tombstones.contains(&tombstone));
        if let Some(waiter) = waiter {
            add(&mut waiter.removed);
        }
    }

    fn answer(&mut self, upto: u64) {
        let nothing_left = self.tasks.is_empty() && self.traces.is_none();
        let is_done = |waiter: &Waiter| waiter.removed.tombstones.last().map_or(nothing_left, |last| *last <= upto);
        for waiter in self.waiting.extract_if(.., |waiter| is_done(waiter)) {
            // Who has gone away does not want it.
            let _ = waiter.answer.try_send(Ok(waiter.removed));
        }
    }

    /// Reads which tombstones are still to be carried out, inside a batch.
    fn load(&mut self, store: &mut Store, dir: &Layout) -> Result<(), StoreError> {
        // Bookkeeping is no evidence: what it says beyond the log is not believed.
        let size = store.begin()?.size();
        let cursor = |name| Ok::<_, StoreError>(store.cursor(name)?.filter(|seq| *seq < size));
        let (done, erased) = (cursor(REMOVED)?, cursor(ERASED)?);
        self.log = store.log_id();
        self.tasks.clear();
        let mut is_erasing = false;
        let mut in_force = RetentionPolicy::default();
        store.each(&mut |body| {
            let Ok(entry) = decode(body) else { return };
            let header = &entry.header;
            match &entry.event {
                Event::Open(open) => in_force = RetentionPolicy::new(&open.policy),
                Event::Policy(policy) => in_force = RetentionPolicy::new(&policy.policy),
                Event::Tombstone(tombstone) if erased.is_none_or(|erased| header.seq > erased) => {
                    is_erasing |= tombstone.cause == Cause::Erasure;
                    if done.is_some_and(|done| header.seq <= done) {
                        return;
                    }
                    let by_policy =
                        matches!(tombstone.cause, Cause::Retention(_)).then(|| (in_force.clone(), header.recorded, header.clock));
                    // What a forged one says about entries that come after it is not carried out.
                    let runs: VecDeque<_> = tombstone.runs.iter().map(|run| run.start..run.end().min(header.seq)).collect();
                    let blank = if by_policy.is_none() { runs.clone() } else { VecDeque::new() };
                    self.tasks.push_back(Task { seq: header.seq, fields: tombstone.fields, runs, blank, by_policy });
                }
                _ => {}
            }
        })?;
        self.traces = done.filter(|done| erased.is_none_or(|erased| erased < *done));
        // What was deleted before may have left copies of what is to be erased now.
        self.rewrite = is_erasing && done.is_some();
        self.answer(erased.unwrap_or(0));
        self.cuts.clear();
        if let Some(log) = self.log.filter(|_| !self.tasks.is_empty()) {
            let mut journal = Checkpoints::open(dir.dir())?.of(log);
            while let Some(line) = journal.next()? {
                self.cuts.extend(line.ok().map(|sealed| sealed.size));
            }
        }
        self.is_loaded = true;
        Ok(())
    }
}

impl Worker<'_> {
    /// Writes the tombstones of an order; what they name is removed later.
    pub(super) fn serve(&mut self, order: Order) -> bool {
        if order.is_chosen {
            self.removing.is_choosing = false;
            let soon = if order.more { Duration::ZERO } else { self.removing.interval };
            self.removing.choose_at = Some(Instant::now() + soon);
            self.tell_blocked(order.blocked.as_deref());
        }
        if order.plans.iter().all(|plan| plan.runs.is_empty()) {
            // Whoever asks for nothing waits for what is left over.
            if let Some(answer) = order.answer {
                self.removing.waiting.push(Waiter { removed: Removed::default(), answer });
                self.removing.is_loaded = false;
            }
            return true;
        }
        self.removing.order = Some(order);
        self.settle_batch(Vec::new())
    }

    fn tell_blocked(&mut self, blocked: Option<&str>) {
        self.shared.lock().stats.removal_problem = blocked.map(str::to_owned);
        if let Some(why) = blocked.filter(|_| !self.removing.is_blocked) {
            self.alarms.push(("retention_blocked", why.to_owned()));
        }
        self.removing.is_blocked = blocked.is_some();
    }

    /// Does what is due: a choice, or a piece of removal.
    pub(super) fn remove_some(&mut self, shared: &Arc<Shared>) {
        if self.removing.choose_at.is_some_and(|at| at <= Instant::now()) && !self.removing.is_choosing {
            return self.start_choosing(shared);
        }
        let Some(mut store) = self.store.take() else {
            self.removing.not_before = Some(Instant::now() + PAUSE);
            return;
        };
        let step = self.removal_step(&mut store);
        store.rollback();
        match step {
            Ok(()) => self.store = Some(store),
            Err(error) => {
                self.removing.not_before = Some(Instant::now() + PAUSE);
                self.removing.is_loaded = false;
                self.shared.lock().stats.removal_problem = Some(error.to_string());
                if matches!(error, StoreError::Busy(_) | StoreError::Full { .. }) {
                    self.store = Some(store);
                }
            }
        }
    }

    pub(super) fn removal_step(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let removing = &mut self.removing;
        removing.not_before = None;
        if !removing.is_loaded {
            removing.load(store, &Layout::new(&self.shared.options.path))?;
            store.rollback();
            if removing.tasks.is_empty() && removing.traces.is_none() {
                removing.answer(u64::MAX);
            }
            return Ok(());
        }
        if let Some(task) = removing.tasks.front() {
            if self.sealing.newest_size() <= task.seq {
                self.sealing.want("removal");
                self.seal(false);
            }
            if self.removing.tasks.front().is_some_and(|task| self.sealing.newest_size() > task.seq) {
                return self.pieces(store);
            }
            self.removing.not_before = Some(Instant::now() + PAUSE);
            return Ok(());
        }
        if let Some(upto) = removing.traces {
            if removing.rewrite {
                removing.rewrite = !store.rewrite()?;
            }
            if removing.rewrite || !store.truncate_wal()? {
                removing.not_before = Some(Instant::now() + PAUSE);
                self.shared.lock().stats.removal_problem =
                    Some("a reader keeps the log open: what was erased is still in its WAL".to_owned());
                return Ok(());
            }
            store.begin()?;
            store.set_cursor(ERASED, upto)?;
            store.commit_removal()?;
            removing.traces = None;
            // What is free may be wanted again soon; moving pages about for nothing is dear.
            (removing.vacuum, removing.not_before) = (true, Some(Instant::now() + VACUUM_AFTER));
            removing.answer(upto);
            self.shared.lock().stats.removal_problem = None;
            return Ok(());
        }
        removing.vacuum = store.vacuum_some(false)?;
        Ok(())
    }

    /// As much of the first task as fits into one transaction.
    fn pieces(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let begun = Instant::now();
        store.begin()?;
        if store.log_id() != self.removing.log {
            self.removing.is_loaded = false;
            return Ok(());
        }
        if let Some(task) = self.removing.tasks.iter_mut().find(|task| !task.blank.is_empty()) {
            let fields = if task.fields == 0 { ALL_FIELDS } else { task.fields };
            while begun.elapsed() < PIECE
                && let Some(run) = task.blank.front_mut()
            {
                run.start = store.blank_contents(run, fields)?;
                if run.is_empty() {
                    task.blank.pop_front();
                }
            }
            return store.commit_removal();
        }
        let Some(mut task) = self.removing.tasks.pop_front() else { return Ok(()) };
        let mut altered = Vec::new();
        let (mut entries, mut contents) = (0, 0);
        while begun.elapsed() < PIECE
            && let Some(run) = task.runs.front_mut()
        {
            let by_policy = task.by_policy.clone();
            let is_whole = task.fields == 0;
            let is_allowed = |policy: &RetentionPolicy, facts: &Facts<'_>, age| {
                if is_whole { policy.as_entry().allows_whole(facts, age) } else { policy.as_entry().allows(facts, age) }
            };
            let may_go = |facts: &Facts<'_>| {
                by_policy.as_ref().is_none_or(|(policy, at, clock)| is_allowed(policy, facts, facts.age_s(*at, *clock)))
            };
            if task.fields != 0 {
                let piece = store.remove_contents(run, task.fields, by_policy.as_ref().map(|_| &may_go as _))?;
                contents += piece.deleted;
                altered.extend(piece.altered);
                run.start = piece.next;
            } else if let Some(first) = store.first_removable(run)? {
                let block = first / BLOCK * BLOCK;
                let runs: Vec<_> = task.runs.iter().take_while(|run| run.start < block + BLOCK).cloned().collect();
                match store.remove_entries(block, &runs, &self.removing.cuts, &may_go)? {
                    Ok(Block256::Done(count)) => entries += count,
                    // The rest of it is for the next transaction.
                    Ok(Block256::Lightened(_)) => break,
                    Err(Altered { seq }) => altered.push(seq),
                }
                task.runs.iter_mut().for_each(|run| run.start = run.start.max(block + BLOCK));
            } else {
                run.start = run.end;
            }
            while task.runs.front().is_some_and(Range::is_empty) {
                task.runs.pop_front();
            }
        }
        let is_done = task.runs.is_empty();
        if is_done {
            store.set_cursor(REMOVED, task.seq)?;
        }
        store.commit_removal()?;
        self.count_removed(task.seq, entries, contents, &altered);
        if is_done {
            self.removing.traces = Some(task.seq);
        } else {
            self.removing.tasks.push_front(task);
        }
        Ok(())
    }

    fn count_removed(&mut self, tombstone: u64, entries: u64, contents: u64, altered: &[u64]) {
        for seq in altered {
            let why = format!("entry {seq} does not fit its hash: it stays, with those around it; run `lowlight verify`");
            self.alarms.push(("removal_stopped", why));
        }
        self.removing.count(tombstone, &|removed| {
            removed.entries += entries;
            removed.contents += contents;
            removed.altered.extend(altered);
        });
        let mut state = self.shared.lock();
        state.stats.removed_entries += entries;
        state.stats.removed_contents += contents;
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
            let chosen = Reader::open(&shared.options.path).and_then(|reader| {
                let room = Room::of(&reader, shared.options.min_free, 0);
                Choice::in_force(&reader, at, room)
            });
            let inodes = few_inodes(&shared.options.path, shared.options.min_inodes);
            let (plans, blocked, more) = match chosen {
                Ok(choice) => (choice.plans(), choice.blocked.or(inodes), choice.more),
                Err(error) => (Vec::new(), Some(error.to_string()), false),
            };
            let more = more && !plans.is_empty();
            shared.lock().orders.push_back(Order { plans, reason: None, answer: None, blocked, is_chosen: true, more });
            shared.work.notify_one();
        };
        let removing = &mut self.removing;
        removing.is_choosing = std::thread::Builder::new().name("lowlight-choose".to_owned()).spawn(choose).is_ok();
        removing.choose_at = Some(Instant::now() + removing.interval);
    }
}

/// What is to be said when a file system has fewer free inodes than it should; those without a fixed number have 0 in all.
fn few_inodes(path: &std::path::Path, least: u64) -> Option<String> {
    let stat = rustix::fs::statvfs(path).ok().filter(|stat| stat.f_files > 0)?;
    let free = stat.f_favail;
    (free < least).then(|| format!("the file system has {free} free inodes, fewer than {least}: removing entries frees none, remove files"))
}
