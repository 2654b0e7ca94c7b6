//! The configuration of redaction and what can be wrong with it.
//!
//! Limits: a rule's name is a letter and at most 31 more letters, digits or underscores; a pattern must not match
//! the empty text.

use serde::{Deserialize, Serialize};

/// Configuration of redaction, read from TOML or JSON: unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactConfig {
    /// Whether anything is redacted at all; on by default.
    pub enabled: bool,
    /// Whether UUIDs are redacted; off by default, because they are mostly trace ids.
    pub uuids: bool,
    /// Key names whose values are withheld, beside the built-in ones; case, `_`, `-` and `.` do not matter.
    pub keys: Vec<String>,
    /// Exact values which are never redacted, for example `support@example.com`.
    pub allow: Vec<String>,
    /// Own rules.
    pub rules: Vec<RuleConfig>,
}

impl Default for RedactConfig {
    fn default() -> Self {
        Self { enabled: true, uuids: false, keys: Vec::new(), allow: Vec::new(), rules: Vec::new() }
    }
}

/// A rule of one's own.
///
/// With a keyword the pattern only runs on 512 bytes either side of the keyword, and a match must overlap the keyword
/// or follow it. Without one the pattern runs over the whole text, at about 30 µs for each KiB and rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// `[A-Za-z][A-Za-z0-9_]{0,31}`; the placeholder shows it in upper case.
    pub name: String,
    /// What to redact, in the syntax of the `regex-lite` crate.
    pub pattern: String,
    /// A literal text that must be near, without regard to ASCII case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyword: Option<String>,
    /// A check which a match must pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
}

/// A check on the match of an own rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// The Luhn check over the digits of the match.
    Luhn,
    /// The IBAN check (mod 97) over the letters and digits of the match.
    Iban,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactError {
    /// The name does not have the shape of a rule name.
    #[error("redaction rule {name:?}: the name must be a letter and at most 31 letters, digits or underscores, rename the rule")]
    Name {
        /// The name as configured.
        name: String,
    },
    /// Two rules have names that are equal without regard to case.
    #[error("redaction rule {name:?}: another rule has the same name, rename one of them")]
    Duplicate {
        /// The name as configured.
        name: String,
    },
    /// The name belongs to a built-in kind.
    #[error("redaction rule {name:?}: the name belongs to a built-in kind, choose another one")]
    Reserved {
        /// The name as configured.
        name: String,
    },
    /// The pattern is not a regular expression that can be compiled.
    #[error("redaction rule {name:?}: the pattern cannot be compiled, correct it: {source}")]
    Pattern {
        /// The name as configured.
        name: String,
        /// What the compiler of the pattern said.
        source: regex_lite::Error,
    },
    /// The pattern matches the empty text and would match everywhere.
    #[error("redaction rule {name:?}: the pattern matches the empty text, make it require a character")]
    EmptyMatch {
        /// The name as configured.
        name: String,
    },
    /// The keyword is empty.
    #[error("redaction rule {name:?}: the keyword is empty, leave it out or name a text")]
    EmptyKeyword {
        /// The name as configured.
        name: String,
    },
    /// A key name has no letter or digit.
    #[error("redaction key {name:?}: a key needs a letter or digit, remove or correct it")]
    Key {
        /// The key as configured.
        name: String,
    },
}
