//! Room on a disk that fills up, where retention can make some.
//!
//! ```text
//! disk nearly full -> cut the WAL -> choose, name, remove, piece by piece -> give pages back -> keep a reserve again
//! ```
//!
//! 1. It is done in the writer thread, before the next batch: callers do not wait for it.

use super::now;
use super::queue::Hand;
use super::removing::Order;
use super::worker::Worker;
use crate::removal::{Choice, Room};
use crate::store::{Layout, Reader, reserve};

/// Bytes of records after which the free room is looked at.
const LOOK_EVERY: usize = 1 << 20;
/// Pieces of the database that are given back to a full disk: 8 MiB.
const VACUUMS: u32 = 32;

impl Worker<'_> {
    /// After a batch: makes room while there is still some. A log that may lose entries never takes the last of it.
    pub(super) fn keep_room(&mut self, written: usize) {
        self.removing.written += written;
        if !self.removing.is_on() || self.removing.written < LOOK_EVERY {
            return;
        }
        self.removing.written = 0;
        if reserve::missing(&Layout::new(&self.shared.options.path)) > 0 {
            self.make_room();
        }
    }

    /// Storage has no space for the batch at hand: where retention can make some, this does so at once, out of what was kept
    /// back for it. `false` when nothing came of it.
    pub(super) fn make_room(&mut self) -> bool {
        if !self.removing.is_on() || self.removing.is_unsafe(self.shared) {
            return false;
        }
        let options = &self.shared.options;
        let layout = Layout::new(&options.path);
        reserve::give_up(&layout);
        // What the WAL has still to add to the database takes its room now, so that the WAL can begin anew.
        self.cut_wal();
        let mut went = self.carry_out();
        if !went {
            let at = (now(), self.shared.clock());
            let chosen = Reader::open(&options.path).and_then(|reader| {
                // A twentieth of the log is enough to go on with for a while.
                let wanted = layout.database().metadata().map_or(0, |meta| meta.len() / 20).max(4 << 20);
                Ok((Choice::in_force(&reader, at, Room::of(&reader, options.min_free, wanted))?.plans(), reader.log_id()))
            });
            let Some((plans, log)) = chosen.ok().filter(|(plans, _)| !plans.is_empty()) else { return false };
            // What is in hand is not touched, nor what an attempt at it says; whether that is there is asked when it is written again.
            let in_hand = (self.removing.order.take(), std::mem::take(&mut self.removing.seqs), std::mem::take(&mut self.doubt));
            let (mut losses, mut alarms) = (std::mem::take(&mut self.losses), std::mem::take(&mut self.alarms));
            let order = Order { plans, reason: None, answer: None, blocked: None, is_chosen: false, more: false, log: Some(log) };
            self.removing.order = Some(order);
            let written = self.write(&Hand::default()).is_ok();
            (self.removing.order, self.removing.seqs, self.doubt) = in_hand;
            losses.take().for_each(|gap| self.losses.merge(gap));
            alarms.append(&mut self.alarms);
            self.alarms = alarms;
            if !written {
                return false;
            }
            self.seal(false);
            went = self.carry_out();
        }
        // What was freed inside the database is of no use to the journal, nor to the next time.
        if let Some(store) = &self.store {
            let _given = (0..VACUUMS).try_for_each(|_| store.vacuum_some(true).map(drop));
        }
        self.cut_wal();
        reserve::keep(&layout);
        went
    }

    /// Carries out what is named; whether anything went.
    fn carry_out(&mut self) -> bool {
        let gone = |worker: &Self| {
            let stats = &worker.shared.lock().stats;
            stats.removed_entries + stats.removed_contents
        };
        let before = gone(self);
        self.removing.not_before = None;
        while (!self.removing.is_loaded || !self.removing.tasks.is_empty()) && self.removing.not_before.is_none() {
            self.step();
            self.cut_wal();
        }
        gone(self) > before
    }

    fn cut_wal(&mut self) {
        if let Some(store) = &self.store {
            // A reader in the way is tried again after the next piece.
            let _is_cut = store.truncate_wal();
        }
    }
}
