//! `lowlight inspect`: shows as much of a file as can be read and marks the first fault.

use super::args::{Cli, InspectArgs};
use super::{Failure, Outcome, stdout, text, verify};
use crate::export::{Line, parse_line};
use crate::store::Reader;
use crate::verify::Report;
use lowlight_core::entry::codec::decode;
use lowlight_core::source::{EntrySource, Item};
use std::io::{BufRead, BufReader, Write};

pub(super) fn run(_cli: &Cli, args: &InspectArgs) -> Outcome {
    let file = &args.file;
    if !file.exists() {
        return Err(Failure::Usage(format!("{}: no such file", file.display())));
    }
    let mut out = stdout();
    let report = verify::report(file);
    let code =
        if file.is_dir() || verify::is_database(file) { database(args, &report, &mut out)? } else { export(args, &report, &mut out)? };
    out.flush()?;
    Ok(code)
}

fn mark(report: &Report, seq: u64, out: &mut impl Write) -> std::io::Result<()> {
    let first = report.problems.first().filter(|problem| problem.seq == Some(seq));
    if let Some(problem) = first {
        writeln!(out, ">>> first fault: {}: {}", problem.kind, text::safe(&problem.detail))?;
    }
    Ok(())
}

fn database(args: &InspectArgs, report: &Report, out: &mut impl Write) -> Outcome {
    let reader = match Reader::open(&args.file) {
        Ok(reader) => reader,
        Err(error) => {
            writeln!(out, "cannot be opened as a log: {}", text::safe(&error.to_string()))?;
            return Ok(2);
        }
    };
    let tip = reader.tip();
    writeln!(out, "log {}  size {}  head {}", reader.log_id(), tip.size, tip.head)?;
    let pragma = |name| reader.connection().pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap_or(-1);
    writeln!(out, "page size {}  pages {}  free {}", pragma("page_size"), pragma("page_count"), pragma("freelist_count"))?;
    for fault in &reader.schema().faults {
        writeln!(out, "schema: {}", text::safe(fault))?;
    }
    let mut source = reader.everything();
    loop {
        let item = match source.next() {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(error) => {
                writeln!(out, ">>> reading stopped: {}", text::safe(&error.to_string()))?;
                return Ok(2);
            }
        };
        match item {
            Item::Entry { seq, body, leaf, .. } => {
                mark(report, seq, out)?;
                let kind = decode(body).map_or("not understood", |entry| entry.event.kind().name());
                writeln!(out, "{seq:>8}  {kind:<11} body {:>4} B  leaf {}", body.len(), short(&leaf.to_string()))?;
            }
            Item::Malformed { seq, why, .. } => {
                let seq = seq.unwrap_or_default();
                mark(report, seq, out)?;
                writeln!(out, "{seq:>8}  malformed: {why}")?;
            }
            Item::Content { seq, field, value, .. } => {
                let length = value.map_or_else(|| "no value".to_owned(), |value| format!("{} B", value.len()));
                writeln!(out, "{:>8}    {} {length}", "", field.name())?;
                let _ = seq;
            }
            Item::LeafOnly { .. } => {}
        }
    }
    trailer(report, out)
}

fn export(args: &InspectArgs, report: &Report, out: &mut impl Write) -> Outcome {
    let failed = |error: std::io::Error| Failure::Usage(format!("{}: {error}", args.file.display()));
    let mut input = BufReader::with_capacity(64 << 10, std::fs::File::open(&args.file).map_err(failed)?);
    if !verify::is_export(&mut input) {
        writeln!(out, "neither a database nor an export of lowlight")?;
        return Ok(2);
    }
    for line in input.split(b'\n') {
        let line = line.map_err(failed)?;
        let line = line.strip_suffix(b",").unwrap_or(&line);
        if matches!(line, b"[" | b"]") {
            continue;
        }
        if line.starts_with(br#"{"lowlight""#) {
            writeln!(out, "{}", text::shorten(&String::from_utf8_lossy(line), 200))?;
            continue;
        }
        match parse_line(line) {
            Line::Entry { seq, body, leaf, openings } => {
                mark(report, seq, out)?;
                let kind = decode(&body).map_or("not understood", |entry| entry.event.kind().name());
                writeln!(
                    out,
                    "{seq:>8}  {kind:<11} body {:>4} B  leaf {}  {} contents",
                    body.len(),
                    short(&leaf.to_string()),
                    openings.len()
                )?;
            }
            Line::LeafOnly { seq, leaf } => writeln!(out, "{seq:>8}  leaf only   leaf {}", short(&leaf.to_string()))?,
            Line::Malformed { seq, why, .. } => {
                if let Some(seq) = seq {
                    mark(report, seq, out)?;
                }
                writeln!(out, "{:>8}  malformed: {why}", seq.map_or_else(|| "?".to_owned(), |seq| seq.to_string()))?;
            }
        }
    }
    trailer(report, out)
}

fn short(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}

fn trailer(report: &Report, out: &mut impl Write) -> Outcome {
    if let Some(problem) = report.problems.first().filter(|problem| problem.seq.is_none()) {
        writeln!(out, ">>> whole log: {}: {}", problem.kind, text::safe(&problem.detail))?;
    }
    writeln!(out, "{}: {} problems", report.verdict, report.problems_total)?;
    Ok(report.exit_code())
}
