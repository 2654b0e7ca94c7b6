//! `lowlight keys`: the key that signs a log's checkpoints.

use super::args::{Cli, KeysAction, KeysArgs};
use super::{Failure, Outcome, say, stdout, text};
use crate::keys::{DEFAULT_NAME, LogKey, file};
use crate::store::Layout;
use std::io::Write;

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
        KeysAction::Show => LogKey::load(&layout)?
            .ok_or_else(|| Failure::Usage(format!("no key at {}: make one with `lowlight keys init`", file(&layout).display())))?,
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
