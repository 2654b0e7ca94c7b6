//! Doors for the fuzz targets to what is private; exists under `cfg(fuzzing)` only.

use crate::cli::{input::Input, query};
use crate::redact::Redactor;
use crate::store::Reader;
use crate::{Recorder, Ticket};
use std::ops::Range;

/// Hands a line of `record`'s input to a recorder; `None` for a blank one.
///
/// # Errors
///
/// Why it was refused, in the words `record` prints.
pub fn line(bytes: &[u8], recorder: &Recorder) -> Result<Option<Ticket>, String> {
    let Some(input) = Input::parse(bytes)? else { return Ok(None) };
    input.id()?;
    let (record, _) = input.record(&[])?;
    recorder.record(record).map(Some).map_err(|error| error.to_string())
}

/// What `query --sql` prints.
///
/// # Errors
///
/// Why the statement was refused or failed.
pub fn sql(reader: &mut Reader, sql: &str, json: bool, out: &mut Vec<u8>) -> Result<(), String> {
    query::select(reader, sql, json, out).map_err(|failure| failure.to_string())
}

/// What redaction finds in a text: with its table of trigger bytes, and asking every checker at every byte.
pub fn spans(redactor: &Redactor, text: &str) -> [Vec<Range<usize>>; 2] {
    redactor.spans(text)
}
