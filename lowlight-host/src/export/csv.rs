//! CSV for spreadsheets (RFC 4180): the names of `record`'s input, one row per record, guarded against formulas.

use super::write::ExportError;
use crate::view::{self, Cell};
use std::borrow::Cow;
use std::io::{BufWriter, Write};

/// Writes entries as CSV with a header row.
///
/// A cell that a spreadsheet would run as a formula (first character `=`, `+`, `-`, `@`, tab or carriage return) gets
/// a leading apostrophe. CSV does not verify on its own.
pub fn write_csv<W: Write>(
    entries: impl Iterator<Item = Result<view::View, crate::store::StoreError>>,
    out: W,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, ExportError> {
    let mut out = BufWriter::new(out);
    row(&mut out, view::NAMES.iter().map(|name| Cow::Borrowed(*name)))?;
    let mut count = 0;
    for entry in entries {
        let entry = entry?;
        row(&mut out, view::NAMES.iter().map(|name| entry.get(name).map(guarded).unwrap_or_default()))?;
        count += 1;
        progress(entry.seq);
    }
    out.flush()?;
    Ok(count)
}

fn row<'c>(out: &mut impl Write, cells: impl Iterator<Item = Cow<'c, str>>) -> std::io::Result<()> {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        if cell.contains([',', '"', '\n', '\r']) {
            write!(out, "\"{}\"", cell.replace('"', "\"\""))?;
        } else {
            out.write_all(cell.as_bytes())?;
        }
    }
    out.write_all(b"\n")
}

fn guarded(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Number(number) => number.into(),
        Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}").into(),
        Cell::Text(text) => text.into(),
        Cell::Json(value) => value.to_string().into(),
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

    #[test]
    fn marks_of_the_format_are_quoted() {
        let mut out = Vec::new();
        row(&mut out, ["a", "b,c", "say \"no\"", "two\r\nlines", ""].into_iter().map(Cow::Borrowed)).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a,\"b,c\",\"say \"\"no\"\"\",\"two\r\nlines\",\n");
    }
}
