//! `lowlight keys`: the key that signs a log's checkpoints.

use super::args::{Cli, KeysAction, KeysArgs};
use super::{Failure, Outcome, load_config, say, stdout, text};
use crate::keys::{DEFAULT_NAME, LogKey, file};
use crate::store::Layout;
use std::io::Write;
use std::time::Duration;

pub(super) fn run(cli: &Cli, args: &KeysArgs) -> Outcome {
    let layout = Layout::new(&cli.path);
    let key = match &args.action {
        KeysAction::Init { name } => {
            let key = LogKey::create(&layout, name.as_deref().unwrap_or(DEFAULT_NAME))?;
            say(
                "keep the line below where nobody who can write this log can reach it; checkpoints are signed from now on, and the log names the key from the next start of a recorder on",
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

fn absent(layout: &Layout) -> Failure {
    Failure::Usage(format!("no key at {}: make one with `lowlight keys init`", file(layout).display()))
}

/// Makes the next key and lets a recorder put it in its place, which says so in the log first.
fn rotate(cli: &Cli, layout: &Layout, name: Option<&str>) -> Result<LogKey, Failure> {
    let old = LogKey::load(layout)?.ok_or_else(|| absent(layout))?;
    // One that was begun and not completed is completed now instead of a new one.
    let next = match LogKey::load_next(layout)? {
        Some(next) => next,
        None => LogKey::create_next(layout, name.unwrap_or(old.key().name))?,
    };
    let recorder = load_config(cli)?.config.builder(&cli.path).open()?;
    let closed = recorder.close(Duration::from_secs(30));
    match LogKey::load(layout)? {
        Some(key) if key.key() == next.key() => {
            say("from here on checkpoints are signed by the key below; keep it beside the old one, which signed those before");
            Ok(key)
        }
        _ => {
            let why = closed
                .map_or_else(|late| format!("{} entries were not durable in time", late.pending), |stats| format!("{:?}", stats.waiting));
            Err(Failure::Usage(format!("the key was not replaced ({why}); the next start of a recorder completes it, or run this again")))
        }
    }
}
