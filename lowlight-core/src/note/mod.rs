//! Signed notes (C2SP signed-note) and what Lowlight writes as such: checkpoints and cosignatures.
//!
//! Limits: a note is at most [`MAX_NOTE`] bytes with at most [`MAX_SIGNATURES`] signature lines; no allocation.
//!
//! ```text
//! note = text "\n" sigline+             text ends in "\n"; the note is split at its last "\n\n"
//! sigline = U+2014 SP key name SP base64(key id 4 || signature) "\n"
//! ```
//!
//! 1. Parsing borrows: whatever is taken from a note can be found in its bytes.
//! 2. A signature counts only when name and id are those of a key that is trusted; other lines are skipped, and a line of
//!    a trusted key that does not verify makes the whole note invalid.

pub mod attest;
pub mod base64;
pub mod checkpoint;
pub mod cosignature;
pub mod key;
pub mod proof_file;
#[cfg(feature = "ed25519")]
pub mod witness;

pub use attest::Attestation;
pub use checkpoint::Checkpoint;
pub use key::{Algorithm, Key};
#[cfg(feature = "ed25519")]
pub use key::{Ed25519, Signer};
pub use proof_file::ProofFile;

use core::fmt;

/// Most bytes of a note.
pub const MAX_NOTE: usize = 64 << 10;
/// Most signature lines of a note.
pub const MAX_SIGNATURES: usize = 100;
/// What a signature line begins with.
const DASH: &str = "\u{2014} ";

/// Why bytes are no note, or a note is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`].
    #[error("longer than 65536 bytes")]
    TooLong,
    /// Not UTF-8, or a control character other than a newline.
    #[error("not text: a control character, or not UTF-8")]
    NotText,
    /// No empty line with signature lines behind it.
    #[error("no signatures: a note ends with an empty line and one or more signature lines")]
    NoSignatures,
    /// A line behind the text that is no signature line.
    #[error("a signature line is malformed: it is an em dash, a key name and base64, and ends with a newline")]
    BadLine,
    /// More than [`MAX_SIGNATURES`].
    #[error("more than 100 signature lines")]
    TooManySignatures,
    /// A signature of a trusted key does not verify.
    #[error("a signature under a trusted key does not verify")]
    BadSignature,
    /// Not signed at all, though it has to be.
    #[error("it is not signed; leave --key out to go without")]
    Unsigned,
    /// No signature of a trusted key.
    #[error("no signature of a trusted key; give the key that signed it, after a rotation the one of that time as well")]
    Untrusted,
    /// A checkpoint has origin, size and root, a line each.
    #[error("not a checkpoint: origin, size and root hash, a line each")]
    NotCheckpoint,
    /// Not a verifier key.
    #[error("not a verifier key: name+8 hex digits+base64")]
    BadKey,
    /// Not a proof file.
    #[error("not a proof file (c2sp.org/tlog-proof@v1)")]
    NotProof,
}

/// A parsed note; its signatures are not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    /// What is signed, with its final newline.
    pub text: &'a str,
    lines: &'a str,
}

/// One signature line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Name of the key.
    pub name: &'a str,
    /// Id of the key.
    pub id: [u8; 4],
    /// Key id and signature as base64.
    encoded: &'a str,
}

impl<'a> Note<'a> {
    /// Reads a note.
    ///
    /// # Errors
    ///
    /// [`NoteError`] when it is malformed anywhere, in lines of unknown keys too.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        if bytes.iter().any(|byte| *byte < 0x20 && *byte != b'\n') {
            return Err(NoteError::NotText);
        }
        let whole = core::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        let split = whole.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let (text, lines) = whole.split_at_checked(split + 1).ok_or(NoteError::NoSignatures)?;
        let lines = lines.strip_prefix('\n').filter(|lines| !lines.is_empty()).ok_or(NoteError::NoSignatures)?;
        let note = Self { text, lines };
        if !lines.ends_with('\n') {
            return Err(NoteError::BadLine);
        }
        let mut count = 0;
        for line in lines.split_terminator('\n') {
            Signature::parse(line).ok_or(NoteError::BadLine)?;
            count += 1;
        }
        if count > MAX_SIGNATURES { Err(NoteError::TooManySignatures) } else { Ok(note) }
    }

    /// Its signature lines, in order.
    pub fn signatures(&self) -> impl Iterator<Item = Signature<'a>> + use<'a> {
        self.lines.split_terminator('\n').filter_map(Signature::parse)
    }

    /// The signature of `key`, checked; `Ok(None)` when there is none.
    ///
    /// # Errors
    ///
    /// [`NoteError::BadSignature`] when any line of that key does not verify.
    #[cfg(feature = "ed25519")]
    pub fn signature_of(&self, key: &Key<'_>) -> Result<Option<key::Verified>, NoteError> {
        let mut found = None;
        for signature in self.signatures().filter(|it| it.name == key.name && it.id == key.id()) {
            let verified = key.verify(self.text, &signature).ok_or(NoteError::BadSignature)?;
            found.get_or_insert(verified);
        }
        Ok(found)
    }
}

impl<'a> Signature<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let mut id = [0; 4];
        let mut free = id.iter_mut();
        let length = base64::decode(encoded.as_bytes(), |byte| {
            if let Some(slot) = free.next() {
                *slot = byte;
            }
        })?;
        (is_name(name) && length > 4).then_some(Self { name, id, encoded })
    }

    /// Key id and signature, when they are exactly `N` bytes.
    pub fn bytes<const N: usize>(&self) -> Option<[u8; N]> {
        base64::decode_array(self.encoded.as_bytes())
    }
}

/// Whether a key may be called so: not empty, no space and no plus.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c.is_control())
}

/// A decimal number as the formats write it: no sign, no leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Bytes from their lower-case hex digits, no more and no fewer.
pub fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; N];
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (slot, [high, low]) in bytes.iter_mut().zip(pairs) {
        *slot = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Text of bounded length, for what has to be in one piece to be signed.
pub(crate) struct Piece<const N: usize>(pub heapless::Vec<u8, N>);

impl<const N: usize> fmt::Write for Piece<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Writes a signature line.
///
/// # Errors
///
/// Those of `out`.
pub fn write_signature(out: &mut impl fmt::Write, name: &str, id: [u8; 4], signature: &[u8]) -> fmt::Result {
    let mut bytes = heapless::Vec::<u8, 80>::new();
    bytes.extend_from_slice(&id).and_then(|()| bytes.extend_from_slice(signature)).map_err(|_| fmt::Error)?;
    writeln!(out, "{DASH}{name} {}", base64::Base64(&bytes))
}
