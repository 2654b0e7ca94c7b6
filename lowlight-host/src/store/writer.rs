//! The appending side: a [`Sink`] over one SQLite transaction per batch.
//!
//! ```text
//! begin:  flock -> same files as at open? -> BEGIN IMMEDIATE -> read tip
//! commit: write tip -> COMMIT -> unlock          rollback: ROLLBACK -> unlock
//! ```
//!
//! 1. The lock is held exactly between `begin` and the end of the batch.
//! 2. Schema, log row and entry 0 of a new log appear in the same transaction.

use super::columns::{self, COUNT, Value};
use super::files::{self, Layout};
use super::open;
use super::schema::{self, Identity};
use super::wal::{PER_BATCH, PER_ENTRY, WalCheckpointer};
use super::{StoreError, files::private_file};
use lowlight_core::entry::MAX_BODY;
use lowlight_core::entry::codec::Buffer;
use lowlight_core::sink::{Content, Node, Sealed};
use lowlight_core::{Digest, FORMAT, Frontier, Head, LogId, Sink};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, params};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A log open for appending.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    path: PathBuf,
    connection: Connection,
    lock: File,
    /// Device and inode of database and lock file when they were opened.
    identity: [Option<(u64, u64)>; 2],
    log_id: Option<LogId>,
    in_batch: bool,
    /// What the current batch adds to the WAL, about, bytes.
    bytes: usize,
    checkpointer: WalCheckpointer,
    /// Room for the encoded event of an entry.
    payload: Box<Buffer>,
    /// SQL that inserts an entry.
    insert: String,
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Text(bytes) => ValueRef::Text(bytes),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Store {
    /// Opens the log in `layout`'s directory, creating directory and database if they are not there.
    ///
    /// A new log gets its schema and log row with the first batch; see [`Sink::begin`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for a damaged log (see [`quarantine`](super::quarantine)), and all other variants as they say.
    pub fn open(layout: &Layout) -> Result<Self, StoreError> {
        layout.prepare()?;
        let path = layout.database();
        let lock = private_file(&layout.lock())?;
        lock.lock().map_err(|source| StoreError::from_io(&layout.lock(), source))?;
        let opened = Self::open_locked(&path);
        let identity = [files::identity(&path), files::identity(&layout.lock())];
        lock.unlock().map_err(|source| StoreError::from_io(&layout.lock(), source))?;
        let connection = opened?;
        Ok(Self {
            layout: layout.clone(),
            path,
            connection,
            lock,
            identity,
            log_id: None,
            in_batch: false,
            bytes: 0,
            checkpointer: WalCheckpointer::default(),
            payload: Box::new([0; MAX_BODY]),
            insert: format!("INSERT INTO entry VALUES ({})", vec!["?"; COUNT].join(",")),
        })
    }

    fn open_locked(path: &Path) -> Result<Connection, StoreError> {
        open::refuse_orphan(path)?;
        files::create_database(path)?;
        // Looked at before it is opened for writing: a foreign or newer database and its journal stay byte for byte.
        let probe = open::connect(path)?;
        schema::identify(&probe.connection, path)?;
        drop(probe);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = |source| StoreError::from_sqlite(path, source);
        let connection = Connection::open_with_flags(uri(path, "psow=0"), flags).map_err(sqlite)?;
        // SQLite is content with less when a file cannot be opened for writing, and would stay so.
        if connection.is_readonly("main").map_err(sqlite)? {
            return Err(StoreError::Full { path: path.to_path_buf(), why: "it can be opened for reading only".to_owned() });
        }
        let identity = schema::identify(&connection, path)?;
        schema::configure_writer(&connection, path)?;
        connection.set_prepared_statement_cache_capacity(64);
        super::function::register(&connection).map_err(sqlite)?;
        if identity == Identity::Log {
            let report = schema::compare(&connection).map_err(sqlite)?;
            if let Some(fault) = report.faults.first() {
                return Err(StoreError::Corrupt { path: path.to_path_buf(), why: format!("its schema was changed ({fault})") });
            }
            if schema::contradicts_itself(&connection).map_err(sqlite)? {
                return Err(StoreError::Corrupt {
                    path: path.to_path_buf(),
                    why: "its log row and its entries contradict each other".to_owned(),
                });
            }
        }
        Ok(connection)
    }

    /// Opens everything again, when the files were replaced. After an error that leaves the connection in doubt a store is dropped
    /// first: what it still locks would keep the new one out.
    fn reopen(&mut self) -> Result<(), StoreError> {
        self.in_batch = false;
        *self = Self::open(&self.layout)?;
        Ok(())
    }

    /// The paths of this log.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The database connection, for bookkeeping inside the current batch.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The id of the log; known from the first [`Sink::begin`] on.
    pub fn log_id(&self) -> Option<LogId> {
        self.log_id
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, source)
    }

    /// Ends a batch that appended nothing: what it deleted and noted is durable when this returns.
    pub fn commit_removal(&mut self) -> Result<(), StoreError> {
        self.connection.execute_batch("COMMIT").map_err(|source| self.error(source))?;
        self.in_batch = false;
        // About: what is deleted is written as zeros, and so are the pages around it.
        self.checkpointer.committed(&self.path, super::remove::CHUNK * 2048);
        self.lock.unlock().map_err(|source| StoreError::from_io(&self.layout.lock(), source))
    }

    /// The stored leaf of an entry, inside a batch: what proves whether a failed COMMIT was durable.
    pub fn leaf(&self, seq: u64) -> Result<Option<Digest>, StoreError> {
        let found = self.connection.query_row("SELECT leaf FROM entry WHERE seq = ?1", [seq.cast_signed()], |row| {
            row.get_ref(0).map(|value| value.as_blob().ok().and_then(Digest::from_slice))
        });
        match found {
            Ok(leaf) => Ok(leaf),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    fn read_tip(&mut self) -> Result<Head, StoreError> {
        if schema::identify(&self.connection, &self.path)? == Identity::Empty {
            let mut id = [0_u8; 16];
            crate::random::fill(&mut id).map_err(|source| StoreError::from_io(&self.path, source))?;
            let head = Head::genesis(&LogId(id));
            schema::create(&self.connection).map_err(|source| self.error(source))?;
            let insert = "INSERT INTO log (id, log_id, format, size, head, frontier) VALUES (1, ?1, ?2, 0, ?3, x'')";
            self.connection.execute(insert, params![id, FORMAT, head.leaf.0]).map_err(|source| self.error(source))?;
        }
        let row = self.connection.query_row("SELECT log_id, size, head, frontier FROM log", [], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, Vec<u8>>(3)?))
        });
        let (id, size, leaf, hashes) = row.map_err(|source| self.error(source))?;
        let head = tip(size, &leaf, &hashes);
        self.log_id = id.try_into().ok().map(LogId);
        head.filter(|_| self.log_id.is_some())
            .ok_or_else(|| StoreError::Corrupt { path: self.path.clone(), why: "its log row is not valid".to_owned() })
    }

    fn begin_locked(&mut self) -> Result<Head, StoreError> {
        // Again after each reopening: the files may be replaced between that and the lock.
        while [files::identity(&self.path), files::identity(&self.layout.lock())] != self.identity {
            self.lock.unlock().map_err(|source| StoreError::from_io(&self.path, source))?;
            self.reopen()?;
            self.lock.lock().map_err(|source| StoreError::from_io(&self.path, source))?;
        }
        self.checkpointer.retry(&self.connection, &self.path)?;
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|source| self.error(source))?;
        self.in_batch = true;
        self.bytes = PER_BATCH;
        self.read_tip()
    }

    fn insert_entry(&mut self, sealed: &Sealed<'_>) -> rusqlite::Result<()> {
        let row = columns::row(sealed.entry, sealed.fields, &sealed.leaf, &mut self.payload);
        let mut statement = self.connection.prepare_cached(&self.insert)?;
        for (index, value) in row.iter().enumerate() {
            // A cached statement comes with nothing bound, and what is not bound is NULL.
            if *value != Value::Null {
                statement.raw_bind_parameter(index + 1, value)?;
            }
        }
        statement.raw_execute()?;
        Ok(())
    }

    fn insert_contents(&self, seq: u64, contents: &[Content<'_>]) -> rusqlite::Result<()> {
        if contents.is_empty() {
            return Ok(());
        }
        let mut statement = self.connection.prepare_cached("INSERT INTO content VALUES (?1, ?2, ?3)")?;
        for content in contents {
            let kept = content.state == lowlight_core::entry::SlotState::Kept;
            let id = seq.cast_signed() << 6 | i64::from(content.field.get());
            statement.execute(params![id, content.salt.0, kept.then_some(content.value)])?;
        }
        Ok(())
    }

    fn insert_node(&self, node: &Node) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached("INSERT INTO node (id, hash) VALUES (?1, ?2)")?;
        statement.execute(params![node_id(node.level, node.index), node.hash.0])?;
        Ok(())
    }
}

impl Sink for Store {
    type Error = StoreError;

    /// Starts a batch. For a new log the head is of size 0 and the first entry must be `Open`.
    fn begin(&mut self) -> Result<Head, StoreError> {
        self.lock.lock().map_err(|source| StoreError::from_io(&self.layout.lock(), source))?;
        let head = self.begin_locked();
        if head.is_err() {
            self.rollback();
        }
        head
    }

    fn append(&mut self, sealed: &Sealed<'_>) -> Result<(), StoreError> {
        let mut insert = || {
            self.insert_entry(sealed)?;
            self.insert_contents(sealed.entry.header.seq, sealed.contents)?;
            sealed.nodes.iter().try_for_each(|node| self.insert_node(node))
        };
        insert().map_err(|source| self.error(source))?;
        self.bytes += PER_ENTRY + sealed.contents.iter().map(|content| content.value.len()).sum::<usize>();
        Ok(())
    }

    fn commit(&mut self, head: &Head) -> Result<(), StoreError> {
        let hashes: Vec<u8> = head.frontier.hashes().flat_map(|hash| hash.0).collect();
        let write = || {
            let mut statement = self.connection.prepare_cached("UPDATE log SET size = ?1, head = ?2, frontier = ?3")?;
            statement.execute(params![head.size().cast_signed(), head.leaf.0, hashes])?;
            self.connection.execute_batch("COMMIT")
        };
        write().map_err(|source| self.error(source))?;
        self.in_batch = false;
        self.checkpointer.committed(&self.path, self.bytes);
        self.lock.unlock().map_err(|source| StoreError::from_io(&self.layout.lock(), source))
    }

    fn rollback(&mut self) {
        if self.in_batch {
            self.in_batch = false;
            // SQLite has rolled back by itself after some errors; then there is nothing left to undo.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        // A lock that cannot be released goes with the file; there is nobody to tell here.
        let _ = self.lock.unlock();
    }
}

/// The head that a log row stands for, if its columns fit together.
pub(super) fn tip(size: i64, leaf: &[u8], hashes: &[u8]) -> Option<Head> {
    let size = u64::try_from(size).ok()?;
    let (hashes, rest) = hashes.as_chunks::<32>();
    let frontier = Frontier::from_hashes(size, hashes.iter().copied().map(Digest))?;
    let leaf = Digest::from_slice(leaf)?;
    rest.is_empty().then_some(Head { leaf, frontier })
}

/// Row id of a tree node.
pub(super) fn node_id(level: u8, index: u64) -> i64 {
    i64::from(level) << 56 | index.cast_signed()
}

/// An SQLite URI for a path, with parameters.
pub(super) fn uri(path: &Path, parameters: &str) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri + "?" + parameters
}
