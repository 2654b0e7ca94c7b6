//! `lowlight keys`: the key that signs a log's checkpoints.

use super::args::{Cli, KeysAction, KeysArgs};
use super::{Failure, Outcome, load_config, say, stdout, text};
use crate::keys::{self, DEFAULT_NAME, LogKey, file, next_file};
use crate::store::{Layout, Reader, StoreError};
use std::io::Write;
use std::time::Duration;

pub(super) fn run(cli: &Cli, args: &KeysArgs) -> Outcome {
    let layout = Layout::new(&cli.path);
    let key = match &args.action {
        KeysAction::Init { name, erasure: true } => init_erasure(cli, &layout, name.as_deref())?,
        KeysAction::Init { name, .. } => {
            let key = LogKey::create(&layout, name.as_deref().unwrap_or(DEFAULT_NAME))?;
            if names_another(cli) {
                say("this log names another key already: put that one back if you have it, for checkpoints by this one are told apart");
            }
            say(
                "keep the line below where nobody who can write this log can reach it; the next checkpoint is signed, and the log names the key from the next start of a recorder on",
            );
            key
        }
        KeysAction::Show => LogKey::load(&layout)?.ok_or_else(|| absent(&layout))?,
        KeysAction::Rotate { name } => rotate(cli, &layout, name.as_deref())?,
    };
    let mut out = stdout();
    let vkey = key.key().to_string();
    if cli.json {
        writeln!(out, "{}", serde_json::json!({ "name": key.key().name, "vkey": vkey }))?;
    } else {
        writeln!(out, "{}", text::safe(&vkey))?;
    }
    out.flush()?;
    Ok(0)
}

/// Makes the key that can make a log keep less.
fn init_erasure(cli: &Cli, layout: &Layout, name: Option<&str>) -> Result<LogKey, Failure> {
    let is_new = matches!(Reader::open(&cli.path), Err(StoreError::Missing(_)));
    if !is_new {
        let why = "the log is there already, and only its entry 0 can name an erasure key; a log that is to have one needs it before its first start";
        return Err(Failure::Usage(format!("{}: {why}", cli.path.display())));
    }
    let key = LogKey::create_erasure(layout, name.unwrap_or(DEFAULT_NAME))?;
    say(
        "keep keys/erasure.key away from this machine once the log is started: whoever has it can make the log keep less; put it back to do so yourself",
    );
    Ok(key)
}

fn absent(layout: &Layout) -> Failure {
    Failure::Usage(format!("no key at {}: make one with `lowlight keys init`", file(layout).display()))
}

/// Makes the next key and lets a recorder put it in its place, which says so in the log first.
fn rotate(cli: &Cli, layout: &Layout, name: Option<&str>) -> Result<LogKey, Failure> {
    let old = LogKey::load(layout)?.ok_or_else(|| absent(layout))?;
    // One that was begun and not completed is completed now instead of a new one.
    let begun = LogKey::load_next(layout)?;
    let is_new = begun.is_none();
    let next = begun.map_or_else(|| LogKey::create_next(layout, name.unwrap_or(old.key().name)), Ok)?;
    let recorder = load_config(cli)?.config.builder(&cli.path).upkeep().open()?;
    let problem = recorder.stats().checkpoint_problem;
    let closed = recorder.close(Duration::from_secs(30));
    match LogKey::load(layout)? {
        Some(key) if key.key() == next.key() => {
            say("from here on checkpoints are signed by the key below; keep it beside the old one, which signed those before");
            if load_config(cli)?.config.witness.is_some() {
                say("the witness signs nothing more until it knows the new key: run `lowlight witness --state DIR trust VKEY` where it is");
            }
            Ok(key)
        }
        _ if closed.is_ok() => {
            // The log did not say so, and will not: what was made for it goes.
            if is_new && !is_named(cli, &next.key().to_string()) {
                let _ = std::fs::remove_file(next_file(layout));
            }
            Err(Failure::Usage(format!("the key was not replaced: {}", problem.unwrap_or_else(|| "run `lowlight doctor`".to_owned()))))
        }
        _ => Err(Failure::Usage(
            "storage was not ready in time; the next start of a recorder replaces the key, or run this again".to_owned(),
        )),
    }
}

/// Whether an entry of the log names that key.
fn is_named(cli: &Cli, vkey: &str) -> bool {
    named(cli).iter().any(|named| named == vkey)
}

/// Whether entries of the log say that a key signs its checkpoints.
fn names_another(cli: &Cli) -> bool {
    !named(cli).is_empty()
}

fn named(cli: &Cli) -> Vec<String> {
    Reader::open(&cli.path).and_then(|reader| keys::named(&&reader)).unwrap_or_default()
}
