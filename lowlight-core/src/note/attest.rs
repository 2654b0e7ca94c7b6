//! What a witness says of a log right now: an answer to a challenge, so that an old one cannot be shown for it.
//!
//! ```text
//! text = "lowlight-witness-state/v1\n" origin "\n" size "\n" base64(root) "\n" nonce, 64 hex digits "\n" write seq "\n"
//! ```
//!
//! 1. It is a signed note of type Ed25519, by another key than the one that cosigns: neither can be taken for the other.

use super::base64::{self, Base64};
use super::checkpoint::MAX_ORIGIN;
use super::{NoteError, decimal, hex};
use crate::chain::Digest;
use core::fmt;

const FIRST: &str = "lowlight-witness-state/v1";

/// What a witness remembers of a log. Prints as the text that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attestation<'a> {
    /// Which log.
    pub origin: &'a str,
    /// Newest size it cosigned.
    pub size: u64,
    /// Root at that size.
    pub root: Digest,
    /// The challenge it answers.
    pub nonce: [u8; 32],
    /// How often the witness has written its state.
    pub write_seq: u64,
}

impl<'a> Attestation<'a> {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// [`NoteError::NotCheckpoint`] when it is none.
    pub fn parse(text: &'a str) -> Result<Self, NoteError> {
        let parse = || {
            let mut lines = text.strip_suffix('\n')?.split('\n');
            (lines.next()? == FIRST).then_some(())?;
            let origin = lines.next().filter(|origin| !origin.is_empty() && origin.len() <= MAX_ORIGIN)?;
            let (size, root) = (decimal(lines.next()?)?, base64::digest(lines.next()?.as_bytes())?);
            let (nonce, write_seq) = (hex(lines.next()?)?, decimal(lines.next()?)?);
            lines.next().is_none().then_some(Self { origin, size, root, nonce, write_seq })
        };
        parse().ok_or(NoteError::NotCheckpoint)
    }
}

impl fmt::Display for Attestation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST}\n{}\n{}\n{}", self.origin, self.size, Base64(&self.root.0))?;
        self.nonce.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        writeln!(f, "\n{}", self.write_seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn a_text_has_one_form() {
        let attestation = Attestation { origin: "lowlight/00ff", size: 7, root: Digest([3; 32]), nonce: [0xa5; 32], write_seq: 9 };
        let text = attestation.to_string();
        assert_eq!(Attestation::parse(&text), Ok(attestation));
        for wrong in [
            text.replace("v1", "v2"),
            text.replace("\n7\n", "\n07\n"),
            text.replace("a5", "A5"),
            text.replace("\n9\n", "\n9\nmore\n"),
            text.trim_end().to_string(),
            text.replace("a5a5\n", "a5\n"),
        ] {
            assert_eq!(Attestation::parse(&wrong), Err(NoteError::NotCheckpoint), "{wrong}");
        }
    }
}
