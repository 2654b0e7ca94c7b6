//! Holding a log against its copy.
//!
//! ```text
//! copy: entry, entry, .., checkpoint of n   ->   each leaf against the log's; the tree of the copy against the log's at n
//! ```
//!
//! 1. The copy counts as far as it holds by itself: where it lacks lines, or its checkpoints are not those of its entries, it was
//!    altered, and nothing is intact on its word.
//! 2. The tree also speaks of entries that the log no longer has.

use super::{CopyError, checkpoint, files, head, line, open};
use crate::checkpoints::Sealed;
use crate::export::{Line, frontier_at, parse_line};
use crate::store::{Filter, Reader, StoreError, columns};
use crate::verify::{Kept, Report, ReportedProblem};
use lowlight_core::entry::MAX_BODY;
use lowlight_core::entry::codec;
use lowlight_core::source::{EntrySource as _, Item};
use lowlight_core::verify::MAX_PROBLEMS;
use lowlight_core::{Digest, Frontier, chain};
use std::fs::OpenOptions;
use std::io::BufReader;
use std::path::Path;

struct Comparison<'r> {
    reader: &'r Reader,
    problems: Vec<ReportedProblem>,
    total: u64,
    /// Seq behind the last line, and the leaf there.
    next: u64,
    prev: Option<Digest>,
    /// The tree of the copy, while no line is missing.
    tree: Option<Frontier>,
    /// Up to which size it was compared with the log's, and from which one on they differ.
    held: u64,
    other_at: Option<u64>,
    compared: u64,
    /// Where the copy does not hold by itself, and how.
    altered: Option<String>,
    is_short: bool,
    /// Size of its newest checkpoint.
    sealed: u64,
    /// Entries that verification found something about.
    suspects: Vec<u64>,
    notes: Vec<String>,
}

/// Holds the log against the copy in `dir` and adds what differs to `report`.
///
/// # Errors
///
/// [`CopyError`].
pub fn compare(reader: &Reader, dir: &Path, report: &mut Report) -> Result<(), CopyError> {
    let failed = |error| CopyError::Io(dir.display().to_string(), error);
    let files = files(dir, reader.log_id()).map_err(failed)?;
    let mut it = Comparison {
        reader,
        problems: Vec::new(),
        total: 0,
        next: 0,
        prev: Some(reader.log_id().genesis()),
        tree: Some(Frontier::new()),
        held: 0,
        other_at: None,
        compared: 0,
        altered: None,
        is_short: false,
        sealed: 0,
        suspects: report.problems.iter().filter_map(|problem| problem.seq).collect(),
        notes: Vec::new(),
    };
    for (_, path) in &files {
        let file = open(path, OpenOptions::new().read(true)).map_err(failed)?;
        let mut input = BufReader::with_capacity(64 << 10, file);
        let mut text = Vec::new();
        if line(&mut input, &mut text).map_err(failed)?.is_some() && !is_head(&text, reader) {
            it.alter(|| format!("{} does not begin as a file of this copy", path.display()));
        }
        while line(&mut input, &mut text).map_err(failed)?.is_some() {
            it.line(&text)?;
        }
    }
    if it.compared == 0 {
        return Err(CopyError::Nothing(dir.display().to_string(), reader.log_id().to_string()));
    }
    it.hold()?;
    it.tell(report);
    Ok(())
}

fn is_head(text: &[u8], reader: &Reader) -> bool {
    let first = serde_json::from_slice::<serde_json::Value>(text).ok().and_then(|object| object.get("first")?.as_u64());
    first.is_some_and(|first| head(reader.log_id(), first).as_bytes() == text)
}

impl Comparison<'_> {
    fn alter(&mut self, how: impl FnOnce() -> String) {
        self.altered.get_or_insert_with(how);
    }

    /// Compares the tree of the copy with that of the log, where the log can still make it.
    fn hold(&mut self) -> Result<(), StoreError> {
        let Some(tree) = self.tree.as_ref().filter(|tree| (1..=self.reader.tip().size).contains(&tree.size())) else { return Ok(()) };
        if let Some(own) = frontier_at(self.reader, tree.size())? {
            self.held = tree.size();
            if own.root() != tree.root() {
                self.other_at.get_or_insert(self.held);
            }
        }
        Ok(())
    }

    /// The line is one of `count` entries from `seq` on, under `node`: whether it is the next.
    fn grow(&mut self, seq: u64, level: u8, node: Digest) -> Result<(), StoreError> {
        self.compared += 1;
        if seq > self.next {
            let next = self.next;
            self.alter(|| format!("entries {next} to {} are missing in it", seq - 1));
            self.tree = None;
        }
        // What stands twice is compared twice and counts once.
        if seq >= self.next {
            self.tree = self.tree.take().and_then(|mut tree| tree.push_subtree(level, node, |_, _, _| {}).then_some(tree));
            self.next = seq.saturating_add(1 << level);
            if self.next == self.reader.tip().size {
                self.hold()?;
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, sealed: &Sealed) -> Result<(), StoreError> {
        self.sealed = self.sealed.max(sealed.size);
        let (size, root) = (sealed.size, sealed.root());
        let note = sealed.note.as_ref().map(|note| Kept::parse(note.as_bytes(), &[]));
        let fits = note.is_none_or(|note| note.is_ok_and(|note| note.size() == size && Some(*note.root()) == root));
        let own = match &self.tree {
            Some(tree) if tree.size() == size => Some(tree.root()),
            Some(tree) if tree.size() < size => None,
            // It was written late.
            _ => frontier_at(self.reader, size)?.map_or(root, |tree| Some(tree.root())),
        };
        if !fits || own.is_none() || own != root {
            self.alter(|| format!("its checkpoint of {size} entries is not that of its entries"));
        }
        self.hold()
    }

    fn problem(&mut self, seq: u64, kind: &'static str, detail: String) {
        self.total += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(ReportedProblem { seq: Some(seq), kind, detail });
        }
    }

    fn line(&mut self, text: &[u8]) -> Result<(), StoreError> {
        if let Some(sealed) = checkpoint(text) {
            return self.checkpoint(&sealed);
        }
        match parse_line(text) {
            Line::Entry { seq, body, leaf, .. } => {
                let prev = self.prev.filter(|_| seq == self.next);
                if prev.is_some_and(|prev| chain::leaf(&prev, &body) != leaf) {
                    self.alter(|| format!("its entry {seq} does not give its hash"));
                }
                self.entry(seq, Some(&body), leaf)?;
            }
            Line::LeafOnly { seq, leaf } | Line::Malformed { seq: Some(seq), leaf: Some(leaf), .. } => self.entry(seq, None, leaf)?,
            Line::Removed { seq, level, node, leaf } => {
                if seq < self.reader.tip().size && self.reader.subtree(level, seq >> level)?.is_some_and(|own| own != node) {
                    self.problem(seq, "rewritten", "what was removed here is another than in the copy".to_owned());
                }
                self.grow(seq, level, node)?;
                self.prev = if level == 0 { Some(node) } else { leaf };
            }
            Line::Malformed { .. } => {
                let next = self.next;
                self.alter(|| format!("a line behind entry {} of it is none", next.saturating_sub(1)));
                self.prev = None;
            }
        }
        Ok(())
    }

    fn entry(&mut self, seq: u64, body: Option<&[u8]>, leaf: Digest) -> Result<(), StoreError> {
        self.grow(seq, 0, leaf)?;
        self.prev = Some(leaf);
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
        let behind = match report.last_seq.map_or(0, |last| last + 1).saturating_sub(self.next) {
            0 => String::new(),
            behind => format!("; {behind} entries behind it are not in the copy"),
        };
        report.notes.push(format!("held against a copy of {} entries, with checkpoints up to {}{behind}", self.next, self.sealed));
        if self.total > 0 {
            report.verdict = "broken";
            report.problems_total += self.total;
            report.problems.extend(self.problems);
            report.problems.sort_by_key(|problem| (problem.kind != "schema", problem.seq.unwrap_or(u64::MAX)));
            report.problems.truncate(MAX_PROBLEMS);
        } else if let Some(size) = self.other_at {
            report.verdict = "broken";
            report.problems_total += 1;
            let detail = format!("the first {size} entries are others than in the copy, among those that were removed");
            report.problems.push(ReportedProblem { seq: None, kind: "rewritten", detail });
        } else if let Some(how) = self.altered {
            report.notes.push(format!("the copy was altered: {how}"));
            if report.verdict == "intact" {
                report.verdict = "unreadable";
                report.error = Some(format!("the copy was altered: {how}; what it says does not count"));
            }
        } else if self.held == 0 {
            if report.verdict == "intact" {
                report.verdict = "unreadable";
                report.error = Some("the log no longer has what the copy ends with: they cannot be compared".to_owned());
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
