//! A labelled corpus that judges redaction: lines with the exact bytes a careful human would hide, and clean lines
//! that only look dangerous.
//!
//! It knows nothing of the redaction engine. Everything sensitive is random and made at run time: no value here was
//! ever a real credential, and fictional number ranges are used for phones where a country publishes one.
//!
//! Limits: kinds and forms are those of the design note and no others. Left out on purpose, because two careful
//! people would disagree: SSH remotes such as git at a host, masked cards with a few digits shown as positives,
//! `127.0.0.1` and netmasks, percent-encoded addresses, passwords told in a sentence, account numbers of a cloud.
//!
//! ```text
//! template  "login from ⟦IPV4⟧ after ⟦ms⟧ ms"        slots: upper case is sensitive, lower case is filler,
//!                        │         │                        ⟦*⟧ is the slot the family puts there in turn
//!                        ▼         ▼
//! text      "login from 185.20.7.91 after 412 ms"
//! spans                 [11, 22) IPV4
//! ```
//!
//! Invariants:
//! - the same half and seed give the same lines, byte for byte;
//! - spans lie on character boundaries, in order, and never overlap;
//! - a line without spans is clean as a whole: whatever is redacted there is a false positive;
//! - the halves share no template, no hand-written line, no name or word, and no random stream.

mod negatives;
mod positives;
mod rng;
mod template;
mod values;

use rng::Rng;

/// Which half of the corpus: one to tune on, one that is only ever measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Look at these lines while writing rules.
    Tuning,
    /// Report figures on these; never tune on them.
    Unseen,
}

/// A byte range of a line that must not survive redaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte of the value.
    pub start: usize,
    /// One past the last byte of the value.
    pub end: usize,
    /// What the value is, listed in [`VENDORS`] or [`GENERAL`].
    pub kind: &'static str,
}

impl Span {
    /// Whether the value is a token of a named vendor, of which none may be missed.
    #[must_use]
    pub fn is_vendor(&self) -> bool {
        VENDORS.contains(&self.kind)
    }
}

/// One text with the places to hide; no spans means that nothing in it is sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The text, possibly of several lines.
    pub text: String,
    /// The sensitive values, in order of their start.
    pub spans: Vec<Span>,
}

/// Kinds issued by a named vendor.
pub const VENDORS: &[&str] = &[
    "OPENAI_KEY",
    "ANTHROPIC_KEY",
    "GOOGLE_KEY",
    "AWS_ID",
    "AWS_SECRET",
    "GITHUB",
    "GITLAB",
    "SLACK",
    "SLACK_WEBHOOK",
    "STRIPE",
    "HUGGINGFACE",
    "NPM",
    "PYPI",
    "TWILIO",
    "SENDGRID",
    "TELEGRAM",
    "AZURE",
];

/// Every other kind.
pub const GENERAL: &[&str] = &[
    "EMAIL",
    "PHONE",
    "SSN",
    "IBAN",
    "CARD",
    "IPV4",
    "IPV6",
    "MAC",
    "JWT",
    "PRIVATE_KEY",
    "AUTHORIZATION",
    "URL_CREDENTIALS",
    "ASSIGNMENT",
];

/// About 2,100 lines with one to three sensitive values and 1,500 clean ones, shuffled.
#[must_use]
pub fn corpus(half: Half, seed: u64) -> Vec<Line> {
    let mut rng = Rng::new(half, seed);
    let mut lines = positives::lines(half, &mut rng);
    lines.extend(negatives::lines(half, &mut rng));
    rng.shuffle(&mut lines);
    lines
}

#[cfg(test)]
mod tests;
