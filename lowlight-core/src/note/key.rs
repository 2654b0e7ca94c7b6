//! Verifier keys of signed notes, and who signs.
//!
//! ```text
//! key id = SHA-256(key name || 0x0A || type || public key)[0..4]
//! vkey   = key name "+" 8 hex digits of the id "+" base64(type || public key)
//! ```
//!
//! 1. Signatures are checked strictly: keys and commitments of low order are refused, on every side alike.

use super::base64::{self, Base64};
use super::{NoteError, is_name};
use core::fmt;
use sha2::{Digest as _, Sha256};

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Algorithm {
    /// Ed25519 over the text of the note.
    Ed25519,
    /// cosignature/v1: Ed25519 over time and text of a checkpoint.
    CosignatureV1,
}

impl Algorithm {
    /// Its number in key ids and vkeys.
    pub fn number(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::CosignatureV1 => 4,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        [Self::Ed25519, Self::CosignatureV1].into_iter().find(|it| it.number() == number)
    }
}

/// A public key with its name. Prints as a vkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// Name: not empty, no white space, no plus.
    pub name: &'a str,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The Ed25519 public key.
    pub public: [u8; 32],
}

impl<'a> Key<'a> {
    /// Reads a vkey.
    ///
    /// # Errors
    ///
    /// [`NoteError::BadKey`] when it is malformed, of another algorithm, or its id is not that of the key.
    pub fn parse(vkey: &'a str) -> Result<Self, NoteError> {
        let parse = || {
            let (name, rest) = vkey.split_once('+')?;
            let (id, encoded) = rest.split_once('+')?;
            let [number, public @ ..] = base64::decode_array::<33>(encoded.as_bytes())?;
            let key = Self { name, algorithm: Algorithm::from_number(number)?, public };
            let plain = id.len() == 8 && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            let id = u32::from_str_radix(id, 16).ok().filter(|_| plain)?;
            (is_name(name) && id.to_be_bytes() == key.id()).then_some(key)
        };
        parse().ok_or(NoteError::BadKey)
    }

    /// Its id.
    pub fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name);
        hash.update([b'\n', self.algorithm.number()]);
        hash.update(self.public);
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        [a, b, c, d]
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [self.algorithm.number(); 33];
        if let Some((_, public)) = bytes.split_first_mut() {
            public.copy_from_slice(&self.public);
        }
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), Base64(&bytes))
    }
}

#[cfg(feature = "ed25519")]
pub use ed25519::{Ed25519, Signer, Verified, verify};

#[cfg(feature = "ed25519")]
mod ed25519 {
    use super::super::cosignature::{self, Cosignature};
    use super::super::{Signature, write_signature};
    use super::{Algorithm, Key};
    use core::fmt;
    use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

    /// Whether `signature` is that of `message` under `public`; keys and signatures of low order are refused.
    pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let key = VerifyingKey::from_bytes(public);
        key.is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
    }

    /// A signature that was checked.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Verified {
        /// When a cosignature says it was made, Unix seconds.
        pub time: Option<u64>,
    }

    /// Whoever holds a private key: in memory, in a TPM, in a secure element.
    pub trait Signer {
        /// Why signing failed.
        type Error;

        /// The public key.
        fn public(&self) -> [u8; 32];

        /// Signs a message with Ed25519.
        fn sign(&mut self, message: &[u8]) -> Result<[u8; 64], Self::Error>;
    }

    /// A private key in memory.
    pub struct Ed25519(SigningKey);

    impl Ed25519 {
        /// The key of a seed (RFC 8032 section 5.1.5): 32 bytes from a true random source.
        pub fn from_seed(seed: &[u8; 32]) -> Self {
            Self(SigningKey::from_bytes(seed))
        }
    }

    impl fmt::Debug for Ed25519 {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Ed25519(..)")
        }
    }

    impl Signer for Ed25519 {
        type Error = core::convert::Infallible;

        fn public(&self) -> [u8; 32] {
            self.0.verifying_key().to_bytes()
        }

        fn sign(&mut self, message: &[u8]) -> Result<[u8; 64], Self::Error> {
            Ok(self.0.sign(message).to_bytes())
        }
    }

    impl Key<'_> {
        /// Checks one signature of this key over `text`.
        pub fn verify(&self, text: &str, signature: &Signature<'_>) -> Option<Verified> {
            match self.algorithm {
                Algorithm::Ed25519 => {
                    let [_, _, _, _, signature @ ..] = signature.bytes::<68>()?;
                    verify(&self.public, text.as_bytes(), &signature).then_some(Verified { time: None })
                }
                Algorithm::CosignatureV1 => {
                    let Cosignature { time, signature } = Cosignature::of(signature)?;
                    let message = cosignature::message(time, text)?;
                    verify(&self.public, &message, &signature).then_some(Verified { time: Some(time) })
                }
            }
        }

        /// Signs `text` and writes the signature line; `time` is for cosignatures, Unix seconds. `None` when `text` is too
        /// long to be cosigned or does not fit `out`.
        ///
        /// # Errors
        ///
        /// Those of the signer.
        pub fn sign<S: Signer>(&self, signer: &mut S, text: &str, time: u64, out: &mut impl fmt::Write) -> Result<Option<()>, S::Error> {
            match self.algorithm {
                Algorithm::Ed25519 => {
                    let signature = signer.sign(text.as_bytes())?;
                    Ok(write_signature(out, self.name, self.id(), &signature).ok())
                }
                Algorithm::CosignatureV1 => {
                    let Some(message) = cosignature::message(time, text) else { return Ok(None) };
                    let bytes = Cosignature { time, signature: signer.sign(&message)? }.to_bytes();
                    Ok(write_signature(out, self.name, self.id(), &bytes).ok())
                }
            }
        }
    }
}
