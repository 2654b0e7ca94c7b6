//! Exports that verify on their own: NDJSON and JSON (`docs/format.md`, section 7), and CSV for spreadsheets.
//!
//! Limits: memory does not depend on the log; a line is at most 32 MiB.
//!
//! ```text
//! preamble (range, frontier at its start, right edge) | one line per entry | trailer (count, digest, verdict)
//! ```
//!
//! 1. The three parts give the root of the whole log, so a range can be checked against it without the rest.
//! 2. Content values are JSON strings, byte for byte what was committed to.

mod csv;
mod line;
mod lines;
mod read;
mod rules;
mod write;

pub use csv::write_csv;
pub use line::{Line, Opening, entry_line, parse_line};
pub(crate) use lines::EntryLines;
pub use read::{ExportSource, verify_export, verify_export_with};
pub use write::{ExportError, Form, Options, Summary, write};

use crate::store::{Reader, StoreError};
use lowlight_core::tree::subtree_level;
use lowlight_core::{Digest, Frontier};

/// Longest line of an export, newline included.
pub const MAX_LINE: usize = 32 << 20;

/// The nodes that cover `[start, end)` from left to right; `None` if one is missing.
fn cover(reader: &Reader, start: u64, end: u64) -> Result<Option<Vec<Digest>>, StoreError> {
    let mut nodes = Vec::new();
    let mut at = start;
    while let Some(level) = subtree_level(at, end) {
        let Some(node) = reader.subtree(level, at >> level)? else { return Ok(None) };
        nodes.push(node);
        at += 1 << level;
    }
    Ok(Some(nodes))
}

/// The frontier when the log had `size` entries; `None` if something is missing.
pub fn frontier_at(reader: &Reader, size: u64) -> Result<Option<Frontier>, StoreError> {
    Ok(cover(reader, 0, size)?.and_then(|hashes| Frontier::from_hashes(size, hashes)))
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Bytes from lower-case hex; upper case is refused, so that there is one spelling.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}
