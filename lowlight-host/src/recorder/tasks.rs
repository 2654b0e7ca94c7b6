//! Tombstones that are still to be carried out, and carrying them out piece by piece.
//!
//! 1. What is to be done is what the tombstones of the log say that fit their hashes; bookkeeping only says which are done.
//! 2. A task is changed in memory only as its transaction changes the log: after an error all of them are read anew.

use super::removing::{PIECE, Removing};
use super::worker::Worker;
use crate::checkpoints::Checkpoints;
use crate::removal::{ALL_FIELDS, RetentionPolicy, RuleEntries as _};
use crate::store::{Altered, BEGUN, BLOCK, Block256, ERASED, Layout, REMOVED, Store, StoreError};
use lowlight_core::Sink as _;
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Cause, Clock, Event, Facts};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

/// A tombstone whose work is not done.
#[derive(Debug)]
pub(super) struct Task {
    pub seq: u64,
    fields: u64,
    runs: VecDeque<Range<u64>>,
    /// Of an erasure: what is still to be overwritten before anything is deleted.
    blank: VecDeque<Range<u64>>,
    /// The policy it appeals to, and when.
    pub by_policy: Option<(RetentionPolicy, i64, Clock)>,
}

impl Task {
    /// Overwrites some of what an erasure names; entries whose content was not what they committed to.
    fn overwrite(&mut self, store: &mut Store, begun: Instant) -> Result<Vec<u64>, StoreError> {
        let mut altered = Vec::new();
        let fields = if self.fields == 0 { ALL_FIELDS } else { self.fields };
        while begun.elapsed() < PIECE
            && let Some(run) = self.blank.front_mut()
        {
            let piece = store.blank_contents(run, fields)?;
            altered.extend(piece.altered);
            run.start = piece.next;
            if run.is_empty() {
                self.blank.pop_front();
            }
        }
        Ok(altered)
    }
}

impl Removing {
    /// Reads which tombstones are still to be carried out, inside a batch.
    pub(super) fn load(&mut self, store: &Store, size: u64, dir: &Layout) -> Result<(), StoreError> {
        if self.log.is_some() && self.log != store.log_id() {
            self.give_up("the log was moved aside");
            self.rewritten = None;
        }
        // Bookkeeping is no evidence: what it says beyond the log is not believed.
        let cursor = |name| Ok::<_, StoreError>(store.cursor(name)?.filter(|seq| *seq < size));
        let (done, erased) = (cursor(REMOVED)?, cursor(ERASED)?);
        self.log = store.log_id();
        self.tasks.clear();
        let (mut erasure, mut bodies) = (None, Vec::new());
        let (mut in_force, mut policies) = (RetentionPolicy::default(), Vec::new());
        store.each(&mut |body| {
            let Ok(entry) = decode(body) else { return };
            let header = &entry.header;
            match &entry.event {
                Event::Open(open) => {
                    in_force = RetentionPolicy::new(&open.policy);
                    policies.push((header.seq, body.to_vec()));
                }
                Event::Policy(policy) => {
                    in_force = RetentionPolicy::new(&policy.policy);
                    policies.push((header.seq, body.to_vec()));
                }
                Event::Tombstone(tombstone) if erased.is_none_or(|erased| header.seq > erased) => {
                    if tombstone.cause == Cause::Erasure {
                        erasure = Some(header.seq);
                    }
                    if done.is_some_and(|done| header.seq <= done) {
                        return;
                    }
                    bodies.push(body.to_vec());
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
        self.forget_forged(store, &bodies, &policies)?;
        // What was deleted before may have left copies of what is to be erased now.
        self.has_begun = store.cursor(BEGUN)?.is_some();
        self.rewrite = self.has_begun && erasure > self.rewritten;
        self.erasure = erasure;
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

    /// Drops tasks that no entry of the log asks for; `bodies` are those of the tombstones.
    fn forget_forged(&mut self, store: &Store, bodies: &[Vec<u8>], policies: &[(u64, Vec<u8>)]) -> Result<(), StoreError> {
        // A row that somebody made is no tombstone.
        for (place, body) in bodies.iter().enumerate().rev() {
            if let Some(task) = self.tasks.get(place)
                && !store.is_authentic(task.seq, body)?
            {
                self.forged = Some(task.seq);
                self.tasks.remove(place);
            }
        }
        // Nor is a policy; what it would allow is not done.
        for (seq, body) in policies.iter().filter(|_| self.tasks.iter().any(|task| task.by_policy.is_some())) {
            if !store.is_authentic(*seq, body)? {
                self.forged = Some(*seq);
                self.tasks.retain(|task| task.by_policy.is_none());
                break;
            }
        }
        Ok(())
    }
}

impl Worker<'_> {
    /// As much of the first task as fits into one transaction.
    pub(super) fn pieces(&mut self, store: &mut Store) -> Result<(), StoreError> {
        store.begin()?;
        let begun = Instant::now();
        if store.log_id() != self.removing.log {
            self.removing.is_loaded = false;
            return Ok(());
        }
        if self.blank(store, begun)? {
            return Ok(());
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
                contents += piece.done;
                altered.extend(piece.altered);
                run.start = piece.next;
            } else if let Some(first) = store.first_removable(run)? {
                let block = first / BLOCK * BLOCK;
                let runs: Vec<_> = task.runs.iter().take_while(|run| run.start < block + BLOCK).cloned().collect();
                match store.remove_entries(block, &runs, &self.removing.cuts, &may_go)? {
                    Ok(Block256::Done(count)) => entries += count,
                    // The rest of it is for the next transaction.
                    Ok(Block256::Lightened(count)) => {
                        contents += count;
                        break;
                    }
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
        if !self.removing.has_begun && entries + contents > 0 {
            store.set_cursor(BEGUN, 1)?;
            self.removing.has_begun = true;
            // Deleting moved rows about before all that is to be erased was overwritten.
            self.removing.rewrite |= self.removing.tasks.iter().any(|task| !task.blank.is_empty());
        }
        let is_done = task.runs.is_empty();
        if is_done {
            // Another recorder may be further.
            let done = store.cursor(REMOVED)?.unwrap_or(0);
            store.set_cursor(REMOVED, done.max(task.seq))?;
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

    /// Overwrites some of what is to be erased, where there is any; whether there was.
    fn blank(&mut self, store: &mut Store, begun: Instant) -> Result<bool, StoreError> {
        let sealed = self.sealing.newest_size();
        let Some(task) = self.removing.tasks.iter_mut().find(|task| !task.blank.is_empty() && task.seq < sealed) else { return Ok(false) };
        let (tombstone, altered) = (task.seq, task.overwrite(store, begun)?);
        store.commit_removal()?;
        if let Some(first) = altered.first() {
            let why = format!("content of entry {first} was not what the entry committed to when it was erased: somebody had altered it");
            self.alarm("erased_altered", why);
            self.removing.count(tombstone, &|removed| removed.unfit.extend(&altered));
        }
        Ok(true)
    }

    fn count_removed(&mut self, tombstone: u64, entries: u64, contents: u64, altered: &[u64]) {
        for seq in altered {
            let why = format!("entry {seq} does not fit its hash: it stays, with those around it; run `lowlight verify`");
            self.alarm("removal_stopped", why);
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
}
