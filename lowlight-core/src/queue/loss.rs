//! Counts of what was lost, per reason, until a Gap entry has told of it.

use crate::entry::{GAP_REASONS, Gap, GapReason};

const REASONS: usize = GAP_REASONS.len();

/// Losses since the last Gap entries were committed, at most one [`Gap`] per reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Losses {
    gaps: [Option<Gap>; REASONS],
}

impl Losses {
    /// No losses.
    pub const fn new() -> Self {
        Self { gaps: [None; REASONS] }
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.gaps.iter().all(Option::is_none)
    }

    /// Counts `lost` more entries at time `now` (ns since 1970-01-01T00:00:00Z).
    pub fn add(&mut self, reason: GapReason, lost: u64, now: i64) {
        self.merge(Gap { reason, lost, lost_from: now, lost_to: now });
    }

    /// Counts a gap that was taken before and could not be written.
    pub fn merge(&mut self, gap: Gap) {
        let Some(slot) = self.gaps.get_mut(gap.reason as usize).filter(|_| gap.lost > 0) else { return };
        *slot = Some(match *slot {
            None => gap,
            Some(old) => Gap {
                reason: gap.reason,
                lost: old.lost.saturating_add(gap.lost),
                lost_from: old.lost_from.min(gap.lost_from),
                lost_to: old.lost_to.max(gap.lost_to),
            },
        });
    }

    /// Takes the counts off, one gap per reason; those that are not drawn from the iterator stay.
    pub fn take(&mut self) -> impl Iterator<Item = Gap> {
        core::iter::from_fn(|| {
            let slot = self.gaps.iter_mut().find(|slot| slot.is_some())?;
            let gap = *slot;
            *slot = None;
            gap
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_put_back_is_merged_with_what_came_since() {
        let mut losses = Losses::new();
        losses.add(GapReason::DiskFull, 3, 50);
        let gap = losses.take().next().unwrap();
        losses.add(GapReason::DiskFull, 2, 90);
        losses.merge(gap);
        let merged: std::vec::Vec<_> = losses.take().collect();
        assert_eq!(merged, [Gap { reason: GapReason::DiskFull, lost: 5, lost_from: 50, lost_to: 90 }]);
        assert!(losses.is_empty());
    }
}
