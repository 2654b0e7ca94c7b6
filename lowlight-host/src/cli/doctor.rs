//! `lowlight doctor`: what is wrong with this place for a log, and how to mend it.

use super::args::{Cli, DoctorArgs};
use super::{Outcome, load_config, now, stdout, text};
use crate::checkpoints::Checkpoints;
use crate::import::{DeviceStore, Stretch, devices, names_of_devices};
use crate::redact::Redactor;
use crate::store::{Layout, Reader, StoreError};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warning,
    Wrong,
}

#[derive(Debug)]
struct Finding {
    what: &'static str,
    level: Level,
    says: String,
}

pub(super) fn run(cli: &Cli, args: &DoctorArgs) -> Outcome {
    let layout = Layout::new(&cli.path);
    let mut findings = Vec::new();
    let mut add = |what, level, says: String| findings.push(Finding { what, level, says });
    configuration(cli, &mut add);
    clock(&mut add);
    if cli.path.is_dir() {
        permissions(&layout, args.fix, &mut add);
        file_system(&cli.path, &mut add);
        log(&layout, &mut add);
        taken_in(&cli.path, &mut add);
        elsewhere(cli, &mut add);
    } else {
        add("directory", Level::Warning, format!("{} is not there yet; `lowlight record` creates it", cli.path.display()));
    }
    let mut out = stdout();
    for finding in &findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Wrong => "wrong",
        };
        if cli.json {
            writeln!(out, "{}", serde_json::json!({ "check": finding.what, "level": level, "says": finding.says }))?;
        } else {
            writeln!(out, "{level:<8} {:<14} {}", finding.what, text::safe(&finding.says))?;
        }
    }
    out.flush()?;
    Ok(u8::from(findings.iter().any(|finding| finding.level == Level::Wrong)))
}

type Add<'a> = dyn FnMut(&'static str, Level, String) + 'a;

fn configuration(cli: &Cli, add: &mut Add<'_>) {
    match load_config(cli) {
        Err(error) => add("configuration", Level::Wrong, error.to_string()),
        Ok(loaded) => {
            let redaction = loaded.config.redaction();
            match Redactor::new(&redaction) {
                Err(error) => add("redaction", Level::Wrong, error.to_string()),
                Ok(_) if !redaction.enabled => {
                    add("redaction", Level::Warning, "is switched off: secrets are stored as they come".to_owned());
                }
                Ok(_) => add("redaction", Level::Ok, "all rules are valid".to_owned()),
            }
            let enabled = loaded.config.is_enabled();
            let says = if enabled { "recording is on" } else { "recording is switched off (enabled = false)" };
            add("configuration", if enabled { Level::Ok } else { Level::Warning }, says.to_owned());
        }
    }
}

fn clock(add: &mut Add<'_>) {
    let synchronised = Path::new("/run/systemd/timesync/synchronized").exists();
    let time = crate::time::rfc3339(now());
    if now() < 1_735_689_600_000_000_000 {
        add(
            "clock",
            Level::Wrong,
            format!("says {time}, which is before this software was written; set it (records are kept in order all the same)"),
        );
    } else if synchronised {
        add("clock", Level::Ok, format!("{time}, synchronised"));
    } else {
        add("clock", Level::Ok, format!("{time}, not known to be synchronised: entries say `rtc`"));
    }
}

fn permissions(layout: &Layout, fix: bool, add: &mut Add<'_>) {
    let own = rustix::process::geteuid().as_raw();
    let database = layout.database();
    let files = [
        (layout.dir().to_path_buf(), 0o700),
        (layout.runs(), 0o700),
        (layout.quarantine(), 0o700),
        (database, 0o600),
        (layout.lock(), 0o600),
        (crate::checkpoints::file(layout), 0o600),
        (crate::keys::file(layout).with_file_name(""), 0o700),
        (crate::keys::file(layout), 0o600),
        (crate::keys::next_file(layout), 0o600),
        (devices(layout.dir()), 0o700),
    ];
    let mut fine = true;
    for (path, mode) in files {
        let Ok(meta) = path.symlink_metadata() else { continue };
        let found = meta.permissions().mode() & 0o777;
        let is_link = meta.is_symlink() && path != layout.dir();
        if is_link {
            fine = false;
            add("permissions", Level::Wrong, format!("{} is a symbolic link; move it away", path.display()));
        } else if meta.uid() != own {
            fine = false;
            add("permissions", Level::Wrong, format!("{} belongs to user {}; chown it to user {own}", path.display(), meta.uid()));
        } else if found & 0o077 != 0 {
            fine = false;
            let mended = fix && std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).is_ok();
            let (level, how) = if mended {
                (Level::Warning, format!("was {found:o}, is {mode:o} now"))
            } else {
                (Level::Wrong, format!("is {found:o}; run with --fix, or chmod {mode:o}"))
            };
            add("permissions", level, format!("{} {how}", path.display()));
        }
    }
    if fine {
        add("permissions", Level::Ok, "only you can read and write the log".to_owned());
    }
}

fn file_system(dir: &Path, add: &mut Add<'_>) {
    // Magic numbers of linux/magic.h for file systems without dependable locks or durability.
    const UNSAFE: [(u64, &str); 6] =
        [(0x6969, "nfs"), (0x517B, "smb"), (0xFF53_4D42, "cifs"), (0xFE53_4D42, "smb2"), (0x0102_1994, "tmpfs"), (0x6573_5546, "fuse")];
    match rustix::fs::statfs(dir) {
        Err(error) => add("file system", Level::Wrong, format!("{}: {error}", dir.display())),
        Ok(stat) => {
            #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "the type of the field differs between targets")]
            let magic = stat.f_type as u64 & 0xffff_ffff;
            match UNSAFE.iter().find(|known| known.0 == magic) {
                Some((_, "tmpfs")) => add("file system", Level::Warning, "tmpfs: the log is gone after a restart".to_owned()),
                Some((_, name)) => {
                    add("file system", Level::Warning, format!("{name}: locks and durability depend on the other end; use a local disk"));
                }
                None => add("file system", Level::Ok, "local".to_owned()),
            }
            #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "the type of the field differs between targets")]
            let free = (stat.f_bavail as u64).saturating_mul(stat.f_bsize as u64);
            let level = if free < 64 << 20 { Level::Wrong } else { Level::Ok };
            let says = if level == Level::Ok { "free" } else { "free: less than 64 MiB; make room" };
            add("space", level, format!("{} {says}", text::bytes(free)));
            if stat.f_files > 0 && stat.f_ffree < 64 {
                add("inodes", Level::Wrong, format!("{} left; make room", stat.f_ffree));
            }
        }
    }
}

/// What is to be kept elsewhere: whether it is there, and how far it is.
fn elsewhere(cli: &Cli, add: &mut Add<'_>) {
    let (Ok(loaded), Ok(reader)) = (load_config(cli), Reader::open(&cli.path)) else { return };
    let log = reader.log_id();
    // What is elsewhere is read first, for the log grows and they follow.
    let copy = loaded.config.copy.as_ref().and_then(|copy| copy.options().ok()).map(|copy| (crate::copy::size(&copy.dir, log), copy));
    let witness = loaded.config.witness.as_ref().and_then(|witness| witness.options().ok());
    let witness = witness.map(|witness| crate::recorder::ask_witness(&witness, &cli.path));
    let Ok(size) = Reader::open(&cli.path).map(|reader| reader.tip().size) else { return };
    if let Some((copied, copy)) = copy {
        match copied {
            Err(error) => add("copy", Level::Wrong, format!("{}: {error}", copy.dir.display())),
            Ok(copied) if copied > size => {
                add("copy", Level::Wrong, format!("goes on to entry {copied}, the log ends with {size}: run `lowlight verify --against`"));
            }
            Ok(copied) => {
                let level = if copied == size { Level::Ok } else { Level::Warning };
                add("copy", level, format!("{copied} of {size} entries are in {}", copy.dir.display()));
            }
        }
    }
    let Some(seen) = witness else { return };
    match seen {
        Err(why) => add("witness", Level::Wrong, why),
        Ok(seen) if seen > size => {
            add("witness", Level::Wrong, format!("has seen {seen} entries, the log has {size}: it was cut or put back"));
        }
        Ok(seen) => {
            let sealed = Checkpoints::open(&cli.path).and_then(|journal| journal.of(log).newest(size)).ok().flatten();
            let is_behind = sealed.is_some_and(|sealed| sealed.size > seen);
            let says = format!("answers; it has seen {seen} of {size} entries");
            add("witness", if is_behind { Level::Warning } else { Level::Ok }, says);
        }
    }
}

/// Alarms in the log.
fn alarms(reader: &Reader, add: &mut Add<'_>) {
    let Ok(alarms) = super::stats::alarms(reader) else { return };
    let count: u64 = alarms["codes"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    if count > 0 {
        let [at, code, detail] = ["recorded", "code", "detail"].map(|key| alarms["newest"][key].as_str().unwrap_or_default());
        let alarms = text::plural(count, "alarm is", "alarms are");
        add("alarms", Level::Warning, format!("{alarms} in the log, the newest of {at}: {code}: {detail}"));
    }
}

fn log(layout: &Layout, add: &mut Add<'_>) {
    match Reader::open(layout.dir()) {
        Err(StoreError::Missing(_)) => add("log", Level::Warning, "nothing was recorded here yet".to_owned()),
        Err(error) => add("log", Level::Wrong, error.to_string()),
        Ok(reader) => {
            let faults = &reader.schema().faults;
            match faults.first() {
                Some(fault) => add("log", Level::Wrong, format!("schema: {fault}; run `lowlight verify`")),
                None => add("log", Level::Ok, format!("{}, schema as it should be", text::plural(reader.tip().size, "entry", "entries"))),
            }
            let size = reader.tip().size;
            let sealed = Checkpoints::open(layout.dir()).and_then(|journal| journal.of(reader.log_id()).newest(u64::MAX)).ok().flatten();
            if let Some(sealed) = sealed.filter(|sealed| sealed.size > size) {
                let says = format!("its own checkpoints go on to {} entries, it ends with {size}: it was cut or put back", sealed.size);
                add("checkpoints", Level::Wrong, says);
            }
            if crate::keys::erasure_file(layout).exists() {
                let says = "keys/erasure.key lies beside the log: whoever takes this machine can make the log keep less; move it away";
                add("erasure key", Level::Warning, says.to_owned());
            }
            alarms(&reader, add);
            let mode = reader.connection().pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
            // A log that nobody has open is read without its journal; then SQLite answers "off" or "delete".
            add("journal", Level::Ok, format!("{} while reading; writers use wal with synchronous=FULL", mode.unwrap_or_default()));
        }
    }
    let moved = std::fs::read_dir(layout.quarantine()).map_or(0, Iterator::count);
    if moved > 0 {
        let logs = text::plural(moved as u64, "log was", "logs were");
        let says = format!("{logs} moved aside to {}; copy them away, keep them as evidence", layout.quarantine().display());
        add("quarantine", Level::Warning, says);
    }
}

/// What was taken in of devices.
fn taken_in(dir: &Path, add: &mut Add<'_>) {
    let (mut devices_read, mut entries) = (0, 0_u64);
    for name in names_of_devices(dir) {
        let home = devices(dir).join(&name);
        let is_unmade = DeviceStore::is_unmade(&home);
        let read = |store: DeviceStore| Ok((store.stretches()?, store.doubled()?));
        let found = if is_unmade { Ok((Vec::new(), 0)) } else { DeviceStore::read(&home).and_then(read) };
        match found {
            Err(error) => add("devices", Level::Wrong, error.to_string()),
            Ok((_, doubled)) if doubled > 0 => {
                let entries = text::plural(doubled, "entry", "entries");
                add(
                    "devices",
                    Level::Wrong,
                    format!("{name} had {entries} differently before, as when older flash is put back; run `lowlight verify`"),
                );
            }
            Ok((stretches, _)) if is_unmade || stretches.iter().any(|stretch| stretch.seq.is_none()) => {
                add("devices", Level::Warning, format!("{name}: an import is under way, or did not end: then run `lowlight import` again"));
            }
            Ok((stretches, _)) => {
                devices_read += 1;
                entries = stretches.iter().map(Stretch::entries).fold(entries, u64::saturating_add);
            }
        }
    }
    if devices_read > 0 {
        let (logs, entries) = (text::plural(devices_read, "device", "devices"), text::plural(entries, "entry", "entries"));
        add("devices", Level::Ok, format!("{entries} of {logs} taken in; `lowlight verify` checks them"));
    }
    let noise = devices(dir).join("noise");
    if let Some(meta) = noise.metadata().ok().filter(|meta| meta.is_file() && meta.len() > 0) {
        let bytes = text::bytes(meta.len());
        add("line", Level::Warning, format!("{bytes} that were no message came over a line: look at it, then delete {}", noise.display()));
    }
}
