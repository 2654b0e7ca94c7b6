//! Checkpoints (C2SP tlog-checkpoint): what a log looked like at one size.
//!
//! ```text
//! origin "\n" size "\n" base64(root) "\n"          Lowlight's origin: key name "/" hex log id; it writes no extension lines
//! ```
//!
//! Limit: an origin of at most [`MAX_ORIGIN`] bytes.

use super::base64::{self, Base64};
use super::{NoteError, decimal};
use crate::chain::Digest;
use crate::tree::proof::MAX_TREE;
use core::fmt;

/// Most bytes of an origin.
pub const MAX_ORIGIN: usize = 255;

/// Size and root of a log. Prints as the text that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint<'a> {
    /// Which log.
    pub origin: &'a str,
    /// Number of leaves.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
}

impl<'a> Checkpoint<'a> {
    /// Reads the text of a checkpoint; extension lines of others are allowed and ignored.
    ///
    /// # Errors
    ///
    /// [`NoteError::NotCheckpoint`].
    pub fn parse(text: &'a str) -> Result<Self, NoteError> {
        let parse = || {
            let mut lines = text.strip_suffix('\n')?.split('\n');
            let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
            let checkpoint = Self { origin, size: decimal(size)?, root: base64::digest(root.as_bytes())? };
            let plain = !origin.is_empty()
                && !origin.chars().any(char::is_control)
                && origin.len() <= MAX_ORIGIN
                && lines.all(|line| !line.is_empty());
            (plain && checkpoint.size < MAX_TREE).then_some(checkpoint)
        };
        parse().ok_or(NoteError::NotCheckpoint)
    }
}

impl fmt::Display for Checkpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, Base64(&self.root.0))
    }
}
