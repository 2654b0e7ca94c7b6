//! Holding a log against its copy.
//!
//! ```text
//! copy: entry, entry, .., checkpoint of n   ->   each leaf against the log's; the tree of the copy against the log's at n
//! ```
//!
//! 1. The copy counts as far as it holds by itself: from where it lacks lines, or its checkpoints are not those of its entries,
//!    it was altered, and on its word nothing is intact and nothing is broken.
//! 2. The tree also speaks of entries that the log no longer has. A log gives the root at the size of every checkpoint it made.

use super::{CopyError, checkpoint, head, line, open_all};
use crate::checkpoints::Sealed;
use crate::export::{Line, frontier_at, parse_line};
use crate::store::{BLOCK, Filter, Reader, StoreError, columns};
use crate::verify::{Kept, Report, ReportedProblem};
use lowlight_core::entry::codec;
use lowlight_core::entry::{Kind, MAX_BODY};
use lowlight_core::source::{EntrySource as _, Item};
use lowlight_core::verify::MAX_PROBLEMS;
use lowlight_core::{Digest, Frontier, chain};
use std::ops::Range;
use std::path::Path;

struct Comparison<'r> {
    reader: &'r Reader,
    problems: Vec<ReportedProblem>,
    total: u64,
    /// Seq behind the last line, and the leaf there.
    next: u64,
    prev: Option<Digest>,
    /// The tree of the copy, while no line is missing, and as it was at the last whole block.
    tree: Option<Frontier>,
    blocks: Frontier,
    /// Up to which size it was compared with the log's, and from which one on they differ.
    held: u64,
    other_at: Option<u64>,
    /// A checkpoint of the copy at whose size the log gives no root.
    not_given: Option<u64>,
    compared: u64,
    /// Where the copy does not hold by itself, and how.
    altered: Option<String>,
    /// Entries of the copy that the log ends before.
    behind: Option<Range<u64>>,
    /// Entries of the copy that the log lacks and no tombstone explains, runs of them.
    absent: Vec<Range<u64>>,
    /// Size of its newest checkpoint.
    sealed: u64,
    /// Entries that verification found something about.
    suspects: Vec<u64>,
    notes: Vec<String>,
}

/// Holds the log at `path` against the copy in `dir` and adds what differs to `report`.
///
/// # Errors
///
/// [`CopyError`].
pub fn compare(path: &Path, dir: &Path, report: &mut Report) -> Result<(), CopyError> {
    let failed = |error| CopyError::Io(dir.display().to_string(), error);
    let log_id = Reader::open_for_all(path)?.log_id();
    // Before the log is opened: what is recorded and copied meanwhile is in both or in the log alone.
    let files = open_all(dir, log_id).map_err(failed)?;
    let reader = &Reader::open_for_all(path)?;
    let mut it = Comparison {
        reader,
        problems: Vec::new(),
        total: 0,
        next: 0,
        prev: Some(log_id.genesis()),
        tree: Some(Frontier::new()),
        blocks: Frontier::new(),
        held: 0,
        other_at: None,
        not_given: None,
        compared: 0,
        altered: None,
        behind: None,
        absent: Vec::new(),
        sealed: 0,
        suspects: report.problems.iter().filter_map(|problem| problem.seq).collect(),
        notes: Vec::new(),
    };
    for (path, mut input) in files {
        let mut text = Vec::new();
        if line(&mut input, &mut text).map_err(failed)?.is_some() && !is_head(&text, reader) {
            it.alter(|| format!("{} does not begin as a file of this copy", path.display()));
        }
        while line(&mut input, &mut text).map_err(failed)?.is_some() {
            it.line(&text)?;
        }
    }
    if it.compared == 0 {
        return Err(CopyError::Nothing(dir.display().to_string(), log_id.to_string()));
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

    /// Compares the tree of the copy with that of the log, where the log can still make it; whether it can.
    fn hold(&mut self) -> Result<bool, StoreError> {
        let Some(tree) = self.tree.as_ref().filter(|tree| (1..=self.reader.tip().size).contains(&tree.size())) else { return Ok(true) };
        let Some(own) = frontier_at(self.reader, tree.size())? else { return Ok(false) };
        self.held = tree.size();
        if own.root() != tree.root() && self.altered.is_none() {
            self.other_at.get_or_insert(self.held);
        }
        Ok(true)
    }

    /// Adds a node over entries from `seq` on, which is not before the end of the copy so far.
    fn grow(&mut self, seq: u64, level: u8, node: Digest) -> Result<(), StoreError> {
        self.compared += 1;
        if seq > self.next {
            let next = self.next;
            self.alter(|| format!("entries {next} to {} are missing in it", seq - 1));
            self.tree = None;
        }
        self.tree = self.tree.take().and_then(|mut tree| tree.push_subtree(level, node, |_, _, _| {}).then_some(tree));
        self.grown_to(seq.saturating_add(1 << level))
    }

    fn grown_to(&mut self, next: u64) -> Result<(), StoreError> {
        self.next = next;
        if let Some(tree) = self.tree.as_ref().filter(|tree| tree.size().is_multiple_of(BLOCK)) {
            self.blocks.clone_from(tree);
        }
        if self.next == self.reader.tip().size {
            self.hold()?;
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
        if !self.hold()? && self.tree.as_ref().is_some_and(|tree| tree.size() == size) {
            self.not_given.get_or_insert(size);
        }
        Ok(())
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
            // What stands twice counts once.
            Line::Entry { seq, .. } | Line::LeafOnly { seq, .. } if seq < self.next => Ok(()),
            Line::Entry { seq, kind, body, leaf, .. } => {
                let prev = self.prev.filter(|_| seq == self.next);
                if prev.is_some_and(|prev| chain::leaf(&prev, &body) != leaf) {
                    self.alter(|| format!("its entry {seq} does not give its hash"));
                }
                self.entry(seq, Some((kind, &body)), leaf)
            }
            Line::LeafOnly { seq, leaf } => self.entry(seq, None, leaf),
            Line::Malformed { seq: Some(seq), leaf: Some(leaf), .. } if seq >= self.next => self.entry(seq, None, leaf),
            Line::Removed { seq, level, node, leaf } => self.removed(seq, level, node, leaf),
            Line::Malformed { .. } => {
                let next = self.next;
                self.alter(|| format!("a line behind entry {} of it is none", next.saturating_sub(1)));
                self.prev = None;
                Ok(())
            }
        }
    }

    fn removed(&mut self, seq: u64, level: u8, node: Digest, leaf: Option<Digest>) -> Result<(), StoreError> {
        let end = seq.saturating_add(1 << level);
        if end <= self.next {
            return Ok(());
        }
        let own = if end <= self.reader.tip().size { self.reader.subtree(level, seq >> level)? } else { None };
        if own.is_some_and(|own| own != node) && self.altered.is_none() {
            self.problem(seq, "rewritten", "what was removed here is another than in the copy".to_owned());
        }
        self.prev = if level == 0 { Some(node) } else { leaf };
        if seq >= self.next {
            return self.grow(seq, level, node);
        }
        // The rest of a block that was removed before it was copied: what the copy has of it is in its checkpoints.
        self.compared += 1;
        let mut tree = self.blocks.clone();
        self.tree = self.tree.take().and_then(|_| (tree.size() == seq && tree.push_subtree(level, node, |_, _, _| {})).then_some(tree));
        if self.tree.is_none() {
            self.alter(|| format!("its line about removed entries from {seq} on does not belong there"));
        }
        self.grown_to(end)
    }

    fn entry(&mut self, seq: u64, entry: Option<(Kind, &[u8])>, leaf: Digest) -> Result<(), StoreError> {
        self.grow(seq, 0, leaf)?;
        self.prev = Some(leaf);
        let size = self.reader.tip().size;
        let (counts, body) = (self.altered.is_none(), entry.map(|(_, body)| body));
        if seq >= size {
            // On the word of a copy that was altered nobody was rolled back.
            if counts {
                self.behind = Some(self.behind.as_ref().map_or(seq, |behind| behind.start)..seq + 1);
            }
            return Ok(());
        }
        let Some(own) = self.reader.leaf(seq)? else { return self.absent(seq, entry.map(|(kind, _)| kind)) };
        if own != leaf {
            let (is_own, detail) = self.differs(seq, body)?;
            // Of what comes behind an entry that was rewritten only the hash differs.
            if counts && (is_own || self.total == 0) {
                self.problem(seq, "rewritten", detail);
            }
        } else if self.suspects.contains(&seq) {
            let (_, detail) = self.differs(seq, body)?;
            self.notes.push(format!("entry {seq}: {detail}"));
        }
        Ok(())
    }

    /// The log has no such entry. Of one that was removed, without its leaf being kept, the tree speaks.
    fn absent(&mut self, seq: u64, kind: Option<Kind>) -> Result<(), StoreError> {
        let stays = matches!(kind, Some(Kind::Open | Kind::Policy | Kind::KeyChange | Kind::Import | Kind::Unknown));
        if stays && self.altered.is_none() {
            self.problem(seq, "rewritten", "the copy has an entry here that is never removed, and the log has not".to_owned());
        }
        if let Some(run) = self.absent.last_mut().filter(|run| run.end == seq) {
            run.end += 1;
        } else if self.absent.len() < MAX_PROBLEMS && self.reader.removed_by(seq)?.is_none() {
            self.absent.push(seq..seq + 1);
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

    fn tell(mut self, report: &mut Report) {
        report.notes.append(&mut self.notes);
        for run in std::mem::take(&mut self.absent) {
            report.notes.push(format!("the log lacks {}, and the copy has them", entries(&run)));
        }
        if let Some(behind) = self.behind.clone() {
            let size = self.reader.tip().size;
            let detail = format!("the log ends with {size} entries, and the copy has {} as well", entries(&behind));
            self.problem(behind.start, "rolled_back", detail);
        }
        let behind = match report.last_seq.map_or(0, |last| last + 1).saturating_sub(self.next) {
            0 => String::new(),
            behind => format!("; {behind} entries behind it are not in the copy"),
        };
        report.notes.push(format!("held against a copy of {} entries, with checkpoints up to {}{behind}", self.next, self.sealed));
        if let Some(how) = &self.altered {
            report.notes.push(format!("the copy was altered, and does not count from there on: {how}"));
        }
        self.judge(report);
    }

    fn judge(self, report: &mut Report) {
        let cannot_tell = |report: &mut Report, why: String| {
            if report.verdict == "intact" {
                report.verdict = "unreadable";
                report.error = Some(why);
            }
        };
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
            cannot_tell(report, format!("the copy was altered: {how}"));
        } else if let Some(size) = self.not_given {
            let why = "which no log loses the root of that it made a checkpoint of";
            cannot_tell(report, format!("the copy has a checkpoint of {size} entries, and the log gives no root there, {why}"));
        } else if self.held == 0 {
            cannot_tell(report, "the log no longer has what the copy ends with: they cannot be compared".to_owned());
        } else if report.verdict == "intact" {
            let is_whole = self.held >= self.next.min(self.reader.tip().size);
            if !is_whole {
                report.notes.push(format!("of what was removed behind entry {} the log gives no tree to compare", self.held - 1));
            }
            report.not_checked.retain(|what| (*what != "rewrite" || !is_whole) && *what != "rollback");
            report.level = if report.level == "chain" && is_whole { "checkpoint" } else { report.level };
        }
    }
}

fn entries(run: &Range<u64>) -> String {
    if run.end - run.start == 1 { format!("entry {}", run.start) } else { format!("entries {} to {}", run.start, run.end - 1) }
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
