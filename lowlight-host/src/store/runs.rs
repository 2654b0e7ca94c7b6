//! Runs: each start of a writer process has a number and a lock file, so that one that ended without a stop is noticed.
//!
//! ```text
//! run row without `stopped` + lock file free  = that process crashed
//! ```
//!
//! 1. A number is never given twice. 2. A run's lock file is locked from its start entry to its stop entry.

use super::files::{self, private_file};
use super::{Store, StoreError};
use rusqlite::params;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;

/// A run that ended without a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crashed {
    /// Its number.
    pub run: u64,
    /// Most entries it may have had in memory.
    pub at_most: u64,
    /// Newest entry it wrote.
    pub last_seq: Option<u64>,
}

/// This process's run: the lock goes with the value.
#[derive(Debug)]
pub struct RunLock {
    /// The number.
    pub number: u64,
    path: std::path::PathBuf,
    file: File,
}

impl RunLock {
    /// Takes the lock file of a number; `None` when another process has it.
    fn take(path: std::path::PathBuf, number: u64) -> Result<Option<Self>, StoreError> {
        let file = private_file(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(StoreError::from_io(&path, source)),
        }
        let lock = Self { number, path, file };
        // Between opening and locking its owner may have removed it.
        Ok(lock.is_in_place().then_some(lock))
    }

    /// Whether the path still names the file that is locked.
    fn is_in_place(&self) -> bool {
        let own = self.file.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
        own.is_some() && own == files::identity(&self.path)
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Only tidiness: a lock file left behind is free and is removed by the next start. One that another process
        // has made since is not ours to remove.
        if self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Store {
    /// Starts a run, inside a batch: takes the next number whose lock is free, without waiting for any.
    pub fn start_run(&self, started: i64, queue_bound: u64) -> Result<RunLock, StoreError> {
        let next = self.connection().query_row("SELECT coalesce(max(number), 0) + 1 FROM run", [], |row| row.get::<_, i64>(0));
        let next = next.map_err(|source| self.error(source))?.cast_unsigned();
        let mut lock = None;
        // A process that writes an older log of this directory may hold the numbers of a fresh one.
        for number in next..next.saturating_add(1 << 16) {
            lock = RunLock::take(self.layout().runs().join(format!("{number}.lock")), number)?;
            if lock.is_some() {
                break;
            }
        }
        let lock = lock.ok_or_else(|| StoreError::Busy(self.layout().runs()))?;
        let insert = "INSERT INTO run (number, pid, started, queue_bound) VALUES (?1, ?2, ?3, ?4)";
        let bound = i64::try_from(queue_bound).unwrap_or(i64::MAX);
        let row = params![lock.number.cast_signed(), std::process::id(), started, bound];
        self.connection().execute(insert, row).map_err(|source| self.error(source))?;
        Ok(lock)
    }

    /// Marks a run as stopped, inside a batch. Rows of stopped runs are bookkeeping: the newest 64 are kept.
    pub fn stop_run(&self, number: u64, stopped: i64) -> Result<(), StoreError> {
        let number = number.cast_signed();
        let update = "UPDATE run SET stopped = ?2 WHERE number = ?1";
        let tidy = "DELETE FROM run WHERE stopped IS NOT NULL AND number <= ?1 - 64";
        let done = self.connection().execute(update, params![number, stopped]);
        done.and_then(|_| self.connection().execute(tidy, [number])).map(drop).map_err(|source| self.error(source))
    }

    /// Whether a run is marked as stopped, inside a batch.
    pub fn is_stopped(&self, number: u64) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM run WHERE number = ?1 AND stopped IS NOT NULL)";
        self.connection().query_row(sql, [number.cast_signed()], |row| row.get(0)).map_err(|source| self.error(source))
    }

    /// A bookkeeping position, inside a batch.
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, StoreError> {
        match self.connection().query_row("SELECT position FROM cursor WHERE name = ?1", [name], |row| row.get::<_, i64>(0)) {
            Ok(position) => Ok(Some(position.cast_unsigned())),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    /// Sets a bookkeeping position, inside a batch.
    pub fn set_cursor(&self, name: &str, position: u64) -> Result<(), StoreError> {
        let upsert = "INSERT INTO cursor (name, position) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET position = excluded.position";
        self.connection().execute(upsert, params![name, position.cast_signed()]).map(drop).map_err(|source| self.error(source))
    }

    /// Runs other than `own` that have not stopped and whose process is gone, inside a batch. Each is marked as stopped.
    pub fn take_crashed(&self, own: u64, now: i64) -> Result<Vec<Crashed>, StoreError> {
        let sqlite = |source| self.error(source);
        let mut select =
            self.connection().prepare("SELECT number, queue_bound FROM run WHERE stopped IS NULL AND number <> ?1").map_err(sqlite)?;
        let rows = select
            .query_map([own.cast_signed()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(sqlite)?;
        let mut crashed = Vec::new();
        for (number, bound) in rows {
            // Taken means free means crashed; dropped at the end of the turn, which removes the file.
            let Some(_lock) = RunLock::take(self.layout().runs().join(format!("{number}.lock")), number.cast_unsigned())? else {
                continue;
            };
            // Newest first: the entries of a crashed run are near the end.
            let newest = "SELECT seq FROM entry WHERE run = ?1 ORDER BY seq DESC LIMIT 1";
            let last = self.connection().query_row(newest, [number], |row| row.get::<_, i64>(0)).ok();
            let [run, at_most] = [number, bound].map(|value| u64::try_from(value).unwrap_or(0));
            crashed.push(Crashed { run, at_most, last_seq: last.and_then(|last| u64::try_from(last).ok()) });
            self.stop_run(run, now)?;
        }
        Ok(crashed)
    }
}
