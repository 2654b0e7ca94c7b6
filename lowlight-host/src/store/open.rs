//! Opening a database for reading without writing beside it. What a process that was killed has left of a private copy goes with the next.
//!
//! ```text
//! -shm there -> live (read-only connection)    no -wal -> immutable    else -> private copy of db and -wal
//! ```

use super::reader::LONGEST;
use super::recover::with_suffix;
use super::writer::uri;
use super::{StoreError, function, schema};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A connection for reading and what it reads from.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) uri: String,
    /// Holds the private copy, if one was needed.
    pub(super) copy: Option<PrivateCopy>,
    /// Whether somebody may be writing to the same file.
    pub(super) live: bool,
}

/// A folder only we can read, removed when dropped; one whose process was killed is removed by the next that makes one.
#[derive(Debug)]
pub(crate) struct PrivateCopy {
    path: PathBuf,
    /// Locked as long as the process lives.
    _lock: File,
}

impl PrivateCopy {
    /// The database in it.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join("lowlight.db")
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        // A copy that cannot be removed is left to the system's own clean-up of temporary files.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// How such a folder is called, before 16 hex digits.
const PREFIX: &str = "lowlight-";
/// Age of a folder that whoever made it has locked by now.
const SETTLED: Duration = Duration::from_secs(60);

/// Removes our folders in `base` that nobody holds any more: what is in them may be erased from the log by now.
fn sweep(base: &Path) {
    let uid = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if !digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            continue;
        }
        // Not through a link.
        let Ok(meta) = entry.metadata() else { continue };
        let is_settled = meta.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > SETTLED));
        if !meta.is_dir() || meta.uid() != uid || !is_settled {
            continue;
        }
        // Whoever makes one locks it first; what else is there is somebody else's.
        let mut names = std::fs::read_dir(entry.path()).into_iter().flatten().flatten().map(|inside| inside.file_name().into_string());
        let is_ours = names.all(|name| name.is_ok_and(|name| name == "lock" || name.starts_with("lowlight.db")));
        let lock = entry.path().join("lock");
        let is_free =
            || lock.symlink_metadata().is_ok_and(|meta| meta.is_file()) && File::open(&lock).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_ours && is_free() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Settings of every reading connection.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    schema::distrust(connection)?;
    function::register(connection)?;
    // SQLite refuses to load a value that no writer makes: it is not worth its memory.
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST)?;
    connection.execute_batch("PRAGMA query_only=ON; PRAGMA cache_size=-2048")
}

pub(super) fn open(uri: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Whether there is a journal of a database that is gone, or empty. SQLite would delete it, with all that only stands there.
pub(crate) fn is_orphaned(path: &Path) -> bool {
    let length = |path: &Path| path.symlink_metadata().map_or(0, |meta| meta.len());
    length(path) == 0 && length(&with_suffix(path, "-wal")) > 0
}

/// As [`is_orphaned`], as an error.
pub(super) fn refuse_orphan(path: &Path) -> Result<(), StoreError> {
    let why = || "it is gone or empty, and its journal (-wal) is there".to_owned();
    if is_orphaned(path) { Err(StoreError::Corrupt { path: path.to_path_buf(), why: why() }) } else { Ok(()) }
}

/// As [`connect`], for a database of another schema; the copy is to be kept as long as the connection.
pub(crate) fn connect_other(path: &Path) -> Result<(Connection, Option<PrivateCopy>), StoreError> {
    let opened = connect(path)?;
    let configured = schema::distrust(&opened.connection).and_then(|()| opened.connection.execute_batch("PRAGMA query_only=ON"));
    configured.map_err(|source| StoreError::from_sqlite(path, source))?;
    Ok((opened.connection, opened.copy))
}

/// Opens a database for reading without writing beside it.
pub(super) fn connect(path: &Path) -> Result<Opened, StoreError> {
    refuse_orphan(path)?;
    if path.is_symlink() && with_suffix(path, "-wal").exists() {
        let why =
            "is a symbolic link with a journal beside it, which is not that of the file it leads to; put the file in its place".to_owned();
        return Err(StoreError::Unsafe { path: path.to_path_buf(), why });
    }
    // SQLite looks for the journal beside the file that a link leads to.
    let real = path.canonicalize().map_err(|source| StoreError::from_io(path, source))?;
    let sqlite = |source| StoreError::from_sqlite(path, source);
    let opened = |file: &Path, parameters: &str, copy, live| {
        let uri = uri(file, parameters);
        open(&uri).map(|connection| Opened { connection, uri, copy, live })
    };
    let wal = with_suffix(&real, "-wal");
    let wal_is_empty = wal.metadata().map_or(true, |meta| meta.len() == 0);
    // Both are there while somebody writes; one alone SQLite would make the other for.
    let is_live = with_suffix(&real, "-shm").exists() && wal.exists();
    if is_live && let Ok(opened) = opened(&real, "mode=ro", None, true) {
        return Ok(opened);
    }
    if wal_is_empty {
        // Nobody has it open: without the flag SQLite would create a -wal and a -shm beside it.
        return opened(&real, "immutable=1", None, false).map_err(sqlite);
    }
    let folder = private_folder()?;
    let copy = folder.file();
    let state = || [&real, &wal].map(|file| file.metadata().and_then(|meta| Ok((meta.len(), meta.modified()?))).ok());
    // A writer that starts meanwhile may move the journal into the database between the two copies.
    for _ in 0..3 {
        let before = state();
        for (from, to) in [(&real, &copy), (&wal, &with_suffix(&copy, "-wal"))] {
            std::fs::copy(from, to).map_err(|source| StoreError::from_io(from, source))?;
        }
        if state() == before {
            break;
        }
    }
    opened(&copy, "mode=ro", Some(folder), false).map_err(sqlite)
}

pub(super) fn private_folder() -> Result<PrivateCopy, StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut random = [0_u8; 8];
    let base = std::env::temp_dir();
    crate::random::fill(&mut random).map_err(|source| StoreError::from_io(&base, source))?;
    sweep(&base);
    let path = base.join(format!("{PREFIX}{:016x}", u64::from_le_bytes(random)));
    std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|source| StoreError::from_io(&path, source))?;
    let locked = File::create_new(path.join("lock")).and_then(|lock| lock.lock().map(|()| lock));
    let lock = locked.map_err(|source| StoreError::from_io(&path, source))?;
    Ok(PrivateCopy { path, _lock: lock })
}
