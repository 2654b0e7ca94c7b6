//! Writing an export, streamed.

use super::line::{entry_line, string};
use super::lines::{EntryLines, Written};
use super::{MAX_LINE, cover, frontier_at, hex};
use crate::removal::{RuleEntries as _, Runs};
use crate::store::columns;
use crate::store::{Filter, Reader, StoreError};
use lowlight_core::Digest;
use lowlight_core::entry::codec;
use lowlight_core::entry::{Event, MAX_BODY};
use lowlight_core::tree::proof;
use sha2::{Digest as _, Sha256};
use std::io::Write;

/// Which of the two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An array, one object a line.
    Json,
    /// One object a line.
    Ndjson,
}

/// What to export.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only entries recorded at or after this time, ns since 1970-01-01T00:00:00Z.
    pub since: Option<i64>,
    /// Only entries recorded before this time, ns since 1970-01-01T00:00:00Z.
    pub until: Option<i64>,
    /// Only these entries; of the others in the range the leaf alone.
    pub only: Option<Runs>,
    /// What was asked for besides times, in words: name and value.
    pub asked: Vec<(&'static str, String)>,
    /// Verdict to state in the trailer: whether the log was intact and how many problems it had.
    pub problems_total: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Entries in full.
    pub entries: u64,
    /// Entries of which only the leaf was written.
    pub leaf_only: u64,
    /// Entries that are gone and for which nodes of the tree stand.
    pub removed: u64,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output could not be written.
    #[error("writing the export: {0}")]
    Write(#[from] std::io::Error),
}

/// Counts and digests objects on their way out.
struct Lines<'w, W: Write> {
    out: &'w mut W,
    form: Form,
    digest: Sha256,
    first: bool,
}

impl<W: Write> Lines<'_, W> {
    fn object(&mut self, object: &[u8]) -> std::io::Result<()> {
        self.digest.update(object);
        self.digest.update(b"\n");
        self.raw(object)
    }

    fn raw(&mut self, object: &[u8]) -> std::io::Result<()> {
        match (self.form, self.first) {
            (Form::Json, true) => self.out.write_all(b"[\n")?,
            (Form::Json, false) => self.out.write_all(b",\n")?,
            (Form::Ndjson, true) => {}
            (Form::Ndjson, false) => self.out.write_all(b"\n")?,
        }
        self.first = false;
        self.out.write_all(object)
    }
}

/// The smallest range of seqs that holds every entry of the asked times.
fn range(reader: &Reader, options: &Options) -> Result<std::ops::Range<u64>, StoreError> {
    let size = reader.tip().size;
    if let Some(only) = &options.only {
        // Chosen by a filter that knows the times as well.
        let bounds = only.iter().next().zip(only.iter().last());
        return Ok(bounds.map_or(0..0, |(first, last)| first.start..last.end));
    }
    if options.since.is_none() && options.until.is_none() {
        return Ok(0..size);
    }
    let sql = "SELECT min(seq), max(seq) FROM entry NOT INDEXED WHERE recorded >= ?1 AND recorded < ?2 AND seq < ?3";
    let (since, until) = (options.since.unwrap_or(i64::MIN), options.until.unwrap_or(i64::MAX));
    let bound = i64::try_from(size).unwrap_or(i64::MAX);
    let row =
        reader.connection().query_row(sql, [since, until, bound], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)));
    let (first, last) = row.map_err(|source| StoreError::from_sqlite(reader.path(), source))?;
    Ok(match (first.and_then(|n| u64::try_from(n).ok()), last.and_then(|n| u64::try_from(n).ok())) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
    })
}

/// Writes an export of the log. `progress` is told the seq behind every entry.
pub fn write<W: Write>(
    reader: &Reader,
    options: &Options,
    form: Form,
    out: &mut W,
    progress: &mut dyn FnMut(u64),
) -> Result<Summary, ExportError> {
    let range = range(reader, options)?;
    let mut lines = Lines { out, form, digest: Sha256::new(), first: true };
    lines.object(&preamble(reader, options, &range)?)?;
    let mut summary = Summary { entries: 0, leaf_only: 0, removed: 0 };
    let mut entries = EntryLines::new(reader.source(range.clone(), &Filter::default(), true));
    let mut written = 0;
    let mut line = Vec::new();
    while let Some(what) = entries.next(options, &mut line)? {
        lines.object(&line)?;
        written += 1;
        match what {
            Written::Entry => summary.entries += 1,
            Written::LeafOnly => summary.leaf_only += 1,
            Written::Removed(count) => summary.removed += count,
        }
        progress(entries.end());
    }
    let verdict = if options.problems_total == 0 { "intact" } else { "broken" };
    let digest = hex(&std::mem::take(&mut lines.digest).finalize());
    let trailer = format!(
        "{{\"lowlight\":\"end\",\"count\":{written},\"digest\":\"{digest}\",\"verdict\":\"{verdict}\",\"problems_total\":{}}}",
        options.problems_total
    );
    lines.raw(trailer.as_bytes())?;
    lines.out.write_all(if form == Form::Json { b"\n]\n" } else { b"\n" })?;
    lines.out.flush()?;
    Ok(summary)
}

fn preamble(reader: &Reader, options: &Options, range: &std::ops::Range<u64>) -> Result<Vec<u8>, StoreError> {
    let size = reader.tip().size;
    let list = |hashes: &[Digest]| hashes.iter().map(|hash| format!("\"{hash}\"")).collect::<Vec<_>>().join(",");
    // Hashes that a broken log no longer has are left out: the export then does not give the root, as it should not.
    let frontier: Vec<Digest> = frontier_at(reader, range.start)?.map(|tree| tree.hashes().copied().collect()).unwrap_or_default();
    let right_edge = cover(reader, range.end, size)?.unwrap_or_default();
    let hashes = reader.tip().hashes.iter().copied();
    let root = lowlight_core::Frontier::from_hashes(size, hashes).map_or(Digest([0; 32]), |tree| tree.root());
    let mut out = format!(
        "{{\"lowlight\":\"export\",\"version\":{},\"log_id\":\"{}\",\"size\":{size},\"root\":\"{root}\",\"first\":{},\"end\":{},\"frontier\":[{}]",
        lowlight_core::FORMAT,
        reader.log_id(),
        range.start,
        range.end,
        list(&frontier)
    )
    .into_bytes();
    if range.start > 0
        && let Some(prev) = reader.leaf(range.start - 1)?
    {
        out.extend_from_slice(format!(",\"prev\":\"{prev}\"").as_bytes());
    }
    out.extend_from_slice(format!(",\"right_edge\":[{}],\"asked\":{{", list(&right_edge)).as_bytes());
    let mut separator = "";
    for (name, bound) in [("since", options.since), ("until", options.until)] {
        if let Some(bound) = bound {
            out.extend_from_slice(format!("{separator}\"{name}\":").as_bytes());
            string(&mut out, &crate::time::rfc3339(bound));
            separator = ",";
        }
    }
    for (name, value) in &options.asked {
        out.extend_from_slice(format!("{separator}\"{name}\":").as_bytes());
        string(&mut out, value);
        separator = ",";
    }
    out.extend_from_slice(b"},\"tombstones\":[");
    rules(reader, range, &mut out)?;
    out.extend_from_slice(b"]}");
    if out.len() >= MAX_LINE {
        return Err(StoreError::from_io(
            reader.path(),
            std::io::Error::other("more tombstones touch the range than a preamble holds; export less at once"),
        ));
    }
    Ok(out)
}

/// Entry 0, the policies, the key changes and the tombstones that touch the range, each with its proof; nothing when no
/// tombstone does and no key changes in the range.
fn rules(reader: &Reader, range: &std::ops::Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let mut bodies = Vec::new();
    let mut any = false;
    reader.each(&mut |body| {
        let Ok(entry) = codec::decode(body) else { return };
        let touches = match &entry.event {
            Event::Tombstone(tombstone) => {
                let touches = tombstone.runs.iter().any(|run| run.start < range.end && run.end() > range.start);
                any |= touches;
                touches
            }
            Event::KeyChange(_) => {
                any |= entry.header.seq >= range.start && entry.header.seq < range.end;
                true
            }
            // Entry 0 and policies.
            _ => true,
        };
        if touches && bodies.iter().map(Vec::len).sum::<usize>() < MAX_LINE {
            bodies.push(body.to_vec());
        }
    })?;
    for (place, body) in bodies.iter().enumerate().filter(|_| any) {
        if place > 0 {
            out.push(b',');
        }
        rule(reader, body, out)?;
    }
    Ok(())
}

/// One of them as an entry line with `prev` and `proof`.
fn rule(reader: &Reader, body: &[u8], out: &mut Vec<u8>) -> Result<(), StoreError> {
    let damaged =
        || StoreError::Corrupt { path: reader.path().to_path_buf(), why: "what explains removals in it cannot be proved".to_owned() };
    let entry = codec::decode(body).map_err(|_| damaged())?;
    let seq = entry.header.seq;
    let prev = if seq == 0 { Some(reader.log_id().genesis()) } else { reader.leaf(seq - 1)? };
    let prev = prev.unwrap_or(Digest([0; 32]));
    let leaf = lowlight_core::chain::leaf(&prev, body);
    let (mut encoded, mut payload) = ([0; MAX_BODY], [0; MAX_BODY]);
    let fields = codec::encode_slots(&entry.fields, &mut encoded).map_err(|_| damaged())?;
    let mut line = Vec::new();
    entry_line(&mut line, &columns::row(&entry, fields, &leaf, &mut payload), &[]).map_err(|_| damaged())?;
    line.pop();
    let mut nodes = |level, index| reader.subtree(level, index).map(|node| node.unwrap_or(Digest([0; 32])));
    let proof = proof::inclusion(seq, reader.tip().size, &mut nodes)?.unwrap_or_default();
    out.extend_from_slice(&line);
    let hashes = proof.iter().map(|hash| format!("\"{hash}\"")).collect::<Vec<_>>().join(",");
    out.extend_from_slice(format!(",\"prev\":\"{prev}\",\"proof\":[{hashes}]}}").as_bytes());
    Ok(())
}
