//! The end of a pass: tip, frontier and root (`docs/format.md`, section 8.4).

use super::{BROKEN, Problem, ProblemKind, Verdict, Verifier};
use crate::source::Tip;

impl<const P: usize> Verifier<P> {
    /// Closes the pass and gives the verdict.
    pub fn finish(mut self) -> Verdict<P> {
        self.close_contents();
        match self.tip.take() {
            Some(tip) => self.finish_log(&tip),
            None => self.decide_failed(ProblemKind::Broken, BROKEN),
        }
        if self.sound {
            self.result.root = Some(self.frontier.root());
        }
        self.result
    }

    /// Whether the tree over the stored leaves can be trusted: nothing is missing, moved or replaced.
    pub fn is_sound(&self) -> bool {
        self.sound && self.failed.is_none()
    }

    /// The tree over the leaves so far.
    pub fn frontier(&self) -> &crate::tree::Frontier {
        &self.frontier
    }

    fn finish_log(&mut self, tip: &Tip) {
        if self.tip_right {
            return;
        }
        let last = self.expected.saturating_sub(1);
        let count = self.expected.saturating_add_signed(self.shift);
        if let Some(failed) = self.failed.take().filter(|failed| !failed.decided) {
            let (kind, detail) = if tip.head == self.prev.unwrap_or(tip.head) && count < tip.size {
                (ProblemKind::Missing, "entries were taken out here and the later ones renumbered")
            } else if Some(tip.head) == self.prev {
                (ProblemKind::Modified, "the entry's values were changed after it was written")
            } else if tip.head == failed.alt {
                (ProblemKind::Modified, "the entry's stored leaf was changed after it was written")
            } else if tip.head == failed.before {
                (ProblemKind::Inserted, "an entry was put in after the newest one")
            } else {
                (ProblemKind::Broken, BROKEN)
            };
            // Only where the values alone were changed are the stored leaves still those of the log.
            self.sound &= kind == ProblemKind::Modified && Some(tip.head) == self.prev;
            self.report(last, kind, detail);
            if kind == ProblemKind::Missing {
                return;
            }
        }
        let same_hashes = tip.hashes.iter().eq(self.frontier.hashes());
        if self.sound && same_hashes && Some(tip.head) == self.prev && count == tip.size {
            return;
        }
        let fits = tip.hashes.len() == tip.size.count_ones() as usize;
        let size_changed = self.sound && same_hashes;
        if count < tip.size && fits && !size_changed {
            let detail = "the tip names more entries than there are";
            self.result.problems.add(Problem { seq: Some(self.expected), kind: ProblemKind::Truncated, detail, span: tip.size - count });
        } else if self.sound {
            self.report_log(ProblemKind::RootMismatch, "the tip of the log does not match its entries");
        }
    }
}
