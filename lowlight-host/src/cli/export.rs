//! `lowlight export`.

use super::args::{ChosenArgs, Cli, ExportArgs, Format};
use super::erase::seqs;
use super::progress::Progress;
use super::query::Conditions;
use super::{Failure, Outcome, out, say, time_argument};
use crate::export::{self, Form, Options};
use crate::removal::Runs;
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
    let problems_total = report.problems_total.max(u64::from(is_broken));
    let chosen = Chosen::new(cli, args, (since, until))?;
    out::write(&args.output, |out| write(cli, args.format, &chosen, problems_total, out))?;
    Ok(if args.fail_on_tamper { report.exit_code() } else { 0 })
}

/// Which entries, and how that was asked for.
struct Chosen {
    conditions: Conditions,
    seqs: Option<Runs>,
    asked: Vec<(&'static str, String)>,
}

impl Chosen {
    fn new(cli: &Cli, args: &ExportArgs, (since, until): (Option<i64>, Option<i64>)) -> Result<Self, Failure> {
        let ChosenArgs { seq, user, model, status, session, trace } = &args.chosen;
        let (user, model, status) = (user.clone(), model.clone(), status.clone());
        let (session, trace) = (session.clone(), trace.clone());
        let words = [("user", &user), ("model", &model), ("status", &status), ("session", &session), ("trace", &trace)];
        let mut asked: Vec<_> = words.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        asked.extend((!seq.is_empty()).then(|| ("seq", seq.join(","))));
        let conditions = Conditions { since, until, user, model, status, session, trace, all: true, ..Conditions::default() };
        conditions.check(cli)?;
        Ok(Self { conditions, seqs: seqs(seq)?, asked })
    }

    fn options(&self, reader: &Reader, problems_total: u64) -> Result<Options, Failure> {
        let only = if self.asked.is_empty() {
            None
        } else {
            let found = reader.seqs(&self.conditions.filter())?;
            Some(Runs::of(found.into_iter().filter(|seq| self.seqs.as_ref().is_none_or(|seqs| seqs.contains(*seq))).collect()))
        };
        let (since, until) = (self.conditions.since, self.conditions.until);
        Ok(Options { since, until, only, asked: self.asked.clone(), problems_total })
    }
}

fn write(cli: &Cli, format: Format, chosen: &Chosen, problems_total: u64, mut out: &mut dyn Write) -> Result<(), Failure> {
    let reader = Reader::open_for_all(&cli.path)?;
    let options = &chosen.options(&reader, problems_total)?;
    let mut progress = Progress::new("exporting");
    let total = reader.tip().size;
    let mut at = |done| progress.at(done, total);
    match format {
        Format::Json => drop(export::write(&reader, options, Form::Json, &mut out, &mut at)?),
        Format::Ndjson => drop(export::write(&reader, options, Form::Ndjson, &mut out, &mut at)?),
        Format::Csv => {
            if chosen.seqs.is_some() {
                return Err(Failure::Usage("--seq is for the forms that verify: json and ndjson".to_owned()));
            }
            let conditions = Conditions { all: false, ..chosen.conditions.clone() };
            let source = reader.source(0..total, &conditions.filter(), true);
            export::write_csv(Views::new(source), &mut out, &mut at)?;
        }
    }
    Ok(())
}
