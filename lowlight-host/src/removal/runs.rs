//! Sets of seqs as runs, as tombstones name them.
//!
//! 1. Runs are ascending, not empty, and never touch each other.

use lowlight_core::entry::{MAX_RUNS, Run};
use std::ops::Range;

/// A set of seqs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs(Vec<Range<u64>>);

impl Runs {
    /// Of seqs in any order.
    pub fn of(mut seqs: Vec<u64>) -> Self {
        seqs.sort_unstable();
        let mut runs = Self::default();
        seqs.into_iter().for_each(|seq| runs.push(seq..seq.saturating_add(1)));
        runs
    }

    /// Of runs in any order.
    pub fn join(runs: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut sorted: Vec<_> = runs.into_iter().filter(|run| !run.is_empty()).collect();
        sorted.sort_unstable_by_key(|run| run.start);
        let mut joined = Self::default();
        sorted.into_iter().for_each(|run| joined.push(run));
        joined
    }

    /// Adds a run that does not start before the last one.
    fn push(&mut self, run: Range<u64>) {
        match self.0.last_mut().filter(|last| last.end >= run.start) {
            Some(last) => last.end = last.end.max(run.end),
            None => self.0.push(run),
        }
    }

    /// The union with `other`.
    #[must_use]
    pub fn and(&self, other: impl IntoIterator<Item = Range<u64>>) -> Self {
        Self::join(self.0.iter().cloned().chain(other))
    }

    /// The runs.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }

    /// Number of runs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of seqs.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|run| run.end - run.start).sum()
    }

    /// Whether it has that one.
    pub fn contains(&self, seq: u64) -> bool {
        let before = self.0.partition_point(|run| run.start <= seq);
        before.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|run| run.contains(&seq))
    }

    /// Its runs as tombstones take them: at most 32 each.
    pub fn tombstones(&self) -> impl Iterator<Item = lowlight_core::heapless::Vec<Run, MAX_RUNS>> {
        self.0.chunks(MAX_RUNS).map(|runs| runs.iter().map(|run| Run { start: run.start, length: run.end - run.start }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Runs;

    #[test]
    fn runs_that_touch_are_one() {
        let runs = Runs::of(vec![7, 1, 2, 3, 9, 2]);
        assert_eq!(runs.iter().cloned().collect::<Vec<_>>(), [1..4, 7..8, 9..10]);
        assert_eq!((runs.len(), runs.count()), (3, 5));
        assert_eq!(runs.and([4..7, 8..9, 20..20]), Runs::join(std::iter::once(1..10)));
        let has: Vec<u64> = (0..12).filter(|seq| runs.contains(*seq)).collect();
        assert_eq!(has, [1, 2, 3, 7, 9]);
    }

    #[test]
    fn a_large_set_is_several_tombstones() {
        let runs = Runs::of((0..70).map(|n| n * 2).collect());
        let tombstones: Vec<_> = runs.tombstones().collect();
        assert_eq!(tombstones.iter().map(|runs| runs.len()).collect::<Vec<_>>(), [32, 32, 6]);
        assert_eq!(tombstones[2][5].start, 138);
    }
}
