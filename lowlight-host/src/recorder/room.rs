//! Room on a disk that fills up, where retention can make some.
//!
//! ```text
//! disk nearly full -> cut the WAL -> choose, name, remove, piece by piece -> give pages back -> keep a reserve again
//! ```
//!
//! 1. It is done in the writer thread, before the next batch: callers do not wait for it.

use super::now;
use super::removing::Order;
use super::worker::Worker;
use crate::removal::{Choice, Room};
use crate::store::{Layout, Reader, reserve};
use lowlight_core::Sink as _;

/// Bytes of records after which the free room is looked at.
const LOOK_EVERY: usize = 1 << 20;
/// Pieces of the database that are given back to a full disk: 8 MiB.
const VACUUMS: u32 = 32;

impl Worker<'_> {
    /// After a batch: makes room while there is still some. A log that may lose entries never takes the last of it.
    pub(super) fn keep_room(&mut self, written: usize) {
        self.removing.written += written;
        if self.removing.choose_at.is_none() || self.removing.written < LOOK_EVERY {
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
        if self.removing.choose_at.is_none() || self.removing.is_unsafe(self.shared) {
            return false;
        }
        let options = &self.shared.options;
        let layout = Layout::new(&options.path);
        reserve::give_up(&layout);
        let at = (now(), self.shared.clock());
        let chosen = Reader::open(&options.path).and_then(|reader| {
            // A twentieth of the log is enough to go on with for a while.
            let wanted = layout.database().metadata().map_or(0, |meta| meta.len() / 20).max(4 << 20);
            Choice::in_force(&reader, at, Room::of(&reader, options.min_free, wanted))
        });
        // What the WAL has still to add to the database takes its room now, so that the WAL can begin anew.
        let cut = |worker: &Self| worker.store.as_ref().is_none_or(|store| store.truncate_wal().unwrap_or(false));
        let _is_cut = cut(self);
        let Some(plans) = chosen.ok().map(|choice| choice.plans()).filter(|plans| !plans.is_empty()) else { return false };
        self.removing.order = Some(Order { plans, reason: None, answer: None, blocked: None, is_chosen: false, more: false });
        // Whether the batch is there after all is asked again when it is written again.
        let doubtful = self.doubtful.take();
        let written = self.write(&[]).is_ok();
        self.doubtful = doubtful;
        if !written {
            self.removing.order = None;
            return false;
        }
        self.seal(false);
        let mut steps = Ok(());
        while steps.is_ok() && (!self.removing.is_loaded || !self.removing.tasks.is_empty()) && self.removing.not_before.is_none() {
            let Some(mut store) = self.store.take() else { break };
            steps = self.removal_step(&mut store);
            store.rollback();
            self.store = Some(store);
            let _is_cut = cut(self);
        }
        // What was freed inside the database is of no use to the journal, nor to the next time.
        if let (Ok(()), Some(store)) = (&steps, &self.store) {
            steps = (0..VACUUMS).try_for_each(|_| store.vacuum_some(true).map(drop)).and_then(|()| store.truncate_wal().map(drop));
            reserve::keep(&layout);
        }
        steps.is_ok()
    }
}
