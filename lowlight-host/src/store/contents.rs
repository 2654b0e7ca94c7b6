//! Removing content of entries that stay, and overwriting what an erasure names (`docs/format.md`, section 13).
//!
//! Limits: a piece is about [`CHUNK`] rows, or [`CHUNK_BYTES`] of them.
//!
//! 1. Retention leaves content alone that is not what the entry committed to. Erasure does what was asked, and says so.

use super::function;
use super::reader::content_id;
use super::remove::{CHUNK, CHUNK_BYTES, MayGo, is_free};
use super::{Store, StoreError};
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{FieldId, SlotState};
use lowlight_core::{Commitment, Salt};
use rusqlite::params;
use std::ops::Range;

impl Store {
    /// Deletes about a chunk of rows of content of the entries in `run`, of the fields in the bitmap, inside a batch; `may_go` is
    /// asked about each entry, if given.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database cannot be read or written.
    pub fn remove_contents(&self, run: &Range<u64>, fields: u64, may_go: Option<&MayGo<'_>>) -> Result<Contents, StoreError> {
        let sqlite = |source| self.error(source);
        let sql = "SELECT id, salt, value FROM content WHERE id >= ?1 AND id < ?2 ORDER BY id";
        let mut select = self.connection().prepare_cached(sql).map_err(sqlite)?;
        let mut rows = select.query([content_id(run.start), content_id(run.end)]).map_err(sqlite)?;
        let (mut ids, mut next, mut looked_at, mut bytes) = (Vec::new(), run.end, 0, 0);
        let (mut asked, mut altered): (Option<(u64, Free)>, _) = (None, None);
        while let Some(row) = rows.next().map_err(sqlite)? {
            let id: i64 = row.get(0).map_err(sqlite)?;
            let seq = (id >> 6).cast_unsigned();
            // A piece ends between two entries.
            if asked.as_ref().is_none_or(|(before, _)| *before != seq)
                && (ids.len() >= CHUNK || bytes > CHUNK_BYTES || looked_at >= 16 * CHUNK)
            {
                next = seq;
                break;
            }
            looked_at += 1;
            if fields >> (id & 63) & 1 == 0 {
                continue;
            }
            if asked.as_ref().is_none_or(|(before, _)| *before != seq) {
                asked = Some((seq, may_go.map_or(Ok(Free::Always), |may_go| self.is_free(seq, may_go)).map_err(sqlite)?));
            }
            let body = match &asked {
                Some((_, Free::Never)) => continue,
                Some((_, Free::WhenItFits(body))) => Some(body.as_slice()),
                _ => None,
            };
            let (fits, length) = content_fits(body, row, id).map_err(sqlite)?;
            if body.is_some() && !fits {
                altered = altered.or(Some(seq));
                continue;
            }
            bytes += length;
            ids.push(id);
        }
        drop(rows);
        let mut delete = self.connection().prepare_cached("DELETE FROM content WHERE id = ?1").map_err(sqlite)?;
        for id in &ids {
            delete.execute([id]).map_err(sqlite)?;
        }
        Ok(Contents { done: ids.len() as u64, next, altered })
    }

    /// Overwrites content of the entries in `run`, of the fields in the bitmap, with zeros and blanks of the same length, where it
    /// stands: deleting rows moves others about and leaves copies of them behind, which must hold nothing any more. About a
    /// chunk, inside a batch.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database cannot be read or written.
    pub fn blank_contents(&self, run: &Range<u64>, fields: u64) -> Result<Contents, StoreError> {
        let sqlite = |source| self.error(source);
        let sql =
            "SELECT id, salt, value, octet_length(value) FROM content WHERE id >= ?1 AND id < ?2 AND salt <> zeroblob(16) ORDER BY id";
        let mut select = self.connection().prepare_cached(sql).map_err(sqlite)?;
        let mut rows = select.query([content_id(run.start), content_id(run.end)]).map_err(sqlite)?;
        let (mut found, mut next, mut bytes) = (Vec::new(), run.end, 0);
        let (mut body, mut altered): (Option<(u64, Free)>, _) = (None, None);
        while let Some(row) = rows.next().map_err(sqlite)? {
            let id: i64 = row.get(0).map_err(sqlite)?;
            let seq = (id >> 6).cast_unsigned();
            if found.len() >= CHUNK || bytes > CHUNK_BYTES {
                next = seq;
                break;
            }
            if fields >> (id & 63) & 1 == 0 {
                continue;
            }
            if body.as_ref().is_none_or(|(before, _)| *before != seq) {
                body = Some((seq, self.is_free(seq, &|_| true).map_err(sqlite)?));
            }
            let own = if let Some((_, Free::WhenItFits(body))) = &body { Some(body.as_slice()) } else { None };
            let (fits, length) = content_fits(own, row, id).map_err(sqlite)?;
            if !fits {
                altered = altered.or(Some(seq));
            }
            bytes += length;
            found.push((id, row.get::<_, Option<i64>>(3).map_err(sqlite)?.and_then(|length| usize::try_from(length).ok())));
        }
        drop(rows);
        let mut update =
            self.connection().prepare_cached("UPDATE content SET salt = zeroblob(16), value = ?2 WHERE id = ?1").map_err(sqlite)?;
        for (id, length) in &found {
            update.execute(params![id, length.map(|length| " ".repeat(length))]).map_err(sqlite)?;
        }
        Ok(Contents { done: found.len() as u64, next, altered })
    }

    /// Whether the entry may lose content.
    fn is_free(&self, seq: u64, may_go: &MayGo<'_>) -> rusqlite::Result<Free> {
        let sql = format!("SELECT {} FROM entry NOT INDEXED WHERE seq = ?1", function::call());
        let mut select = self.connection().prepare_cached(&sql)?;
        let mut rows = select.query([seq.cast_signed()])?;
        // Content of no entry belongs to nothing that anybody wants to keep.
        let Some(row) = rows.next()? else { return Ok(Free::Always) };
        let body = row.get_ref(0)?.as_blob().ok().and_then(function::unpacked).map(|(_, _, body)| body.to_vec());
        Ok(body.filter(|body| is_free(Some(body), may_go)).map_or(Free::Never, Free::WhenItFits))
    }
}

/// Whether content of an entry may go.
enum Free {
    Always,
    Never,
    /// Where it fits the commitments of this body.
    WhenItFits(Vec<u8>),
}

/// Whether a content row (id, salt, value) is what the entry committed to, as far as that can be said; and its length.
pub(super) fn content_fits(body: Option<&[u8]>, row: &rusqlite::Row<'_>, id: i64) -> rusqlite::Result<(bool, u64)> {
    let salt = row.get_ref(1)?.as_blob().ok().and_then(|salt| <[u8; 16]>::try_from(salt).ok());
    let value = row.get_ref(2)?.as_bytes_or_null().ok().flatten();
    let length = value.map_or(0, <[u8]>::len) as u64;
    let field = u8::try_from(id & 63).ok().and_then(FieldId::new);
    let slot =
        body.and_then(|body| decode(body).ok()).and_then(|entry| entry.fields.iter().find(|slot| Some(slot.field) == field).copied());
    let fits = match (slot, salt, value, field) {
        (Some(slot), Some(salt), Some(value), Some(field)) => {
            salt == [0; 16] || Commitment::new(&Salt(salt), field, value).0 == slot.commitment
        }
        (Some(slot), Some(_), None, _) => slot.state == SlotState::HashOnly,
        _ => false,
    };
    Ok((fits, length))
}

/// What one piece of content removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// The first entry whose content is not what it committed to.
    pub altered: Option<u64>,
    /// Rows deleted or overwritten.
    pub done: u64,
    /// Where the next piece begins; the end of the run when nothing is left.
    pub next: u64,
}
