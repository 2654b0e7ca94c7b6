//! What a witness answers (C2SP tlog-witness `add-checkpoint`): a pure function of its state and the request.
//!
//! ```text
//! request = "old " size "\n" (base64(hash) "\n"){0,63} "\n" signed checkpoint
//! stored (size, root) + request  ->  new (size, root), to be persisted and read back, and only then signed
//!                                 |  refusal
//! ```
//!
//! Limits: requests of at most [`MAX_NOTE`] bytes of checkpoint behind the proof; no allocation.
//!
//! 1. Checks are made in the order of the specification, so that a refusal says no more than it must.
//! 2. Size and root only ever move along a proof; an answer of 200 without persisting first is a broken witness.

use super::checkpoint::Checkpoint;
use super::{Key, MAX_NOTE, Note, NoteError, base64, decimal};
use crate::chain::Digest;
use crate::tree::Proof;
use crate::tree::empty_root;
use crate::tree::proof::{MAX_TREE, verify_consistency};

/// What a witness remembers of a log; size 0 is a fresh slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Seen {
    /// Newest size it cosigned.
    pub size: u64,
    /// Root at that size.
    pub root: Digest,
}

impl Seen {
    /// A slot in which no log was seen yet.
    pub fn nothing() -> Self {
        Self { size: 0, root: empty_root() }
    }
}

/// Why a witness does not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refusal {
    /// It does not witness a log of that origin.
    #[error("unknown origin")]
    UnknownOrigin,
    /// No signature of the log's key, or a wrong one.
    #[error("no valid signature of the log's key")]
    Untrusted,
    /// Not a request, or its old size is larger than the new one.
    #[error("malformed request")]
    Malformed,
    /// The old size is not the one it remembers, which is given.
    #[error("the witness is at size {0}")]
    Conflict(u64),
    /// The proof does not show that the log grew.
    #[error("consistency proof does not verify")]
    Inconsistent,
}

impl Refusal {
    /// The HTTP status of the specification.
    pub fn status(self) -> u16 {
        match self {
            Self::UnknownOrigin => 404,
            Self::Untrusted => 403,
            Self::Malformed => 400,
            Self::Conflict(_) => 409,
            Self::Inconsistent => 422,
        }
    }
}

/// A request as it was sent; nothing in it is checked but its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The size that the sender believes the witness to be at.
    pub old: u64,
    /// Proof from there to the checkpoint.
    pub proof: Proof,
    /// The signed checkpoint, as it was sent: a note that cannot be read has no valid signature.
    pub checkpoint: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let read = || {
            let split = bytes.windows(2).position(|pair| pair == b"\n\n")?;
            let (head, rest) = bytes.split_at_checked(split + 1)?;
            let mut lines = core::str::from_utf8(head).ok()?.split_terminator('\n');
            let old = decimal(lines.next()?.strip_prefix("old ")?).filter(|old| *old < MAX_TREE)?;
            let mut proof = Proof::new();
            for line in lines {
                proof.push(base64::digest(line.as_bytes())?).ok()?;
            }
            Some(Self { old, proof, checkpoint: rest.strip_prefix(b"\n").filter(|rest| rest.len() <= MAX_NOTE)? })
        };
        read().ok_or(Refusal::Malformed)
    }

    /// The origin it names: the first line of the checkpoint.
    pub fn origin(&self) -> &'a str {
        let line = self.checkpoint.split(|byte| *byte == b'\n').next().unwrap_or_default();
        core::str::from_utf8(line).unwrap_or_default()
    }

    /// Decides what a witness that trusts `keys` for this origin, and remembers `seen` of it, does.
    ///
    /// The result is to be persisted and read back before the text of the note is cosigned.
    ///
    /// # Errors
    ///
    /// [`Refusal`], other than `UnknownOrigin`, which is the caller's to find.
    pub fn decide(&self, seen: &Seen, keys: &[Key<'_>]) -> Result<Seen, Refusal> {
        let note = Note::parse(self.checkpoint).map_err(|_| Refusal::Untrusted)?;
        let signed = keys.iter().map(|key| note.signature_of(key)).try_fold(false, |any, one| match one {
            Ok(one) => Ok(any || one.is_some()),
            Err(error) => Err(error),
        });
        if !signed.map_err(|_: NoteError| Refusal::Untrusted)? {
            return Err(Refusal::Untrusted);
        }
        let new = Checkpoint::parse(note.text).map_err(|_| Refusal::Malformed)?;
        if self.old > new.size {
            return Err(Refusal::Malformed);
        }
        if self.old != seen.size {
            return Err(Refusal::Conflict(seen.size));
        }
        let next = Seen { size: new.size, root: new.root };
        let holds = match (seen.size, new.size) {
            (_, 0) => self.proof.is_empty() && new.root == empty_root(),
            (0, _) => self.proof.is_empty(),
            (old, size) => verify_consistency(old, size, &seen.root, &new.root, &self.proof),
        };
        if holds { Ok(next) } else { Err(Refusal::Inconsistent) }
    }
}
