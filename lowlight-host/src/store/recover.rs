//! Moving a damaged log aside, so that recording goes on in a fresh one that names it.
//!
//! 1. Nothing is deleted. When the quarantine is full, the damaged file stays and the writer waits for the operator.
//! 2. Only files that are ours and damaged are moved; a foreign or newer database is left alone.

use super::files::{self, Layout, private_dir, private_file};
use super::writer::{tip, uri};
use super::{Store, StoreError};
use lowlight_core::LogId;
use lowlight_core::entry::Predecessor;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most damaged logs that are kept.
pub const MAX_QUARANTINED: usize = 8;
/// No further one is moved there once those kept have so many bytes: 4 GiB.
pub const MAX_QUARANTINED_BYTES: u64 = 4 << 30;
/// A log is damaged when a look at it says so, and one after each of these pauses: what fails for a moment, memory among it, is no damage.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1)];

/// A log that was moved aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it is now.
    pub path: PathBuf,
    /// Why it was moved.
    pub why: String,
    /// What could be read of it.
    pub predecessor: Predecessor,
}

impl Store {
    /// Opens a log; a damaged one is moved into the quarantine first and a fresh one is started.
    pub fn open_or_recover(layout: &Layout) -> Result<(Self, Option<Quarantined>), StoreError> {
        match Self::open(layout) {
            Ok(store) => Ok((store, None)),
            Err(StoreError::Corrupt { why, .. }) => {
                let moved = quarantine(layout, &why)?;
                Ok((Self::open(layout)?, moved))
            }
            Err(error) => Err(error),
        }
    }
}

/// Moves database, -wal and -shm into the quarantine, under the writers' lock. `None` when another process did it first.
pub fn quarantine(layout: &Layout, why: &str) -> Result<Option<Quarantined>, StoreError> {
    let lock = private_file(&layout.lock())?;
    lock.lock().map_err(|source| StoreError::from_io(&layout.lock(), source))?;
    if !still_damaged(layout)? {
        return Ok(None);
    }
    let path = move_aside(layout, "damaged", why)?;
    let predecessor = describe(&path);
    Ok(Some(Quarantined { path, why: format!("a damaged log ({why})"), predecessor }))
}

/// Moves a log that is not to be continued into the quarantine, under the writers' lock; the next one is to name `predecessor`.
/// `None` when another process did it first, or the log has grown: it is not the one that was asked about.
pub fn set_aside(
    layout: &Layout,
    log_id: LogId,
    size: u64,
    predecessor: Predecessor,
    why: &str,
) -> Result<Option<Quarantined>, StoreError> {
    let lock = private_file(&layout.lock())?;
    lock.lock().map_err(|source| StoreError::from_io(&layout.lock(), source))?;
    let is_same = super::Reader::open(&layout.database()).is_ok_and(|reader| reader.log_id() == log_id && reader.tip().size == size);
    if !is_same {
        return Ok(None);
    }
    let path = move_aside(layout, "older", why)?;
    Ok(Some(Quarantined { path, why: why.to_owned(), predecessor }))
}

fn move_aside(layout: &Layout, name: &str, why: &str) -> Result<PathBuf, StoreError> {
    let home = layout.quarantine();
    private_dir(&home)?;
    let (taken, bytes) = kept(&home).map_err(|source| StoreError::from_io(&home, source))?;
    if taken >= MAX_QUARANTINED || bytes >= MAX_QUARANTINED_BYTES {
        let why = format!(
            "holds {taken} damaged logs of {bytes} bytes already, and {} is damaged too ({why}); copy them away and empty it",
            layout.dir().display()
        );
        return Err(StoreError::Unsafe { path: home, why });
    }
    let target = (1..=u32::MAX).map(|number| home.join(format!("{name}-{number}"))).find(|path| !path.exists());
    let target = target.unwrap_or_else(|| home.join(name));
    private_dir(&target)?;
    let database = layout.database();
    // What was taken in of devices belongs to the log that says so.
    let devices = crate::import::devices(layout.dir());
    if devices.symlink_metadata().is_ok() {
        // Where it cannot go (a file system of its own), the log goes all the same, and `verify` says what is left of it.
        let _ = std::fs::rename(&devices, target.join("devices"));
    }
    // The database goes last: until then the next start finds it damaged and finishes the move.
    for suffix in ["-shm", "-wal", ""] {
        let from = with_suffix(&database, suffix);
        let Some(name) = from.file_name().filter(|_| from.symlink_metadata().is_ok()) else { continue };
        let to = target.join(name);
        std::fs::rename(&from, &to).map_err(|source| StoreError::from_io(&from, source))?;
    }
    files::sync_parent(&target.join("x"))?;
    files::sync_parent(&database)?;
    Ok(target.join("lowlight.db"))
}

/// How many damaged logs there are, and the bytes of their files; what came of devices does not count.
fn kept(home: &Path) -> std::io::Result<(usize, u64)> {
    let (mut count, mut bytes) = (0, 0);
    for log in std::fs::read_dir(home)? {
        let log = log?;
        count += 1;
        // Whatever else somebody has put there counts as well.
        if !log.file_type()?.is_dir() {
            bytes += log.metadata()?.len();
            continue;
        }
        for file in std::fs::read_dir(log.path())? {
            bytes += file?.metadata()?.len();
        }
    }
    Ok((count, bytes))
}

/// Whether the log is damaged, and stays so: another process may have moved it while this one waited for the lock, and SQLite
/// says "malformed" of a read that failed once (it turns EIO into `SQLITE_CORRUPT`) as well as of what is malformed.
fn still_damaged(layout: &Layout) -> Result<bool, StoreError> {
    let path = layout.database();
    for pause in PAUSES {
        std::thread::sleep(pause);
        // Only damage is a reason to move a file: one that is busy, foreign or newer stays where it is.
        match is_sound(&path) {
            Ok(true) => return Ok(false),
            Ok(false) | Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Whether SQLite finds nothing wrong with the file, and it has our schema and a log row. What is in its entries is not looked at.
pub fn is_sound(path: &Path) -> Result<bool, StoreError> {
    if super::open::is_orphaned(path) {
        return Ok(false);
    }
    if path.symlink_metadata().is_err() {
        return Ok(true);
    }
    let super::open::Opened { connection, copy: _copy, .. } = super::open::connect(path)?;
    if super::schema::identify(&connection, path)? == super::schema::Identity::Empty {
        return Ok(true);
    }
    let checked = || {
        let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        let has_schema = super::schema::compare(&connection)?.faults.is_empty();
        Ok(said == "ok" && has_schema && !super::schema::contradicts_itself(&connection)?)
    };
    let sound = checked().map_err(|source| StoreError::from_sqlite(path, source))?;
    Ok(sound && read_log_row(&connection).is_some())
}

/// The path of a database's companion file.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn describe(path: &Path) -> Predecessor {
    let nothing = Predecessor { log_id: None, size: None, root: None };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let Ok(connection) = Connection::open_with_flags(uri(path, "immutable=1"), flags) else { return nothing };
    read_log_row(&connection).unwrap_or(nothing)
}

fn read_log_row(connection: &Connection) -> Option<Predecessor> {
    let row = connection.query_row("SELECT log_id, size, head, frontier FROM log", [], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, Vec<u8>>(3)?))
    });
    let (id, size, leaf, hashes) = row.ok()?;
    let head = tip(size, &leaf, &hashes)?;
    Some(Predecessor { log_id: Some(LogId(id.try_into().ok()?)), size: Some(head.size()), root: Some(head.frontier.root()) })
}
