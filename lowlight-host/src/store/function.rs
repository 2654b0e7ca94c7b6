//! `lowlight_body(column, ...)`: an SQL function that encodes the columns of a row, so that a scan hands out one value a
//! row instead of fifty-seven.
//!
//! ```text
//! result   u8 kind || u16 length of the slots || body        NULL: the columns do not make a body
//! ```

use super::columns::{self, COUNT, Row, Value};
use lowlight_core::entry::{Kind, MAX_BODY};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

/// Name and arguments, as they stand in a query.
pub(super) fn call() -> String {
    format!("lowlight_body({})", columns::NAMES.join(","))
}

/// Makes the function known to a connection.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let arguments = i32::try_from(COUNT).unwrap_or(i32::MAX);
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("lowlight_body", arguments, flags, |context| {
        let mut row: Row<'_> = [Value::Null; COUNT];
        row.iter_mut().enumerate().for_each(|(index, slot)| *slot = value(context.get_raw(index)));
        Ok(packed(&row))
    })
}

/// A value as SQLite gives it out.
pub(super) fn value(from: ValueRef<'_>) -> Value<'_> {
    match from {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(bytes) => Value::Text(bytes),
        ValueRef::Blob(bytes) => Value::Blob(bytes),
        // No column holds one: this is no text either.
        ValueRef::Real(_) => Value::Text(b"\xff"),
    }
}

fn packed(row: &Row<'_>) -> Option<Vec<u8>> {
    let mut buffer = [0; MAX_BODY];
    let body = columns::body(row, &mut buffer).ok()?;
    let kind = columns::kind(row).unwrap_or(Kind::Unknown);
    let fields = u16::try_from(columns::fields(row).len()).ok()?;
    let mut out = Vec::with_capacity(3 + body.len());
    out.push(kind.number());
    out.extend_from_slice(&fields.to_le_bytes());
    out.extend_from_slice(body);
    Some(out)
}

/// Takes a result apart: kind, length of the slots, body.
pub(super) fn unpacked(result: &[u8]) -> Option<(Kind, usize, &[u8])> {
    let (&[kind, low, high], body) = result.split_first_chunk()?;
    Some((Kind::from_number(kind)?, u16::from_le_bytes([low, high]).into(), body))
}
