//! Fixed-capacity ring queue with overflow policies and exact loss accounting.
//!
//! Limits: at most `N` items and, if a bound is set, `max_weight` units of weight (bytes, by convention).
//!
//! ```text
//!            push ->  [ newest ... oldest ]  -> pop
//! full:  DropNewest  the pushed item is lost      DropOldest  the oldest items are lost
//!        Sample      past half of the bounds one in n is let in, at the bounds the pushed item is lost
//!        Block       the item is handed back, the caller may wait
//! ```
//!
//! 1. `pushed == popped + queued + lost`, always; `Block` hands back and counts nothing.
//! 2. A lost item is returned to the caller, so that whoever waits for it can be told.
//! 3. An item heavier than `max_weight` is lost under every policy: it could never fit.

mod loss;

pub use loss::Losses;

use crate::entry::GapReason;
use heapless::Deque;

/// What happens when an item does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OverflowPolicy {
    /// Lose the item that was to be pushed.
    #[default]
    DropNewest,
    /// Lose the oldest items until the new one fits.
    DropOldest,
    /// From half full on let one item in `one_in` in; 0 and 1 let all in.
    Sample {
        /// One in how many is let in.
        one_in: u32,
    },
    /// Lose nothing: hand the item back and let the caller wait.
    Block,
}

/// What became of a push.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed<T> {
    /// It is in the queue.
    Queued,
    /// It is not in the queue and counted as lost.
    Lost(T, GapReason),
    /// It is not in the queue and not counted; try again later.
    Full(T),
}

/// A ring of at most `N` items with a bound on their total weight.
#[derive(Debug)]
pub struct Ring<T, const N: usize> {
    items: Deque<(T, usize), N>,
    weight: usize,
    max_weight: usize,
    max_items: usize,
    policy: OverflowPolicy,
    turn: u32,
    full_reason: GapReason,
    losses: Losses,
}

impl<T, const N: usize> Ring<T, N> {
    /// An empty ring; `max_items` above `N` means `N`.
    pub const fn new(policy: OverflowPolicy, max_items: usize, max_weight: usize) -> Self {
        let max_items = if max_items < N { max_items } else { N };
        Self {
            items: Deque::new(),
            weight: 0,
            max_weight,
            max_items,
            policy,
            turn: 0,
            full_reason: GapReason::QueueFull,
            losses: Losses::new(),
        }
    }

    /// Number of items in the ring.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the ring is empty.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Total weight of the items in the ring.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Says why the queue is full when it is: [`GapReason::DiskFull`] while storage has no space.
    pub fn set_full_reason(&mut self, reason: GapReason) {
        self.full_reason = reason;
    }

    /// What is said of a full queue; see [`set_full_reason`](Self::set_full_reason).
    pub fn full_reason(&self) -> GapReason {
        self.full_reason
    }

    /// What was lost, as far as it was not taken by [`Losses::take`].
    pub fn losses(&mut self) -> &mut Losses {
        &mut self.losses
    }

    /// Pushes `item` of `weight` at time `now` (ns since 1970-01-01T00:00:00Z, only used to date losses).
    ///
    /// `on_evicted` receives every older item that had to go for it ([`OverflowPolicy::DropOldest`]).
    ///
    /// ```
    /// use lowlight_core::queue::{OverflowPolicy, Pushed, Ring};
    /// let mut ring = Ring::<_, 2>::new(OverflowPolicy::DropOldest, 2, usize::MAX);
    /// let mut evicted = None;
    /// for item in 1..=3 {
    ///     assert_eq!(ring.push(item, 1, 0, |old| evicted = Some(old)), Pushed::Queued);
    /// }
    /// assert_eq!((evicted, ring.pop()), (Some(1), Some(2)));
    /// ```
    pub fn push(&mut self, item: T, weight: usize, now: i64, mut on_evicted: impl FnMut(T)) -> Pushed<T> {
        if weight > self.max_weight || self.max_items == 0 {
            return self.lose(item, self.full_reason, now);
        }
        if self.sampled_out() {
            return self.lose(item, GapReason::Sampled, now);
        }
        while !self.fits(weight) {
            match self.policy {
                OverflowPolicy::DropNewest | OverflowPolicy::Sample { .. } => return self.lose(item, self.full_reason, now),
                OverflowPolicy::Block => return Pushed::Full(item),
                OverflowPolicy::DropOldest => {
                    let Some(oldest) = self.pop() else { return self.lose(item, self.full_reason, now) };
                    self.losses.add(self.full_reason, 1, now);
                    on_evicted(oldest);
                }
            }
        }
        match self.items.push_back((item, weight)) {
            Ok(()) => {
                self.weight += weight;
                Pushed::Queued
            }
            Err((item, _)) => self.lose(item, self.full_reason, now),
        }
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        let (item, weight) = self.items.pop_front()?;
        self.weight -= weight;
        Some(item)
    }

    /// The items, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|(item, _)| item)
    }

    /// The items, oldest first, to be changed without a change of their weights.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().map(|(item, _)| item)
    }

    /// Whether an item of that weight would fit without losing anything.
    pub fn fits(&self, weight: usize) -> bool {
        self.items.len() < self.max_items && weight <= self.max_weight.saturating_sub(self.weight)
    }

    fn sampled_out(&mut self) -> bool {
        let OverflowPolicy::Sample { one_in } = self.policy else { return false };
        let half_full = self.items.len() >= self.max_items.div_ceil(2) || self.weight >= self.max_weight.div_ceil(2);
        if one_in < 2 || !half_full {
            return false;
        }
        let turn = self.turn;
        self.turn = (turn + 1) % one_in;
        turn != 0
    }

    fn lose(&mut self, item: T, reason: GapReason, now: i64) -> Pushed<T> {
        self.losses.add(reason, 1, now);
        Pushed::Lost(item, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn fill(policy: OverflowPolicy, items: u32) -> (Ring<u32, 8>, Vec<u32>, Vec<u32>) {
        let mut ring = Ring::new(policy, 8, 1000);
        let (mut evicted, mut refused) = (Vec::new(), Vec::new());
        for item in 0..items {
            match ring.push(item, 10, i64::from(item), |old| evicted.push(old)) {
                Pushed::Queued => {}
                Pushed::Lost(item, _) | Pushed::Full(item) => refused.push(item),
            }
        }
        (ring, evicted, refused)
    }

    fn drain(ring: &mut Ring<u32, 8>) -> Vec<u32> {
        core::iter::from_fn(|| ring.pop()).collect()
    }

    #[test]
    fn drop_newest_keeps_the_oldest() {
        let (mut ring, evicted, refused) = fill(OverflowPolicy::DropNewest, 12);
        assert_eq!((evicted, refused), (std::vec![], std::vec![8, 9, 10, 11]));
        assert_eq!(drain(&mut ring), [0, 1, 2, 3, 4, 5, 6, 7]);
        let gap = ring.losses().take().next().unwrap();
        assert_eq!((gap.reason, gap.lost, gap.lost_from, gap.lost_to), (GapReason::QueueFull, 4, 8, 11));
    }

    #[test]
    fn drop_oldest_keeps_the_newest() {
        let (mut ring, evicted, refused) = fill(OverflowPolicy::DropOldest, 12);
        assert_eq!((evicted, refused), (std::vec![0, 1, 2, 3], std::vec![]));
        assert_eq!(drain(&mut ring), [4, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn block_hands_back_and_counts_nothing() {
        let (mut ring, evicted, refused) = fill(OverflowPolicy::Block, 9);
        assert_eq!((evicted, refused), (std::vec![], std::vec![8]));
        assert!(ring.losses().is_empty());
    }

    #[test]
    fn sampling_starts_at_half_full_and_names_its_reason() {
        let (mut ring, _, refused) = fill(OverflowPolicy::Sample { one_in: 3 }, 13);
        assert_eq!(refused, [5, 6, 8, 9, 11, 12]);
        assert_eq!(ring.losses().take().next().unwrap().reason, GapReason::Sampled);
        assert_eq!(drain(&mut ring), [0, 1, 2, 3, 4, 7, 10]);
    }

    #[test]
    fn nothing_is_ever_unaccounted_for() {
        for policy in [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest, OverflowPolicy::Sample { one_in: 2 }, OverflowPolicy::Block]
        {
            for max_weight in [0, 1, 15, 40, 1000] {
                let mut ring = Ring::<u32, 8>::new(policy, 5, max_weight);
                let (mut pushed, mut handed_back, mut popped) = (0, 0, 0);
                for step in 0..500_u32 {
                    if step % 7 < 5 {
                        pushed += 1;
                        if let Pushed::Full(_) = ring.push(step, (step % 30) as usize, 0, |_| {}) {
                            handed_back += 1;
                        }
                    } else if ring.pop().is_some() {
                        popped += 1;
                    }
                    assert!(ring.weight() <= max_weight && ring.len() <= 5);
                }
                let lost: u64 = ring.losses().take().map(|gap| gap.lost).sum();
                assert_eq!(pushed, handed_back + popped + lost + ring.len() as u64, "{policy:?} {max_weight}");
            }
        }
    }
}
