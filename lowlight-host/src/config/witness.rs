//! `[witness]` in the configuration.

use crate::line::BAUD;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baud: Option<u32>,
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
        if self.baud.is_some() && self.serial.is_none() {
            return Err("baud: is the speed of a serial line, and there is none".to_owned());
        }
        let endpoint = match (&self.socket, &self.command, &self.serial) {
            (Some(path), None, None) => Endpoint::Socket(path.clone()),
            (None, Some(words), None) if !words.is_empty() => Endpoint::Command(words.clone()),
            (None, None, Some(path)) => Endpoint::Serial { path: path.clone(), baud: self.baud.unwrap_or(BAUD) },
            _ => return Err("give either socket, command or serial".to_owned()),
        };
        let options = WitnessOptions { endpoint, vkey: self.vkey.clone(), attest: self.attest.clone() };
        options.check().map(|()| options)
    }
}
