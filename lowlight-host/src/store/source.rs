//! Entries and contents of a log in order, chunk by chunk: what the verifier and the exports read from.
//!
//! Limits: one chunk of rows (256 entries, or about 128 KiB of contents) and one content value in memory at a time.
//!
//! 1. Rows come by ascending seq, each followed by its contents.
//! 2. Nothing is judged here: what does not make an entry is handed on as malformed.

use super::StoreError;
use super::columns;
use super::function;
use super::reader::{Filter, LONGEST, Reader, content_id};
use super::rules::ARE_RULES;
use super::scan::Scan;
use lowlight_core::Digest;
use lowlight_core::entry::codec::decode_slots_into;
use lowlight_core::entry::{FieldId, Kind, Slots};
use lowlight_core::source::{EntrySource, Item, StoredNode};
use rusqlite::types::{Value as SqlValue, ValueRef};
use std::hash::BuildHasher;
use std::ops::Range;

const CHUNK_ROWS: usize = 256;
const CHUNK_BYTES: usize = 128 << 10;

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
    /// `None` when its columns do not make one.
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    place: Range<usize>,
    kind: Kind,
    /// Length of the list of slots at its end.
    fields: usize,
}

/// What stands for entries that are not there, before the next one that is.
#[derive(Debug, Clone, Copy)]
enum Hole {
    /// Not looked for yet.
    Unknown,
    Nothing,
    Node {
        seq: u64,
        level: u8,
        node: Digest,
        leaf: Option<Digest>,
    },
}

#[derive(Debug)]
struct ContentRow {
    seq: u64,
    field: FieldId,
    salt: Option<[u8; 16]>,
    value: Option<Range<usize>>,
}

/// What only the end of a source shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtEnd {
    /// The index of tombstones and policies holds exactly those that were read.
    pub rule_index_agrees: bool,
    /// The time index holds exactly the entries that were read, each under its time.
    pub time_index_agrees: bool,
    /// A value was met that is too large to be loaded. No writer makes one, and behind it the reading began anew.
    pub met_too_large: bool,
}

/// Entries and contents of a log, in order.
#[derive(Debug)]
pub struct DbSource<'r> {
    reader: &'r Reader,
    entry_scan: Scan<'r>,
    content_scan: Scan<'r>,
    parameters: Vec<SqlValue>,
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
    /// Where the next entry belongs.
    expected: u64,
    /// The node that stands for entries before the next one.
    hole: Hole,
    /// Sum of keyed hashes of time and seq of the entries read, to compare the time index with.
    times: u64,
    /// The same of tombstones and policies.
    rules: u64,
    keys: std::hash::RandomState,
}

impl<'r> DbSource<'r> {
    pub(super) fn new(reader: &'r Reader, range: Range<u64>, filter: &Filter, contents: bool) -> Self {
        let rest = format!("FROM entry NOT INDEXED WHERE seq >= ? AND seq <= ? AND {} ORDER BY seq", filter.sql());
        let body = function::call();
        let size = columns::NAMES.iter().map(|name| format!("coalesce(octet_length({name}), 0)")).collect::<Vec<_>>().join("+");
        let guarded = format!(
            "SELECT seq, recorded, CASE WHEN octet_length(leaf) = 32 THEN leaf END, CASE WHEN {size} <= {LONGEST} THEN {body} END, {ARE_RULES} {rest}"
        );
        let contents_rest = "FROM content NOT INDEXED WHERE id >= ? AND id <= ? ORDER BY id";
        // A value too large to be loaded is given out as an empty one, which matches no commitment.
        let guarded_contents = format!(
            "SELECT id, CASE WHEN octet_length(salt) = 16 THEN salt END, CASE WHEN octet_length(value) > {LONGEST} THEN '' ELSE value END {contents_rest}"
        );
        Self {
            reader,
            entry_scan: Scan::new(format!("SELECT seq, recorded, leaf, {body}, {ARE_RULES} {rest}"), guarded),
            content_scan: Scan::new(format!("SELECT id, salt, value {contents_rest}"), guarded_contents),
            parameters: filter.parameters.clone(),
            filtered: !filter.conditions.is_empty(),
            next_entry: range.start,
            next_content: if contents && reader.has_contents { content_id(range.start) } else { i64::MAX },
            end: range.end,
            entries: Chunk::default(),
            contents: Chunk::default(),
            current: None,
            slots: Slots::new(),
            expected: range.start,
            hole: Hole::Unknown,
            times: 0,
            rules: 0,
            keys: std::hash::RandomState::new(),
        }
    }
}

impl DbSource<'_> {
    /// What only the end of the source shows; to be asked there.
    ///
    /// # Errors
    ///
    /// An index could not be read: what it holds is not known then.
    pub fn at_end(&self) -> Result<AtEnd, StoreError> {
        Ok(AtEnd {
            time_index_agrees: self.time_index_agrees()?,
            rule_index_agrees: self.rule_index_agrees()?,
            met_too_large: self.entry_scan.is_guarded() || self.content_scan.is_guarded(),
        })
    }

    /// Whether the time index holds exactly the entries that were read, each under its time.
    ///
    /// An index is no evidence, but commands and people's SQL find entries through it. The sum does not depend on the
    /// order, and its key is made anew each time, so that nobody can prepare a collision.
    fn time_index_agrees(&self) -> Result<bool, StoreError> {
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

    /// The same for tombstones and policies, which are found through an index before the pass.
    fn rule_index_agrees(&self) -> Result<bool, StoreError> {
        let reader = self.reader;
        let sql = format!("SELECT seq FROM entry INDEXED BY entry_rules WHERE {ARE_RULES} AND seq <= ?1");
        let Ok(mut select) = reader.connection.prepare(&sql) else { return Ok(true) };
        let last = i64::try_from(self.end.saturating_sub(1)).unwrap_or(i64::MAX);
        let mut rows = select.query([last]).map_err(|e| reader.sqlite(e))?;
        let mut rules = 0_u64;
        while let Some(row) = rows.next().map_err(|e| reader.sqlite(e))? {
            let seq: i64 = row.get(0).map_err(|e| reader.sqlite(e))?;
            if seq >= 0 {
                rules = rules.wrapping_add(self.keys.hash_one(seq));
            }
        }
        Ok(rules == self.rules)
    }

    fn fill_entries(&mut self) -> Result<(), StoreError> {
        // While the statement is open there may be a row behind the last one.
        if self.next_entry >= self.end && !self.entry_scan.is_open() {
            self.entries.done = true;
            return Ok(());
        }
        let reader = self.reader;
        self.entries.bytes.clear();
        let from = i64::try_from(self.next_entry).unwrap_or(i64::MAX);
        let to = i64::try_from(self.end.saturating_sub(1)).unwrap_or(i64::MAX);
        let parameters = [from, to].map(SqlValue::Integer).into_iter().chain(self.parameters.iter().cloned());
        let mut scan = std::mem::take(&mut self.entry_scan);
        let done = scan.read(reader, parameters, &mut |row| {
            let column = |index| row.get_ref(index);
            let seq = row.get::<_, i64>(0)?;
            let recorded = column(1)?.as_i64().ok();
            self.times = self.times.wrapping_add(self.keys.hash_one((recorded, seq)));
            if column(4)?.as_i64().is_ok_and(|is_rule| is_rule != 0) {
                self.rules = self.rules.wrapping_add(self.keys.hash_one(seq));
            }
            // A negative seq is below every range; the reader looks for such rows on its own.
            let Ok(seq) = u64::try_from(seq) else { return Ok(true) };
            let start = self.entries.bytes.len();
            let packed = column(3)?.as_blob().ok().and_then(function::unpacked);
            let body = packed.map(|(kind, fields, body)| {
                self.entries.bytes.extend_from_slice(body);
                Body { place: start..start + body.len(), kind, fields }
            });
            let leaf = column(2)?.as_blob().ok().and_then(Digest::from_slice);
            self.entries.rows.push_back(EntryRow { seq, leaf, body });
            // Never backwards, whatever order a forged page has: a reader must come to an end.
            self.next_entry = self.next_entry.max(seq + 1);
            Ok(self.entries.rows.len() < CHUNK_ROWS)
        });
        self.entry_scan = scan;
        self.entries.done = done?;
        Ok(())
    }

    /// Up to and with content `upto`.
    fn fill_contents(&mut self, upto: i64) -> Result<(), StoreError> {
        let reader = self.reader;
        self.contents.bytes.clear();
        let parameters = [self.next_content, upto].map(SqlValue::Integer);
        let mut scan = std::mem::take(&mut self.content_scan);
        let done = scan.read(reader, parameters.into_iter(), &mut |row| {
            let id: i64 = row.get(0)?;
            let salt = row.get_ref(1)?.as_blob().ok().and_then(|salt| salt.try_into().ok());
            let start = self.contents.bytes.len();
            let (salt, value) = match row.get_ref(2)? {
                ValueRef::Null => (salt, None),
                ValueRef::Text(bytes) => {
                    self.contents.bytes.extend_from_slice(bytes);
                    (salt, Some(start..start + bytes.len()))
                }
                // Text of another type would be found by no query: it is no content, whatever its bytes.
                _ => (None, Some(start..start)),
            };
            let field = u8::try_from(id & 63).ok().and_then(FieldId::new).unwrap_or(FieldId::PROMPT);
            self.contents.rows.push_back(ContentRow { seq: (id >> 6).cast_unsigned(), field, salt, value });
            self.next_content = self.next_content.max(id.saturating_add(1));
            Ok(self.contents.bytes.len() <= CHUNK_BYTES && self.contents.rows.len() < 4096)
        });
        // With a filter each entry's contents are looked up on their own.
        if self.filtered {
            scan.stop();
        }
        self.content_scan = scan;
        self.contents.done = done?;
        Ok(())
    }

    /// The node that stands for entries between the last one and the next, and the leaf of the last of them.
    fn look_for_hole(&self) -> Result<Hole, StoreError> {
        let next = self.entries.rows.front().map_or(self.expected, |row| row.seq);
        if self.filtered || next <= self.expected {
            return Ok(Hole::Nothing);
        }
        let Some((seq, level)) = self.reader.next_node(self.expected, next)? else { return Ok(Hole::Nothing) };
        let Some(node) = self.reader.node(level, seq >> level)? else { return Ok(Hole::Nothing) };
        let leaf = if level == 0 { None } else { self.reader.node(0, seq + (1 << level) - 1)? };
        Ok(Hole::Node { seq, level, node, leaf })
    }

    /// The next content row that belongs before `limit`.
    fn next_content_row(&mut self, limit: u64) -> Result<Option<ContentRow>, StoreError> {
        if self.next_content == i64::MAX && self.contents.rows.is_empty() {
            return Ok(None);
        }
        // With a filter, contents of entries that were left out are skipped by seeking.
        if self.filtered {
            let Some(current) = self.current else { return Ok(None) };
            if self.contents.rows.is_empty() && self.next_content < content_id(current + 1) {
                self.next_content = self.next_content.max(content_id(current));
                self.fill_contents(content_id(current + 1) - 1)?;
            }
            return Ok(self.contents.rows.pop_front());
        }
        if self.contents.rows.is_empty() && !self.contents.done {
            self.fill_contents(if self.end == u64::MAX { i64::MAX } else { content_id(self.end) - 1 })?;
        }
        let is_due = self.contents.rows.front().is_some_and(|row| row.seq < limit);
        Ok(if is_due { self.contents.rows.pop_front() } else { None })
    }
}

impl EntrySource for DbSource<'_> {
    type Error = StoreError;

    fn next(&mut self) -> Result<Option<Item<'_>>, StoreError> {
        while self.entries.rows.is_empty() && !self.entries.done {
            self.fill_entries()?;
        }
        if matches!(self.hole, Hole::Unknown) {
            self.hole = self.look_for_hole()?;
        }
        let limit = match self.hole {
            Hole::Node { seq, .. } => seq,
            _ => self.entries.rows.front().map_or(u64::MAX, |row| row.seq),
        };
        if let Some(row) = self.next_content_row(limit)? {
            let value = row.value.and_then(|range| self.contents.bytes.get(range));
            return Ok(Some(Item::Content { seq: row.seq, field: row.field, salt: row.salt, value }));
        }
        if let Hole::Node { seq, level, node, leaf } = self.hole {
            self.expected = seq + (1 << level);
            self.hole = Hole::Unknown;
            return Ok(Some(Item::Removed { seq, level, node, leaf }));
        }
        let Some(row) = self.entries.rows.pop_front() else { return Ok(None) };
        self.current = Some(row.seq);
        self.expected = row.seq.saturating_add(1);
        self.hole = Hole::Unknown;
        Ok(Some(match (row.body, row.leaf) {
            (Some(Body { place, kind, fields }), Some(leaf)) => {
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
            (Some(_), None) => Item::Malformed { seq: Some(row.seq), leaf: None, why: "the stored leaf is not 32 bytes" },
            (None, leaf) => Item::Malformed { seq: Some(row.seq), leaf, why: self.reader.why_malformed(row.seq)? },
        }))
    }

    fn node(&mut self, level: u8, index: u64) -> Result<StoredNode, StoreError> {
        Ok(self.reader.node(level, index)?.map_or(StoredNode::Absent, StoredNode::Present))
    }
}
