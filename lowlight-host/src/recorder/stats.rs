//! What became of the records so far.
//!
//! 1. `received == durable + queued + lost`, at every instant.

use super::LossReason;

/// Counts since the recorder was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Records accepted by `record` (refused ones are not counted).
    pub received: u64,
    /// Records on disk.
    pub durable: u64,
    /// Records in memory.
    pub queued: u64,
    /// Records lost, per reason.
    pub lost: Lost,
    /// What the writer is waiting for, if it cannot write.
    pub waiting: Option<String>,
    /// Seq of the newest durable record.
    pub last_seq: Option<u64>,
    /// What verification at start found, if it found something.
    pub verify_problem: Option<String>,
    /// What is wrong with checkpoints or the key that signs them, if something is.
    pub checkpoint_problem: Option<String>,
    /// Entries up to the newest checkpoint that the witness has cosigned in this run.
    pub witnessed: Option<u64>,
    /// Why the witness has not cosigned the newest one, if it has not.
    pub witness_problem: Option<String>,
    /// Entries of the log that are in the copy.
    pub copied: Option<u64>,
    /// Why the copy falls behind, if it does.
    pub copy_problem: Option<String>,
    /// Whole entries that were removed.
    pub removed_entries: u64,
    /// Content values that were removed from entries that stay.
    pub removed_contents: u64,
    /// What keeps removal from going on, if something does.
    pub removal_problem: Option<String>,
    /// Why retention does not do all that the configuration asks for, if it does not.
    pub retention_problem: Option<String>,
    /// Where a damaged log was moved at start, if there was one.
    pub quarantined: Option<String>,
    /// Id of the log, once it is open.
    pub log_id: Option<String>,
}

/// Losses per reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[expect(missing_docs, reason = "as in LossReason")]
pub struct Lost {
    pub queue_full: u64,
    pub sampled: u64,
    pub disk_full: u64,
    pub rejected: u64,
    pub abandoned: u64,
}

impl Lost {
    /// All losses together.
    pub fn total(&self) -> u64 {
        self.queue_full + self.sampled + self.disk_full + self.rejected + self.abandoned
    }

    pub(super) fn count(&mut self, reason: LossReason) {
        *match reason {
            LossReason::QueueFull => &mut self.queue_full,
            LossReason::Sampled => &mut self.sampled,
            LossReason::DiskFull => &mut self.disk_full,
            LossReason::Rejected => &mut self.rejected,
            LossReason::Abandoned => &mut self.abandoned,
        } += 1;
    }
}
