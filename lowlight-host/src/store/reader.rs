//! The reading side: opens a log without changing it and feeds it, row by row, to the verifier and the exports.
//!
//! Limit: what it holds in memory does not grow with the log; rows are read by `source`.
//!
//! ```text
//! directory or file -> live (read-only connection) | immutable (no -wal) | private copy of db and -wal
//! ```
//!
//! 1. Nothing in the directory of the log is written, created or locked for longer than one chunk.
//! 2. The size is pinned when the reader is opened: entries added later are not seen.
//! 3. Rows are read from the tables, never through an index: an index is not evidence and may have been made to lie.

use super::StoreError;
use super::files::{self, Layout};
use super::open::{Opened, PrivateCopy, configure, connect, open};
use super::schema::{self, Identity, SchemaReport};
use super::source::DbSource;
use crate::removal::Rules;
use lowlight_core::source::{Start, Tip};
use lowlight_core::{Digest, Frontier, LogId};
use rusqlite::{Connection, ErrorCode, params_from_iter};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Most bytes of a value that is loaded: those of a content value.
pub(super) const LONGEST: i32 = 16 << 20;
const _: () = assert!(LONGEST as usize == lowlight_core::entry::MAX_CONTENT);

/// A log open for reading.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent findings of the moment the tip was pinned")]
pub struct Reader {
    path: PathBuf,
    pub(super) connection: Connection,
    pub(super) log_id: LogId,
    pub(super) tip: Tip,
    first_seq: Option<u64>,
    schema: SchemaReport,
    pub(super) has_contents: bool,
    pub(super) has_nodes: bool,
    negative_rows: bool,
    stray_contents: Vec<u64>,
    stray_nodes: bool,
    pub(super) live: bool,
    /// What SQLite says has been written by others, when the tip was pinned.
    pub(super) version: i64,
    /// What was opened, for another connection to it.
    uri: String,
    /// Device and inode of the file at the path when it was opened.
    identity: Option<(u64, u64)>,
    /// Holds the private copy, if one was needed, until the reader is dropped.
    _copy: Option<PrivateCopy>,
}

/// Which entries to read: an SQL condition over the columns of `entry`, with its parameters.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub(super) conditions: Vec<String>,
    pub(super) parameters: Vec<rusqlite::types::Value>,
}

impl Filter {
    /// Adds a condition; each `?` in it takes one of `parameters`. The condition must be a constant of this program.
    pub fn and(&mut self, condition: &'static str, parameters: impl IntoIterator<Item = rusqlite::types::Value>) {
        self.conditions.push(format!("({condition})"));
        self.parameters.extend(parameters);
    }

    pub(super) fn sql(&self) -> String {
        if self.conditions.is_empty() { "1".to_owned() } else { self.conditions.join(" AND ") }
    }
}

impl Reader {
    /// Opens the log in a directory, or a database file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let path = if path.is_dir() { Layout::new(path).database() } else { path.to_path_buf() };
        super::open::refuse_orphan(&path)?;
        match path.metadata() {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Err(StoreError::Missing(path)),
            Err(source) => return Err(StoreError::from_io(&path, source)),
            Ok(meta) if !meta.is_file() => {
                return Err(StoreError::NotOurs { path, why: "it is neither a file nor a directory".to_owned() });
            }
            Ok(_) => {}
        }
        let opened = connect(&path)?;
        Self::pin(path, opened, false)
    }

    /// The same with one snapshot for all that is read: nothing that is removed meanwhile is missed, and the WAL grows until
    /// the reader is dropped.
    pub fn open_held(path: &Path) -> Result<Self, StoreError> {
        let opened = connect(path)?;
        Self::pin(path.to_path_buf(), opened, true)
    }

    /// The same, with one snapshot where it is needed: when something may be removed meanwhile.
    pub fn open_for_all(path: &Path) -> Result<Self, StoreError> {
        let reader = Self::open(path)?;
        let policy = Rules::read(Box::new(&reader), reader.log_id)?.in_force().clone();
        if !reader.live || (policy.removes_nothing() && !reader.has_pending_removal()?) {
            return Ok(reader);
        }
        Self::open_held(&reader.path)
    }

    /// Reads tip, schema and bounds in one transaction.
    pub(super) fn pin(path: PathBuf, Opened { connection, uri, copy, live }: Opened, hold: bool) -> Result<Self, StoreError> {
        let sqlite = |source| StoreError::from_sqlite(&path, source);
        let identity = files::identity(&path);
        configure(&connection).and_then(|()| connection.execute_batch("BEGIN")).map_err(sqlite)?;
        if schema::identify(&connection, &path)? == Identity::Empty {
            return Err(StoreError::Missing(path));
        }
        let mut schema = schema::compare(&connection).map_err(sqlite)?;
        let rows: i64 = connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).map_err(sqlite)?;
        if rows != 1 {
            schema.faults.push(format!("table log has {rows} rows instead of one"));
        }
        let unusable = |why: &str| StoreError::Corrupt { path: path.clone(), why: why.to_owned() };
        let (log_id, mut tip) = read_log_row(&connection).map_err(sqlite)?.ok_or_else(|| unusable("its log row is not valid"))?;
        let bound = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).map_err(sqlite);
        let first_seq = bound("SELECT min(seq) FROM entry NOT INDEXED")?.and_then(|seq| u64::try_from(seq).ok());
        let last = bound("SELECT max(seq) FROM entry NOT INDEXED")?;
        tip.last_seq = last.and_then(|seq| u64::try_from(seq).ok()).ok_or_else(|| unusable("no entry is left in it"))?;
        let has = |name| schema::has_table(&connection, name).map_err(sqlite);
        let (has_contents, has_nodes) = (has("content")?, has("node")?);
        let exists = |sql| connection.query_row(sql, [], |row| row.get::<_, bool>(0)).map_err(sqlite);
        let negative_rows = exists("SELECT EXISTS (SELECT 1 FROM entry NOT INDEXED WHERE seq < 0)")?
            || (has_contents && exists("SELECT EXISTS (SELECT 1 FROM content NOT INDEXED WHERE id < 0)")?);
        let beyond = tip.last_seq.saturating_add(1);
        let stray_contents = if has_contents { stray_contents(&connection, beyond.max(tip.size)).map_err(sqlite)? } else { Vec::new() };
        let stray_nodes = has_nodes && stray_nodes(&connection, beyond.min(tip.size)).map_err(sqlite)?;
        let version = connection.pragma_query_value(None, "data_version", |row| row.get(0)).map_err(sqlite)?;
        if !hold {
            connection.execute_batch("COMMIT").map_err(sqlite)?;
        }
        let live = live && !hold;
        Ok(Self {
            path,
            connection,
            log_id,
            tip,
            first_seq,
            schema,
            has_contents,
            has_nodes,
            negative_rows,
            stray_contents,
            stray_nodes,
            live,
            version,
            identity,
            uri,
            _copy: copy,
        })
    }

    /// A reader of the same file with a connection of its own and what was pinned in this one. It must not outlive this
    /// one where a private copy is read.
    pub(super) fn twin(&self) -> Result<Self, StoreError> {
        let connection = open(&self.uri).map_err(|e| self.sqlite(e))?;
        configure(&connection).map_err(|e| self.sqlite(e))?;
        if files::identity(&self.path) != self.identity {
            return Err(StoreError::from_io(&self.path, std::io::Error::other("another file was put in its place; try again")));
        }
        Ok(Self {
            path: self.path.clone(),
            connection,
            tip: self.tip.clone(),
            schema: self.schema.clone(),
            stray_contents: self.stray_contents.clone(),
            uri: self.uri.clone(),
            _copy: None,
            ..*self
        })
    }

    /// The id of the log.
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The tip, as the log row states it.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The smallest seq that is there.
    pub fn first_seq(&self) -> Option<u64> {
        self.first_seq
    }

    /// What comparing the schema found.
    pub fn schema(&self) -> &SchemaReport {
        &self.schema
    }

    /// Whether `node` has rows of level 8 or above that no entries call for.
    pub fn has_stray_nodes(&self) -> bool {
        self.stray_nodes
    }

    /// Seqs beyond the newest entry and beyond the tip that have contents, at most 100.
    pub fn stray_contents(&self) -> &[u64] {
        &self.stray_contents
    }

    /// Whether there are rows with a negative seq, which no writer makes and no range reads.
    pub fn has_negative_rows(&self) -> bool {
        self.negative_rows
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The connection: read-only, with the settings of [`schema::distrust`].
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where a verification of the whole log starts.
    pub fn start(&self) -> Start {
        Start { log_id: self.log_id, first: 0, prev: None, frontier: Frontier::new(), tip: Some(self.tip.clone()), end: None }
    }

    /// Reads the entries of `range` that pass `filter`, ascending.
    pub fn source(&self, range: Range<u64>, filter: &Filter, contents: bool) -> DbSource<'_> {
        DbSource::new(self, range, filter, contents)
    }

    /// Reads every row there is, also beyond the tip, for verification; with or without contents.
    pub fn everything(&self, contents: bool) -> DbSource<'_> {
        self.rest(0, &Filter::default(), contents)
    }

    /// Reads the entries from `first` on that pass `filter`, those beyond the tip as well.
    pub fn rest(&self, first: u64, filter: &Filter, contents: bool) -> DbSource<'_> {
        // At rest to the end of the table: a bound would end the pass at a row that a forged or damaged page has in front of
        // others, and what lies behind it is found by its seq all the same.
        let end = if self.live { self.tip.last_seq.saturating_add(1) } else { u64::MAX };
        self.source(first..end, filter, contents)
    }

    /// The seq from which on `limit` entries pass `filter`, and whether there are more before it.
    pub fn newest(&self, filter: &Filter, limit: u64) -> Result<(u64, bool), StoreError> {
        let sql = format!("SELECT seq FROM entry NOT INDEXED WHERE seq < ? AND {} ORDER BY seq DESC LIMIT ?", filter.sql());
        let mut select = self.connection.prepare(&sql).map_err(|source| self.sqlite(source))?;
        let number = |value| rusqlite::types::Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        let size = std::iter::once(number(self.tip.size));
        let parameters = size.chain(filter.parameters.iter().cloned()).chain([number(limit.saturating_add(1))]);
        let mut rows = select.query(params_from_iter(parameters)).map_err(|source| self.sqlite(source))?;
        let (mut first, mut count) = (0, 0);
        while let Some(row) = rows.next().map_err(|source| self.sqlite(source))? {
            count += 1;
            if count > limit {
                return Ok((first, true));
            }
            first = row.get::<_, i64>(0).map_err(|source| self.sqlite(source))?.cast_unsigned();
        }
        Ok((if count < limit { 0 } else { first }, false))
    }

    /// Lets the SQL of a user read tables and call functions, and nothing else: no attaching, no settings, no writing.
    pub fn restrict_sql(&mut self) -> rusqlite::Result<()> {
        use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
        self.connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
            AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
            AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => Authorization::Allow,
            _ => Authorization::Deny,
        }))
    }

    pub(super) fn sqlite(&self, source: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, source)
    }

    /// What a query of [`connection`](Self::connection) failed with, told with the file.
    pub fn failed(&self, source: rusqlite::Error) -> StoreError {
        self.sqlite(source)
    }
}

/// Whether SQLite refused to load a value of more than [`LONGEST`] bytes.
pub(super) fn is_too_big(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::TooBig)
}

pub(super) fn content_id(seq: u64) -> i64 {
    i64::try_from(seq).ok().and_then(|seq| seq.checked_mul(64)).unwrap_or(i64::MAX)
}

/// The log row; `None` when a column is not what it must be.
fn read_log_row(connection: &Connection) -> rusqlite::Result<Option<(LogId, Tip)>> {
    let found = connection.query_row("SELECT log_id, size, head, frontier FROM log WHERE id = 1", [], |row| {
        let blob = |index| row.get_ref(index).map(|value| value.as_blob().unwrap_or_default().to_vec());
        let Ok(size) = row.get_ref(1)?.as_i64() else { return Ok(None) };
        let (id, head, hashes) = (blob(0)?, blob(2)?, blob(3)?);
        let (hashes, rest) = hashes.as_chunks::<32>();
        let parts = (|| {
            // A size that no log has matches nothing; that is a fault of the tip, not a reason to read no further.
            let size = u64::try_from(size).ok().filter(|size| *size < lowlight_core::entry::MAX_SIZE).unwrap_or(u64::MAX);
            let hashes = hashes.iter().copied().map(Digest).collect::<Vec<_>>();
            let hashes = lowlight_core::heapless::Vec::from_slice(&hashes).ok().filter(|_| rest.is_empty())?;
            Some((LogId(id.try_into().ok()?), Tip { size, head: Digest::from_slice(&head)?, hashes, last_seq: 0 }))
        })();
        Ok(parts)
    });
    match found {
        Err(error) if is_too_big(&error) => Ok(None),
        found => found,
    }
}

/// Seqs from `from` on that have contents, at most 100. Called while the tip is pinned: entries may follow later.
fn stray_contents(connection: &Connection, from: u64) -> rusqlite::Result<Vec<u64>> {
    let mut select = connection.prepare("SELECT DISTINCT id >> 6 FROM content NOT INDEXED WHERE id >= ?1 ORDER BY 1 LIMIT 100")?;
    let rows = select.query_map([content_id(from)], |row| row.get::<_, i64>(0))?;
    rows.map(|seq| seq.map(i64::cast_unsigned)).collect()
}

/// Whether `node` has a row of level 8 or above, or of none, that is not a complete node over `size` entries.
fn stray_nodes(connection: &Connection, size: u64) -> rusqlite::Result<bool> {
    let mut select = connection.prepare("SELECT id FROM node NOT INDEXED WHERE id < 0 OR id >= 8 << 56")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get::<_, i64>(0)?;
        let (level, index) = (id >> 56, (id & ((1 << 56) - 1)).cast_unsigned());
        let is_complete = (8..56).contains(&level) && index < size >> level;
        if !is_complete {
            return Ok(true);
        }
    }
    Ok(false)
}
