//! Copies the WAL into the database on a thread of its own, so that the writer does not have to.
//!
//! ```text
//! writer:  COMMIT, COMMIT, ... every EVERY bytes: wake, if idle          at MOST bytes: wait until idle
//! thread:                      wal_checkpoint(PASSIVE) -> idle           then the writer's own `wal_autocheckpoint` runs
//! ```
//!
//! 1. SQLite lets one connection copy at a time, and a copy covers what was there when it began: only while the thread is
//!    idle can the writer's own checkpoint finish the copy and reset the WAL, so the thread is never woken twice in a row
//!    without a COMMIT between.
//! 2. The WAL is bounded also when the database is slow to sync: the writer then waits, as it would without the thread.
//! 3. It promises nothing else: where it cannot run, the writer's own checkpoint does all of it.
//! 4. What a WAL holds needs room in the database when it is copied. One of more than [`LONG`] bytes is made longer only
//!    while the disk has that room: on a disk that it had filled to the last byte nothing could be removed any more.

use super::{StoreError, schema};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes of WAL after which a copy is worth its two flushes.
const EVERY: usize = 4 << 20;
/// Bytes of WAL that may gather while one copy goes on.
const MOST: usize = 16 << 20;
/// Bytes of WAL from which on there must be room for all of it in the database.
const LONG: u64 = 8 << 20;
/// What a batch adds to the WAL besides its rows: pages that are written whole though little in them changes.
pub(super) const PER_BATCH: usize = 6 * 4096;
/// What an entry adds besides its contents.
pub(super) const PER_ENTRY: usize = 350;

#[derive(Debug)]
struct Copier {
    wake: SyncSender<()>,
    done: Receiver<()>,
    is_busy: bool,
    thread: JoinHandle<()>,
}

/// The thread, from the first time it is needed on.
#[derive(Debug, Default)]
pub(super) struct WalCheckpointer {
    /// Bytes committed since it was last woken, about.
    written: usize,
    copier: Option<Copier>,
    /// It could not be started, or gave up.
    is_off: bool,
    /// The disk has no room for what the WAL holds.
    is_tight: bool,
}

impl WalCheckpointer {
    /// Notes a committed batch that added about so many bytes to the WAL.
    pub fn committed(&mut self, path: &Path, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
        if self.written < EVERY {
            return;
        }
        self.is_tight = is_tight(path);
        if self.is_off {
            self.written = 0;
            return;
        }
        if self.copier.is_none() {
            self.copier = start(path).ok();
        }
        self.is_off = !self.copier.as_mut().is_some_and(|copier| copier.go_on(&mut self.written));
    }

    /// Before a batch: what could not be copied is tried again. A WAL that the disk has no room for is an error.
    pub fn retry(&mut self, connection: &Connection, database: &Path) -> Result<(), StoreError> {
        if !self.is_off && !self.is_tight {
            return Ok(());
        }
        let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            let pages = |index| row.get::<_, i64>(index);
            Ok(pages(1)? == pages(2)?)
        });
        if matches!(copied, Ok(true)) {
            // The next COMMIT begins at the front of the file.
            *self = Self::default();
        } else if is_tight(database) {
            let why = "its journal has to be copied into it first, and there is no room for that or a reader is in the way".to_owned();
            return Err(StoreError::Full { path: database.to_path_buf(), why });
        }
        Ok(())
    }
}

impl Copier {
    /// Wakes the thread when it is idle; waits for it when too much has gathered. `false` when it is gone.
    fn go_on(&mut self, written: &mut usize) -> bool {
        if self.is_busy {
            if *written >= MOST {
                self.is_busy = false;
                // Not woken again now: the next COMMIT finishes the copy.
                return self.done.recv().is_ok();
            }
            self.is_busy = self.done.try_recv().is_err();
            if self.is_busy {
                return !self.thread.is_finished();
            }
        }
        *written = 0;
        self.is_busy = true;
        self.wake.send(()).is_ok()
    }
}

impl Drop for WalCheckpointer {
    fn drop(&mut self) {
        if let Some(Copier { wake, thread, .. }) = self.copier.take() {
            drop(wake);
            // A panic there would have been SQLite's; nothing of ours depends on it.
            let _ = thread.join();
        }
    }
}

fn is_tight(database: &Path) -> bool {
    let wal = super::recover::with_suffix(database, "-wal").metadata().map_or(0, |meta| meta.len());
    wal > LONG && database.parent().is_some_and(|dir| super::reserve::free(dir) < wal)
}

fn start(path: &Path) -> Result<Copier, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = |source| StoreError::from_sqlite(path, source);
    let connection = Connection::open_with_flags(super::writer::uri(path, "psow=0"), flags).map_err(sqlite)?;
    // Only what concerns this connection: whatever lies at `path` now, its settings are not ours to change here.
    schema::distrust(&connection).map_err(sqlite)?;
    connection.execute_batch("PRAGMA synchronous=FULL").map_err(sqlite)?;
    // Room for one message each: neither side ever waits to send.
    let ((wake, work), (tell, done)) = (sync_channel(1), sync_channel(1));
    let run = move || {
        while work.recv().is_ok() {
            let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            if copied.is_err() || tell.send(()).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("lowlight-wal".to_owned()).spawn(run);
    Ok(Copier { wake, done, is_busy: false, thread: thread.map_err(|source| StoreError::from_io(path, source))? })
}
