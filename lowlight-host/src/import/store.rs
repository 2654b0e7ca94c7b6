//! What was taken in of a device's log: one database a device (`docs/format.md`, section 18).
//!
//! ```text
//! DIR/devices/<hex log id>/device.db     stretch: entries in a row with the leaf before and after     entry: stretch, index, body
//! ```
//!
//! 1. A stretch is in the database whole or not at all; then the host's log gets an import entry for it, then the device may forget.
//! 2. A stretch without the seq of its import entry gets one at the next import: at worst there are two that say the same.

use super::ImportError;
use crate::store::{PrivateCopy, StoreError, connect_other, create_database, is_orphaned, private_dir, private_file, schema, sync_parent};
use lowlight_core::chain::leaf;
use lowlight_core::entry::Import;
use lowlight_core::{Digest, LogId};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, params};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

/// "LWLD".
const APPLICATION_ID: i32 = 0x4C57_4C44;
const SCHEMA: &str = "
CREATE TABLE device (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, log_id BLOB NOT NULL) STRICT;
CREATE TABLE stretch (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, end INTEGER NOT NULL, before BLOB NOT NULL, after BLOB NOT NULL,
    digest BLOB NOT NULL, torn INTEGER NOT NULL, seq INTEGER) STRICT;
CREATE TABLE entry (stretch INTEGER NOT NULL, idx INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (stretch, idx)) STRICT, WITHOUT ROWID;
CREATE INDEX entry_idx ON entry (idx);
";
/// Longest value that is read, bytes.
const LONGEST: i32 = 1 << 20;

/// What stands for a leaf that is not known.
pub(super) const UNKNOWN: Digest = Digest([0; 32]);

/// Entries of a device in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Which; later ones have larger numbers.
    pub id: i64,
    /// What the import entry says of it.
    pub import: Import,
    /// The device lost entries before it, and chained on from the last it knew.
    pub is_torn: bool,
    /// Seq of the import entry in the host's log, once it is there.
    pub seq: Option<u64>,
}

impl Stretch {
    /// How many entries.
    pub fn entries(&self) -> u64 {
        self.import.end.saturating_sub(self.import.first)
    }
}

/// The database of one device.
#[derive(Debug)]
pub struct DeviceStore {
    connection: Connection,
    path: PathBuf,
    log_id: LogId,
    open: Option<Open>,
    /// Entries since the last commit.
    pending: u64,
    /// Held while it is open for writing.
    _lock: Option<File>,
    /// Held while it is read from a copy.
    _copy: Option<PrivateCopy>,
}

/// A stretch that is being written.
#[derive(Debug)]
struct Open {
    id: i64,
    import: Import,
    is_torn: bool,
    digest: Sha256,
}

/// Where the devices of a log are.
pub fn devices(dir: &Path) -> PathBuf {
    dir.join("devices")
}

impl DeviceStore {
    /// Opens, or makes, the database of a device for writing.
    ///
    /// # Errors
    ///
    /// [`ImportError::Busy`] when another import writes to it; otherwise what the system says.
    pub(crate) fn open(dir: &Path, log_id: LogId) -> Result<Self, ImportError> {
        private_dir(&devices(dir))?;
        let home = devices(dir).join(log_id.to_string());
        private_dir(&home)?;
        let path = home.join("device.db");
        let lock = private_file(&home.join("device.lock"))?;
        // SQLite would make it readable for others.
        create_database(&path)?;
        sync_parent(&home)?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => ImportError::Busy(log_id),
            std::fs::TryLockError::Error(error) => error.into(),
        })?;
        if is_orphaned(&path) {
            let why = "is gone or empty, and its journal (-wal) is there: put back a copy of both, or move them aside".to_owned();
            return Err(ImportError::Store { path, why });
        }
        let is_unmade = Self::is_unmade(&home);
        let store = Self::connect(path, log_id, lock, is_unmade);
        store.map_err(|error| damaged(&home.join("device.db"), error))
    }

    fn connect(path: PathBuf, log_id: LogId, lock: File, is_unmade: bool) -> Result<Self, ImportError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        schema::distrust(&connection)?;
        if is_unmade {
            connection.execute_batch("PRAGMA journal_mode=WAL")?;
        }
        connection.execute_batch("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000")?;
        if is_unmade {
            let made = format!("BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version=1;");
            connection.execute_batch(&made)?;
            connection.execute("INSERT INTO device VALUES (1, 1, ?1)", [log_id.0])?;
            connection.execute_batch("COMMIT")?;
        }
        let store = Self { connection, path, log_id, open: None, pending: 0, _lock: Some(lock), _copy: None };
        store.check()?;
        Ok(store)
    }

    /// Whether an import that is under way, or did not end, has made no more than the place for the database in `home`.
    pub(crate) fn is_unmade(home: &Path) -> bool {
        let path = home.join("device.db");
        match path.symlink_metadata() {
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            Ok(meta) if !meta.is_file() => false,
            Ok(meta) if meta.len() == 0 => !is_orphaned(&path),
            Ok(_) => {
                let sql = "SELECT (SELECT count(*) FROM sqlite_schema) = 0 AND (SELECT application_id = 0 FROM pragma_application_id)";
                connect_other(&path).is_ok_and(|(connection, _)| connection.query_row(sql, [], |row| row.get(0)).unwrap_or(false))
            }
        }
    }

    /// Opens the database in `home` for reading; nothing is written beside it.
    ///
    /// # Errors
    ///
    /// What the system says; [`ImportError::Store`] when it is not a database of a device.
    pub fn read(home: &Path) -> Result<Self, ImportError> {
        let path = home.join("device.db");
        let name = home.file_name().and_then(|name| name.to_str()).and_then(crate::export::unhex);
        let log_id = name
            .and_then(|bytes| bytes.try_into().ok())
            .map(LogId)
            .ok_or_else(|| ImportError::Store { path: home.to_path_buf(), why: "is not named after the id of a log".to_owned() })?;
        if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            return Err(ImportError::Store { path, why: "is no file: move it away".to_owned() });
        }
        let (connection, copy) = connect_other(&path).map_err(|error| damaged(&path, error.into()))?;
        let store = Self { connection, path, log_id, open: None, pending: 0, _lock: None, _copy: copy };
        store.check().map_err(|error| damaged(&store.path, error))?;
        Ok(store)
    }

    /// Whether it is what it says.
    fn check(&self) -> Result<(), ImportError> {
        let wrong = |why: &str| ImportError::Store { path: self.path.clone(), why: why.to_owned() };
        let application: i32 = self.connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i32 = self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if application != APPLICATION_ID {
            return Err(wrong("is not the database of a device"));
        }
        if version != 1 {
            return Err(wrong("is of another version of this software"));
        }
        self.connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST)?;
        let expected = Connection::open_in_memory()?;
        expected.execute_batch(SCHEMA)?;
        if objects(&self.connection)? != objects(&expected)? {
            return Err(wrong("has other tables than a database of a device: put back a copy of it, or move it aside"));
        }
        let id: Vec<u8> = self.connection.query_row("SELECT log_id FROM device", [], |row| row.get(0))?;
        if id == self.log_id.0 { Ok(()) } else { Err(wrong("is that of another device")) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many indices have more than one body: those of a device that was put back.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub fn doubled(&self) -> Result<u64, ImportError> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM entry INDEXED BY entry_idx WHERE +stretch IN (SELECT id FROM stretch) GROUP BY idx HAVING min(body) <> max(body))";
        Ok(self.connection.query_row(sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned())
    }

    /// The lowest index of entries that are in no stretch.
    pub(crate) fn stray(&self) -> Result<Option<u64>, ImportError> {
        let sql = "SELECT min(idx) FROM entry WHERE stretch NOT IN (SELECT id FROM stretch)";
        Ok(self.connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))?.map(i64::cast_unsigned))
    }

    /// Id of the device's log.
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The stretches, in the order they were taken in.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub fn stretches(&self) -> Result<Vec<Stretch>, ImportError> {
        self.chosen("true")
    }

    /// Those that no entry of the host's log tells of yet.
    pub(crate) fn untold(&self) -> Result<Vec<Stretch>, ImportError> {
        self.chosen("seq IS NULL")
    }

    fn chosen(&self, condition: &'static str) -> Result<Vec<Stretch>, ImportError> {
        let sql = format!("SELECT id, first, end, before, after, digest, torn, seq FROM stretch WHERE {condition} ORDER BY id");
        let mut select = self.connection.prepare(&sql)?;
        let mut rows = select.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let digest = |at| row.get::<_, Vec<u8>>(at).map(|bytes| Digest::from_slice(&bytes).unwrap_or(Digest([0xFF; 32])));
            let import = Import {
                log_id: self.log_id,
                first: row.get::<_, i64>(1)?.cast_unsigned(),
                end: row.get::<_, i64>(2)?.cast_unsigned(),
                head_before: digest(3)?,
                head_after: digest(4)?,
                digest: digest(5)?,
            };
            let seq = row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned);
            found.push(Stretch { id: row.get(0)?, import, is_torn: row.get::<_, i64>(6)? != 0, seq });
        }
        Ok(found)
    }

    /// Whether this body was taken in under that index.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub(crate) fn find(&self, index: u64, body: &[u8]) -> Result<Here, ImportError> {
        let sql = "SELECT count(*), coalesce(sum(body = ?2), 0) FROM entry \
            WHERE idx = ?1 AND (stretch = ?3 OR +stretch IN (SELECT id FROM stretch))";
        let open = self.open.as_ref().map(|open| open.id);
        let found = self.connection.prepare_cached(sql)?.query_row(params![index.cast_signed(), body, open], |row| {
            Ok(match (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?) {
                (0, _) => Here::Nothing,
                (_, 0) => Here::Other,
                _ => Here::Same,
            })
        })?;
        Ok(found)
    }

    /// Goes through the bodies of a stretch, in order of their indices.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub fn bodies(&self, stretch: i64, mut each: impl FnMut(u64, &[u8])) -> Result<(), ImportError> {
        let mut select = self.connection.prepare_cached("SELECT idx, body FROM entry WHERE stretch = ?1 ORDER BY idx")?;
        let mut rows = select.query([stretch])?;
        while let Some(row) = rows.next()? {
            each(row.get::<_, i64>(0)?.cast_unsigned(), row.get_ref(1)?.as_blob().unwrap_or_default());
        }
        Ok(())
    }

    /// Takes in an entry: into the stretch that is being written, or into a new one after the leaf `before` (where it is known). A
    /// new one begins where there is none, where the entry is not the next one, and where the device chains from another leaf.
    ///
    /// # Errors
    ///
    /// What the database says; all since the last commit is lost then.
    pub(crate) fn push(&mut self, index: u64, body: &[u8], before: Option<Digest>, is_torn: bool) -> Result<(), ImportError> {
        let goes_on = |open: &Open| open.import.end == index && !is_torn && before.is_none_or(|before| before == open.import.head_after);
        let done = if self.open.as_ref().is_some_and(|open| !goes_on(open)) { self.close() } else { Ok(()) };
        let done = done.and_then(|()| self.insert(index, body, before.unwrap_or(UNKNOWN), is_torn));
        if done.is_err() {
            self.rollback();
        }
        done
    }

    fn insert(&mut self, index: u64, body: &[u8], before: Digest, is_torn: bool) -> Result<(), ImportError> {
        if self.pending == 0 {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        if self.open.is_none() {
            let sql = "SELECT max(coalesce((SELECT max(id) FROM stretch), 0), coalesce((SELECT max(stretch) FROM entry), 0)) + 1";
            let id = self.connection.query_row(sql, [], |row| row.get(0))?;
            let import =
                Import { log_id: self.log_id, first: index, end: index, head_before: before, head_after: before, digest: Digest([0; 32]) };
            self.open = Some(Open { id, import, is_torn, digest: digest_of(is_torn) });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut insert = self.connection.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3)")?;
        insert.execute(params![open.id, index.cast_signed(), body])?;
        hash_body(&mut open.digest, body);
        open.import.end = index + 1;
        open.import.head_after = leaf(&open.import.head_after, body);
        self.pending += 1;
        Ok(())
    }

    /// Ends the stretch that is being written.
    fn close(&mut self) -> Result<(), ImportError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let import = Import { digest: Digest(open.digest.finalize().into()), ..open.import };
        let (first, end) = (import.first.cast_signed(), import.end.cast_signed());
        let sql = "INSERT INTO stretch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)";
        let values = params![open.id, first, end, import.head_before.0, import.head_after.0, import.digest.0, open.is_torn];
        self.connection.execute(sql, values)?;
        Ok(())
    }

    /// How many entries were taken in since the last commit.
    pub(crate) fn pending(&self) -> u64 {
        self.pending
    }

    /// Makes what was taken in durable.
    ///
    /// # Errors
    ///
    /// What the database says; all since the last commit is lost then.
    pub(crate) fn commit(&mut self) -> Result<(), ImportError> {
        if self.pending == 0 {
            return Ok(());
        }
        let done = self.close().and_then(|()| Ok(self.connection.execute_batch("COMMIT")?));
        if done.is_err() {
            self.rollback();
        }
        self.pending = 0;
        done
    }

    /// Forgets what was taken in since the last commit.
    pub(crate) fn rollback(&mut self) {
        (self.open, self.pending) = (None, 0);
        // SQLite may have done it already.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Whether the entries of a stretch are those that were taken in.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub(crate) fn is_whole(&self, stretch: &Stretch, mut each: impl FnMut(u64, &[u8])) -> Result<bool, ImportError> {
        let Import { first, end, head_before, head_after, digest, .. } = stretch.import;
        let (mut head, mut hash, mut next, mut is_whole) = (head_before, digest_of(stretch.is_torn), first, true);
        self.bodies(stretch.id, |index, body| {
            each(index, body);
            is_whole &= index == next;
            next = index.saturating_add(1);
            head = leaf(&head, body);
            hash_body(&mut hash, body);
        })?;
        Ok(is_whole && next == end && first < end && head == head_after && Digest(hash.finalize().into()) == digest)
    }

    /// Forgets which entry of the host's log says that a stretch was taken in.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub(crate) fn forget(&self, stretch: i64) -> Result<(), ImportError> {
        self.connection.execute("UPDATE stretch SET seq = NULL WHERE id = ?1", [stretch])?;
        Ok(())
    }

    /// Notes which entry of the host's log says that a stretch was taken in.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub(crate) fn set_seq(&self, stretch: i64, seq: u64) -> Result<(), ImportError> {
        self.connection.execute("UPDATE stretch SET seq = ?2 WHERE id = ?1", params![stretch, seq.cast_signed()])?;
        Ok(())
    }
}

/// What to do about a database that is damaged: unlike the log, nothing moves it aside by itself.
fn damaged(path: &Path, error: ImportError) -> ImportError {
    let what = match error {
        ImportError::Log(StoreError::Corrupt { why, .. }) => why,
        ImportError::Sqlite(error) => match StoreError::from_sqlite(path, error) {
            StoreError::Corrupt { why, .. } => why,
            other => return other.into(),
        },
        other => return other,
    };
    let then = "put back a copy of it, or move its directory aside and import again: what the device has not overwritten comes again";
    ImportError::Store { path: path.to_path_buf(), why: format!("is damaged ({what}): {then}") }
}

/// What is there under an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    Nothing,
    /// This body.
    Same,
    /// Others.
    Other,
}

/// The digest of a stretch (`docs/format.md`, section 3), before its first entry.
fn digest_of(is_torn: bool) -> Sha256 {
    let mut digest = Sha256::new();
    if is_torn {
        // No body is as long.
        digest.update(u32::MAX.to_le_bytes());
    }
    digest
}

fn hash_body(digest: &mut Sha256, body: &[u8]) {
    digest.update(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    digest.update(body);
}

/// All that a database declares.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let mut select = connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name LIMIT 20")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}
