//! Holding a log against its copy.
//!
//! ```text
//! copy: entry, entry, .., checkpoint of n   ->   each leaf against the log's; the tree of the copy against the log's at n
//! ```
//!
//! 1. The copy counts as far as it holds by itself: from where it lacks lines, or its checkpoints are not those of its entries,
//!    it was altered, and on its word nothing is intact and nothing is broken.
//! 2. The tree also speaks of entries that the log no longer has. A log gives the root at the size of every checkpoint it made.

use super::own::Own;
use super::{CopyError, checkpoint, head, line, open, snapshot};
use crate::checkpoints::Sealed;
use crate::export::{Line, frontier_at, parse_line};
use crate::removal::Rules;
use crate::store::{BLOCK, Reader, StoreError, columns};
use crate::verify::{Kept, Report, ReportedProblem};
use lowlight_core::entry::codec;
use lowlight_core::entry::{Kind, MAX_BODY};
use lowlight_core::source::Tombstones as _;
use lowlight_core::verify::MAX_PROBLEMS;
use lowlight_core::{Digest, Frontier, chain};
use std::fs::OpenOptions;
use std::io::{BufReader, Read as _};
use std::ops::Range;
use std::path::Path;

struct Comparison<'r> {
    reader: &'r Reader,
    own: Own<'r>,
    rules: Rules<'r>,
    problems: Vec<ReportedProblem>,
    total: u64,
    /// What is said by lines that do not vouch for themselves, until one behind them does.
    unproven: Vec<ReportedProblem>,
    /// Seq behind the last line, and the leaf there.
    next: u64,
    prev: Option<Digest>,
    /// The tree of the copy, while no line is missing; as it was at the last whole block, and what came since.
    tree: Option<Frontier>,
    blocks: Frontier,
    since: Vec<(u64, u8, Digest)>,
    /// Up to which size it was compared with the log's, and from which one on they differ; whether a checkpoint of the copy
    /// vouches for its tree there.
    held: u64,
    other_at: Option<u64>,
    is_other: bool,
    /// A checkpoint of the copy at whose size the log gives no root.
    not_given: Option<u64>,
    compared: u64,
    /// Where the copy does not hold by itself, and how.
    altered: Option<String>,
    /// Entries of the copy that the log ends before, and whether that is proven.
    behind: Option<Range<u64>>,
    is_behind: bool,
    /// Entries of the copy that the log lacks and no tombstone explains, runs of them.
    absent: Vec<Range<u64>>,
    /// Size of its newest checkpoint.
    sealed: u64,
    /// Entries that verification found something about.
    suspects: Vec<u64>,
    notes: Vec<String>,
}

/// Holds the log at `path` against the copy in `dir` and adds what differs to `report`, which is of the same log.
///
/// # Errors
///
/// [`CopyError`].
pub fn compare(path: &Path, dir: &Path, report: &mut Report) -> Result<(), CopyError> {
    let failed = |error| CopyError::Io(dir.display().to_string(), error);
    let log_id = Reader::open_for_all(path)?.log_id();
    // Before the log is opened: what is recorded and copied meanwhile is in both or in the log alone.
    let files = snapshot(dir, log_id).map_err(failed)?;
    let reader = &Reader::open_for_all(path)?;
    let mut it = Comparison::begin(reader, report)?;
    for (path, length) in files {
        let mut input = BufReader::with_capacity(64 << 10, open(&path, OpenOptions::new().read(true)).map_err(failed)?.take(length));
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
    it.tell(report)?;
    Ok(())
}

fn is_head(text: &[u8], reader: &Reader) -> bool {
    let first = serde_json::from_slice::<serde_json::Value>(text).ok().and_then(|object| object.get("first")?.as_u64());
    first.is_some_and(|first| head(reader.log_id(), first).as_bytes() == text)
}

impl<'r> Comparison<'r> {
    fn begin(reader: &'r Reader, report: &Report) -> Result<Self, StoreError> {
        Ok(Self {
            reader,
            own: Own::begin(reader, report.size())?,
            rules: Rules::read(Box::new(reader), reader.log_id())?,
            problems: Vec::new(),
            total: 0,
            unproven: Vec::new(),
            next: 0,
            prev: Some(reader.log_id().genesis()),
            tree: Some(Frontier::new()),
            blocks: Frontier::new(),
            since: Vec::new(),
            held: 0,
            other_at: None,
            is_other: false,
            not_given: None,
            compared: 0,
            altered: None,
            behind: None,
            is_behind: false,
            absent: Vec::new(),
            sealed: 0,
            suspects: report.problems.iter().filter_map(|problem| problem.seq).collect(),
            notes: Vec::new(),
        })
    }

    fn alter(&mut self, how: impl FnOnce() -> String) {
        self.altered.get_or_insert_with(how);
        self.unproven.clear();
        self.other_at = self.other_at.filter(|_| self.is_other);
    }

    /// Compares the tree of the copy with that of the log, where the log can still make it; whether it can.
    fn hold(&mut self) -> Result<bool, StoreError> {
        let Some(tree) = self.tree.as_ref().filter(|tree| (1..=self.reader.tip().size).contains(&tree.size())) else { return Ok(true) };
        let Some(own) = self.own.root_at(tree.size())? else { return Ok(false) };
        self.held = tree.size();
        if own != tree.root() && self.altered.is_none() {
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
        self.since.push((seq, level, node));
        self.grown_to(seq.saturating_add(1 << level))
    }

    fn grown_to(&mut self, next: u64) -> Result<(), StoreError> {
        self.next = next;
        if let Some(tree) = self.tree.as_ref().filter(|tree| tree.size().is_multiple_of(BLOCK)) {
            self.blocks.clone_from(tree);
            self.since.clear();
        }
        let size = self.reader.tip().size;
        if self.next > size {
            self.behind = Some(self.behind.as_ref().map_or(size, |behind| behind.start)..self.next);
        }
        if self.next == size {
            self.hold()?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, sealed: &Sealed) -> Result<(), StoreError> {
        self.sealed = self.sealed.max(sealed.size);
        let (size, root) = (sealed.size, sealed.root());
        let note = sealed.note.as_ref().map(|note| Kept::parse(note.as_bytes(), &[]));
        let fits = note.is_none_or(|note| note.is_ok_and(|note| note.size() == size && Some(*note.root()) == root));
        let is_at_end = self.tree.as_ref().is_some_and(|tree| tree.size() == size);
        let own = match &self.tree {
            Some(tree) if is_at_end => Some(tree.root()),
            Some(tree) if tree.size() < size => None,
            // It was written late.
            _ => frontier_at(self.reader, size)?.map_or(root, |tree| Some(tree.root())),
        };
        if !fits || own.is_none() || own != root {
            self.alter(|| format!("its checkpoint of {size} entries is not that of its entries"));
        }
        if !self.hold()? && is_at_end {
            self.not_given.get_or_insert(size);
        }
        if is_at_end && self.altered.is_none() {
            self.is_other = self.other_at.is_some();
            self.prove();
        }
        Ok(())
    }

    /// What the copy said before is tied to what it says now.
    fn prove(&mut self) {
        if self.altered.is_none() {
            self.is_behind |= self.behind.is_some();
            let proven = std::mem::take(&mut self.unproven);
            proven.into_iter().for_each(|problem| self.problem(problem));
        }
    }

    fn problem(&mut self, problem: ReportedProblem) {
        self.total += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    fn line(&mut self, text: &[u8]) -> Result<(), StoreError> {
        if let Some(sealed) = checkpoint(text) {
            return self.checkpoint(&sealed);
        }
        match parse_line(text) {
            Line::Entry { seq, kind, body, leaf, .. } if seq >= self.next => self.entry(seq, Some((kind, &body)), leaf),
            Line::LeafOnly { seq, leaf } if seq >= self.next => self.entry(seq, None, leaf),
            Line::Malformed { seq: Some(seq), leaf: Some(leaf), .. } if seq >= self.next => self.entry(seq, None, leaf),
            Line::Removed { seq, level, node, leaf } if seq.saturating_add(1 << level) > self.next => self.removed(seq, level, node, leaf),
            Line::Entry { seq, .. } | Line::LeafOnly { seq, .. } | Line::Removed { seq, .. } => {
                self.alter(|| format!("entry {seq} stands in it twice"));
                Ok(())
            }
            Line::Malformed { .. } => {
                let next = self.next;
                self.alter(|| format!("a line behind entry {} of it is none", next.saturating_sub(1)));
                self.prev = None;
                Ok(())
            }
        }
    }

    fn removed(&mut self, seq: u64, level: u8, node: Digest, leaf: Option<Digest>) -> Result<(), StoreError> {
        self.prev = if level == 0 { Some(node) } else { leaf };
        if seq >= self.next {
            return self.grow(seq, level, node);
        }
        // It was removed when a part of it was copied: what the copy has of that part is in its checkpoints.
        let end = seq.saturating_add(1 << level);
        self.compared += 1;
        self.since.retain(|(start, ..)| *start < seq);
        self.since.push((seq, level, node));
        let mut tree = self.blocks.clone();
        let fits = self.since.iter().all(|(_, level, node)| tree.push_subtree(*level, *node, |_, _, _| {}));
        self.tree = self.tree.take().filter(|_| fits && tree.size() == end).map(|_| tree);
        if self.tree.is_none() {
            self.alter(|| format!("its line about removed entries from {seq} on does not belong there"));
        }
        self.grown_to(end)
    }

    fn entry(&mut self, seq: u64, entry: Option<(Kind, &[u8])>, leaf: Digest) -> Result<(), StoreError> {
        let (prev, body) = (self.prev.filter(|_| seq == self.next), entry.map(|(_, body)| body));
        let gives = prev.zip(body).map(|(prev, body)| chain::leaf(&prev, body) == leaf);
        if gives == Some(false) {
            self.alter(|| format!("its entry {seq} does not give its hash"));
        }
        // Before the trees are compared, which goes behind it.
        let own = self.own.at(seq)?.filter(|piece| !piece.is_removed);
        let is_same = own.map(|own| own.hash == leaf);
        let is_asked = is_same == Some(false) || self.suspects.contains(&seq);
        let said = is_asked.then(|| differs(body, own.and_then(|own| own.body.as_deref())));
        self.grow(seq, 0, leaf)?;
        self.prev = Some(leaf);
        if gives == Some(true) {
            self.prove();
        }
        if seq >= self.reader.tip().size {
            return Ok(());
        }
        let Some(is_same) = is_same else { return self.absent(seq, entry.map(|(kind, _)| kind)) };
        let Some((is_own, detail)) = said else { return Ok(()) };
        if is_same {
            self.notes.push(format!("entry {seq}: {detail}"));
        } else if self.altered.is_none() && (is_own || self.total == 0) {
            // Of what comes behind an entry that was rewritten only the hash differs.
            let problem = ReportedProblem { seq: Some(seq), kind: "rewritten", detail };
            if gives == Some(true) { self.problem(problem) } else { self.unproven.push(problem) }
        }
        Ok(())
    }

    /// The log has no such entry. Of one that was removed, without its leaf being kept, the tree speaks.
    fn absent(&mut self, seq: u64, kind: Option<Kind>) -> Result<(), StoreError> {
        let stays = matches!(kind, Some(Kind::Open | Kind::Policy | Kind::KeyChange | Kind::Import | Kind::Unknown));
        if stays && self.altered.is_none() {
            let detail = "the copy has an entry here that is never removed, and the log has not".to_owned();
            self.problem(ReportedProblem { seq: Some(seq), kind: "rewritten", detail });
        }
        if let Some(run) = self.absent.last_mut().filter(|run| run.end == seq) {
            run.end += 1;
        } else if self.absent.len() < MAX_PROBLEMS && self.rules.absence(seq)?.explained_by.is_none() {
            self.absent.push(seq..seq + 1);
        }
        Ok(())
    }

    fn tell(mut self, report: &mut Report) -> Result<(), StoreError> {
        report.notes.append(&mut self.notes);
        for run in std::mem::take(&mut self.absent) {
            report.notes.push(format!("the log lacks {}, and the copy has them", entries(&run)));
        }
        if let Some(behind) = self.behind.clone().filter(|_| self.is_behind) {
            let size = self.reader.tip().size;
            let detail = format!("the log ends with {size} entries, and the copy has {} as well", entries(&behind));
            self.problem(ReportedProblem { seq: Some(behind.start), kind: "rolled_back", detail });
        }
        let behind = match report.size().saturating_sub(self.next) {
            0 => String::new(),
            behind => format!("; {behind} entries behind it are not in the copy"),
        };
        report.notes.push(format!("held against a copy of {} entries, with checkpoints up to {}{behind}", self.next, self.sealed));
        if let Some(how) = &self.altered {
            report.notes.push(format!("the copy was altered, and does not count from there on: {how}"));
        }
        self.judge(report)
    }

    fn judge(self, report: &mut Report) -> Result<(), StoreError> {
        let cannot_tell = |report: &mut Report, why: String| {
            if report.verdict == "intact" {
                report.verdict = "unreadable";
                report.error = Some(why);
            }
        };
        let root = self.own.finish()?.map(|root| root.to_string());
        if self.total > 0 {
            report.verdict = "broken";
            report.problems_total += self.total;
            report.problems.extend(self.problems);
            report.problems.sort_by_key(|problem| (problem.kind != "schema", problem.seq.unwrap_or(u64::MAX)));
            report.problems.truncate(MAX_PROBLEMS);
        } else if let Some(size) = self.other_at.filter(|_| self.is_other) {
            report.verdict = "broken";
            report.problems_total += 1;
            let detail = format!("the first {size} entries are others than in the copy, among those that were removed");
            report.problems.push(ReportedProblem { seq: None, kind: "rewritten", detail });
        } else if let Some(how) = self.altered {
            cannot_tell(report, format!("the copy was altered: {how}"));
        } else if let Some(size) = self.other_at {
            cannot_tell(report, format!("the first {size} entries are others than in the copy, by lines that prove nothing"));
        } else if let Some(behind) = self.behind {
            cannot_tell(report, format!("the copy goes on to {} entries, by lines that prove nothing", behind.end));
        } else if let Some(problem) = self.unproven.first() {
            let seq = problem.seq.unwrap_or_default();
            cannot_tell(report, format!("entry {seq} is another than in the copy, by lines that prove nothing"));
        } else if let Some(size) = self.not_given {
            let why = "which no log loses the root of that it made a checkpoint of";
            cannot_tell(report, format!("the copy has a checkpoint of {size} entries, and the log gives no root there, {why}"));
        } else if self.held == 0 {
            cannot_tell(report, "the log no longer has what the copy ends with: they cannot be compared".to_owned());
        } else if report.verdict == "intact" && root != report.root {
            cannot_tell(report, "the log is another than the one that was verified just before; verify it again".to_owned());
        } else if report.verdict == "intact" {
            let is_whole = self.held >= self.next.min(self.reader.tip().size);
            if !is_whole {
                report.notes.push(format!("of what was removed behind entry {} the log gives no tree to compare", self.held - 1));
            }
            report.not_checked.retain(|what| (*what != "rewrite" || !is_whole) && *what != "rollback");
            report.held = report.held.max(Some(self.held));
            report.level = if report.level == "chain" && is_whole { "checkpoint" } else { report.level };
        }
        Ok(())
    }
}

/// Whether columns of two bodies of an entry differ, and which.
fn differs(theirs: Option<&[u8]>, own: Option<&[u8]>) -> (bool, String) {
    let names = theirs.zip(own).map(|(theirs, own)| columns_that_differ(theirs, own)).unwrap_or_default();
    let detail = match names.as_slice() {
        [] => "the copy says the same of the entry itself, what differs is its hash, those before it, or its content".to_owned(),
        names => format!("the entry is another than in the copy: {}", names.join(", ")),
    };
    (!names.is_empty(), detail)
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
