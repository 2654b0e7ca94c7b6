//! Salted commitments: hide a value now, prove it later (`docs/format.md`, section 4).
//!
//! Limit: a commitment hides a value only as well as its salt is random.
//!
//! ```text
//! commitment = SHA-256("lowlight/field/v1\0" || salt 16 || u16 field id || u32 length || value)
//! ```
//!
//! 1. One fresh salt per field; once salt and value are deleted the commitment says nothing about the value.
//! 2. Equal values under different salts or field ids have unrelated commitments.

use crate::chain::Digest;
use crate::entry::FieldId;
use sha2::{Digest as _, Sha256};

/// 16 random bytes that make a commitment hiding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Salt(pub [u8; 16]);

/// A salted hash of one content value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Commitment(pub Digest);

impl Commitment {
    /// Commits to `value` in slot `field` under `salt`.
    ///
    /// Values are at most [`MAX_CONTENT`](crate::entry::MAX_CONTENT) bytes; the length is hashed as a `u32`.
    ///
    /// ```
    /// use lowlight_core::{Commitment, FieldId, Salt};
    /// let one = Commitment::new(&Salt([1; 16]), FieldId::PROMPT, b"yes");
    /// let other = Commitment::new(&Salt([2; 16]), FieldId::PROMPT, b"yes");
    /// assert_ne!(one, other);
    /// ```
    pub fn new(salt: &Salt, field: FieldId, value: &[u8]) -> Self {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let mut hash = Sha256::new();
        hash.update(b"lowlight/field/v1\0");
        hash.update(salt.0);
        hash.update(u16::from(field.get()).to_le_bytes());
        hash.update(length.to_le_bytes());
        hash.update(value);
        Self(Digest(hash.finalize().into()))
    }
}
