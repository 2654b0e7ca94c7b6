//! Proof files (C2SP tlog-proof): an inclusion proof with its checkpoint, checkable without the log.
//!
//! ```text
//! "c2sp.org/tlog-proof@v1\n" ["extra " base64 "\n"] "index " n "\n" (base64(hash) "\n"){0,63} "\n" signed checkpoint
//! ```
//!
//! 1. The file is split at its first empty line; what stands behind it is the note, byte for byte.
//! 2. Nothing in it is trusted before the leaf made from it verifies against a checkpoint that is.

use super::base64::{self, Base64};
use super::{NoteError, decimal};
use crate::tree::Proof;
use core::fmt;

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// A parsed proof file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile<'a> {
    /// Base64 of what the file says about the leaf; checked to be base64, see [`ProofFile::extra`].
    pub extra: Option<&'a str>,
    /// Index of the leaf.
    pub index: u64,
    /// The inclusion proof, lowest hash first.
    pub proof: Proof,
    /// The signed checkpoint.
    pub checkpoint: &'a [u8],
}

impl<'a> ProofFile<'a> {
    /// Reads a proof file; the checkpoint in it is a note of its own.
    ///
    /// # Errors
    ///
    /// [`NoteError::NotProof`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NoteError> {
        Self::read(bytes).ok_or(NoteError::NotProof)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let split = bytes.windows(2).position(|pair| pair == b"\n\n")?;
        let (head, rest) = bytes.split_at_checked(split + 1)?;
        let checkpoint = rest.strip_prefix(b"\n")?;
        let mut lines = core::str::from_utf8(head).ok()?.strip_prefix(HEADER)?.split_terminator('\n');
        let mut line = lines.next()?;
        let extra = line.strip_prefix("extra ");
        if let Some(extra) = extra {
            base64::decode(extra.as_bytes(), |_| {})?;
            line = lines.next()?;
        }
        let index = decimal(line.strip_prefix("index ")?)?;
        let mut proof = Proof::new();
        for line in lines {
            proof.push(base64::digest(line.as_bytes())?).ok()?;
        }
        Some(Self { extra, index, proof, checkpoint })
    }

    /// Hands out the bytes of `extra`; nothing when there is none.
    pub fn extra(&self, take: impl FnMut(u8)) {
        // It was checked when the file was read.
        let _ = self.extra.and_then(|extra| base64::decode(extra.as_bytes(), take));
    }

    /// Writes a proof file up to its empty line; the signed checkpoint goes behind it.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(out: &mut impl fmt::Write, extra: Option<&[u8]>, index: u64, proof: &Proof) -> fmt::Result {
        out.write_str(HEADER)?;
        if let Some(extra) = extra {
            writeln!(out, "extra {}", Base64(extra))?;
        }
        writeln!(out, "index {index}")?;
        proof.iter().try_for_each(|hash| writeln!(out, "{}", Base64(&hash.0)))?;
        out.write_char('\n')
    }
}
