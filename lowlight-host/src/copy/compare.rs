//! Holding a log against its copy.

use super::write::checkpoint;
use super::{files, line};
use crate::export::{Line, parse_line};
use crate::store::{Filter, Reader, StoreError, columns};
use crate::verify::{Kept, Report, ReportedProblem};
use lowlight_core::entry::MAX_BODY;
use lowlight_core::entry::codec;
use lowlight_core::source::{EntrySource as _, Item};
use lowlight_core::verify::MAX_PROBLEMS;
use lowlight_core::{Digest, chain};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Why a log could not be held against a copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy could not be read.
    #[error("the copy {0}: {1}")]
    Read(String, std::io::Error),
    /// There is nothing of this log.
    #[error("the copy {0} has nothing of the log {1}")]
    Nothing(String, String),
}

struct Comparison<'r> {
    reader: &'r Reader,
    problems: Vec<ReportedProblem>,
    total: u64,
    /// Seq behind the last line, and the leaf there.
    next: u64,
    prev: Option<Digest>,
    compared: u64,
    /// The first entry of the copy that does not follow from the one before.
    altered: Option<u64>,
    is_short: bool,
    kept: Vec<Kept>,
    /// Entries that verification found something about.
    suspects: Vec<u64>,
    notes: Vec<String>,
}

/// Holds the log against the copy in `dir` and adds what differs to `report`. Returns the newest checkpoint of the copy.
///
/// # Errors
///
/// [`CopyError`].
pub fn compare(reader: &Reader, dir: &Path, report: &mut Report) -> Result<(), CopyError> {
    let failed = |error| CopyError::Read(dir.display().to_string(), error);
    let files = files(dir, reader.log_id()).map_err(failed)?;
    let mut it = Comparison {
        reader,
        problems: Vec::new(),
        total: 0,
        next: 0,
        prev: Some(reader.log_id().genesis()),
        compared: 0,
        altered: None,
        is_short: false,
        kept: Vec::new(),
        suspects: report.problems.iter().filter_map(|problem| problem.seq).collect(),
        notes: Vec::new(),
    };
    for (_, path) in &files {
        let mut input = BufReader::with_capacity(64 << 10, File::open(path).map_err(failed)?);
        let mut text = Vec::new();
        let mut is_head = true;
        while line(&mut input, &mut text).map_err(failed)?.is_some() {
            if !std::mem::take(&mut is_head) {
                it.line(&text)?;
            }
        }
    }
    if it.compared == 0 {
        return Err(CopyError::Nothing(dir.display().to_string(), reader.log_id().to_string()));
    }
    it.tell(report);
    Ok(())
}

impl Comparison<'_> {
    fn problem(&mut self, seq: u64, kind: &'static str, detail: String) {
        self.total += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(ReportedProblem { seq: Some(seq), kind, detail });
        }
    }

    fn line(&mut self, text: &[u8]) -> Result<(), StoreError> {
        if let Some(sealed) = checkpoint(text) {
            let note = sealed.note.as_ref().and_then(|note| Kept::parse_all(note.as_bytes(), &[]).ok());
            self.kept.extend(note.into_iter().flatten());
            return Ok(());
        }
        match parse_line(text) {
            Line::Entry { seq, body, leaf, .. } => {
                let prev = self.prev.filter(|_| seq == self.next);
                if prev.is_some_and(|prev| chain::leaf(&prev, &body) != leaf) {
                    self.altered.get_or_insert(seq);
                }
                self.entry(seq, Some(&body), leaf)?;
            }
            Line::LeafOnly { seq, leaf } => self.entry(seq, None, leaf)?,
            Line::Removed { seq, level, node, leaf } => {
                if seq < self.reader.tip().size && self.reader.subtree(level, seq >> level)?.is_some_and(|own| own != node) {
                    self.problem(seq, "rewritten", "what was removed here is another than in the copy".to_owned());
                }
                (self.next, self.prev) = (seq + (1 << level), if level == 0 { Some(node) } else { leaf });
                self.compared += 1;
            }
            Line::Malformed { .. } => {
                self.altered.get_or_insert(self.next);
                self.prev = None;
            }
        }
        Ok(())
    }

    fn entry(&mut self, seq: u64, body: Option<&[u8]>, leaf: Digest) -> Result<(), StoreError> {
        self.compared += 1;
        (self.next, self.prev) = (seq + 1, Some(leaf));
        let size = self.reader.tip().size;
        if seq >= size {
            if !std::mem::replace(&mut self.is_short, true) {
                self.problem(seq, "rolled_back", format!("the copy has this entry and the log ends before it, with {size} entries"));
            }
            return Ok(());
        }
        // Of one that was removed without its leaf being kept the tree speaks.
        let own = self.reader.leaf(seq)?;
        if own.is_some_and(|own| own != leaf) {
            let (is_own, detail) = self.differs(seq, body)?;
            // Of what comes behind an entry that was rewritten only the hash differs.
            if is_own || self.total == 0 {
                self.problem(seq, "rewritten", detail);
            }
        } else if self.suspects.contains(&seq) {
            let (_, detail) = self.differs(seq, body)?;
            self.notes.push(format!("entry {seq}: {detail}"));
        }
        Ok(())
    }

    /// Whether columns of its own differ, and which.
    fn differs(&self, seq: u64, body: Option<&[u8]>) -> Result<(bool, String), StoreError> {
        let mut source = self.reader.source(seq..seq + 1, &Filter::default(), false);
        let own = match source.next()? {
            Some(Item::Entry { body, .. }) => Some(body.to_vec()),
            _ => None,
        };
        let names = body.zip(own.as_deref()).map(|(theirs, own)| columns_that_differ(theirs, own)).unwrap_or_default();
        let detail = match names.as_slice() {
            [] => "the copy says the same of the entry itself, what differs is its hash, those before it, or its content".to_owned(),
            names => format!("the entry is another than in the copy: {}", names.join(", ")),
        };
        Ok((!names.is_empty(), detail))
    }

    fn tell(self, report: &mut Report) {
        report.notes.extend(self.notes);
        let newest = self.kept.iter().map(Kept::size).max().unwrap_or(0);
        report.notes.push(format!("held against a copy of {} entries, with checkpoints up to {newest}", self.next));
        if self.total > 0 {
            report.verdict = "broken";
            report.problems_total += self.total;
            report.problems.extend(self.problems);
            report.problems.sort_by_key(|problem| (problem.kind != "schema", problem.seq.unwrap_or(u64::MAX)));
            report.problems.truncate(MAX_PROBLEMS);
        } else if let Some(seq) = self.altered {
            report.notes.push(format!("the copy does not hold by itself at entry {seq}: it was altered"));
            if report.verdict == "intact" {
                report.verdict = "unreadable";
                report.error = Some(format!("the copy was altered at entry {seq}: what it says does not count"));
            }
        } else if report.verdict == "intact" {
            report.not_checked.retain(|what| *what != "rewrite" && *what != "rollback");
            report.level = if report.level == "chain" { "checkpoint" } else { report.level };
        }
    }
}

fn columns_that_differ(theirs: &[u8], own: &[u8]) -> Vec<&'static str> {
    let (Ok(a), Ok(b)) = (codec::decode(theirs), codec::decode(own)) else { return Vec::new() };
    let zero = Digest([0; 32]);
    let (mut pa, mut pb, mut ea, mut eb) = ([0; MAX_BODY], [0; MAX_BODY], [0; MAX_BODY], [0; MAX_BODY]);
    let fa = codec::encode_slots(&a.fields, &mut ea).unwrap_or_default();
    let fb = codec::encode_slots(&b.fields, &mut eb).unwrap_or_default();
    let (a, b) = (columns::row(&a, fa, &zero, &mut pa), columns::row(&b, fb, &zero, &mut pb));
    a.iter().zip(&b).zip(columns::NAMES).filter(|((a, b), _)| a != b).map(|(_, name)| *name).collect()
}
