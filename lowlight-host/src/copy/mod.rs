//! A copy of a log that is only ever appended to, on another disk or share (`docs/format.md`, section 15).
//!
//! ```text
//! DIR/<log id>-<first seq>.ndjson    head | entry line* with checkpoint lines between
//! ```
//!
//! 1. Nothing in it is ever changed: a file that ends in the middle of a line is left, and another is begun.
//! 2. Without content it holds nothing that an erasure would have to reach.

mod compare;
mod write;

pub use compare::{CopyError, compare};
pub use write::Copier;

use crate::export::MAX_LINE;
use lowlight_core::LogId;
use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};

/// A file with more is followed by another, bytes.
const MAX_FILE: u64 = 64 << 20;

/// Files of the copy of a log, ascending by the first seq they hold.
///
/// # Errors
///
/// What the system says.
pub fn files(dir: &Path, log_id: LogId) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let prefix = format!("{log_id}-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".ndjson")?.parse().ok());
        found.extend(first.map(|first| (first, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

/// The next whole line, without its newline; `None` at the end, also at a line that was cut off.
fn line<R: BufRead>(input: &mut R, line: &mut Vec<u8>) -> std::io::Result<Option<()>> {
    line.clear();
    input.by_ref().take(MAX_LINE as u64).read_until(b'\n', line)?;
    Ok((line.pop() == Some(b'\n')).then_some(()))
}
