//! `lowlight export`.

use super::args::{Cli, ExportArgs, Format};
use super::progress::Progress;
use super::query::Conditions;
use super::{Failure, Outcome, out, say, time_argument};
use crate::export::{self, Form, Options};
use crate::store::Reader;
use crate::verify;
use crate::view::Views;
use std::io::Write;

pub(super) fn run(cli: &Cli, args: &ExportArgs) -> Outcome {
    let since = time_argument("since", args.range.since.as_deref())?;
    let until = time_argument("until", args.range.until.as_deref())?;
    out::check(&args.output)?;
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
        let refuse = args.fail_on_tamper && (args.output.out.is_some() || args.format == Format::Csv);
        let then = if refuse { "nothing was exported" } else { "exported all the same, the trailer says so" };
        say(&format!("{what}; {then}"));
        if refuse {
            return Ok(report.exit_code());
        }
    }
    let options = Options { since, until, problems_total: report.problems_total.max(u64::from(is_broken)) };
    out::write(&args.output, |out| write(cli, args.format, &options, out))?;
    Ok(if args.fail_on_tamper { report.exit_code() } else { 0 })
}

fn write(cli: &Cli, format: Format, options: &Options, mut out: &mut dyn Write) -> Result<(), Failure> {
    let reader = Reader::open_for_all(&cli.path)?;
    let mut progress = Progress::new("exporting");
    let total = reader.tip().size;
    let mut at = |done| progress.at(done, total);
    match format {
        Format::Json => drop(export::write(&reader, options, Form::Json, &mut out, &mut at)?),
        Format::Ndjson => drop(export::write(&reader, options, Form::Ndjson, &mut out, &mut at)?),
        Format::Csv => {
            let conditions = Conditions { since: options.since, until: options.until, ..Conditions::default() };
            let source = reader.source(0..total, &conditions.filter(), true);
            export::write_csv(Views::new(source), &mut out, &mut at)?;
        }
    }
    Ok(())
}
