//! Deleting what tombstones name, a bounded piece at a time (`docs/format.md`, section 13).
//!
//! Limits: a piece is one block of 256 entries, or [`CHUNK`] rows of content; its transaction holds the writers' lock.
//!
//! ```text
//! block of 256:  rows there, nodes kept -> check them against the block's node -> rows and nodes that are to stay
//! ```
//!
//! 1. A block whose leaves and nodes do not give its stored node is left alone, and so is one with an entry that does not
//!    follow from its leaf: removing it would remove the evidence that somebody changed it.
//! 2. Nodes that stand for what is removed appear in the transaction that removes it.
//! 3. Entry 0, policies, keys, imports and what is not understood are never deleted.

use super::contents::content_fits;
use super::function;
use super::reader::content_id;
use super::writer::node_id;
use super::{Store, StoreError};
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Facts, Kind};
use lowlight_core::tree::{STORED_LEVEL, node, subtree_level};
use lowlight_core::{Digest, Event, chain};
use rusqlite::params;
use std::collections::BTreeMap;
use std::ops::Range;

/// Rows of content that one transaction deletes.
pub const CHUNK: usize = 500;
/// Bytes of content that one transaction deletes; they are written as zeros.
pub(super) const CHUNK_BYTES: u64 = 1 << 20;
/// Entries of a block.
pub const BLOCK: u64 = 1 << STORED_LEVEL;
/// Kinds that are never deleted, as SQL.
const KEPT: &str = "kind IN (0, 7, 8, 9, 255)";
/// Pages given back to the file system in one go.
const VACUUM_PAGES: u32 = 64;

/// Why a block was left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Altered {
    /// The entry, or the first of the block, that does not fit its hash.
    pub seq: u64,
}

/// Whether the policy lets an entry go, or its content.
pub type MayGo<'m> = dyn Fn(&Facts<'_>) -> bool + 'm;

/// Rows and nodes of a block, before anything is deleted.
struct Block {
    first: u64,
    rows: BTreeMap<u64, Entry>,
    /// Stored nodes below the block's own, by level and index.
    nodes: BTreeMap<(u8, u64), Digest>,
}

struct Entry {
    leaf: Digest,
    body: Option<Vec<u8>>,
    is_kept: bool,
}

impl Block {
    fn leaf(&self, seq: u64) -> Option<Digest> {
        self.rows.get(&seq).map(|row| row.leaf).or_else(|| self.nodes.get(&(0, seq)).copied())
    }

    /// The node at `level` and `index`, as it is stored or made of what is below it.
    fn subtree(&self, level: u8, index: u64) -> Option<Digest> {
        if level == 0 {
            return self.leaf(index);
        }
        let stored = self.nodes.get(&(level, index)).copied();
        stored.or_else(|| Some(node(&self.subtree(level - 1, index << 1)?, &self.subtree(level - 1, index << 1 | 1)?)))
    }

    /// The first entry that does not give its leaf.
    fn altered(&self, leaf_before: Option<Digest>, gone: &dyn Fn(u64) -> bool) -> Option<u64> {
        let mut prev = leaf_before;
        for seq in self.first..self.first + BLOCK {
            if let Some(row) = self.rows.get(&seq).filter(|_| gone(seq)) {
                let fits = row.body.as_ref().zip(prev).is_some_and(|(body, prev)| chain::leaf(&prev, body) == row.leaf);
                if !fits {
                    return Some(seq);
                }
            }
            prev = self.leaf(seq);
        }
        None
    }

    /// The nodes that stand for absent entries once `gone` are: covers of every run, cut at `cuts`, and leaves before entries
    /// that stay.
    fn nodes_after(&self, gone: &dyn Fn(u64) -> bool, cuts: &[u64], next_is_there: bool) -> Option<BTreeMap<(u8, u64), Digest>> {
        let end = self.first + BLOCK;
        let stays = |seq: u64| if seq == end { next_is_there } else { self.rows.contains_key(&seq) && !gone(seq) };
        let mut nodes = BTreeMap::new();
        let mut at = self.first;
        while at < end {
            if stays(at) {
                at += 1;
                continue;
            }
            let cut = |seq: &u64| stays(*seq) || cuts.binary_search(seq).is_ok();
            let piece = at..(at + 1..end).find(cut).unwrap_or(end);
            while let Some(level) = subtree_level(at, piece.end) {
                // The block's own node is stored anyway.
                if level < STORED_LEVEL {
                    nodes.insert((level, at >> level), self.subtree(level, at >> level)?);
                }
                at += 1 << level;
            }
            if stays(piece.end)
                && let Some(leaf) = self.leaf(piece.end - 1)
            {
                nodes.insert((0, piece.end - 1), leaf);
            }
        }
        Some(nodes)
    }
}

impl Store {
    /// Deletes the entries of `runs` that lie in the block of 256 that begins at `first`, inside a batch. `cuts` are the
    /// sizes of checkpoints, ascending; `may_go` is asked about each entry. Returns how many were deleted, or why none was.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database cannot be read or written; nothing is deleted then once the batch is rolled back.
    pub fn remove_entries(
        &self,
        first: u64,
        runs: &[Range<u64>],
        cuts: &[u64],
        may_go: &MayGo<'_>,
    ) -> Result<Result<Block256, Altered>, StoreError> {
        let block = self.block(first).map_err(|source| self.error(source))?;
        let named = |seq: u64| runs.iter().any(|run| run.contains(&seq));
        let goes = |(seq, row): (&u64, &Entry)| (named(*seq) && !row.is_kept && is_free(row.body.as_deref(), may_go)).then_some(*seq);
        let going: std::collections::BTreeSet<u64> = block.rows.iter().filter_map(goes).collect();
        if going.is_empty() {
            return Ok(Ok(Block256::Done(0)));
        }
        let gone = |seq: u64| going.contains(&seq);
        let leaf_before = match first.checked_sub(1) {
            None => self.log_id().map(|id| id.genesis()),
            Some(before) => self.leaf(before)?.map_or_else(|| self.node(0, before), |leaf| Ok(Some(leaf)))?,
        };
        if let Some(seq) = block.altered(leaf_before, &gone) {
            return Ok(Err(Altered { seq }));
        }
        let root = (0..2).map(|half| block.subtree(STORED_LEVEL - 1, first >> (STORED_LEVEL - 1) | half)).collect::<Option<Vec<_>>>();
        let root = root.and_then(|halves| Some(node(halves.first()?, halves.get(1)?)));
        if root.is_none() || root != self.node(STORED_LEVEL, first >> STORED_LEVEL)? {
            return Ok(Err(Altered { seq: first }));
        }
        let next_is_there = self.leaf(first + BLOCK)?.is_some();
        let Some(nodes) = block.nodes_after(&gone, cuts, next_is_there) else { return Ok(Err(Altered { seq: first })) };
        match self.lighten(&block, &going).map_err(|source| self.error(source))? {
            Err(altered) => return Ok(Err(altered)),
            Ok(Some(deleted)) => return Ok(Ok(Block256::Lightened(deleted))),
            Ok(None) => {}
        }
        self.write_block(&block, &going, &nodes).map_err(|source| self.error(source))?;
        Ok(Ok(Block256::Done(going.len() as u64)))
    }

    /// Checks the content of those entries, and deletes that of the first of them when all of it is more than one transaction
    /// should write.
    fn lighten(&self, block: &Block, going: &std::collections::BTreeSet<u64>) -> rusqlite::Result<Result<Option<u64>, Altered>> {
        let (Some(first), Some(last)) = (going.first(), going.last()) else { return Ok(Ok(None)) };
        let sql = "SELECT id, salt, value FROM content WHERE id >= ?1 AND id < ?2 ORDER BY id";
        let mut select = self.connection().prepare_cached(sql)?;
        let mut rows = select.query([content_id(*first), content_id(last + 1)])?;
        let (mut ids, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let seq = (id >> 6).cast_unsigned();
            if going.contains(&seq) {
                ids.push(id);
                let body = block.rows.get(&seq).and_then(|row| row.body.as_deref());
                let (fits, length) = content_fits(body, row, id)?;
                if !fits {
                    return Ok(Err(Altered { seq }));
                }
                bytes += length;
            }
            if bytes > CHUNK_BYTES {
                drop(rows);
                let mut delete = self.connection().prepare_cached("DELETE FROM content WHERE id = ?1")?;
                ids.iter().try_for_each(|id| delete.execute([id]).map(drop))?;
                return Ok(Ok(Some(ids.len() as u64)));
            }
        }
        Ok(Ok(None))
    }

    fn block(&self, first: u64) -> rusqlite::Result<Block> {
        let mut block = Block { first, rows: BTreeMap::new(), nodes: BTreeMap::new() };
        let sql = format!("SELECT seq, leaf, {KEPT}, {} FROM entry NOT INDEXED WHERE seq >= ?1 AND seq < ?2", function::call());
        let mut select = self.connection().prepare_cached(&sql)?;
        let mut rows = select.query([first.cast_signed(), (first + BLOCK).cast_signed()])?;
        while let Some(row) = rows.next()? {
            let body = row.get_ref(3)?.as_blob().ok().and_then(function::unpacked).map(|(_, _, body)| body.to_vec());
            // A leaf of another length fits nothing.
            let leaf = row.get_ref(1)?.as_blob().ok().and_then(Digest::from_slice).unwrap_or(Digest([0; 32]));
            block.rows.insert(row.get::<_, i64>(0)?.cast_unsigned(), Entry { leaf, body, is_kept: row.get(2)? });
        }
        let mut select = self.connection().prepare_cached("SELECT id, hash FROM node WHERE id >= ?1 AND id < ?2")?;
        for level in 0..STORED_LEVEL {
            let mut rows = select.query([node_id(level, first >> level), node_id(level, (first + BLOCK) >> level)])?;
            while let Some(row) = rows.next()? {
                let index = (row.get::<_, i64>(0)? & ((1 << 56) - 1)).cast_unsigned();
                if let Some(hash) = row.get_ref(1)?.as_blob().ok().and_then(Digest::from_slice) {
                    block.nodes.insert((level, index), hash);
                }
            }
        }
        Ok(block)
    }

    fn write_block(
        &self,
        block: &Block,
        going: &std::collections::BTreeSet<u64>,
        nodes: &BTreeMap<(u8, u64), Digest>,
    ) -> rusqlite::Result<()> {
        let mut delete = self.connection().prepare_cached("DELETE FROM node WHERE id = ?1")?;
        for (level, index) in block.nodes.keys().filter(|place| !nodes.contains_key(place)) {
            delete.execute([node_id(*level, *index)])?;
        }
        let mut insert = self.connection().prepare_cached("INSERT INTO node (id, hash) VALUES (?1, ?2)")?;
        for ((level, index), hash) in nodes.iter().filter(|(place, _)| !block.nodes.contains_key(place)) {
            insert.execute(params![node_id(*level, *index), hash.0])?;
        }
        let mut contents = self.connection().prepare_cached("DELETE FROM content WHERE id >= ?1 AND id < ?2")?;
        let mut entries = self.connection().prepare_cached("DELETE FROM entry WHERE seq >= ?1 AND seq < ?2")?;
        let mut seqs = going.iter().copied().peekable();
        while let Some(start) = seqs.next() {
            let mut end = start + 1;
            while seqs.next_if_eq(&end).is_some() {
                end += 1;
            }
            contents.execute([content_id(start), content_id(end)])?;
            entries.execute([start.cast_signed(), end.cast_signed()])?;
        }
        Ok(())
    }

    /// Writes the database anew, so that no page holds copies of what was moved about in it, outside a batch. `false` when it
    /// is in use.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when there is no room for it, or it cannot be written.
    pub fn rewrite(&self) -> Result<bool, StoreError> {
        // The copy is as large as the log: it must not be made in memory.
        let vacuum = self.connection().execute_batch("PRAGMA temp_store=FILE; VACUUM");
        let restored = self.connection().execute_batch("PRAGMA temp_store=MEMORY");
        match vacuum.and(restored) {
            Ok(()) => Ok(true),
            Err(error)
                if matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)) =>
            {
                Ok(false)
            }
            Err(source) => Err(self.error(source)),
        }
    }

    /// The first entry of `run` that a tombstone of whole entries can remove, inside a batch.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database cannot be read.
    pub fn first_removable(&self, run: &Range<u64>) -> Result<Option<u64>, StoreError> {
        let sql = format!("SELECT min(seq) FROM entry NOT INDEXED WHERE seq >= ?1 AND seq < ?2 AND NOT {KEPT}");
        let mut select = self.connection().prepare_cached(&sql).map_err(|source| self.error(source))?;
        let found = select.query_row([run.start.cast_signed(), run.end.cast_signed()], |row| row.get::<_, Option<i64>>(0));
        found.map(|seq| seq.map(i64::cast_unsigned)).map_err(|source| self.error(source))
    }

    /// Whether a body is what the log has at that seq, by its leaf and the one before, inside a batch.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database cannot be read.
    pub fn is_authentic(&self, seq: u64, body: &[u8]) -> Result<bool, StoreError> {
        let before = match seq.checked_sub(1) {
            None => self.log_id().map(|id| id.genesis()),
            Some(before) => self.leaf(before)?.map_or_else(|| self.node(0, before), |leaf| Ok(Some(leaf)))?,
        };
        let own = self.leaf(seq)?;
        Ok(before.is_some_and(|before| Some(chain::leaf(&before, body)) == own))
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<Digest>, StoreError> {
        let mut select = self.connection().prepare_cached("SELECT hash FROM node WHERE id = ?1").map_err(|source| self.error(source))?;
        let mut rows = select.query([node_id(level, index)]).map_err(|source| self.error(source))?;
        let row = rows.next().map_err(|source| self.error(source))?;
        Ok(row.and_then(|row| row.get_ref(0).ok()?.as_blob().ok().and_then(Digest::from_slice)))
    }

    /// Gives pages back to the file system, where more than a quarter of the file is free or `always`; outside a batch.
    /// Returns whether there is more to give.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database cannot be written.
    pub fn vacuum_some(&self, always: bool) -> Result<bool, StoreError> {
        let number = |name| self.connection().pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let sqlite = |source| self.error(source);
        let (pages, free) = (number("page_count").map_err(sqlite)?, number("freelist_count").map_err(sqlite)?);
        // A few free pages are what the next entries are written to.
        if free < 256 || (!always && free * 4 < pages) {
            return Ok(false);
        }
        // Each step of the statement frees a page.
        let mut vacuum = self.connection().prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})")).map_err(sqlite)?;
        let mut rows = vacuum.query([]).map_err(sqlite)?;
        while rows.next().map_err(sqlite)?.is_some() {}
        Ok(true)
    }

    /// Moves the WAL into the database and cuts it to nothing, outside a batch, so that what was deleted is in neither.
    /// `false` when a reader is in the way.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database cannot be written.
    pub fn truncate_wal(&self) -> Result<bool, StoreError> {
        let wait = |time| self.connection().busy_timeout(time).map_err(|source| self.error(source));
        // Callers wait for the writer meanwhile: a reader that stays is tried again later.
        wait(std::time::Duration::from_millis(50))?;
        let busy = self.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        wait(super::schema::BUSY_TIMEOUT)?;
        match busy {
            Ok(busy) => Ok(busy == 0),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
            Err(source) => Err(self.error(source)),
        }
    }
}

/// What was done to a block of 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block256 {
    /// So many entries went.
    Done(u64),
    /// So many values of entries that are to go went first: there is more than one transaction should write.
    Lightened(u64),
}

/// Whether the entry may go, or its content.
pub(super) fn is_free(body: Option<&[u8]>, may_go: &MayGo<'_>) -> bool {
    let Some(entry) = body.and_then(|body| decode(body).ok()) else { return false };
    let status = match &entry.event {
        Event::Inference(inference) => Some(inference.status),
        _ => None,
    };
    let kind = entry.event.kind();
    // A tombstone is in a run only where another covers all it covers.
    kind == Kind::Tombstone || may_go(&Facts { kind, status, recorded: entry.header.recorded, clock: entry.header.clock })
}
