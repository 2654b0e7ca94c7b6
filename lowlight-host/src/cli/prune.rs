//! `lowlight prune`: retention now.

use super::args::{Cli, PruneArgs};
use super::progress::Progress;
use super::{Failure, Outcome, load_config, now, say, stdout, text};
use crate::keys::LogKey;
use crate::recorder::{PruneError, Recorder};
use crate::removal::{Choice, RetentionPolicy, Room, Rules, choose};
use crate::store::{Layout, REMOVED, Reader};
use lowlight_core::entry::Clock;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(24 * 3600);

pub(super) fn run(cli: &Cli, args: &PruneArgs) -> Outcome {
    let config = load_config(cli)?.config;
    // A log that is not there is not made for this.
    let reader = Reader::open(&cli.path)?;
    let rules = Rules::read(Box::new(&reader), reader.log_id())?;
    let (in_force, erasure) = (rules.in_force().clone(), rules.erasure_vkey().map(str::to_owned));
    drop(rules);
    let signer = LogKey::load_erasure(&Layout::new(&cli.path))?.map(|key| key.key().to_string());
    let may_shorten = if erasure.is_none() { in_force.as_entry().is_undeclared() } else { erasure == signer };
    let wanted = config.retention.as_ref().and_then(|retention| retention.policy().ok());
    let policy = applies(&in_force, wanted.clone(), may_shorten);
    let is_refused = wanted.is_some_and(|wanted| !wanted.keeps_the_same(&policy));
    if config.retention.is_none() && !policy.removes_nothing() {
        let number = policy.number;
        say(&format!("there is no [retention] in the configuration: policy {number} of the log is in force; an empty [retention] ends it"));
    }
    if policy.removes_nothing() {
        let why = "no retention: set [retention] in the configuration, for instance max_age = \"30d\"";
        return Err(Failure::Usage(why.to_owned()));
    }
    if args.dry_run {
        let min_free = config.retention.as_ref().and_then(|retention| retention.min_free().ok()).unwrap_or(0);
        let room = Room::of(&reader, min_free, 0);
        let choice = choose(&reader, &policy, (now(), Clock::Rtc), room, reader.cursor(REMOVED)?)?;
        return tell_dry(cli, &choice);
    }
    drop(reader);
    let recorder = config.builder(&cli.path).upkeep().open()?;
    let pruned = with_progress(&recorder, "removing", |recorder| recorder.prune(WAIT));
    let stats = recorder.close(Duration::from_secs(30));
    let pruned = pruned.map_err(|error| match error {
        PruneError::Store(error) => Failure::Store(error),
        PruneError::Removal(error) => Failure::Usage(error.to_string()),
    })?;
    let removed = &pruned.removed;
    let mut out = stdout();
    if cli.json {
        let line = json!({ "removed_entries": removed.entries, "removed_contents": removed.contents, "tombstones": removed.tombstones,
            "altered": removed.altered, "blocked": pruned.blocked });
        writeln!(out, "{line}")?;
    } else {
        let (entries, contents) = (text::plural(removed.entries, "entry", "entries"), text::plural(removed.contents, "value", "values"));
        writeln!(out, "removed {entries}, and {contents} of entries that stay")?;
    }
    out.flush()?;
    for problem in stats.ok().into_iter().flat_map(|stats| [stats.removal_problem, stats.retention_problem]).flatten() {
        say(&problem);
    }
    if let Some(blocked) = &pruned.blocked {
        say(&format!("{blocked}; what is younger than its min_age stays"));
    }
    for seq in &removed.altered {
        say(&format!("entry {seq} does not fit its hash and stays, with those around it; run `lowlight verify`"));
    }
    Ok(u8::from(!removed.altered.is_empty() || is_refused))
}

/// The policy that a recorder with the wanted one would follow.
fn applies(in_force: &RetentionPolicy, wanted: Option<RetentionPolicy>, may_shorten: bool) -> RetentionPolicy {
    let Some(wanted) = wanted.filter(|wanted| !wanted.keeps_the_same(in_force)) else { return in_force.clone() };
    let wanted = RetentionPolicy { number: in_force.number.saturating_add(1), ..wanted };
    if may_shorten || !wanted.as_entry().keeps_less_than(&in_force.as_entry()) {
        return wanted;
    }
    say("the configuration keeps less than the policy in force: without the erasure key the policy in force applies");
    in_force.clone()
}

fn tell_dry(cli: &Cli, choice: &Choice) -> Outcome {
    let mut out = stdout();
    let contents = choice.contents.count();
    if cli.json {
        let runs = |runs: &crate::removal::Runs| runs.iter().take(100).map(|run| json!([run.start, run.end - 1])).collect::<Vec<_>>();
        let line = json!({ "policy": choice.policy.number, "entries": choice.entries, "by_kind": choice.by_kind, "contents_of": contents,
            "entry_runs": runs(&choice.whole), "content_runs": runs(&choice.contents), "more": choice.more, "blocked": choice.blocked });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "would remove {} by policy {}", text::plural(choice.entries, "entry", "entries"), choice.policy.number)?;
        for (kind, count) in &choice.by_kind {
            writeln!(out, "  {kind:<10} {count}")?;
        }
        if contents > 0 {
            writeln!(out, "would remove the content of {}", text::plural(contents, "entry that stays", "entries that stay"))?;
        }
        if choice.more {
            writeln!(out, "and more: this is the first part")?;
        }
        if let Some(blocked) = &choice.blocked {
            writeln!(out, "{blocked}")?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// Runs a removal and shows how far it is.
pub(super) fn with_progress<T: Send>(recorder: &Recorder, label: &'static str, work: impl FnOnce(&Recorder) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| work(recorder));
        let mut progress = Progress::new(label);
        while !running.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
            let stats = recorder.stats();
            progress.count(stats.removed_entries + stats.removed_contents);
        }
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
