//! Entry 0, policies, key changes and tombstones of a log, found by their index.
//!
//! 1. The index is no evidence: that it has all of them is compared by the pass over the entries.

use super::reader::{Reader, is_too_big};
use super::{Store, StoreError, function};
use crate::removal::RuleEntries;
use rusqlite::Connection;
use std::path::Path;

/// Cursor of the newest tombstone that was carried out.
pub const REMOVED: &str = "tombstone/removed";
/// Cursor of the newest tombstone after which the WAL was cut to nothing: what it names is in no file of the log any more.
pub const ERASED: &str = "tombstone/erased";

/// Cursor that is there once anything was deleted.
pub const BEGUN: &str = "tombstone/begun";

/// What `entry_rules` holds, as a condition; not by `IN`, for which SQLite builds a table at each insert from three values on.
pub(super) const ARE_RULES: &str = "kind >= 6 AND kind <= 8";

impl RuleEntries for &Reader {
    fn each(&self, take: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        let size = i64::try_from(self.tip().size).unwrap_or(i64::MAX);
        each(&self.connection, self.path(), size, take)
    }
}

/// Inside a batch: with what it appended.
impl RuleEntries for Store {
    fn each(&self, take: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        each(self.connection(), &self.layout().database(), i64::MAX, take)
    }
}

fn each(connection: &Connection, path: &Path, size: i64, take: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
    let body = function::call();
    let rest = format!("WHERE {ARE_RULES} AND seq > 0 AND seq < ?1 ORDER BY seq");
    let by_index = format!("SELECT {body} FROM entry INDEXED BY entry_rules {rest}");
    // Without the index there is a schema problem already.
    let is_there = connection.prepare(&by_index).is_ok();
    let rest = if is_there { by_index } else { format!("SELECT {body} FROM entry NOT INDEXED {rest}") };
    let first = format!("SELECT {body} FROM entry NOT INDEXED WHERE seq = 0 AND seq < ?1");
    let all = bodies(connection, &first, size, take).and_then(|()| bodies(connection, &rest, size, take));
    all.map_err(|source| StoreError::from_sqlite(path, source))
}

fn bodies(connection: &Connection, sql: &str, size: i64, take: &mut dyn FnMut(&[u8])) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([size])?;
    loop {
        match rows.next() {
            Ok(None) => return Ok(()),
            Ok(Some(row)) => {
                if let Some((_, _, body)) = row.get_ref(0)?.as_blob().ok().and_then(function::unpacked) {
                    take(body);
                }
            }
            // The pass over the entries says that this one is malformed.
            Err(error) if is_too_big(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
