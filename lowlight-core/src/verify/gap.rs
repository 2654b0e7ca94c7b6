//! Entries that are absent, and what tombstones say about those and about entries that are there (`docs/format.md`,
//! section 13.1).
//!
//! ```text
//! step:  watch: which seq is covered next? -> item -> explain: absent runs it closed, the entry it was
//! ```
//!
//! 1. A run of absent entries is explained, or a problem: never neither.
//! 2. Where no tombstone covers anything near nothing is decoded or asked for.

use super::{BROKEN, Gap, Problem, ProblemKind, Verifier};
use crate::chain::Digest;
use crate::entry::{Clock, Entry, Event, Facts, Kind};
use crate::source::{Absence, EntrySource};
use crate::tree::STORED_LEVEL;
use core::ops::Range;

/// A run of absent entries.
#[derive(Debug, Clone)]
struct Passed {
    run: Range<u64>,
    /// A node of the tree stands for it.
    has_node: bool,
}

/// An entry that a tombstone may cover.
#[derive(Debug)]
struct Noted {
    seq: u64,
    kind: Kind,
    status: Option<heapless::String<32>>,
    recorded: i64,
    clock: Clock,
}

/// The state of it.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// Runs that the item at hand closed: at most one without a node and one with.
    passed: heapless::Vec<Passed, 2>,
    noted: Option<Noted>,
    /// Before this seq no tombstone covers anything; `None` until asked.
    next_covered: Option<u64>,
    /// The unexplained run at hand, so that its contents are not reported as well.
    excused: Range<u64>,
    /// As what it was reported.
    reported: Option<ProblemKind>,
    /// The explained run at hand.
    explained: Range<u64>,
    /// Where the explained run that was reported for want of a node ends.
    without_node: Option<u64>,
    /// The tombstone that explains the newest gap, and where that one ends.
    newest: Option<(u64, u64)>,
    /// The entry before was removed and its leaf was not kept.
    pub(super) leaf_is_gone: bool,
}

impl Gaps {
    pub(super) fn is_watched(&self, seq: u64) -> bool {
        self.next_covered.is_some_and(|next| next <= seq)
    }

    pub(super) fn is_excused(&self, seq: u64) -> bool {
        self.excused.contains(&seq)
    }

    pub(super) fn is_explained(&self, seq: u64) -> bool {
        self.explained.contains(&seq)
    }

    /// Room for two, and no item closes more.
    fn pass(&mut self, run: Range<u64>, has_node: bool) {
        let _ = self.passed.push(Passed { run, has_node });
    }
}

/// Lengthens a run or begins a new one.
fn grow(run: &mut Range<u64>, by: &Range<u64>) {
    if run.end == by.start && !run.is_empty() {
        run.end = by.end;
    } else {
        *run = by.clone();
    }
}

impl<const P: usize> Verifier<P> {
    /// Before an item: finds out from which seq on tombstones matter.
    pub(super) fn watch<S: EntrySource>(&mut self, source: &mut S) -> Result<(), S::Error> {
        if self.gaps.next_covered.is_some_and(|next| next >= self.expected) {
            return Ok(());
        }
        let next = match source.tombstones() {
            Some(tombstones) => tombstones.next_covered(self.expected)?,
            None => None,
        };
        self.gaps.next_covered = Some(next.unwrap_or(u64::MAX));
        Ok(())
    }

    /// Notes what a policy asks about an entry that a tombstone may cover.
    pub(super) fn note(&mut self, entry: &Entry<'_>) {
        let header = &entry.header;
        if !self.contents.check || !self.gaps.is_watched(header.seq) {
            return;
        }
        let status = match &entry.event {
            Event::Inference(inference) => heapless::String::try_from(inference.status).ok(),
            _ => None,
        };
        let (kind, recorded, clock) = (entry.event.kind(), header.recorded, header.clock);
        self.gaps.noted = Some(Noted { seq: header.seq, kind, status, recorded, clock });
    }

    /// No row and no node from the expected seq up to `seq`.
    pub(super) fn nothing_until(&mut self, seq: u64) {
        self.decide_failed(ProblemKind::Broken, BROKEN);
        self.gaps.pass(self.expected..seq, false);
        self.gaps.leaf_is_gone = false;
        self.sound = false;
        self.prev = None;
        self.expected = seq;
    }

    /// At the end of what an export states: entries up to `end` that did not come are absent.
    ///
    /// # Errors
    ///
    /// What the source failed with.
    pub fn absent_until<S: EntrySource>(&mut self, source: &mut S, end: u64) -> Result<(), S::Error> {
        if self.expected >= end {
            return Ok(());
        }
        self.close_contents();
        self.nothing_until(end);
        self.explain(source)
    }

    /// A node stands for 2^level entries from `seq` on.
    pub(super) fn removed(&mut self, seq: u64, level: u8, node: Digest, leaf: Option<Digest>) {
        self.close_contents();
        let end = seq.saturating_add(1 << level.min(STORED_LEVEL));
        if seq < self.expected || self.end.is_some_and(|last| end > last) {
            self.sound = false;
            return self.report(seq, ProblemKind::Inserted, "removed entries stand where others are");
        }
        if seq > self.expected {
            self.nothing_until(seq);
        }
        self.decide_failed(ProblemKind::Broken, BROKEN);
        self.gaps.pass(seq..end, true);
        self.prev = if level == 0 { Some(node) } else { leaf };
        self.gaps.leaf_is_gone = self.prev.is_none();
        self.expected = end;
        self.add_subtree(level, node);
    }

    /// After an item: asks the tombstones about what was absent before it, and about the entry that it was.
    pub(super) fn explain<S: EntrySource>(&mut self, source: &mut S) -> Result<(), S::Error> {
        for Passed { run, has_node } in core::mem::take(&mut self.gaps.passed) {
            let mut at = run.start;
            while at < run.end {
                let nothing = Absence { explained_by: None, until: run.end };
                let (absence, any_whole) = match source.tombstones() {
                    Some(tombstones) => (tombstones.absence(at)?, tombstones.any_whole()),
                    None => (nothing, false),
                };
                let part = at..absence.until.clamp(at.saturating_add(1), run.end);
                at = part.end;
                match absence.explained_by {
                    Some(by) => self.explained(&part, by, has_node),
                    None => self.unexplained(&part, has_node || any_whole),
                }
            }
        }
        let Some(Noted { seq, kind, status, recorded, clock }) = self.gaps.noted.take() else { return Ok(()) };
        if let Some(tombstones) = source.tombstones() {
            let covered = tombstones.covered(seq, &Facts { kind, status: status.as_deref(), recorded, clock })?;
            self.contents.covered = covered;
            if covered.is_whole && matches!(kind, Kind::Open | Kind::Policy | Kind::KeyChange | Kind::Import) {
                self.report(seq, ProblemKind::PolicyViolation, "a tombstone names this entry, which is never removed");
            } else if covered.is_whole_refused && kind != Kind::Tombstone {
                self.report(seq, ProblemKind::PolicyViolation, "a tombstone names this entry, which the retention policy keeps");
            }
        }
        Ok(())
    }

    fn explained(&mut self, run: &Range<u64>, by: u64, has_node: bool) {
        let result = &mut self.result;
        result.removed += run.end - run.start;
        let (first, last) = (run.start, run.end - 1);
        let goes_on = |gap: &&mut Gap| gap.explained_by == by && gap.last.saturating_add(1) == first;
        if let Some(gap) = result.gaps.last_mut().filter(goes_on) {
            gap.last = last;
        } else if self.gaps.newest != Some((by, first)) {
            // The first ones are kept, all are counted.
            let _ = result.gaps.push(Gap { first, last, explained_by: by });
            result.gaps_total += 1;
        }
        self.gaps.newest = Some((by, run.end));
        grow(&mut self.gaps.explained, run);
        let goes_on = self.gaps.without_node == Some(first);
        self.gaps.without_node = (!has_node).then_some(run.end);
        if !has_node && !goes_on {
            self.report(first, ProblemKind::RootMismatch, "of removed entries no node of the tree was kept");
        }
    }

    fn unexplained(&mut self, run: &Range<u64>, is_gap: bool) {
        let (kind, detail) = if is_gap {
            (ProblemKind::UnexplainedGap, "no tombstone explains that this entry is gone")
        } else {
            (ProblemKind::Missing, "no entry with this seq, and later ones are there")
        };
        let goes_on = self.gaps.excused.end == run.start && self.gaps.reported == Some(kind) && !self.gaps.excused.is_empty();
        grow(&mut self.gaps.excused, run);
        self.gaps.reported = Some(kind);
        let span = run.end - run.start;
        if goes_on {
            self.result.problems.lengthen_newest(span);
        } else {
            self.result.problems.add(Problem { seq: Some(run.start), kind, detail, span });
        }
    }
}
