//! Erasing chosen content: finding it, and what can be asked for.
//!
//! 1. What is found are entries that have the content now; what was erased before is not named again.
//! 2. Headers, commitments and the entries themselves stay.

use super::{ALL_FIELDS, Runs};
use crate::store::{Filter, Reader, StoreError};
use lowlight_core::FieldId;
use std::collections::BTreeMap;

/// What to erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erase {
    /// Of these entries.
    pub runs: Runs,
    /// These fields, bit by field id.
    pub fields: u64,
    /// Why, in words: recorded with the tombstone, redacted, and erasable itself. At most 1,024 bytes.
    pub reason: Option<String>,
}

/// Why something was not erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// Nothing was asked for.
    #[error("nothing to erase: no entry, or no field")]
    Nothing,
    /// The recorder ends, or cannot write.
    #[error("the tombstone could not be written: {0}")]
    NotWritten(String),
    /// The time was over. The tombstone may be in the log by now; then the rest is done as soon as it can be.
    #[error("not finished in time: {0}; the recorder goes on with it, and so does the next one")]
    Pending(String),
}

/// What there is to erase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The entries.
    pub runs: Runs,
    /// How many entries.
    pub entries: u64,
    /// How many values by field.
    pub values: BTreeMap<FieldId, u64>,
}

/// Finds the entries that pass `filter`, are among `seqs` if given, and have content in one of `fields`.
///
/// # Errors
///
/// [`StoreError`] when the log cannot be read.
pub fn find(reader: &Reader, filter: &Filter, seqs: Option<&Runs>, fields: u64) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut matching = Vec::new();
    for seq in reader.seqs(filter)? {
        if seqs.is_some_and(|seqs| !seqs.contains(seq)) {
            continue;
        }
        let own: Vec<_> = reader.content_fields(seq)?.into_iter().filter(|field| fields >> field.get() & 1 == 1).collect();
        if own.is_empty() {
            continue;
        }
        matching.push(seq);
        own.into_iter().for_each(|field| *found.values.entry(field).or_default() += 1);
    }
    found.entries = matching.len() as u64;
    found.runs = Runs::of(matching);
    Ok(found)
}

/// Bitmap of fields by name; all of them when none is named.
///
/// # Errors
///
/// The first name that is none.
pub fn fields(names: &[String]) -> Result<u64, &str> {
    if names.is_empty() {
        return Ok(ALL_FIELDS);
    }
    names.iter().try_fold(0, |mask, name| FieldId::from_name(name).map(|field| mask | 1 << field.get()).ok_or(name.as_str()))
}
