//! Payloads that explain and protect the log itself: tombstones, policies, keys, imports (`docs/format.md`, section 3).

use super::{EntryError, MAX_SIZE, Retention, range, text};
use crate::chain::{Digest, LogId};
use serde::{Deserialize, Serialize};

/// Why something is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Cause {
    /// The retention policy of that number.
    Retention(u32),
    /// Somebody asked.
    Erasure,
}

/// A run of consecutive entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "self-explanatory")]
pub struct Run {
    pub start: u64,
    pub length: u64,
}

impl Run {
    /// One past its last entry.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

/// Most runs of one tombstone.
pub const MAX_RUNS: usize = 32;

/// Explains what is deleted and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Bitmap of content fields; 0 = whole entries.
    pub fields: u64,
    /// Why.
    pub cause: Cause,
    /// Exactly which entries: ascending, disjoint, not adjacent.
    pub runs: heapless::Vec<Run, MAX_RUNS>,
}

impl Tombstone {
    pub(super) fn check(&self) -> Result<(), EntryError> {
        let mut free_from = 0;
        for run in &self.runs {
            range("run start", run.start, MAX_SIZE)?;
            range("run length", run.length, MAX_SIZE)?;
            if run.length == 0 {
                return Err(EntryError::Range("run length"));
            }
            if run.start < free_from {
                return Err(EntryError::Order("runs"));
            }
            free_from = run.start + run.length + 1;
        }
        Ok(())
    }
}

/// An Ed25519 signature: 64 raw bytes, R then S.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Signature(pub [u8; 32], pub [u8; 32]);

impl Signature {
    /// From R and S, one behind the other.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        let mut halves = [[0; 32]; 2];
        halves.iter_mut().flatten().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        let [r, s] = halves;
        Self(r, s)
    }

    /// R and S, one behind the other.
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(self.0.iter().chain(&self.1)).for_each(|(slot, byte)| *slot = *byte);
        bytes
    }
}

/// The retention policy changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy<'a> {
    /// The new policy.
    #[serde(borrow)]
    pub policy: Retention<'a>,
    /// By the erasure key; needed to shorten retention.
    pub signature: Option<Signature>,
}

/// The log key changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange<'a> {
    /// C2SP vkey before, empty for the first; at most 256 bytes.
    pub old_vkey: &'a str,
    /// C2SP vkey from here on; 1 to 256 bytes.
    pub new_vkey: &'a str,
    /// By the old key, for the first by the new one.
    pub signature: Signature,
}

impl KeyChange<'_> {
    pub(super) fn check(&self) -> Result<(), EntryError> {
        text("old_vkey", self.old_vkey, 256)?;
        if self.new_vkey.is_empty() {
            return Err(EntryError::Text("new_vkey"));
        }
        text("new_vkey", self.new_vkey, 256)
    }
}

/// A range of another log was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Import {
    /// The other log.
    pub log_id: LogId,
    /// First entry taken.
    pub first: u64,
    /// One past the last.
    pub end: u64,
    /// Its head before `first`.
    pub head_before: Digest,
    /// Its head after the last.
    pub head_after: Digest,
    /// SHA-256 over `u32 length || body` of each stored entry.
    pub digest: Digest,
}
