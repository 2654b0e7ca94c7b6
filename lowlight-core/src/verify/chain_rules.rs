//! The decision table of `docs/format.md`, section 8.3: what a mismatch means, given what comes after it.

use super::{BROKEN, ProblemKind, Verifier};
use crate::chain::{Digest, LogId, leaf_at};

/// An entry whose stored leaf does not follow from its body and the leaf before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pub seq: u64,
    /// Leaf recomputed from its body.
    pub alt: Digest,
    /// Leaf before it.
    pub before: Digest,
    /// Whether it has been reported.
    pub decided: bool,
}

const COLUMNS: &str = "the entry's values were changed after it was written";
const STORED_LEAF: &str = "the entry's stored leaf was changed after it was written";

impl<const P: usize> Verifier<P> {
    /// Rules 2 to 9 for an entry with a body.
    pub(super) fn chain(&mut self, seq: u64, body: &[u8], stored: Digest, open_id: Option<LogId>) {
        let Some(prev) = self.prev.replace(stored) else {
            self.failed = None;
            if self.gaps.leaf_is_gone {
                self.report(seq, ProblemKind::RootMismatch, "the leaf before it was not kept, so that it cannot be checked");
            }
            return;
        };
        let fits = |prev: &Digest, shift: i64| seq.checked_add_signed(shift).is_some_and(|at| leaf_at(prev, at, body) == stored);
        let failed = self.failed.take();
        if fits(&prev, self.shift) {
            if let Some(failed) = failed {
                self.decide(&failed, ProblemKind::Modified, COLUMNS);
            }
            return;
        }
        if seq == 0 && open_id.is_some_and(|id| fits(&id.genesis(), 0)) {
            if let Some(id) = open_id {
                self.log_id = id;
            }
            return self.report_log(ProblemKind::RootMismatch, "the log id stated for this log is not the one its entry 0 was opened with");
        }
        if let Some(failed) = &failed {
            if fits(&failed.alt, self.shift) {
                self.sound = false;
                return self.decide(failed, ProblemKind::Modified, STORED_LEAF);
            }
            if fits(&failed.before, self.shift) {
                self.sound = false;
                return self.decide(failed, ProblemKind::Broken, BROKEN);
            }
            if self.shifted(failed, |shift| fits(&prev, shift) || fits(&failed.before, shift)) {
                return;
            }
        }
        self.fail(seq, body, stored, prev, failed);
    }

    /// Rule 6: entries were taken out or put in and the rest renumbered.
    fn shifted(&mut self, failed: &Failed, fits: impl Fn(i64) -> bool) -> bool {
        let total = self.tip.as_ref().and_then(|tip| {
            let [size, rows] = [tip.size, tip.last_seq.checked_add(1)?].map(|count| i64::try_from(count).ok());
            size?.checked_sub(rows?)
        });
        // Two neighbours that were swapped look like an insertion, but then there are not more rows than the tip says.
        let more_rows = total.is_some_and(|total| total < self.shift).then_some(self.shift - 1);
        let candidates = [Some(self.shift + 1), more_rows, total];
        let Some(shift) = candidates.into_iter().flatten().find(|shift| *shift != self.shift && fits(*shift)) else { return false };
        if shift > self.shift {
            self.decide(failed, ProblemKind::Missing, "entries were taken out here and the later ones renumbered");
        } else {
            self.decide(failed, ProblemKind::Inserted, "an entry was put in here and the later ones renumbered");
        }
        self.sound = false;
        self.shift = shift;
        true
    }

    /// Rules 7 to 9.
    fn fail(&mut self, seq: u64, body: &[u8], stored: Digest, prev: Digest, before: Option<Failed>) {
        let alt = leaf_at(&prev, seq.saturating_add_signed(self.shift), body);
        let mut failed = Failed { seq, alt, before: prev, decided: true };
        let home = self.open_faults.iter().find(|(at, prev)| leaf_at(prev, *at, body) == stored).map(|(at, _)| *at);
        if let Some(home) = home {
            self.close_fault(home);
            self.reordered(home, "another entry stands in this one's place");
            if let Some(before) = before.filter(|before| before.seq != home) {
                self.decide(&before, ProblemKind::Broken, BROKEN);
            }
            self.reordered(seq, "this entry belongs elsewhere in the log");
            self.sound = false;
        } else if let Some(before) = before {
            self.decide(&before, ProblemKind::Broken, BROKEN);
            self.report(seq, ProblemKind::Broken, "the entry cannot be checked, because the one before it is not what it was");
            self.sound = false;
        } else {
            failed.decided = false;
            // A full list only means that a later match is not recognised.
            let _ = self.open_faults.push_back((seq, prev));
        }
        self.failed = Some(failed);
    }

    /// Reports a failed entry unless that has been done.
    fn decide(&mut self, failed: &Failed, kind: ProblemKind, detail: &'static str) {
        if !failed.decided {
            self.report(failed.seq, kind, detail);
        }
    }

    /// Reports the failed entry at hand, if there is one, and makes the tree unsound.
    pub(super) fn decide_failed(&mut self, kind: ProblemKind, detail: &'static str) {
        if let Some(failed) = self.failed.take() {
            self.decide(&failed, kind, detail);
            self.sound = false;
        }
    }

    fn reordered(&mut self, seq: u64, detail: &'static str) {
        self.result.problems.add_better(super::Problem { seq: Some(seq), kind: ProblemKind::Reordered, detail, span: 1 });
    }

    fn close_fault(&mut self, seq: u64) {
        for _ in 0..self.open_faults.len() {
            if let Some(fault) = self.open_faults.pop_front().filter(|fault| fault.0 != seq) {
                let _ = self.open_faults.push_back(fault);
            }
        }
    }
}
