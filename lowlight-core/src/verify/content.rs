//! Contents of entries: each against its commitment, absent ones against the tombstones.

use super::{ProblemKind, Verifier};
use crate::commit::{Commitment, Salt};
use crate::entry::{FieldId, Slot, SlotState, Slots};
use crate::source::Covered;

/// Slots of the entry at hand whose contents are still to come.
///
/// One place for all entries: moving the slots costs more than checking them.
#[derive(Debug, Default)]
pub(super) struct OpenContents {
    /// The entry; `None` when no contents are due.
    seq: Option<u64>,
    slots: Slots,
    seen: u64,
    pub(super) check: bool,
    /// What tombstones say about the entry.
    pub(super) covered: Covered,
}

impl<const P: usize> Verifier<P> {
    pub(super) fn content(&mut self, seq: u64, field: FieldId, salt: Option<[u8; 16]>, value: Option<&[u8]>) {
        if self.contents.seq != Some(seq) {
            return self.stray_content(seq, salt == Some([0; 16]));
        }
        let open = &mut self.contents;
        if !open.check {
            return;
        }
        // Overwritten, and about to be deleted.
        if salt == Some([0; 16]) && open.covered.fields >> field.get() & 1 == 1 {
            return;
        }
        let slot = open.slots.iter().find(|slot| slot.field == field);
        open.seen |= 1 << field.get();
        let detail = match (slot, salt, value) {
            (None, ..) => "there is content that the entry does not commit to",
            (Some(_), None, _) => "a salt is not 16 bytes",
            (Some(slot), _, Some(_)) if slot.state == SlotState::HashOnly => "a value is stored though only its hash should be",
            (Some(slot), _, None) if slot.state == SlotState::Kept => "a value is not there and no tombstone explains it",
            (Some(slot), Some(salt), Some(value)) if Commitment::new(&Salt(salt), field, value).0 != slot.commitment => {
                "content does not match its commitment"
            }
            _ => return,
        };
        self.report(seq, ProblemKind::ContentMismatch, detail);
    }

    /// Content without an entry row of that seq.
    fn stray_content(&mut self, seq: u64, is_blank: bool) {
        self.close_contents();
        if is_blank && self.gaps.is_explained(seq) {
            return;
        }
        let cut_off = seq >= self.expected && self.tip.as_ref().is_some_and(|tip| seq > tip.last_seq && seq < tip.size);
        let is_due = seq >= self.expected || self.gaps.is_explained(seq);
        if is_due && !self.gaps.is_excused(seq) && !cut_off && !self.row_to_come(seq) {
            self.report(seq, ProblemKind::ContentMismatch, "there is content of an entry that is not there");
        }
    }

    /// Contents of a run of missing entries come before the row that ends the run.
    fn row_to_come(&self, seq: u64) -> bool {
        seq >= self.expected && !self.tip_right && self.tip.as_ref().is_some_and(|tip| seq < tip.last_seq)
    }

    pub(super) fn open_contents(&mut self, seq: u64, slots: &[Slot], check: bool) {
        let open = &mut self.contents;
        open.slots.clear();
        // An entry has at most as many slots as there is room for.
        let _ = open.slots.extend_from_slice(slots);
        (open.seq, open.seen, open.check, open.covered) = (Some(seq), 0, check, Covered::default());
    }

    pub(super) fn close_contents(&mut self) {
        let open = &mut self.contents;
        let Some(seq) = open.seq.take().filter(|_| open.check) else { return };
        let (seen, covered) = (open.seen, open.covered);
        let slots = open.slots.iter().fold(0_u64, |mask, slot| mask | 1 << slot.field.get());
        let absent = slots & !seen;
        if covered.is_whole || covered.fields & seen & slots != 0 {
            self.result.pending += 1;
        }
        if absent == 0 {
            return;
        }
        self.result.erased += u64::from((absent & covered.fields).count_ones());
        if absent & !covered.fields != 0 {
            self.report(seq, ProblemKind::ContentMismatch, "content is not there and no tombstone explains it");
        } else if absent & covered.refused != 0 {
            self.report(seq, ProblemKind::PolicyViolation, "content was removed earlier than the retention policy allows");
        }
    }
}
