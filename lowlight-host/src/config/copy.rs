//! `[copy]` in the configuration.

use crate::recorder::CopyOptions;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a copy of the log goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/guide.md has the table of keys")]
pub struct CopyConfig {
    pub path: PathBuf,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub content: bool,
}

impl CopyConfig {
    /// The options it stands for.
    ///
    /// # Errors
    ///
    /// What is wrong, with the key.
    pub fn options(&self) -> Result<CopyOptions, String> {
        if !self.path.is_absolute() {
            return Err("path: give the folder from the root on, on another disk or share".to_owned());
        }
        Ok(CopyOptions { dir: self.path.clone(), content: self.content })
    }
}
