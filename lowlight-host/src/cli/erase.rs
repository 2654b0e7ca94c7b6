//! `lowlight erase`: chosen content goes from every file of the log.

use super::args::{Cli, EraseArgs};
use super::prune::with_progress;
use super::query::Conditions;
use super::{Failure, Outcome, load_config, say, stdout, text};
use crate::recorder::Removed;
use crate::removal::{Erase, EraseError, Found, Runs, fields, find};
use crate::store::{Filter, Layout, Reader};
use serde_json::json;
use std::io::{IsTerminal as _, Write};
use std::time::Duration;

pub(super) fn run(cli: &Cli, args: &EraseArgs) -> Outcome {
    let conditions = Conditions {
        user: args.user.clone(),
        session: args.session.clone(),
        correlation_id: args.correlation_id.clone(),
        contains: args.contains.clone(),
        // Reasons of erasures are content as well.
        all: true,
        ..Conditions::default()
    };
    let chosen = [&args.user, &args.session, &args.correlation_id, &args.contains];
    if args.seq.is_empty() && chosen.iter().all(|value| value.is_none()) {
        return Err(Failure::Usage("nothing chosen: give --seq, --user, --session, --correlation-id or --contains".to_owned()));
    }
    conditions.check(cli)?;
    let seqs = seqs(&args.seq)?;
    let fields = fields(&args.field).map_err(|name| Failure::Usage(format!("--field {name}: there is no such content field")))?;
    let reader = Reader::open(&cli.path)?;
    let size = reader.tip().size;
    if let Some(beyond) = seqs.iter().flat_map(Runs::iter).find(|run| run.start >= size) {
        return Err(Failure::Usage(format!("no entry {}: the log has {size} entries, 0 to {}", beyond.start, size.saturating_sub(1))));
    }
    let found = find(&reader, &conditions.filter(), seqs.as_ref(), fields)?;
    let is_pending = reader.has_pending_removal()?;
    drop(reader);
    if found.entries == 0 {
        say("nothing to erase: no entry that matches has such content");
        if is_pending && !args.dry_run {
            let recorder = load_config(cli)?.config.builder(&cli.path).upkeep().open()?;
            let finished = recorder.finish_removal(Duration::from_secs(args.wait));
            let _stats = recorder.close(Duration::from_secs(30));
            if let Err(error) = finished {
                return pending(&error);
            }
            say("what was left over of an earlier erasure is gone now");
        }
        return tell(cli, &Removed::default(), &found, &[]);
    }
    if args.dry_run {
        return tell_found(cli, &found);
    }
    if !args.yes && !confirm(&found)? {
        say("nothing was erased");
        return Ok(2);
    }
    let config = load_config(cli)?.config;
    let recorder = config.builder(&cli.path).upkeep().open()?;
    let erase = Erase { runs: found.runs.clone(), fields, reason: args.reason.clone() };
    let erased = with_progress(&recorder, "erasing", |recorder| recorder.erase(&erase, Duration::from_secs(args.wait)));
    let _stats = recorder.close(Duration::from_secs(30));
    let mut beyond = not_reached(&Layout::new(&cli.path));
    beyond.extend(config.copy.as_ref().filter(|copy| copy.content).map(|copy| copy.path.display().to_string()));
    let left = find(&Reader::open(&cli.path)?, &Filter::default(), Some(&found.runs), fields)?;
    match erased {
        Ok(_) if left.entries > 0 => {
            say(&format!("{} is still there; run `lowlight verify`", summary(&left)));
            Ok(1)
        }
        Ok(removed) => tell(cli, &removed, &found, &beyond),
        Err(error) => pending(&error),
    }
}

fn pending(error: &EraseError) -> Outcome {
    match error {
        EraseError::Pending(why) => {
            say(&format!("erasure is pending: {why}; it is finished by the next recorder, or by running this again"));
            Ok(1)
        }
        error => Err(Failure::Usage(error.to_string())),
    }
}

/// `--seq 12`, `--seq 12-20`.
pub(super) fn seqs(texts: &[String]) -> Result<Option<Runs>, Failure> {
    let run = |text: &String| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then(|| first..last.saturating_add(1)).ok_or(()).ok()
    };
    let runs = texts.iter().map(|text| run(text).ok_or_else(|| Failure::Usage(format!("--seq {text}: write 12, or 12-20"))));
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    Ok((!runs.is_empty()).then(|| Runs::join(runs)))
}

fn summary(found: &Found) -> String {
    let values: u64 = found.values.values().sum();
    let names: Vec<_> = found.values.iter().map(|(field, count)| format!("{} {count}", field.name())).collect();
    format!("{} of {} ({})", text::plural(values, "value", "values"), text::plural(found.entries, "entry", "entries"), names.join(", "))
}

fn tell_found(cli: &Cli, found: &Found) -> Outcome {
    let mut out = stdout();
    if cli.json {
        let values: serde_json::Map<_, _> = found.values.iter().map(|(field, count)| (field.name().to_string(), json!(count))).collect();
        let runs: Vec<_> = found.runs.iter().map(|run| json!([run.start, run.end - 1])).collect();
        writeln!(out, "{}", json!({ "entries": found.entries, "values": values, "runs": runs }))?;
    } else {
        writeln!(out, "would erase {}", summary(found))?;
    }
    out.flush()?;
    Ok(0)
}

/// Asks on the terminal.
fn confirm(found: &Found) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "erasing asks first, and there is no terminal to ask on: give --yes, or --dry-run to see what would go".to_owned(),
        ));
    }
    let mut err = std::io::stderr().lock();
    write!(err, "erase {}? this cannot be undone [y/N] ", summary(found))?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Files of the log that an erasure does not reach.
fn not_reached(layout: &Layout) -> Vec<String> {
    let inside = |folder: std::path::PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("checkpoints-")))
    };
    let all = [layout.quarantine(), layout.dir().join("devices")].into_iter().flat_map(inside);
    let mut found: Vec<_> = all.map(|path| path.display().to_string()).collect();
    found.sort_unstable();
    found
}

fn tell(cli: &Cli, removed: &Removed, found: &Found, beyond: &[String]) -> Outcome {
    let mut out = stdout();
    if cli.json {
        let line = json!({ "erased": removed.contents, "entries": found.entries, "tombstones": removed.tombstones, "altered": removed.unfit, "not_reached": beyond });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "erased {} of {}",
            text::plural(removed.contents, "value", "values"),
            text::plural(found.entries, "entry", "entries")
        )?;
        for path in beyond {
            writeln!(out, "not reached: {}", text::safe(path))?;
        }
    }
    out.flush()?;
    if let Some(first) = removed.unfit.first() {
        say(&format!(
            "content of entry {first} was not what was recorded when it was erased: somebody had altered it; an alarm in the log says so"
        ));
    }
    if !cli.json && removed.contents > 0 {
        say("exports, copies and backups made before have it still");
    }
    Ok(0)
}
