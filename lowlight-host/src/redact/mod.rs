//! Redaction: finds secrets and personal data in texts before they are queued and writes placeholders instead.
//!
//! Limits: rules, not understanding. What has no published shape and no key name before it is not found. A text over
//! the cap is cut first; a text that an own rule cannot scan within its budget is withheld.
//!
//! ```text
//! text -> scan (one pass, trigger bytes) -> candidates -> checkers -> spans -> numbers -> "[EMAIL_1]"
//!           own rules (regex-lite, bounded windows) --------------^
//! ```
//!
//! Invariants:
//! - time is linear in the length of the text, whatever it holds;
//! - text without a span is returned borrowed, without an allocation;
//! - placeholders stay when the output is redacted again; a value that was cut in two by one may be judged anew, so more may
//!   be found, and a few rounds come to rest;
//! - one value has one number within a [`Session`];
//! - a text is either scanned or withheld, never passed on unscanned.
//!
//! ```
//! use lowlight_host::redact::{RedactConfig, Redactor};
//!
//! let redactor = Redactor::new(&RedactConfig::default())?;
//! let mut session = redactor.session();
//! assert_eq!(session.text("write to bob@example.org"), "write to [EMAIL_1]");
//! assert_eq!(session.text("bob@example.org again"), "[EMAIL_1] again");
//! assert_eq!(session.total(), 2);
//! # Ok::<(), lowlight_host::redact::RedactError>(())
//! ```

mod assign;
mod bytes;
mod checksum;
mod config;
mod custom;
mod cut;
mod email;
mod flags;
mod groups;
mod json;
mod judge;
mod keys;
mod kind;
mod letters;
mod net;
mod number;
mod numbers;
mod pem;
mod phone;
mod rules;
mod scan;
mod session;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_personal;
mod tokens;
mod triggers;
mod words;

use std::borrow::Cow;

pub use config::{Checksum, RedactConfig, RedactError, RuleConfig};
pub use cut::cut;
pub use kind::Kind;
pub use session::Session;

/// The compiled rules. Cheap to share behind an `Arc`: redaction itself only reads it.
pub struct Redactor {
    policy: rules::Policy,
}

impl std::fmt::Debug for Redactor {
    /// Shows the fingerprint only: allow lists and patterns may be private.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Compiles a configuration.
    ///
    /// # Errors
    ///
    /// When an own rule or a key name is not usable; the error names it and says what to do.
    pub fn new(config: &RedactConfig) -> Result<Self, RedactError> {
        Ok(Self { policy: rules::Policy::new(config)? })
    }

    /// SHA-256 over a canonical serialisation of the effective rules, keys, switches, allow list and engine version.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.policy.fingerprint()
    }

    /// Begins one entry's worth of redaction.
    #[must_use]
    pub fn session(&self) -> Session<'_> {
        Session::new(&self.policy)
    }

    /// True when redaction would change this text.
    #[must_use]
    pub fn would_change(&self, text: &str) -> bool {
        matches!(self.session().text(text), Cow::Owned(_))
    }

    /// What the built-in rules find, with the table of trigger bytes and without it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn spans(&self, text: &str) -> [Vec<std::ops::Range<usize>>; 2] {
        [false, true].map(|slowly| {
            let (mut spans, mut scan) = (Vec::new(), scan::Scan::new(text, &self.policy, scan::Hint::default(), false));
            if slowly {
                scan.run_slowly(&mut spans);
            } else {
                scan.run(&mut spans);
            }
            spans.iter().map(|span| span.start..span.end).collect()
        })
    }
}
