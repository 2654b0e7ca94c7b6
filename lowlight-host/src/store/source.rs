//! Entries and contents of a log in order, chunk by chunk: what the verifier and the exports read from.
//!
//! Limits: one chunk of rows (256 entries, or about 128 KiB of contents) and one content value in memory at a time.
//!
//! 1. Rows come by ascending seq, each followed by its contents.
//! 2. Nothing is judged here: what does not make an entry is handed on as malformed.

use super::StoreError;
use super::function;
use super::reader::{Filter, Reader, content_id};
use lowlight_core::Digest;
use lowlight_core::entry::codec::decode_slots_into;
use lowlight_core::entry::{FieldId, Kind, Slots};
use lowlight_core::source::{EntrySource, Item, StoredNode};
use rusqlite::limits::Limit;
use rusqlite::{ErrorCode, params_from_iter};
use std::hash::BuildHasher;
use std::ops::Range;

const CHUNK_ROWS: usize = 256;
const CHUNK_BYTES: usize = 128 << 10;
/// Most bytes of a content value: `lowlight_core::entry::MAX_CONTENT`, as SQLite counts.
const MAX_CONTENT: i32 = 16 << 20;
const _: () = assert!(MAX_CONTENT as usize == lowlight_core::entry::MAX_CONTENT);

/// Rows read in one go, their bytes in one place.
#[derive(Debug)]
struct Chunk<R> {
    bytes: Vec<u8>,
    rows: std::collections::VecDeque<R>,
    done: bool,
}

impl<R> Default for Chunk<R> {
    fn default() -> Self {
        Self { bytes: Vec::new(), rows: std::collections::VecDeque::new(), done: false }
    }
}

#[derive(Debug)]
struct EntryRow {
    seq: u64,
    leaf: Option<Digest>,
    body: Result<Body, &'static str>,
}

#[derive(Debug)]
struct Body {
    place: Range<usize>,
    kind: Kind,
    /// Length of the list of slots at its end.
    fields: usize,
}

#[derive(Debug)]
struct ContentRow {
    seq: u64,
    field: FieldId,
    salt: Option<[u8; 16]>,
    value: Option<Range<usize>>,
}

/// Entries and contents of a log, in order.
#[derive(Debug)]
pub struct DbSource<'r> {
    reader: &'r Reader,
    entries_sql: String,
    parameters: Vec<rusqlite::types::Value>,
    filtered: bool,
    next_entry: u64,
    next_content: i64,
    end: u64,
    entries: Chunk<EntryRow>,
    contents: Chunk<ContentRow>,
    /// Seq of the entry whose contents are being given out.
    current: Option<u64>,
    /// Slots of that entry.
    slots: Slots,
    /// Sum of keyed hashes of time and seq of the entries read, to compare the time index with.
    times: u64,
    keys: std::hash::RandomState,
}

impl<'r> DbSource<'r> {
    pub(super) fn new(reader: &'r Reader, range: Range<u64>, filter: &Filter, contents: bool) -> Self {
        let condition = filter.sql();
        Self {
            reader,
            entries_sql: format!(
                "SELECT seq, recorded, leaf, {} FROM entry NOT INDEXED WHERE seq >= ? AND seq <= ? AND {condition} ORDER BY seq LIMIT {CHUNK_ROWS}",
                function::call(),
            ),
            parameters: filter.parameters.clone(),
            filtered: !filter.conditions.is_empty(),
            next_entry: range.start,
            next_content: if contents && reader.has_contents { content_id(range.start) } else { i64::MAX },
            end: range.end,
            entries: Chunk::default(),
            contents: Chunk::default(),
            current: None,
            slots: Slots::new(),
            times: 0,
            keys: std::hash::RandomState::new(),
        }
    }
}

impl DbSource<'_> {
    /// Whether the time index holds exactly the entries that were read, each under its time.
    ///
    /// An index is no evidence, but commands and people's SQL find entries through it. The sum does not depend on the
    /// order, and its key is made anew each time, so that nobody can prepare a collision.
    pub fn time_index_agrees(&self) -> Result<bool, StoreError> {
        let reader = self.reader;
        let sql = "SELECT recorded, seq FROM entry INDEXED BY entry_recorded WHERE seq <= ?1 ORDER BY recorded";
        // Without the index, or with one that serves no such query, there is a schema problem already.
        let Ok(mut select) = reader.connection.prepare(sql) else { return Ok(true) };
        let last = i64::try_from(self.end.saturating_sub(1)).unwrap_or(i64::MAX);
        let mut rows = select.query([last]).map_err(|e| reader.sqlite(e))?;
        let mut times = 0_u64;
        while let Some(row) = rows.next().map_err(|e| reader.sqlite(e))? {
            let (recorded, seq): (Option<i64>, i64) = (row.get(0).unwrap_or(None), row.get(1).map_err(|e| reader.sqlite(e))?);
            if seq >= 0 {
                times = times.wrapping_add(self.keys.hash_one((recorded, seq)));
            }
        }
        Ok(times == self.times)
    }

    fn fill_entries(&mut self) -> Result<(), StoreError> {
        let reader = self.reader;
        self.entries.bytes.clear();
        let mut select = reader.connection.prepare_cached(&self.entries_sql).map_err(|e| reader.sqlite(e))?;
        let bounds = [self.next_entry, self.end.saturating_sub(1)]
            .map(|seq| rusqlite::types::Value::Integer(i64::try_from(seq).unwrap_or(i64::MAX)));
        let parameters = bounds.into_iter().chain(self.parameters.iter().cloned());
        let mut rows = select.query(params_from_iter(parameters)).map_err(|e| reader.sqlite(e))?;
        while let Some(row) = rows.next().map_err(|e| reader.sqlite(e))? {
            let column = |index| row.get_ref(index).map_err(|e| reader.sqlite(e));
            let seq = row.get::<_, i64>(0).map_err(|e| reader.sqlite(e))?;
            let recorded = column(1)?.as_i64().ok();
            self.times = self.times.wrapping_add(self.keys.hash_one((recorded, seq)));
            // A negative seq cannot be read by range; the count of rows shows it.
            let Ok(seq) = u64::try_from(seq) else { continue };
            let start = self.entries.bytes.len();
            let packed = column(3)?.as_blob().ok().and_then(function::unpacked);
            let body = match packed {
                Some((kind, fields, body)) => {
                    self.entries.bytes.extend_from_slice(body);
                    Ok(Body { place: start..start + body.len(), kind, fields })
                }
                None => Err(reader.why_malformed(seq)?),
            };
            let leaf = column(2)?.as_blob().ok().and_then(Digest::from_slice);
            self.entries.rows.push_back(EntryRow { seq, leaf, body });
            self.next_entry = seq + 1;
        }
        self.entries.done = self.entries.rows.len() < CHUNK_ROWS;
        Ok(())
    }

    fn fill_contents(&mut self, upto: i64) -> Result<(), StoreError> {
        self.contents.bytes.clear();
        let connection = &self.reader.connection;
        // SQLite refuses to load a value that no writer makes: it is not worth its memory.
        let unlimited = connection.limit(Limit::SQLITE_LIMIT_LENGTH).map_err(|e| self.reader.sqlite(e))?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_CONTENT).map_err(|e| self.reader.sqlite(e))?;
        let mut read = self.read_contents("SELECT id, salt, value FROM content NOT INDEXED", upto);
        if matches!(&read, Err(error) if error.sqlite_error_code() == Some(ErrorCode::TooBig)) {
            // Such a value is given out as an empty one, which matches no commitment.
            let guarded = format!(
                "SELECT id, CASE WHEN octet_length(salt) = 16 THEN salt END, \
                 CASE WHEN octet_length(value) > {MAX_CONTENT} THEN '' ELSE value END FROM content NOT INDEXED"
            );
            read = self.read_contents(&guarded, upto);
        }
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, unlimited).map_err(|e| self.reader.sqlite(e))?;
        read.map_err(|e| self.reader.sqlite(e))
    }

    /// Adds rows from `next_content` on to the chunk.
    fn read_contents(&mut self, select: &str, upto: i64) -> rusqlite::Result<()> {
        let sql = format!("{select} WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 4096");
        let mut select = self.reader.connection.prepare_cached(&sql)?;
        let mut rows = select.query([self.next_content, upto])?;
        self.contents.done = true;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let salt = row.get_ref(1)?.as_blob().ok().and_then(|salt| salt.try_into().ok());
            let start = self.contents.bytes.len();
            let value = row.get_ref(2)?.as_bytes_or_null().ok().flatten().map(|bytes| {
                self.contents.bytes.extend_from_slice(bytes);
                start..start + bytes.len()
            });
            let field = u8::try_from(id & 63).ok().and_then(FieldId::new).unwrap_or(FieldId::PROMPT);
            self.contents.rows.push_back(ContentRow { seq: (id >> 6).cast_unsigned(), field, salt, value });
            self.next_content = id + 1;
            if self.contents.bytes.len() > CHUNK_BYTES {
                self.contents.done = false;
                break;
            }
        }
        self.contents.done &= self.contents.rows.len() < 4096;
        Ok(())
    }

    /// The next content row that belongs before the next entry.
    fn next_content_row(&mut self) -> Result<Option<ContentRow>, StoreError> {
        if self.next_content == i64::MAX && self.contents.rows.is_empty() {
            return Ok(None);
        }
        // With a filter, contents of entries that were left out are skipped by seeking.
        if self.filtered {
            let Some(current) = self.current else { return Ok(None) };
            if self.contents.rows.is_empty() && self.next_content < content_id(current + 1) {
                self.next_content = self.next_content.max(content_id(current));
                self.fill_contents(content_id(current + 1))?;
            }
            return Ok(self.contents.rows.pop_front());
        }
        if self.contents.rows.is_empty() && !self.contents.done {
            self.fill_contents(content_id(self.end))?;
        }
        let limit = self.entries.rows.front().map_or(u64::MAX, |row| row.seq);
        let is_due = self.contents.rows.front().is_some_and(|row| row.seq < limit);
        Ok(if is_due { self.contents.rows.pop_front() } else { None })
    }
}

impl EntrySource for DbSource<'_> {
    type Error = StoreError;

    fn next(&mut self) -> Result<Option<Item<'_>>, StoreError> {
        if self.entries.rows.is_empty() && !self.entries.done {
            self.fill_entries_keeping_current()?;
        }
        if let Some(row) = self.next_content_row()? {
            let value = row.value.and_then(|range| self.contents.bytes.get(range));
            return Ok(Some(Item::Content { seq: row.seq, field: row.field, salt: row.salt, value }));
        }
        let Some(row) = self.entries.rows.pop_front() else { return Ok(None) };
        self.current = Some(row.seq);
        Ok(Some(match (row.body, row.leaf) {
            (Ok(Body { place, kind, fields }), Some(leaf)) => {
                let body = self.entries.bytes.get(place).unwrap_or_default();
                let mut facts = None;
                if !matches!(kind, Kind::Open | Kind::Unknown) {
                    let fields = body.get(body.len() - fields..).unwrap_or_default();
                    if decode_slots_into(fields, &mut self.slots).is_err() {
                        let why = "the slots are not a valid encoding";
                        return Ok(Some(Item::Malformed { seq: Some(row.seq), leaf: Some(leaf), why }));
                    }
                    facts = Some((kind, &self.slots));
                }
                Item::Entry { seq: row.seq, body, leaf, facts }
            }
            (Ok(_), None) => Item::Malformed { seq: Some(row.seq), leaf: None, why: "the stored leaf is not 32 bytes" },
            (Err(why), leaf) => Item::Malformed { seq: Some(row.seq), leaf, why },
        }))
    }

    fn node(&mut self, level: u8, index: u64) -> Result<StoredNode, StoreError> {
        Ok(self.reader.node(level, index)?.map_or(StoredNode::Absent, StoredNode::Present))
    }
}

impl DbSource<'_> {
    /// The contents of the newest entry of a chunk are due before the next chunk's first entry.
    fn fill_entries_keeping_current(&mut self) -> Result<(), StoreError> {
        if self.next_entry >= self.end {
            self.entries.done = true;
            return Ok(());
        }
        self.fill_entries()
    }
}
