//! Payloads that explain and protect the log itself: retention, tombstones, keys, imports (`docs/format.md`, section 3).

use super::{EntryError, MAX_INTEGER, MAX_SIZE, range, text, token};
use crate::chain::{Digest, LogId};
use serde::{Deserialize, Serialize};

/// A retention policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retention<'a> {
    /// Number of the policy.
    pub number: u32,
    /// Most entries, 0 = no limit.
    pub max_entries: u64,
    /// Most bytes on disk, 0 = no limit.
    pub max_bytes: u64,
    /// Rules, first match wins.
    #[serde(borrow)]
    pub rules: heapless::Vec<RetentionRule<'a>, 8>,
}

/// One retention rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionRule<'a> {
    /// Only entries of this kind.
    pub kind: Option<u8>,
    /// Only inferences of this status.
    #[serde(borrow)]
    pub status: Option<&'a str>,
    /// Never removed before this age, s.
    pub min_age_s: u64,
    /// Removed after this age, s; 0 = no limit.
    pub max_age_s: u64,
    /// Remove contents only, keep the entry.
    pub content_only: bool,
}

impl Retention<'_> {
    pub(super) fn check(&self) -> Result<(), EntryError> {
        range("max_entries", self.max_entries, MAX_INTEGER)?;
        range("max_bytes", self.max_bytes, MAX_INTEGER)?;
        self.rules.iter().try_for_each(|rule| {
            range("min_age_s", rule.min_age_s, MAX_INTEGER)?;
            range("max_age_s", rule.max_age_s, MAX_INTEGER)?;
            rule.status.map_or(Ok(()), |status| token("status", status, 32))
        })
    }
}

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

/// Explains what is deleted and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Bitmap of content fields; 0 = whole entries.
    pub fields: u64,
    /// Why.
    pub cause: Cause,
    /// Exactly which entries: ascending, disjoint, not adjacent.
    pub runs: heapless::Vec<Run, 32>,
}

impl Tombstone {
    pub(super) fn check(&self) -> Result<(), EntryError> {
        range("fields", self.fields, MAX_INTEGER)?;
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
