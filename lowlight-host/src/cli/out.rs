//! Where a command writes what is meant for a file: stdout, or a private file that is whole or not there.

use super::args::OutArgs;
use super::{Failure, stdout};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Refuses a file that is there, before work is done for it.
pub(super) fn check(args: &OutArgs) -> Result<(), Failure> {
    match args.out.as_deref().filter(|out| out.exists() && !args.force) {
        Some(out) => Err(Failure::Usage(format!("{} is there already; choose another name or add --force", out.display()))),
        None => Ok(()),
    }
}

/// Calls `write` with where the output goes.
pub(super) fn write(args: &OutArgs, write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    match &args.out {
        None => {
            let mut out = stdout();
            write(&mut out)?;
            Ok(out.flush()?)
        }
        Some(path) => to_file(path, args.force, write),
    }
}

/// Writes a temporary file and renames it, so that a file of that name is always whole.
fn to_file(path: &Path, force: bool, write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let failed = |error: std::io::Error| Failure::Usage(format!("{}: {error}; choose another --out", path.display()));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
    let mut out = BufWriter::with_capacity(64 << 10, file);
    let written = write(&mut out).and_then(|()| {
        out.flush()?;
        out.get_ref().sync_all()?;
        // Without --force a file that appeared meanwhile is not overwritten.
        if force {
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
