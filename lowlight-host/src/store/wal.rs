//! Copies the WAL into the database on a thread of its own, so that the writer does not have to.
//!
//! ```text
//! writer:  COMMIT, COMMIT, ... every EVERY bytes: wake          and itself, if the WAL reaches `wal_autocheckpoint`
//! thread:                                   wal_checkpoint(PASSIVE)
//! ```
//!
//! 1. It never waits for a lock, and only closing the log waits for it.
//! 2. It promises nothing: where it cannot run, the writer's own checkpoint bounds the WAL. That also resets it under
//!    steady load, when the thread is always a few pages behind.

use super::{StoreError, schema};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Bytes of content after which a checkpoint is worth its two flushes: about 1,000 pages of WAL.
const EVERY: usize = 3 << 20;

/// The thread, from the first time it is needed on.
#[derive(Debug, Default)]
pub(super) struct WalCheckpointer {
    /// Bytes of content committed since it was last woken.
    written: usize,
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
    /// It could not be started, or gave up.
    is_off: bool,
}

impl WalCheckpointer {
    /// Notes that a batch with so many bytes of content was committed.
    pub fn committed(&mut self, path: &Path, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
        if self.written < EVERY || self.is_off {
            return;
        }
        self.written = 0;
        if self.thread.is_none() {
            self.thread = start(path).ok();
        }
        // A full channel: one is due already. A closed one: the thread gave up, and the writer does it alone.
        let sent = self.thread.as_ref().map(|(wake, _)| wake.try_send(()));
        self.is_off = !matches!(sent, Some(Ok(()) | Err(TrySendError::Full(()))));
    }
}

impl Drop for WalCheckpointer {
    fn drop(&mut self) {
        if let Some((wake, thread)) = self.thread.take() {
            drop(wake);
            // A panic there would have been SQLite's; nothing of ours depends on it.
            let _ = thread.join();
        }
    }
}

fn start(path: &Path) -> Result<(SyncSender<()>, JoinHandle<()>), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = |source| StoreError::from_sqlite(path, source);
    let connection = Connection::open_with_flags(super::writer::uri(path, "psow=0"), flags).map_err(sqlite)?;
    // Only what concerns this connection: whatever lies at `path` now, its settings are not ours to change here.
    schema::distrust(&connection).map_err(sqlite)?;
    connection.execute_batch("PRAGMA synchronous=FULL").map_err(sqlite)?;
    let (wake, work) = sync_channel(1);
    let run = move || {
        while work.recv().is_ok() {
            if connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("lowlight-wal".to_owned()).spawn(run);
    Ok((wake, thread.map_err(|source| StoreError::from_io(path, source))?))
}
