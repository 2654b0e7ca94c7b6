//! How a witness comes to its keys, why it fails, and what it answers, whose text is signed only when it is written, which is after what it says was persisted.

use core::fmt::{Result, Write};
use lowlight_core::LogId;
use lowlight_core::flash::{WITNESS_NAMES, WitnessHeader, WitnessRecord};
use lowlight_core::heapless::String;
use lowlight_core::note::witness::{Refusal, Seen};
use lowlight_core::note::{Algorithm, Attestation, Checkpoint, Ed25519, Key, Signer as _, write_signature};

/// An origin: a name, and the id of a log.
const ORIGIN: usize = WITNESS_NAMES + 33;
/// A text that is signed: an origin, the first line of an attestation, a size, a root, a nonce, a number.
const TEXT: usize = ORIGIN + 27 + 21 + 45 + 65 + 21;

/// Why a witness cannot do what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WitnessError {
    /// The region is not two equal halves of whole erase blocks, of at least 3,072 bytes each.
    Region,
    /// It has keys and a state.
    Provisioned,
    /// It has none, or what it had cannot be read any more.
    Blank,
    /// A name is none, or both together are longer than 128 bytes; or the key is none of a log.
    Name,
    /// It remembers no log of that id.
    Unknown,
    /// Flash could not be programmed or erased.
    Failed,
}

impl core::fmt::Display for WitnessError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Region => "the region must be two equal halves of whole erase blocks, of 3072 bytes or more each",
            Self::Provisioned => "the witness has keys already: erase it first, and it is another witness",
            Self::Blank => "the witness is not provisioned, or its state is lost: it signs nothing until it is provisioned as another",
            Self::Name => "a name is empty, has white space or a plus, or is too long; or the key is not one of a log",
            Self::Unknown => "the witness remembers no log of that id",
            Self::Failed => "flash could not be programmed or erased",
        })
    }
}

impl core::error::Error for WitnessError {}

/// How a witness comes to its keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provisioning {
    /// Whether a host may provision it over the line while it is blank: only where somebody holds a button, for instance.
    pub over_the_line: bool,
    /// A **true** random source that it makes its keys with; without one, seeds must be given.
    pub random: Option<fn(&mut [u8])>,
}

/// An answer, not yet written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reply {
    /// As in HTTP.
    pub status: u16,
    pub(crate) body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum Body {
    /// Why it is refused.
    Reason(&'static str),
    /// The size that is remembered.
    Size(u64),
    Cosignature(WitnessRecord),
    /// The newest checkpoint, if there is one.
    Latest(Option<WitnessRecord>),
    /// What is remembered, for a nonce, and how often was written until then.
    Attestation(LogId, Option<WitnessRecord>, [u8; 32], u64),
    /// The keys, and how often was written until then.
    Info(u64),
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let body = match refusal {
            Refusal::UnknownOrigin => Body::Reason("unknown origin"),
            Refusal::Untrusted => Body::Reason("no valid signature of the log's key"),
            Refusal::Malformed => Body::Reason("malformed request"),
            Refusal::Conflict(size) => Body::Size(size),
            Refusal::Inconsistent => Body::Reason("consistency proof does not verify"),
        };
        Self { status: refusal.status(), body }
    }
}

impl From<WitnessError> for Reply {
    fn from(error: WitnessError) -> Self {
        match error {
            WitnessError::Provisioned => Self::refusal(409, "it has keys already"),
            WitnessError::Name => {
                Self::refusal(400, "a name is empty, has white space or a plus, or is too long; or it is no vkey of a log")
            }
            WitnessError::Blank => Self::refusal(503, "it is not provisioned, or its state is lost"),
            _ => Self::refusal(503, "its flash failed"),
        }
    }
}

impl Reply {
    pub(crate) fn refusal(status: u16, reason: &'static str) -> Self {
        Self { status, body: Body::Reason(reason) }
    }

    /// Writes the text; `header` is that of the state.
    pub(crate) fn write(&self, header: Option<&WitnessHeader>, out: &mut impl Write) -> Result {
        match (self.body, header) {
            (Body::Reason(reason), _) => writeln!(out, "{reason}"),
            (Body::Size(size), _) => writeln!(out, "{size}"),
            (Body::Latest(None), _) => Ok(()),
            (_, None) => Err(core::fmt::Error),
            (Body::Info(write_seq), Some(header)) => {
                let name = attest_name(header)?;
                let (cosign, attest) = (key(header, Use::Cosign, &name)?, key(header, Use::Attest, &name)?);
                writeln!(out, r#"{{"version":1,"witness":"{cosign}","attest":"{attest}","write_seq":{write_seq}}}"#)
            }
            (Body::Cosignature(record), Some(header)) => cosign(header, &record, out),
            (Body::Latest(Some(record)), Some(header)) => {
                writeln!(out, "{}", text(header, &record)?)?;
                write_signature(out, header.names().0, record.key_id, &record.signature)?;
                cosign(header, &record, out)
            }
            (Body::Attestation(log_id, record, nonce, write_seq), Some(header)) => {
                let seen = record.map_or(Seen::nothing(), |record| Seen { size: record.size, root: record.root });
                let origin = origin(header, log_id)?;
                let mut text = String::<TEXT>::new();
                write!(text, "{}", Attestation { origin: &origin, size: seen.size, root: seen.root, nonce, write_seq })?;
                writeln!(out, "{text}")?;
                let name = attest_name(header)?;
                sign(header, Use::Attest, &name, (&text, 0), out)
            }
        }
    }
}

/// What a key is for.
#[derive(Clone, Copy)]
enum Use {
    Cosign,
    Attest,
}

fn signer(header: &WitnessHeader, usage: Use) -> Ed25519 {
    let (cosign, attest) = header.seeds.split_at(32);
    let seed = match usage {
        Use::Cosign => cosign,
        Use::Attest => attest,
    };
    Ed25519::from_seed(&core::array::from_fn(|at| seed.get(at).copied().unwrap_or_default()))
}

fn attest_name(header: &WitnessHeader) -> core::result::Result<String<{ WITNESS_NAMES + 6 }>, core::fmt::Error> {
    let mut name = String::new();
    write!(name, "{}-state", header.names().1)?;
    Ok(name)
}

fn key<'a>(header: &'a WitnessHeader, usage: Use, attest_name: &'a str) -> core::result::Result<Key<'a>, core::fmt::Error> {
    let public = signer(header, usage).public();
    Ok(match usage {
        Use::Cosign => Key { name: header.names().1, algorithm: Algorithm::CosignatureV1, public },
        Use::Attest => Key { name: attest_name, algorithm: Algorithm::Ed25519, public },
    })
}

fn sign(header: &WitnessHeader, usage: Use, attest_name: &str, (text, time): (&str, u64), out: &mut impl Write) -> Result {
    let Ok(done) = key(header, usage, attest_name)?.sign(&mut signer(header, usage), text, time, out);
    done.ok_or(core::fmt::Error)
}

fn origin(header: &WitnessHeader, log_id: LogId) -> core::result::Result<String<ORIGIN>, core::fmt::Error> {
    let mut origin = String::new();
    write!(origin, "{}/{log_id}", header.names().0)?;
    Ok(origin)
}

/// The text of a checkpoint that was remembered.
fn text(header: &WitnessHeader, record: &WitnessRecord) -> core::result::Result<String<TEXT>, core::fmt::Error> {
    let (origin, mut text) = (origin(header, record.log_id)?, String::new());
    write!(text, "{}", Checkpoint { origin: &origin, size: record.size, root: record.root })?;
    Ok(text)
}

fn cosign(header: &WitnessHeader, record: &WitnessRecord, out: &mut impl Write) -> Result {
    sign(header, Use::Cosign, "", (&text(header, record)?, record.time), out)
}
