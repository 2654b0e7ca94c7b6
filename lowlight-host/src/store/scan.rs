//! One pass over a table, taken up where it was left.
//!
//! Limits: a file that nobody writes to is read by one statement from beginning to end. On a log that is being written
//! each piece is a statement of its own, so that the WAL can be reset behind the reader; rows that a forged page order
//! hides between two pieces are seen only when it is read at rest.
//!
//! 1. A row is handed out once; on a file that nobody writes to the statement is not reset in the middle.
//! 2. When SQLite refuses a value as too large, the rest is read by the guarded query, and [`Scan::is_guarded`] says so:
//!    what a forged page order hides at that point is a problem for this reason alone.

use super::StoreError;
use super::reader::{Reader, is_too_big};
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Row};

/// A query over a table, in ascending order.
#[derive(Default)]
pub(super) struct Scan<'r> {
    plain: String,
    guarded: String,
    is_guarded: bool,
    statement: Option<CachedStatement<'r>>,
}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("plain", &self.plain).field("is_guarded", &self.is_guarded).finish_non_exhaustive()
    }
}

impl<'r> Scan<'r> {
    /// `guarded` yields the same rows as `plain` and loads no value that is too large.
    pub(super) fn new(plain: String, guarded: String) -> Self {
        Self { plain, guarded, is_guarded: false, statement: None }
    }

    /// Hands rows to `take` until it says `false`; `parameters` are those for going on from here, should the statement
    /// be new. Returns whether the end was reached.
    pub(super) fn read(
        &mut self,
        reader: &'r Reader,
        parameters: impl Iterator<Item = Value> + Clone,
        take: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<bool>,
    ) -> Result<bool, StoreError> {
        let mut taken = 0;
        let first = self.piece(reader, parameters.clone(), &mut |row| {
            taken += 1;
            take(row)
        });
        match first {
            Err(error) if is_too_big(&error) && !self.is_guarded => {
                self.stop();
                self.is_guarded = true;
                // What was taken must not come again: its taker goes on behind it.
                if taken > 0 { Ok(false) } else { self.piece(reader, parameters, take).map_err(|e| reader.sqlite(e)) }
            }
            Err(error) => {
                self.stop();
                Err(reader.sqlite(error))
            }
            Ok(is_end) => Ok(is_end),
        }
    }

    /// Whether a value too large to be loaded was met.
    pub(super) fn is_guarded(&self) -> bool {
        self.is_guarded
    }

    /// Whether the statement is in the middle of the table.
    pub(super) fn is_open(&self) -> bool {
        self.statement.is_some()
    }

    /// Gives the statement up: the next read begins with its parameters.
    pub(super) fn stop(&mut self) {
        if let Some(mut statement) = self.statement.take() {
            // Rows reset their statement when they go; one in the middle would hold its snapshot for ever.
            drop(statement.raw_query());
        }
    }

    fn piece(
        &mut self,
        reader: &'r Reader,
        parameters: impl Iterator<Item = Value>,
        take: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<bool> {
        let statement = match &mut self.statement {
            Some(statement) => statement,
            None => {
                let mut fresh = reader.connection.prepare_cached(if self.is_guarded { &self.guarded } else { &self.plain })?;
                for (index, parameter) in parameters.enumerate() {
                    fresh.raw_bind_parameter(index + 1, parameter)?;
                }
                self.statement.insert(fresh)
            }
        };
        let mut rows = statement.raw_query();
        let is_end = loop {
            match rows.next()? {
                None => break true,
                Some(row) if !take(row)? => break false,
                Some(_) => {}
            }
        };
        if is_end || reader.live {
            drop(rows);
            self.statement = None;
        } else {
            // Dropping the rows would reset the statement; the next piece goes on with it.
            std::mem::forget(rows);
        }
        Ok(is_end)
    }
}
