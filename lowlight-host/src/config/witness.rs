//! `[witness]` in the configuration.

use crate::recorder::WitnessOptions;
use crate::witness::Endpoint;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where the witness is, and its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/guide.md has the table of keys")]
pub struct WitnessConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    pub vkey: String,
    pub attest: String,
}

impl WitnessConfig {
    /// The options it stands for.
    ///
    /// # Errors
    ///
    /// What is wrong, with the key.
    pub fn options(&self) -> Result<WitnessOptions, String> {
        let endpoint = match (&self.socket, &self.command) {
            (Some(path), None) => Endpoint::Socket(path.clone()),
            (None, Some(words)) if !words.is_empty() => Endpoint::Command(words.clone()),
            _ => return Err("give either socket or command".to_owned()),
        };
        let options = WitnessOptions { endpoint, vkey: self.vkey.clone(), attest: self.attest.clone() };
        options.check().map(|()| options)
    }
}
