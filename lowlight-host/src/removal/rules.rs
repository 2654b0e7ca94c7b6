//! What the tombstones, policies and key changes of a log say, before its entries are read.
//!
//! Limits: [`MOST_RUNS`] runs in memory, the nearest ahead; more are read again when the pass gets there. At most
//! [`MOST_OPEN`] of them and [`MOST_POLICIES`] policies may concern one place.
//!
//! ```text
//! all tombstones, oldest first -> runs by start, up to the horizon -> open runs at the place of the pass
//! ```
//!
//! 1. What was read here is what the pass over the entries checks: the index it is found by is compared at the end.
//! 2. A tombstone that breaks the policy explains nevertheless: there is a problem already, where it stands.

use super::policy::RetentionPolicy;
use crate::keys::change_message;
use crate::store::StoreError;
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Cause, Clock, Event, Facts, Header, KeyChange, Kind, Policy, Tombstone};
use lowlight_core::note::{self, Algorithm, Key};
use lowlight_core::source::{Absence, Covered, Tombstones};
use lowlight_core::verify::{Problem, ProblemKind};
use lowlight_core::{FieldId, LogId};
use std::collections::BinaryHeap;
use std::rc::Rc;

const MOST_RUNS: usize = 1 << 16;
const MOST_OPEN: usize = 4_096;
const MOST_POLICIES: usize = 1_024;
/// Problems of them that are kept.
const MOST_PROBLEMS: usize = 1_000;

/// Where entry 0, policies, key changes and tombstones come from, in ascending order, as bodies.
pub trait RuleEntries {
    /// Calls `take` with each.
    ///
    /// # Errors
    ///
    /// What reading failed with.
    fn each(&self, take: &mut dyn FnMut(&[u8])) -> Result<(), StoreError>;
}

/// A run of a tombstone; ordered by where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cover {
    start: u64,
    end: u64,
    tombstone: u64,
    /// 0: whole entries.
    fields: u64,
    /// Time of the tombstone, whether its clock was set, and the policy it appeals to; `None` for an erasure.
    by_policy: Option<(i64, bool, usize)>,
}

/// The tombstones of a log.
pub struct Rules<'e> {
    entries: Box<dyn RuleEntries + 'e>,
    log_id: LogId,
    any_whole: bool,
    problems: Vec<Problem>,
    policies: Vec<RetentionPolicy>,
    in_force: Rc<RetentionPolicy>,
    in_force_seq: u64,
    erasure_vkey: Option<String>,
    /// Ascending by start; those that begin before `horizon` and end behind the place they were read for.
    runs: Vec<Cover>,
    horizon: u64,
    next: usize,
    open: Vec<usize>,
}

impl std::fmt::Debug for Rules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("runs", &self.runs.len()).field("horizon", &self.horizon).finish_non_exhaustive()
    }
}

/// The state while the entries are read, oldest first.
struct Reading<'k> {
    log_id: LogId,
    problems: Option<&'k mut Vec<Problem>>,
    erasure_vkey: Option<String>,
    /// vkey that signs checkpoints at the place of the reading; empty where there is none.
    vkey: String,
    /// Entry 0, when it opens the log.
    opened: Option<Facts<'static>>,
    in_force: Rc<RetentionPolicy>,
    in_force_seq: u64,
    policies: Vec<RetentionPolicy>,
    any_whole: bool,
    from: u64,
    runs: BinaryHeap<Cover>,
    horizon: u64,
    too_many: bool,
}

impl<'e> Rules<'e> {
    /// Reads what `entries` has; `log_id` is the one that signatures are made for.
    ///
    /// # Errors
    ///
    /// What reading failed with.
    pub fn read(entries: Box<dyn RuleEntries + 'e>, log_id: LogId) -> Result<Self, StoreError> {
        let mut rules = Self {
            entries,
            log_id,
            any_whole: false,
            problems: Vec::new(),
            policies: Vec::new(),
            in_force: Rc::default(),
            in_force_seq: 0,
            erasure_vkey: None,
            runs: Vec::new(),
            horizon: 0,
            next: 0,
            open: Vec::new(),
        };
        let mut problems = Vec::new();
        rules.read_from(0, Some(&mut problems))?;
        rules.problems = problems;
        Ok(rules)
    }

    /// What is wrong with the tombstones, policies and key changes themselves.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// vkey of the erasure key that entry 0 names.
    pub fn erasure_vkey(&self) -> Option<&str> {
        self.erasure_vkey.as_deref()
    }

    /// The policy that is in force now.
    pub fn in_force(&self) -> &RetentionPolicy {
        &self.in_force
    }

    /// Seq of the entry that says so: of a policy, or 0.
    pub fn in_force_seq(&self) -> u64 {
        self.in_force_seq
    }

    fn read_from(&mut self, from: u64, problems: Option<&mut Vec<Problem>>) -> Result<(), StoreError> {
        let mut reading = Reading {
            log_id: self.log_id,
            problems,
            erasure_vkey: None,
            vkey: String::new(),
            opened: None,
            in_force: Rc::default(),
            in_force_seq: 0,
            policies: Vec::new(),
            any_whole: false,
            from,
            runs: BinaryHeap::new(),
            horizon: u64::MAX,
            too_many: false,
        };
        self.entries.each(&mut |body| reading.entry(body))?;
        if reading.too_many || reading.horizon <= from {
            let why = "more tombstones or policies concern one place of it than any recorder writes";
            return Err(StoreError::from_io("log".as_ref(), std::io::Error::other(why)));
        }
        self.any_whole = reading.any_whole;
        self.in_force = reading.in_force;
        self.in_force_seq = reading.in_force_seq;
        self.erasure_vkey = reading.erasure_vkey;
        self.policies = reading.policies;
        self.runs = reading.runs.into_sorted_vec();
        self.horizon = reading.horizon;
        (self.next, self.open) = (0, Vec::new());
        Ok(())
    }

    /// Opens and closes runs up to a place.
    fn go_to(&mut self, seq: u64) -> Result<(), StoreError> {
        if seq >= self.horizon && self.horizon != u64::MAX {
            self.read_from(seq, None)?;
        }
        while self.runs.get(self.next).is_some_and(|run| run.start <= seq) {
            self.open.push(self.next);
            self.next += 1;
        }
        let runs = &self.runs;
        self.open.retain(|at| runs.get(*at).is_some_and(|run| run.end > seq));
        if self.open.len() > MOST_OPEN {
            let why = "more tombstones concern one entry than any recorder writes";
            return Err(StoreError::from_io("log".as_ref(), std::io::Error::other(why)));
        }
        Ok(())
    }

    fn open_runs(&self) -> impl Iterator<Item = &Cover> {
        self.open.iter().filter_map(|at| self.runs.get(*at))
    }

    /// The oldest tombstone that names content of an entry; asked about ascending seqs.
    pub fn content_named_by(&mut self, seq: u64, field: FieldId) -> Result<Option<u64>, StoreError> {
        self.go_to(seq)?;
        let names = |fields: u64| fields == 0 || fields >> field.get() & 1 == 1;
        Ok(self.open_runs().filter(|run| names(run.fields)).map(|run| run.tombstone).min())
    }

    /// Where the next run starts that is not open yet, or the horizon.
    fn next_start(&self) -> u64 {
        self.runs.get(self.next).map_or(self.horizon, |run| run.start)
    }
}

impl Tombstones for Rules<'_> {
    type Error = StoreError;

    fn any_whole(&self) -> bool {
        self.any_whole
    }

    fn absence(&mut self, seq: u64) -> Result<Absence, StoreError> {
        self.go_to(seq)?;
        let whole = || self.open_runs().filter(|run| run.fields == 0);
        let explained_by = whole().map(|run| run.tombstone).min();
        let until = whole().map(|run| run.end).chain([self.next_start()]).min().unwrap_or(u64::MAX);
        Ok(Absence { explained_by, until })
    }

    fn next_covered(&mut self, seq: u64) -> Result<Option<u64>, StoreError> {
        self.go_to(seq)?;
        let next = if self.open.is_empty() { self.next_start() } else { seq };
        Ok((next != u64::MAX).then_some(next))
    }

    fn covered(&mut self, seq: u64, facts: &Facts<'_>) -> Result<Covered, StoreError> {
        self.go_to(seq)?;
        let (mut covered, mut allowed, mut whole_allowed) = (Covered::default(), 0, false);
        for run in self.open_runs() {
            let fields = if run.fields == 0 { u64::MAX } else { run.fields };
            covered.fields |= fields;
            covered.is_whole |= run.fields == 0;
            let Some((recorded, is_set, policy)) = run.by_policy else {
                allowed |= fields;
                whole_allowed |= run.fields == 0;
                continue;
            };
            let age = facts.age_s(recorded, if is_set { Clock::Rtc } else { Clock::Unset });
            let policy = self.policies.get(policy).map(RetentionPolicy::as_entry);
            if policy.as_ref().is_some_and(|policy| policy.allows(facts, age)) {
                allowed |= fields;
            }
            whole_allowed |= run.fields == 0 && policy.is_some_and(|policy| policy.allows_whole(facts, age));
        }
        covered.refused = covered.fields & !allowed;
        covered.is_whole_refused = covered.is_whole && !whole_allowed;
        Ok(covered)
    }
}

/// A key that signs texts.
fn log_key(vkey: &str) -> Option<Key<'_>> {
    Key::parse(vkey).ok().filter(|key| key.algorithm == Algorithm::Ed25519)
}

impl Reading<'_> {
    fn problem(&mut self, seq: u64, detail: &'static str) {
        self.problem_of(ProblemKind::PolicyViolation, seq, detail);
    }

    fn problem_of(&mut self, kind: ProblemKind, seq: u64, detail: &'static str) {
        if let Some(problems) = self.problems.as_mut().filter(|problems| problems.len() < MOST_PROBLEMS) {
            problems.push(Problem { seq: Some(seq), kind, detail, span: 1 });
        }
    }

    fn entry(&mut self, body: &[u8]) {
        // What does not decode is none of them; the pass over the entries says what it is.
        let Ok(entry) = decode(body) else { return };
        match &entry.event {
            Event::Open(open) if entry.header.seq == 0 => {
                self.erasure_vkey = open.erasure_vkey.map(str::to_owned);
                open.vkey.unwrap_or_default().clone_into(&mut self.vkey);
                self.in_force = Rc::new(RetentionPolicy::new(&open.policy));
                let (kind, recorded, clock) = (Kind::Open, entry.header.recorded, entry.header.clock);
                self.opened = Some(Facts { kind, status: None, recorded, clock });
            }
            Event::Policy(policy) => self.policy(entry.header.seq, policy),
            Event::Tombstone(tombstone) => self.tombstone(&entry.header, tombstone),
            Event::KeyChange(change) => self.key_change(entry.header.seq, change),
            _ => {}
        }
    }

    fn key_change(&mut self, seq: u64, change: &KeyChange<'_>) {
        let signer = if change.old_vkey.is_empty() { change.new_vkey } else { change.old_vkey };
        let message = change_message(self.log_id, seq, change.old_vkey, change.new_vkey);
        if change.old_vkey != self.vkey {
            self.problem_of(ProblemKind::KeyViolation, seq, "the key that it replaces is not the one that was in use");
        } else if log_key(change.new_vkey).is_none() {
            self.problem_of(ProblemKind::KeyViolation, seq, "what takes the place of the key is no key");
        } else if !log_key(signer).is_some_and(|key| note::key::verify(&key.public, &message, &change.signature.to_bytes())) {
            self.problem_of(ProblemKind::KeyViolation, seq, "the key before has not signed that another takes its place");
        }
        change.new_vkey.clone_into(&mut self.vkey);
    }

    fn policy(&mut self, seq: u64, entry: &Policy<'_>) {
        let (policy, before) = (RetentionPolicy::new(&entry.policy), Rc::clone(&self.in_force));
        let before = before.as_entry();
        if policy.number <= before.number {
            self.problem(seq, "its number is not larger than that of the policy before");
        } else if (!before.is_undeclared() || self.erasure_vkey.is_some())
            && entry.policy.keeps_less_than(&before)
            && !self.is_signed(seq, &policy, entry)
        {
            self.problem(seq, "it keeps less than the policy before, and the erasure key that entry 0 names has not signed it");
        }
        self.in_force = Rc::new(policy);
        self.in_force_seq = seq;
    }

    fn is_signed(&self, seq: u64, policy: &RetentionPolicy, entry: &Policy<'_>) -> bool {
        let key = self.erasure_vkey.as_deref().and_then(log_key);
        key.zip(entry.signature)
            .is_some_and(|(key, signature)| note::key::verify(&key.public, &policy.message(self.log_id, seq), &signature.to_bytes()))
    }

    fn tombstone(&mut self, header: &Header<'_>, tombstone: &Tombstone) {
        let (seq, is_whole) = (header.seq, tombstone.fields == 0);
        if tombstone.runs.last().is_some_and(|run| run.end() > seq) {
            self.problem(seq, "a tombstone names entries that come after it, or itself");
        } else if is_whole && tombstone.runs.first().is_some_and(|run| run.start == 0) {
            self.problem(seq, "a tombstone names entry 0, which is never removed");
        }
        let by_policy = match tombstone.cause {
            Cause::Erasure => {
                if is_whole {
                    self.problem(seq, "an erasure removes contents, never whole entries");
                }
                None
            }
            Cause::Retention(number) => {
                let oldest = self.opened.map_or(u64::MAX, |opened| opened.age_s(header.recorded, header.clock));
                if number == 0 || number != self.in_force.number {
                    self.problem(seq, "a tombstone appeals to a retention policy that was not in force");
                } else if self.in_force.as_entry().keeps_all(oldest, is_whole) {
                    self.problem(seq, "the log was not old enough for its retention policy to remove anything");
                }
                let is_set = header.clock != Clock::Unset;
                Some((header.recorded, is_set, self.policy_place()))
            }
        };
        self.any_whole |= is_whole;
        for run in &tombstone.runs {
            let cover = Cover { start: run.start, end: run.end(), tombstone: seq, fields: tombstone.fields, by_policy };
            if cover.end > self.from && cover.start < self.horizon {
                self.keep(cover);
            }
        }
    }

    /// Where the policy in force is kept.
    fn policy_place(&mut self) -> usize {
        if self.policies.last() != Some(&*self.in_force) {
            if self.policies.len() < MOST_POLICIES {
                self.policies.push((*self.in_force).clone());
            } else {
                self.too_many = true;
            }
        }
        self.policies.len() - 1
    }

    fn keep(&mut self, cover: Cover) {
        self.runs.push(Cover { start: cover.start.max(self.from), ..cover });
        // All that start where the first one too many starts are read later.
        while self.runs.len() > MOST_RUNS
            && let Some(farthest) = self.runs.pop()
        {
            self.horizon = self.horizon.min(farthest.start);
            while self.runs.peek().is_some_and(|run| run.start >= self.horizon) {
                self.runs.pop();
            }
        }
    }
}
