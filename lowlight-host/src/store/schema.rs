//! The schema and the settings of a log database, written once and compared at every open.

use super::StoreError;
use lowlight_core::FORMAT;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::path::Path;

/// `PRAGMA application_id` of a log: "LWLT".
pub const APPLICATION_ID: i64 = 0x4C57_4C54;
/// The schema of `docs/format.md`, section 9.
pub const SCHEMA: &str = include_str!("schema.sql");

pub(super) const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// What comparing a schema found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaReport {
    /// Objects that are missing, altered or foreign, in words.
    pub faults: Vec<String>,
    /// Additional indexes and statistics, which are allowed.
    pub notes: Vec<String>,
}

/// The statements of the schema, without their closing semicolons.
pub fn statements() -> impl Iterator<Item = &'static str> {
    SCHEMA.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

/// Name and text of every object that belongs there.
fn expected() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    // CREATE TABLE|INDEX|VIEW name ...
    let named = |statement: &'static str| (statement.split_whitespace().nth(2).unwrap_or(statement), Some(statement));
    statements().map(named).chain([("sqlite_autoindex_cursor_1", None)])
}

/// Compares the objects of `connection` with the schema.
pub fn compare(connection: &Connection) -> rusqlite::Result<SchemaReport> {
    let mut report = SchemaReport::default();
    let mut missing: Vec<_> = expected().collect();
    let mut added = Vec::new();
    let mut select = connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (class, name, sql) = (lossy(row, 0)?.unwrap_or_default(), lossy(row, 1)?.unwrap_or_default(), lossy(row, 2)?);
        if let Some(place) = missing.iter().position(|known| known.0 == name) {
            let (_, wanted) = missing.swap_remove(place);
            if sql.as_deref() != wanted {
                report.faults.push(format!("{class} {name} was altered"));
            }
        } else if class == "table" && STATISTICS.contains(&(name.as_str(), sql.as_deref().unwrap_or_default())) {
            report.notes.push(format!("{class} {name} was added"));
        } else if class == "index" {
            added.push(name);
        } else {
            report.faults.push(format!("{class} {name} does not belong to a log"));
        }
    }
    report.faults.extend(missing.iter().map(|(name, _)| format!("{name} is missing")));
    for name in added {
        let list = if is_plain_index(connection, &name)? { &mut report.notes } else { &mut report.faults };
        list.push(format!("index {name} was added"));
    }
    Ok(report)
}

/// The tables that ANALYZE makes, with SQLite's own text for them.
const STATISTICS: [(&str, &str); 2] = [
    ("sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
];

/// Whether an index only speeds up reading: a unique, partial or computed one can make inserts fail.
fn is_plain_index(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema AS it, pragma_index_list(it.tbl_name) AS list \
               WHERE it.type = 'index' AND it.name = ?1 AND list.name = it.name AND NOT list.\"unique\" AND NOT list.partial \
               AND NOT EXISTS (SELECT 1 FROM pragma_index_info(it.name) WHERE cid < 0)";
    connection.query_row(sql, [name], |row| Ok(row.get::<_, i64>(0)? == 1))
}

fn lossy(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    let bytes = row.get_ref(index)?.as_bytes_or_null().ok().flatten();
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// Whether the log row speaks of entries and there is none, or an entry stands where the next one belongs.
pub fn contradicts_itself(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT (size > 0 AND NOT EXISTS (SELECT 1 FROM entry)) OR EXISTS (SELECT 1 FROM entry WHERE seq >= size) FROM log";
    match connection.query_row(sql, [], |row| row.get(0)) {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(false),
        other => other,
    }
}

/// Whether there is a table of that name: a damaged log may lack `content` or `node`.
pub fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 AND sql LIKE 'CREATE TABLE %')",
        [name],
        |row| row.get(0),
    )
}

/// Creates the schema inside the caller's transaction.
pub fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)
}

/// Settings that any connection to a log gets: nothing in the file may run code or trick the reader.
pub fn distrust(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.execute_batch("PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY")?;
    connection.busy_timeout(BUSY_TIMEOUT)
}

/// Settings that a writing connection needs for durability and bounds; read back, because SQLite ignores what it
/// cannot do.
pub fn configure_writer(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let sqlite = |source| StoreError::from_sqlite(path, source);
    distrust(connection).map_err(sqlite)?;
    let wanted = [
        ("page_size", "4096"),
        ("auto_vacuum", "2"),
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("wal_autocheckpoint", "4000"),
        ("journal_size_limit", "16777216"),
        ("secure_delete", "1"),
        ("cache_size", "-768"),
        ("temp_store", "2"),
    ];
    let read = |name| {
        let found = connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).map_err(sqlite)?;
        Ok::<_, StoreError>(match found {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            _ => String::new(),
        })
    };
    for (name, value) in wanted {
        // Some of these write to the file even when they change nothing.
        if read(name)? == value {
            continue;
        }
        connection.execute_batch(&format!("PRAGMA {name}={value}")).map_err(sqlite)?;
        let found = read(name)?;
        if found != value {
            let why = format!("SQLite could not set {name} to {value} (it is {found}), so records would not be safe here");
            return Err(StoreError::Unsupported { path: path.to_path_buf(), why });
        }
    }
    Ok(())
}

/// What a database file says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// No tables yet.
    Empty,
    /// A log of this version.
    Log,
}

/// Says whether the database is a log, refusing foreign and newer ones.
pub fn identify(connection: &Connection, path: &Path) -> Result<Identity, StoreError> {
    let sqlite = |source| StoreError::from_sqlite(path, source);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sqlite);
    let (application, version) = (number("application_id")?, number("user_version")?);
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    if application == 0 && version == 0 && objects == 0 {
        return Ok(Identity::Empty);
    }
    if application != APPLICATION_ID {
        let why = format!("its application id is {application:#x}, not {APPLICATION_ID:#x}");
        return Err(StoreError::NotOurs { path: path.to_path_buf(), why });
    }
    let newer = |found| StoreError::Newer { path: path.to_path_buf(), found, ours: FORMAT };
    if version != i64::from(FORMAT) {
        return Err(newer(version));
    }
    // A view in place of a table could do anything, for ever.
    let tables = has_table(connection, "log").and_then(|log| Ok(log && has_table(connection, "entry")?)).map_err(sqlite)?;
    if !tables {
        return Err(StoreError::Corrupt { path: path.to_path_buf(), why: "its table log or entry is not there".to_owned() });
    }
    match connection.query_row("SELECT format FROM log", [], |row| Ok(row.get_ref(0)?.as_i64().ok())) {
        Ok(None) => Err(StoreError::Corrupt { path: path.to_path_buf(), why: "its log row is not valid".to_owned() }),
        Ok(Some(format)) if format != i64::from(FORMAT) => Err(newer(format)),
        Ok(_) => Ok(Identity::Log),
        Err(rusqlite::Error::QueryReturnedNoRows) => {
            Err(StoreError::Corrupt { path: path.to_path_buf(), why: "its log row is not there".to_owned() })
        }
        Err(source) => Err(sqlite(source)),
    }
}
