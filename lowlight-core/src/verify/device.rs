//! The verifier of a device's log: a chain in anchored stretches, without a tree (`docs/format.md`, section 18).
//!
//! Limits: keeps `P` problems and `P` gaps (counts all); memory does not depend on the log.
//!
//! ```text
//! anchor(0, genesis)  entry 0  entry 1  anchor(2, head)  entry 2   ...gap...   anchor(9, head)  entry 9  -> finish(10, head)
//! ```
//!
//! 1. An anchor is what the device said the leaf before an index is; where the entries before are known too, both must agree.
//! 2. Entries behind a gap that no anchor follows are taken as they are and counted.

use super::{Problem, ProblemKind, Problems};
use crate::chain::{Digest, LogId, leaf};
use crate::entry::codec::{decode, peek_seq};
use crate::entry::{EntryError, Event, Lifecycle, MAX_SIZE};

/// Entries of a device that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceGap {
    /// Index of the first.
    pub first: u64,
    /// Index behind the last.
    pub end: u64,
    /// What follows is chained to what the device said stood before it.
    pub is_anchored: bool,
}

/// The state of a verification.
#[derive(Debug, Clone)]
pub struct DeviceVerifier<const P: usize> {
    log_id: LogId,
    next: u64,
    /// Leaf of the entry before `next`; `None` when it is not known.
    head: Option<Digest>,
    /// Entries before `next` are known elsewhere, so that one that is not there is a gap.
    continues: bool,
    /// What follows an entry that stands after later ones, where that is the newest problem.
    behind: Option<u64>,
    /// How many entries came since it was assumed that they follow on what was before.
    assumed: Option<u64>,
    /// Where the device said last that it lost entries before.
    torn_at: Option<u64>,
    result: DeviceVerdict<P>,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct DeviceVerdict<const P: usize> {
    /// What is wrong; empty means intact.
    pub problems: Problems<P>,
    /// Entries that are not there, the first runs of them; those before the first entry that is there are not among them.
    pub gaps: heapless::Vec<DeviceGap, P>,
    /// How many runs there are.
    pub gaps_total: u64,
    /// Entries in them.
    pub lost: u64,
    /// Entries that the device lost before they were stored, as its own entries say.
    pub dropped: u64,
    /// Entries that are there.
    pub entries: u64,
    /// Those a user wrote.
    pub records: u64,
    /// Those of a later version or kind.
    pub not_understood: u64,
    /// Those whose link to the one before could not be checked.
    pub unchained: u64,
    /// Places where the device lost entries and chained on from the last it knew.
    pub torn: u64,
    /// Starts of the firmware.
    pub boots: u64,
    /// Index of the first entry seen.
    pub first: Option<u64>,
    /// Index behind the last entry, and its leaf where it is known.
    pub end: (u64, Option<Digest>),
}

impl<const P: usize> DeviceVerdict<P> {
    /// Whether nothing is wrong; gaps are said apart.
    pub fn is_intact(&self) -> bool {
        self.problems.total() == 0
    }
}

impl<const P: usize> DeviceVerifier<P> {
    /// A verifier that has seen nothing yet; it expects entry `next` after the leaf `head`. Where `next` is 0, entries that are not
    /// there before the first are no gap: they were overwritten.
    pub fn new(log_id: LogId, next: u64, head: Option<Digest>) -> Self {
        let result = DeviceVerdict {
            problems: Problems::default(),
            gaps: heapless::Vec::new(),
            gaps_total: 0,
            lost: 0,
            dropped: 0,
            entries: 0,
            records: 0,
            not_understood: 0,
            unchained: 0,
            torn: 0,
            boots: 0,
            first: None,
            end: (next, head),
        };
        let head = if next == 0 { Some(log_id.genesis()) } else { head };
        Self { log_id, next, head, behind: None, assumed: None, torn_at: None, continues: next > 0, result }
    }

    /// Index of the next entry.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// What was found so far.
    pub fn so_far(&self) -> &DeviceVerdict<P> {
        &self.result
    }

    fn report(&mut self, seq: Option<u64>, kind: ProblemKind, detail: &'static str) {
        self.result.problems.add(Problem { seq, kind, detail, span: 1 });
    }

    /// The device says that `head` is the leaf before `index`; `is_torn`, that it lost entries before it and goes on from the last
    /// it knew.
    pub fn anchor(&mut self, index: u64, head: Digest, is_torn: bool) {
        if index >= MAX_SIZE {
            return self.report(None, ProblemKind::Malformed, "an index is beyond the largest log");
        }
        if index < self.next {
            return self.report(Some(index), ProblemKind::Reordered, "the device went back to an index that it had used");
        }
        self.skip(index, true);
        let assumed = self.assumed.take();
        match self.head {
            Some(known) if known == head => self.result.unchained -= assumed.unwrap_or(0).min(self.result.unchained),
            Some(_) if !is_torn => {
                let what = match assumed {
                    None => "the chain up to here is not what the device said it was",
                    Some(_) => {
                        "what came in up to here does not follow on what was here: older flash was put back, or the note of a loss was lost too"
                    }
                };
                self.report(index.checked_sub(1), ProblemKind::Modified, what);
            }
            _ => {}
        }
        // It says so again as long as no entry follows.
        if is_torn && self.torn_at.replace(index) != Some(index) {
            self.result.torn += 1;
        }
        self.head = Some(head);
    }

    /// The device does not know the leaf before the next entry: that it follows on the one before is assumed until the next anchor, which
    /// shows it or the contrary.
    pub fn assume(&mut self) {
        self.assumed.get_or_insert(0);
    }

    /// Notes that entries before `index` are not there, if so.
    fn skip(&mut self, index: u64, is_anchored: bool) {
        if index <= self.next {
            return;
        }
        // What lies before the first entry of all was overwritten.
        if self.continues || self.result.first.is_some() {
            self.result.gaps_total += 1;
            self.result.lost += index - self.next;
            let _ = self.result.gaps.push(DeviceGap { first: self.next, end: index, is_anchored });
        }
        (self.next, self.head, self.assumed) = (index, None, None);
    }

    /// The next entry.
    pub fn entry(&mut self, index: u64, body: &[u8]) {
        if index >= MAX_SIZE {
            return self.report(None, ProblemKind::Malformed, "an index is beyond the largest log");
        }
        if index < self.next {
            if self.behind.replace(index + 1) == Some(index) {
                return self.result.problems.lengthen_newest(1);
            }
            return self.report(Some(index), ProblemKind::Reordered, "an entry stands after later ones");
        }
        self.skip(index, false);
        self.result.first.get_or_insert(index);
        self.result.entries += 1;
        self.result.unchained += u64::from(self.head.is_none() || self.assumed.is_some());
        self.assumed = self.assumed.map(|count| count + 1);
        self.behind = None;
        match decode(body) {
            Ok(entry) if entry.header.seq == index => {
                self.result.records += u64::from(entry.event.kind().is_record());
                self.result.boots += u64::from(matches!(entry.event, Event::Lifecycle(Lifecycle::Start { .. })));
                if let Event::Gap(gap) = &entry.event {
                    self.result.dropped = self.result.dropped.saturating_add(gap.lost);
                }
                let opens = matches!(&entry.event, Event::Open(open) if open.log_id == self.log_id);
                if index == 0 && !opens {
                    self.report(Some(0), ProblemKind::Malformed, "entry 0 does not open this log");
                }
            }
            Err(EntryError::NotUnderstood) if peek_seq(body).is_none_or(|inside| inside == index) => self.result.not_understood += 1,
            _ => self.report(Some(index), ProblemKind::Malformed, "the body is not one of this index or not canonical"),
        }
        self.head = self.head.map(|head| leaf(&head, body));
        self.next = index + 1;
    }

    /// The verdict.
    pub fn finish(mut self) -> DeviceVerdict<P> {
        self.result.end = (self.next, self.head);
        self.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: LogId = LogId([3; 16]);

    /// An entry of a later version.
    fn body(index: u64) -> [u8; 2] {
        [2, u8::try_from(index).unwrap()]
    }

    /// Six entries, of which the device did not know the leaf before the third, then an anchor.
    fn run(agrees: bool, is_torn: bool) -> DeviceVerdict<8> {
        let mut verifier = DeviceVerifier::<8>::new(ID, 0, None);
        let mut head = ID.genesis();
        for index in 0..6 {
            // It may say so more than once.
            if index == 2 || index == 4 {
                verifier.assume();
            }
            head = leaf(&head, &body(index));
            verifier.entry(index, &body(index));
        }
        verifier.anchor(6, if agrees { head } else { Digest([9; 32]) }, is_torn);
        verifier.finish()
    }

    #[test]
    fn what_is_assumed_to_follow_is_shown_by_the_next_anchor_or_told() {
        let (agreed, torn, other) = (run(true, false), run(false, true), run(false, false));
        assert!(agreed.is_intact() && torn.is_intact() && !other.is_intact());
        assert_eq!((agreed.unchained, torn.unchained, other.unchained), (0, 4, 4));
        assert_eq!(other.problems.kept().first().map(|problem| (problem.seq, problem.kind)), Some((Some(5), ProblemKind::Modified)));
    }

    #[test]
    fn entries_in_a_row_that_stand_after_later_ones_are_one_problem() {
        let mut verifier = DeviceVerifier::<8>::new(ID, 0, None);
        for index in (0..9).chain(3..8).chain([9, 5]) {
            verifier.entry(index, &body(index));
        }
        let verdict = verifier.finish();
        let found = verdict.problems.kept().iter().map(|problem| (problem.seq, problem.span));
        assert!(found.eq([(Some(3), 5), (Some(5), 1)]));
    }
}
