//! `lowlight export`.

use super::args::{Cli, ExportArgs, Format};
use super::progress::Progress;
use super::query::Conditions;
use super::{Failure, Outcome, say, stdout, time_argument};
use crate::export::{self, Form, Options};
use crate::store::Reader;
use crate::verify;
use crate::view::Views;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(super) fn run(cli: &Cli, args: &ExportArgs) -> Outcome {
    let since = time_argument("since", args.range.since.as_deref())?;
    let until = time_argument("until", args.range.until.as_deref())?;
    if let Some(out) = args.out.as_deref().filter(|out| out.exists() && !args.force) {
        return Err(Failure::Usage(format!("{} is there already; choose another name or add --force", out.display())));
    }
    let report = {
        let mut progress = Progress::new("verifying");
        verify::log_with(&cli.path, verify::Threads::One, verify::Against::default(), &mut |done, total| progress.at(done, total))?
    };
    let is_broken = report.verdict != "intact";
    if is_broken {
        let what = match report.first_problem() {
            Some(first) => format!("the log is broken ({first}; {} in all)", report.problems_total),
            None => format!("the log cannot be read ({})", report.error.as_deref().unwrap_or("unknown reason")),
        };
        // To a pipe the trailer decides: whoever reads the other end is to fail as well. CSV has no trailer.
        let refuse = args.fail_on_tamper && (args.out.is_some() || args.format == Format::Csv);
        let then = if refuse { "nothing was exported" } else { "exported all the same, the trailer says so" };
        say(&format!("{what}; {then}"));
        if refuse {
            return Ok(report.exit_code());
        }
    }
    let options = Options { since, until, problems_total: report.problems_total.max(u64::from(is_broken)) };
    match &args.out {
        None => {
            let mut out = stdout();
            write(cli, args.format, &options, &mut out)?;
            out.flush()?;
        }
        Some(path) => to_file(cli, args, &options, path)?,
    }
    Ok(if args.fail_on_tamper { report.exit_code() } else { 0 })
}

/// Writes a temporary file and renames it, so that a file of that name is always whole.
fn to_file(cli: &Cli, args: &ExportArgs, options: &Options, path: &Path) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let failed = |error: std::io::Error| Failure::Usage(format!("{}: {error}; choose another --out", path.display()));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
    let mut out = BufWriter::with_capacity(64 << 10, file);
    let written = write(cli, args.format, options, &mut out).and_then(|()| {
        out.flush()?;
        out.get_ref().sync_all()?;
        // Without --force a file that appeared meanwhile is not overwritten.
        if args.force {
            std::fs::rename(&temporary, path)?;
        } else {
            std::fs::hard_link(&temporary, path)?;
            std::fs::remove_file(&temporary)?;
        }
        Ok(())
    });
    if written.is_err() {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn write(cli: &Cli, format: Format, options: &Options, out: &mut impl Write) -> Result<(), Failure> {
    let reader = Reader::open(&cli.path)?;
    let mut progress = Progress::new("exporting");
    let total = reader.tip().size;
    let mut at = |done| progress.at(done, total);
    match format {
        Format::Json => drop(export::write(&reader, options, Form::Json, out, &mut at)?),
        Format::Ndjson => drop(export::write(&reader, options, Form::Ndjson, out, &mut at)?),
        Format::Csv => {
            let conditions = Conditions { since: options.since, until: options.until, ..Conditions::default() };
            let source = reader.source(0..total, &conditions.filter(), true);
            export::write_csv(Views::new(source), out, &mut at)?;
        }
    }
    Ok(())
}
