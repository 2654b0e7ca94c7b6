//! Requests to a witness, in messages (`docs/format.md`, section 17.3); on a stream they are those of section 14.
//!
//! ```text
//! ADD time, request   LATEST origin   ATTEST nonce, origin   INFO   PROVISION keys, name, vkey   ->   status u16, text
//! ```
//!
//! 1. A request is asked again when its answer was lost: none does harm a second time.

use crate::frame::HEAD;

const ADD: u8 = 16;
const LATEST: u8 = 17;
const ATTEST: u8 = 18;
const INFO: u8 = 19;
const PROVISION: u8 = 20;

/// What a host asks a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Ask<'a> {
    /// To cosign a checkpoint.
    Add {
        /// Unix seconds.
        time: u64,
        /// An `add-checkpoint` request.
        request: &'a [u8],
    },
    /// For the newest checkpoint of a log that it cosigned.
    Latest {
        /// Which log.
        origin: &'a str,
    },
    /// What it remembers of a log now.
    Attest {
        /// The challenge.
        nonce: [u8; 32],
        /// Which log.
        origin: &'a str,
    },
    /// Who it is.
    Info,
    /// To become a witness.
    Provision {
        /// Seeds of the keys that cosign and attest; without them it makes its own.
        seeds: Option<&'a [u8; 64]>,
        /// What it is called.
        name: &'a str,
        /// Key of the logs it witnesses.
        vkey: &'a str,
    },
}

impl<'a> Ask<'a> {
    /// Puts the payload into a message's buffer behind its head: the kind and the payload's length; `None` when it does not fit.
    pub fn emit(&self, buffer: &mut [u8]) -> Option<(u8, usize)> {
        let (time, length);
        let (kind, parts): (u8, [&[u8]; 4]) = match self {
            Self::Add { time: at, request } => {
                time = at.to_le_bytes();
                (ADD, [&time, request, &[], &[]])
            }
            Self::Latest { origin } => (LATEST, [origin.as_bytes(), &[], &[], &[]]),
            Self::Attest { nonce, origin } => (ATTEST, [nonce, origin.as_bytes(), &[], &[]]),
            Self::Info => (INFO, [&[]; 4]),
            Self::Provision { seeds, name, vkey } => {
                length = [u8::from(seeds.is_none()), u8::try_from(name.len()).ok()?];
                let [made, name_length] = &length;
                let seeds = seeds.map_or(&[][..], |seeds| &seeds[..]);
                let (made, name_length) = (core::slice::from_ref(made), core::slice::from_ref(name_length));
                return put(buffer, [made, seeds, name_length, name.as_bytes(), vkey.as_bytes()]).map(|length| (PROVISION, length));
            }
        };
        put(buffer, parts).map(|length| (kind, length))
    }

    /// Parses a request; `None` when it is none of these.
    pub fn parse(kind: u8, payload: &'a [u8]) -> Option<Self> {
        let text = |bytes| core::str::from_utf8(bytes).ok();
        match kind {
            ADD => {
                let (time, request) = payload.split_first_chunk()?;
                Some(Self::Add { time: u64::from_le_bytes(*time), request })
            }
            LATEST => Some(Self::Latest { origin: text(payload)? }),
            ATTEST => {
                let (nonce, origin) = payload.split_first_chunk()?;
                Some(Self::Attest { nonce: *nonce, origin: text(origin)? })
            }
            INFO if payload.is_empty() => Some(Self::Info),
            PROVISION => {
                let (made, rest) = payload.split_first()?;
                let (seeds, rest) = match made {
                    0 => rest.split_first_chunk().map(|(seeds, rest)| (Some(seeds), rest))?,
                    1 => (None, rest),
                    _ => return None,
                };
                let (length, rest) = rest.split_first()?;
                let (name, vkey) = rest.split_at_checked((*length).into())?;
                Some(Self::Provision { seeds, name: text(name)?, vkey: text(vkey)? })
            }
            _ => None,
        }
    }

    /// Whether a kind is one of these.
    pub fn is_kind(kind: u8) -> bool {
        (ADD..=PROVISION).contains(&kind)
    }
}

/// Puts parts one behind the other into a message's payload.
fn put<const N: usize>(buffer: &mut [u8], parts: [&[u8]; N]) -> Option<usize> {
    let mut length = 0;
    for part in parts {
        buffer.get_mut(HEAD + length..HEAD + length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    Some(length)
}

/// Status and text of an answer; `None` when it is none.
pub fn parse_answer(payload: &[u8]) -> Option<(u16, &str)> {
    let (status, text) = payload.split_first_chunk()?;
    Some((u16::from_le_bytes(*status), core::str::from_utf8(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back_as_they_went() {
        let seeds = [7; 64];
        let all = [
            Ask::Add { time: 1 << 40, request: b"old 0\n\nx" },
            Ask::Latest { origin: "lowlight/00" },
            Ask::Attest { nonce: [3; 32], origin: "lowlight/00" },
            Ask::Info,
            Ask::Provision { seeds: Some(&seeds), name: "w", vkey: "a+b+c" },
            Ask::Provision { seeds: None, name: "w", vkey: "a+b+c" },
        ];
        for ask in all {
            let mut buffer = [0; 200];
            let (kind, length) = ask.emit(&mut buffer).unwrap();
            assert!(Ask::is_kind(kind));
            assert_eq!(Ask::parse(kind, &buffer[HEAD..HEAD + length]), Some(ask));
            assert_eq!(ask.emit(&mut buffer[..HEAD + length - usize::from(length > 0)]).is_none(), length > 0);
        }
    }

    #[test]
    fn what_is_cut_or_no_text_is_no_request() {
        for (kind, payload) in [
            (ADD, &[0; 7][..]),
            (LATEST, &[0xFF]),
            (ATTEST, &[0; 31]),
            (INFO, &[0]),
            (PROVISION, &[]),
            (PROVISION, &[2, 0]),
            (PROVISION, &[0; 64]),
            (PROVISION, &[1, 3, b'a', b'b']),
            (21, &[]),
        ] {
            assert_eq!(Ask::parse(kind, payload), None, "{kind}");
        }
        assert_eq!(parse_answer(&[200, 0, b'x']), Some((200, "x")));
        assert_eq!(parse_answer(&[200]), None);
    }
}
