//! What is in force: the switches, key names, allow list and own rules of one compiled configuration, and its
//! fingerprint.
//!
//! Limits: key names are compared without case, `_`, `-`, `.` and spaces, on their first 64 bytes.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::config::{RedactConfig, RedactError};
use super::custom::Custom;
use super::kind::Kind;
use super::{keys, tokens};

/// Raised with every change of what the engine finds, so that two policies with one fingerprint redact alike.
const ENGINE_VERSION: u32 = 1;

/// The compiled configuration.
pub(super) struct Policy {
    pub(super) enabled: bool,
    pub(super) uuids: bool,
    pub(super) custom: Custom,
    keys: HashSet<Vec<u8>>,
    allow: HashSet<String>,
    fingerprint: [u8; 32],
}

impl Policy {
    pub(super) fn new(config: &RedactConfig) -> Result<Self, RedactError> {
        let mut keys = HashSet::new();
        for name in &config.keys {
            let normal = keys::normal(name.as_bytes());
            if normal.is_empty() {
                return Err(RedactError::Key { name: name.clone() });
            }
            keys.insert(normal);
        }
        Ok(Self {
            enabled: config.enabled,
            uuids: config.uuids,
            custom: Custom::new(&config.rules)?,
            fingerprint: fingerprint(config, &keys),
            keys,
            allow: config.allow.iter().cloned().collect(),
        })
    }

    pub(super) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// True when some value is never redacted.
    pub(super) fn has_allowed(&self) -> bool {
        !self.allow.is_empty()
    }

    /// True when this exact value is never redacted.
    pub(super) fn allowed(&self, value: &str) -> bool {
        self.allow.contains(value)
    }

    /// True when key names were configured.
    pub(super) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// True when this normal key name was configured.
    pub(super) fn has_key(&self, normal: &[u8]) -> bool {
        !self.keys.is_empty() && self.keys.contains(normal)
    }

    /// True when a placeholder may have this name.
    pub(super) fn is_label(&self, name: &[u8]) -> bool {
        Kind::is_name(name) || self.custom.labels().any(|label| label.as_bytes() == name)
    }
}

/// Each part stands behind its length, so that no two configurations serialise alike.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn list(hash: &mut Sha256, mut items: Vec<&[u8]>) {
    items.sort_unstable();
    items.dedup();
    hash.update((items.len() as u64).to_be_bytes());
    for item in items {
        part(hash, item);
    }
}

fn fingerprint(config: &RedactConfig, keys: &HashSet<Vec<u8>>) -> [u8; 32] {
    let mut hash = Sha256::new();
    part(&mut hash, b"lowlight redaction policy");
    hash.update(ENGINE_VERSION.to_be_bytes());
    hash.update([u8::from(config.enabled), u8::from(config.uuids)]);
    list(&mut hash, keys.iter().map(Vec::as_slice).collect());
    list(&mut hash, config.allow.iter().map(String::as_bytes).collect());
    for kind in Kind::ALL {
        part(&mut hash, kind.name().as_bytes());
    }
    for token in &tokens::TOKENS {
        part(&mut hash, token.prefix.as_bytes());
        part(&mut hash, token.kind.name().as_bytes());
    }
    keys::for_each_name(|name| part(&mut hash, name));
    // The order of own rules decides between two that match alike, so it is part of the policy.
    hash.update((config.rules.len() as u64).to_be_bytes());
    for rule in &config.rules {
        part(&mut hash, rule.name.to_ascii_uppercase().as_bytes());
        part(&mut hash, rule.pattern.as_bytes());
        hash.update([u8::from(rule.keyword.is_some())]);
        part(&mut hash, rule.keyword.as_deref().unwrap_or("").as_bytes());
        let checksum: u8 = match rule.checksum {
            None => 0,
            Some(super::config::Checksum::Luhn) => 1,
            Some(super::config::Checksum::Iban) => 2,
        };
        hash.update([checksum]);
    }
    hash.finalize().into()
}
