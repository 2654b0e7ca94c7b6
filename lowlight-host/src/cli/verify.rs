//! `lowlight verify`.

use super::args::{Cli, VerifyArgs};
use super::progress::Progress;
use super::{Outcome, stdout, text};
use crate::export::verify_export;
use crate::verify::{self, Report, Threads};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

pub(super) fn run(cli: &Cli, args: &VerifyArgs) -> Outcome {
    let source = args.source.as_deref().unwrap_or(&cli.path);
    let threads = if args.parallel { Threads::Two } else { Threads::One };
    let report = report(source, threads);
    let mut out = stdout();
    if cli.json {
        serde_json::to_writer(&mut out, &report).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
    } else {
        print(&report, source, &mut out)?;
    }
    out.flush()?;
    Ok(report.exit_code())
}

/// Verifies whatever is at `source`.
pub(super) fn report(source: &Path, threads: Threads) -> Report {
    let mut progress = Progress::new("verifying");
    let mut at = |done, total| progress.at(done, total);
    if source == Path::new("-") {
        return verify_export(BufReader::with_capacity(64 << 10, std::io::stdin().lock()), &mut at);
    }
    if !source.is_dir() && !is_database(source) {
        return match std::fs::File::open(source) {
            Ok(file) => verify_export(BufReader::with_capacity(64 << 10, file), &mut at),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Report::unreadable(crate::store::StoreError::Missing(source.to_path_buf()))
            }
            Err(error) => Report::unreadable(format!("{}: {error}", source.display())),
        };
    }
    verify::log_with(source, threads, &mut at).unwrap_or_else(Report::unreadable)
}

/// Whether a file begins like an SQLite database. Only for commands, which have no database open.
pub(super) fn is_database(path: &Path) -> bool {
    let mut magic = Vec::with_capacity(16);
    let read = std::fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut magic));
    read.is_ok() && magic.starts_with(b"SQLite format 3\0")
}

/// Whether an input begins like an export, without consuming it.
pub(super) fn is_export(input: &mut impl BufRead) -> bool {
    input.fill_buf().is_ok_and(|start| start.starts_with(b"[") || start.starts_with(b"{"))
}

fn print(report: &Report, source: &Path, out: &mut impl Write) -> std::io::Result<()> {
    let name = text::safe(&source.to_string_lossy()).into_owned();
    match (report.verdict, &report.error) {
        ("unreadable", error) => writeln!(out, "could not tell: {}", text::safe(error.as_deref().unwrap_or("unreadable")))?,
        (verdict, _) => {
            let entries = text::plural(report.entries, "entry", "entries");
            let records = text::plural(report.records, "record", "records");
            writeln!(out, "{verdict}: {name}: {entries}, {records}")?;
        }
    }
    if let Some(root) = &report.root {
        writeln!(out, "root {root}")?;
    }
    for problem in &report.problems {
        let place = problem.seq.map_or_else(|| "log".to_owned(), |seq| format!("entry {seq}"));
        writeln!(out, "  {place}: {}: {}", problem.kind, text::safe(&problem.detail))?;
    }
    if report.problems_total > report.problems.len() as u64 {
        writeln!(out, "  ... {} problems in all", report.problems_total)?;
    }
    for note in &report.notes {
        writeln!(out, "note: {}", text::safe(note))?;
    }
    if report.verdict != "unreadable" {
        if let Some(error) = &report.error {
            writeln!(out, "reading stopped: {}", text::safe(error))?;
        }
        writeln!(out, "not checked without a checkpoint kept elsewhere: {}", report.not_checked.join(", "))?;
    }
    Ok(())
}
