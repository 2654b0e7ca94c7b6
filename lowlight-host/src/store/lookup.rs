//! Looking single things up in a log that is open for reading.

use super::columns::{self, COUNT, Row, Value};
use super::function;
use super::reader::{Filter, Reader, content_id, is_too_big};
use super::rules::ARE_RULES;
use super::writer::node_id;
use super::{ERASED, StoreError};
use crate::removal::Rules;
use lowlight_core::chain;
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Event, MAX_BODY, Predecessor};
use lowlight_core::source::{EntrySource as _, Item, Tombstones as _};
use lowlight_core::tree::{self, STORED_LEVEL};
use lowlight_core::{Digest, FieldId};
use rusqlite::params_from_iter;

impl Reader {
    /// A bookkeeping position.
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let found = self.connection.query_row("SELECT position FROM cursor WHERE name = ?1", [name], |row| row.get::<_, i64>(0));
        match found {
            Ok(position) => Ok(u64::try_from(position).ok()),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            // A log without the table has a schema problem, and nothing in it is believed.
            Err(_) if !super::schema::has_table(&self.connection, "cursor").map_err(|e| self.sqlite(e))? => Ok(None),
            Err(source) => Err(self.sqlite(source)),
        }
    }

    /// Seqs of the entries that pass `filter`, ascending.
    pub fn seqs(&self, filter: &Filter) -> Result<Vec<u64>, StoreError> {
        let sql = format!("SELECT seq FROM entry NOT INDEXED WHERE seq >= 0 AND seq < ? AND {} ORDER BY seq", filter.sql());
        let mut select = self.connection.prepare(&sql).map_err(|e| self.sqlite(e))?;
        let size = rusqlite::types::Value::Integer(i64::try_from(self.tip.size).unwrap_or(i64::MAX));
        let parameters = std::iter::once(size).chain(filter.parameters.iter().cloned());
        let rows = select.query_map(params_from_iter(parameters), |row| row.get::<_, i64>(0)).map_err(|e| self.sqlite(e))?;
        rows.map(|seq| seq.map(i64::cast_unsigned)).collect::<Result<_, _>>().map_err(|e| self.sqlite(e))
    }

    /// Fields of an entry that have a content row.
    pub fn content_fields(&self, seq: u64) -> Result<Vec<FieldId>, StoreError> {
        let sql = "SELECT id FROM content NOT INDEXED WHERE id >= ?1 AND id < ?2";
        let mut select = self.connection.prepare_cached(sql).map_err(|e| self.sqlite(e))?;
        let rows = select.query_map([content_id(seq), content_id(seq + 1)], |row| row.get::<_, i64>(0)).map_err(|e| self.sqlite(e))?;
        let field = |id: rusqlite::Result<i64>| id.map(|id| u8::try_from(id & 63).ok().and_then(FieldId::new));
        rows.filter_map(|id| field(id).transpose()).collect::<Result<_, _>>().map_err(|e| self.sqlite(e))
    }

    /// A stored tree node.
    pub fn node(&self, level: u8, index: u64) -> Result<Option<Digest>, StoreError> {
        if !self.has_nodes {
            return Ok(None);
        }
        let mut select = self.connection.prepare_cached("SELECT hash FROM node NOT INDEXED WHERE id = ?1").map_err(|e| self.sqlite(e))?;
        let found =
            select.query_row([node_id(level, index)], |row| row.get_ref(0).map(|value| value.as_blob().ok().and_then(Digest::from_slice)));
        match found {
            Ok(hash) => Ok(hash),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) if is_too_big(&error) => Ok(None),
            Err(source) => Err(self.sqlite(source)),
        }
    }

    /// Why the columns of that row do not make a body.
    pub(super) fn why_malformed(&self, seq: u64) -> Result<columns::Malformed, StoreError> {
        let sql = format!("SELECT {} FROM entry NOT INDEXED WHERE seq = ?1", columns::NAMES.join(","));
        let mut select = self.connection.prepare(&sql).map_err(|e| self.sqlite(e))?;
        let why = select.query_row([seq.cast_signed()], |row| {
            let mut values: Row<'_> = [Value::Null; COUNT];
            for (index, slot) in values.iter_mut().enumerate() {
                *slot = function::value(row.get_ref(index)?);
            }
            Ok(columns::body(&values, &mut [0; MAX_BODY]).err())
        });
        match why {
            Ok(why) => Ok(why.unwrap_or("the columns do not make a body")),
            Err(error) if is_too_big(&error) => Ok("a value is larger than an entry can be"),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok("it is there, and looking for its seq does not find it"),
            Err(error) => Err(self.sqlite(error)),
        }
    }

    /// The leaf of an entry: that of its row, or what was kept of one that was removed.
    pub fn leaf(&self, seq: u64) -> Result<Option<Digest>, StoreError> {
        let own = self.leaf_of_row(seq)?;
        if own.is_some() { Ok(own) } else { self.node(0, seq) }
    }

    /// The log that entry 0 says this one follows.
    pub fn predecessor(&self) -> Result<Option<Predecessor>, StoreError> {
        let mut source = self.source(0..1, &Filter::default(), false);
        let Some(Item::Entry { body, .. }) = source.next()? else { return Ok(None) };
        Ok(match decode(body).map(|entry| entry.event) {
            Ok(Event::Open(open)) => open.predecessor,
            _ => None,
        })
    }

    /// Whether an entry is there and its leaf is made of it and the leaf before.
    pub fn is_authentic(&self, seq: u64) -> Result<bool, StoreError> {
        let prev = if seq == 0 { Some(self.log_id().genesis()) } else { self.leaf(seq - 1)? };
        let mut source = self.source(seq..seq + 1, &Filter::default(), false);
        let Some(Item::Entry { body, leaf, .. }) = source.next()? else { return Ok(false) };
        Ok(prev.is_some_and(|prev| chain::leaf(&prev, body) == leaf))
    }

    /// The node at `level` and `index`, from stored nodes or made of those below it. `None` if something is missing.
    pub fn subtree(&self, level: u8, index: u64) -> Result<Option<Digest>, StoreError> {
        if level == 0 {
            return self.leaf(index);
        }
        let stored = self.node(level, index)?;
        if stored.is_some() || level >= STORED_LEVEL {
            return Ok(stored);
        }
        let below = self.subtree(level - 1, index << 1)?.zip(self.subtree(level - 1, index << 1 | 1)?);
        Ok(below.map(|(left, right)| tree::node(&left, &right)))
    }

    /// The first stored node of level 0 to 8 that starts at or behind `from` and ends by `end`: its first seq and level; of several
    /// that start there the largest below a block's own, which does not show the checkpoints that cut the block.
    pub(super) fn next_node(&self, from: u64, end: u64) -> Result<Option<(u64, u8)>, StoreError> {
        let sql = "SELECT min(id) FROM node NOT INDEXED WHERE id >= ?1 AND id < ?2";
        let mut found: Option<(u64, u8)> = None;
        for level in (0..STORED_LEVEL).rev().chain([STORED_LEVEL]).filter(|_| self.has_nodes) {
            let first = from.div_ceil(1 << level);
            let mut select = self.connection.prepare_cached(sql).map_err(|e| self.sqlite(e))?;
            let bounds = [node_id(level, first), node_id(level, end >> level)];
            let id = select.query_row(bounds, |row| row.get::<_, Option<i64>>(0)).map_err(|e| self.sqlite(e))?;
            let start = id.map(|id| (id & ((1 << 56) - 1)).cast_unsigned() << level);
            if start == Some(from) {
                return Ok(Some((from, level)));
            }
            if let Some(start) = start.filter(|start| found.is_none_or(|(nearest, _)| *start < nearest)) {
                found = Some((start, level));
            }
        }
        Ok(found)
    }

    /// Whether somebody wrote since this was opened, and the log has something to remove or removed.
    pub fn removes_meanwhile(&self) -> Result<bool, StoreError> {
        let changed = self.connection.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0)).map_err(|e| self.sqlite(e))?;
        if !self.live || changed == self.version {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM entry WHERE kind = 6)";
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(|e| self.sqlite(e))
    }

    /// Whether the index of tombstones and policies has as many, with the same seqs in sum, as the table.
    pub fn rule_index_is_whole(&self) -> Result<bool, StoreError> {
        let sum = |how: &str| {
            let sql = format!("SELECT count(*), total(seq) FROM entry {how} WHERE {ARE_RULES}");
            self.connection.query_row(&sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)?.to_bits())))
        };
        // Without the index there is nothing that could lie.
        let Ok(by_index) = sum("INDEXED BY entry_rules") else { return Ok(true) };
        Ok(by_index == sum("NOT INDEXED").map_err(|e| self.sqlite(e))?)
    }

    /// Whether there is a tombstone that was not carried out to the end.
    pub fn has_pending_removal(&self) -> Result<bool, StoreError> {
        let sql = "SELECT max(seq) FROM entry NOT INDEXED WHERE kind = 6";
        let newest = self.connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).map_err(|e| self.sqlite(e))?;
        let erased = self.cursor(ERASED)?;
        let size = self.tip.size;
        Ok(newest.is_some_and(|newest| erased.filter(|erased| *erased < size).is_none_or(|erased| erased < newest.cast_unsigned())))
    }

    /// Seq of the tombstone that explains why an entry is not there.
    pub fn removed_by(&self, seq: u64) -> Result<Option<u64>, StoreError> {
        if seq >= self.tip.size || self.leaf_of_row(seq)?.is_some() {
            return Ok(None);
        }
        Ok(Rules::read(Box::new(self), self.log_id)?.absence(seq)?.explained_by)
    }

    /// Seq of the tombstone that explains why a content value is not there.
    pub fn content_removed_by(&self, seq: u64, field: FieldId) -> Result<Option<u64>, StoreError> {
        Rules::read(Box::new(self), self.log_id)?.content_named_by(seq, field)
    }

    fn leaf_of_row(&self, seq: u64) -> Result<Option<Digest>, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT leaf FROM entry NOT INDEXED WHERE seq = ?1").map_err(|e| self.sqlite(e))?;
        let found =
            select.query_row([seq.cast_signed()], |row| row.get_ref(0).map(|value| value.as_blob().ok().and_then(Digest::from_slice)));
        match found {
            Ok(leaf) => Ok(leaf),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) if is_too_big(&error) => Ok(None),
            Err(source) => Err(self.sqlite(source)),
        }
    }
}
