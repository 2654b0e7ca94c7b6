//! CSV for spreadsheets: the names of `record`'s input, one row per record, guarded against formulas.

use super::write::ExportError;
use crate::view::{self, Cell};
use std::io::Write;

/// Writes entries as CSV with a header row.
///
/// A cell that a spreadsheet would run as a formula (first character `=`, `+`, `-`, `@`, tab or carriage return) gets
/// a leading apostrophe. CSV does not verify on its own.
pub fn write_csv<W: Write>(
    entries: impl Iterator<Item = Result<view::View, crate::store::StoreError>>,
    out: W,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, ExportError> {
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => ExportError::Write(error),
        other => ExportError::Write(std::io::Error::other(format!("{other:?}"))),
    };
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(view::NAMES).map_err(failed)?;
    let mut count = 0;
    for entry in entries {
        let entry = entry?;
        let cells = view::NAMES.iter().map(|name| entry.get(name).map(guarded).unwrap_or_default());
        writer.write_record(cells).map_err(failed)?;
        count += 1;
        progress(entry.seq);
    }
    writer.flush()?;
    Ok(count)
}

fn guarded(cell: &Cell) -> String {
    match cell {
        Cell::Number(number) => number.clone(),
        Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Cell::Text(text) => text.clone(),
        Cell::Json(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_becomes_text() {
        assert_eq!(guarded(&Cell::Text("=1+1".to_owned())), "'=1+1");
        assert_eq!(guarded(&Cell::Text("@SUM(A1)".to_owned())), "'@SUM(A1)");
        assert_eq!(guarded(&Cell::Text("plain".to_owned())), "plain");
    }
}
