//! `lowlight checkpoint`: prints checkpoints, to be kept where nobody who can write the log can reach them.

use super::args::{CheckpointArgs, Cli};
use super::{Failure, Outcome, stdout};
use crate::checkpoints::{Checkpoints, Sealed, newest_witnessed};
use crate::store::{Reader, StoreError};
use lowlight_core::LogId;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(250);

pub(super) fn run(cli: &Cli, args: &CheckpointArgs) -> Outcome {
    let mut out = stdout();
    let newest = |reader: &Reader| {
        let newest = Checkpoints::open(&cli.path)?.of(reader.log_id()).newest(reader.tip().size)?;
        let cosigned = newest_witnessed(&cli.path, reader.log_id())?;
        // With the cosignature of a witness, where that one has it already.
        let note = |size| cosigned.filter(|it| it.size == size).map(|it| it.note);
        Ok::<_, StoreError>(newest.map(|sealed| Sealed { note: note(sealed.size).or(sealed.note.clone()), ..sealed }))
    };
    let reader = Reader::open(&cli.path)?;
    let mut seen = match newest(&reader)? {
        Some(sealed) => {
            print(cli, &sealed, reader.tip().size, &mut out)?;
            (reader.log_id(), sealed.size)
        }
        None if args.follow => (reader.log_id(), 0),
        None => {
            let why = "no checkpoint of this log yet: they are written while something is recorded";
            return Err(Failure::Usage(format!("{}: {why}", cli.path.display())));
        }
    };
    drop(reader);
    out.flush()?;
    if !args.follow {
        return Ok(0);
    }
    loop {
        std::thread::sleep(PAUSE);
        seen = follow(cli, &cli.path, seen, &mut out)?;
        out.flush()?;
    }
}

/// Prints what is newer than `seen`: log and size.
fn follow(cli: &Cli, dir: &Path, seen: (LogId, u64), out: &mut impl Write) -> Result<(LogId, u64), Failure> {
    // A log that was moved aside, or is being replaced, is there again soon.
    let Ok(reader) = Reader::open(dir) else { return Ok(seen) };
    let (log, mut size) = if reader.log_id() == seen.0 { seen } else { (reader.log_id(), 0) };
    let mut journal = Checkpoints::open(dir)?.of(log);
    while let Some(line) = journal.next()? {
        let Ok(sealed) = line else { continue };
        if sealed.size > size {
            size = sealed.size;
            print(cli, &sealed, reader.tip().size.max(size), out)?;
        }
    }
    Ok((log, size))
}

fn print(cli: &Cli, sealed: &Sealed, size: u64, out: &mut impl Write) -> Result<(), Failure> {
    if cli.json {
        let mut line = serde_json::to_value(sealed).map_err(std::io::Error::from)?;
        line["open"] = size.saturating_sub(sealed.size).into();
        writeln!(out, "{line}")?;
    } else if let Some(note) = &sealed.note {
        // A note ends in a newline; an empty line would belong to it, so several of them stand one behind the other.
        out.write_all(note.as_bytes())?;
    } else {
        writeln!(out, "{}\n{}", sealed.size, sealed.root)?;
    }
    Ok(())
}
