//! Checkpoints that a witness has cosigned: `DIR/witnessed`, a JSON object a line, the newest [`KEPT`].
//!
//! ```text
//! {"log":hex id,"size":n,"note":text}\n
//! ```
//!
//! 1. It is replaced as a whole; a crash leaves the old one, and the witness is asked again.

use super::MAX_LINE;
use crate::store::{Layout, StoreError, files};
use lowlight_core::LogId;
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Most lines that are kept.
const KEPT: usize = 100;

/// A checkpoint with cosignatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witnessed {
    /// Id of the log, hex.
    pub log: String,
    /// Number of entries.
    pub size: u64,
    /// The signed checkpoint, with the cosignature lines behind it.
    pub note: String,
}

fn file(layout: &Layout) -> PathBuf {
    layout.dir().join("witnessed")
}

fn read(layout: &Layout) -> Result<Vec<Witnessed>, StoreError> {
    let path = file(layout);
    let mut text = String::new();
    match files::read_private(&path)? {
        None => return Ok(Vec::new()),
        Some(file) => {
            file.take(MAX_LINE * KEPT as u64 * 2).read_to_string(&mut text).map_err(|source| StoreError::from_io(&path, source))?
        }
    };
    // A line that is none says nothing.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Adds one.
///
/// # Errors
///
/// [`StoreError`] when it cannot be written.
pub fn add(layout: &Layout, witnessed: Witnessed) -> Result<(), StoreError> {
    let path = file(layout);
    let mut all = read(layout)?;
    all.push(witnessed);
    let io = |source| StoreError::from_io(&path, source);
    let fresh = path.with_file_name(format!(".witnessed.{}", std::process::id()));
    let _ = std::fs::remove_file(&fresh);
    let mut out = files::private_file(&fresh)?;
    for line in all.iter().skip(all.len().saturating_sub(KEPT)) {
        let text = serde_json::to_string(line).map_err(|error| io(error.into()))?;
        writeln!(out, "{text}").map_err(io)?;
    }
    out.sync_all().and_then(|()| std::fs::rename(&fresh, &path)).map_err(io)?;
    files::sync_parent(&path)
}

/// The newest one of a log that is in `dir`.
///
/// # Errors
///
/// [`StoreError`] when it cannot be read.
pub fn newest(dir: &Path, log_id: LogId) -> Result<Option<Witnessed>, StoreError> {
    let log = log_id.to_string();
    Ok(read(&Layout::new(dir))?.into_iter().filter(|line| line.log == log).max_by_key(|line| line.size))
}
