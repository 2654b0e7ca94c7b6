//! Cosignatures (C2SP tlog-cosignature, cosignature/v1): a witness says that it saw a checkpoint, and when.
//!
//! ```text
//! signed    = "cosignature/v1\n" "time " seconds "\n" text of the checkpoint
//! signature = u64 big-endian seconds || Ed25519 64
//! ```
//!
//! Limit: texts of at most [`MAX_COSIGNED`] bytes, extension lines of others included.

use super::{Piece, Signature};
use core::fmt::Write as _;

/// Most bytes of a text that is cosigned.
pub const MAX_COSIGNED: usize = 1_024;

/// What stands behind the key id of a cosignature line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosignature {
    /// When it was made, Unix seconds.
    pub time: u64,
    /// Ed25519 over [`message`].
    pub signature: [u8; 64],
}

impl Cosignature {
    /// The cosignature in a signature line; `None` when it is of another length.
    pub fn of(signature: &Signature<'_>) -> Option<Self> {
        let [_, _, _, _, rest @ ..] = signature.bytes::<76>()?;
        let (time, signature) = rest.split_first_chunk::<8>()?;
        Some(Self { time: u64::from_be_bytes(*time), signature: signature.try_into().ok()? })
    }

    /// Its bytes behind the key id.
    pub fn to_bytes(&self) -> [u8; 72] {
        let mut out = [0; 72];
        let both = self.time.to_be_bytes().into_iter().chain(self.signature);
        out.iter_mut().zip(both).for_each(|(slot, byte)| *slot = byte);
        out
    }
}

/// What is signed; `None` when `text` is too long.
pub fn message(time: u64, text: &str) -> Option<heapless::Vec<u8, { MAX_COSIGNED + 48 }>> {
    let mut piece = Piece(heapless::Vec::new());
    if text.len() > MAX_COSIGNED {
        return None;
    }
    write!(piece, "cosignature/v1\ntime {time}\n{text}").ok()?;
    Some(piece.0)
}
