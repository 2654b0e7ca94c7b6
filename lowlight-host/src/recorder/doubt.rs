//! Batches whose COMMIT failed, and that may be there all the same.
//!
//! A batch is tried again and again, each time with other salts, so with other leaves. Any of the attempts may turn out to be durable,
//! not only the last one: SQLite finds the frames of an earlier one when it rebuilds the index of the WAL, where no later attempt came
//! as far as writing over them.

use super::Outcome;
use crate::store::{Store, StoreError};
use lowlight_core::Digest;

/// Attempts that are remembered: a day of failures, a minute apart.
const MOST: usize = 1_440;

/// What is known of the attempts at the batch in hand.
#[derive(Default)]
pub(super) struct Doubt {
    attempts: Vec<Attempt>,
    /// What became of the records, if the last attempt is there; of the others only the seqs differ.
    outcomes: Vec<Outcome>,
}

/// One COMMIT that failed.
pub(super) struct Attempt {
    /// Its first entry, and the leaf of that.
    pub first: u64,
    pub leaf: Digest,
    /// Where its records begin, behind what the recorder has to say itself.
    pub records: u64,
    /// How many alarms stood in it.
    pub alarms: usize,
    /// Seqs of the tombstones in it.
    pub tombstones: Vec<u64>,
}

/// What an attempt that is there after all came to.
pub(super) struct Settled {
    pub outcomes: Vec<Outcome>,
    pub alarms: usize,
    pub tombstones: Vec<u64>,
}

impl Doubt {
    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    pub(super) fn add(&mut self, attempt: Attempt, outcomes: Vec<Outcome>) {
        if self.attempts.len() == MOST {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
        self.outcomes = outcomes;
    }

    /// Inside a batch: whether one of the attempts is there, with all its entries.
    pub(super) fn settle(&mut self, store: &Store) -> Result<Option<Settled>, StoreError> {
        let Some(last) = self.attempts.last().map(|last| last.records) else { return Ok(None) };
        for Attempt { first, leaf, records, alarms, tombstones } in &self.attempts {
            if store.leaf(*first)? == Some(*leaf) {
                let moved = |outcome: &Outcome| match outcome {
                    Outcome::Durable(seq) => Outcome::Durable(seq - last + records),
                    other => *other,
                };
                let outcomes = self.outcomes.iter().map(moved).collect();
                let settled = Settled { outcomes, alarms: *alarms, tombstones: tombstones.clone() };
                *self = Self::default();
                return Ok(Some(settled));
            }
        }
        Ok(None)
    }
}
