//! Reading an export back for verification, line by line.

use super::line::{Line, Object, Opening, parse_object};
use super::{MAX_LINE, rules, unhex};
use crate::removal::Rules;
use crate::store::StoreError;
use crate::verify::{self, Against, Report};
use lowlight_core::entry::{FieldId, Kind};
use lowlight_core::source::{EntrySource, Item, Start, Tombstones};
use lowlight_core::tree::subtree_level;
use lowlight_core::verify::{MAX_PROBLEMS, Problem, ProblemKind, Verifier};
use lowlight_core::{Digest, FORMAT, Frontier, LogId};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::io::{BufRead, Read as _};

/// The first line of an export.
#[derive(Debug, Clone)]
pub(super) struct Preamble {
    pub(super) log_id: LogId,
    pub(super) size: u64,
    pub(super) root: Digest,
    first: u64,
    end: u64,
    frontier: Option<Frontier>,
    prev: Option<Digest>,
    right_edge: Vec<Digest>,
    pub(super) tombstones: Vec<Value>,
}

/// The last line of an export.
#[derive(Debug, Clone)]
struct Trailer {
    count: u64,
    digest: Digest,
    /// Problems that the log had when it was exported.
    problems: u64,
    /// Whether it verified then.
    is_broken: bool,
}

/// Entries of an export.
#[derive(Debug)]
pub struct ExportSource<R> {
    input: R,
    /// The form with brackets and commas.
    array: bool,
    digest: Sha256,
    line: Vec<u8>,
    count: u64,
    trailer: Option<Trailer>,
    /// Faults of the form that have no seq.
    faults: Vec<&'static str>,
    current: Option<Line>,
    /// Next opening of `current` to give out; `None` before the entry itself was given out.
    opening: Option<usize>,
    ended: bool,
    leaf_only: u64,
    rules: Option<Rules<'static>>,
    /// The preamble has entries of its own, and which of them count.
    has_rules: bool,
    known: Vec<u64>,
    /// Policies and key changes of the range that are not among them.
    unknown: Vec<(Kind, u64)>,
}

enum Read {
    Object(Option<Object>),
    End,
}

impl<R: BufRead> ExportSource<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            array: false,
            digest: Sha256::new(),
            line: Vec::new(),
            count: 0,
            trailer: None,
            faults: Vec::new(),
            current: None,
            opening: None,
            ended: false,
            leaf_only: 0,
            rules: None,
            has_rules: false,
            known: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Reads one line into `self.line`, without its newline; `false` at the end of the input.
    fn read_line(&mut self) -> Result<bool, StoreError> {
        self.line.clear();
        let limit = MAX_LINE as u64;
        let failed = |source| StoreError::from_io("export".as_ref(), source);
        let length = self.input.by_ref().take(limit).read_until(b'\n', &mut self.line).map_err(failed)?;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if length as u64 == limit {
            // The rest of a line that is too long is skipped in pieces; what is kept of it is not a JSON object.
            while self.input.fill_buf().map_err(failed)?.iter().all(|byte| *byte != b'\n') {
                let skipped = self.input.fill_buf().map_err(failed)?.len();
                if skipped == 0 {
                    break;
                }
                self.input.consume(skipped);
            }
            let rest = self.input.fill_buf().map_err(failed)?;
            let upto = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            self.input.consume(upto);
            self.line.truncate(1);
        }
        Ok(length > 0)
    }

    /// The preamble; `Err` with the reason when this is not an export.
    fn preamble(&mut self) -> Result<Result<Preamble, String>, StoreError> {
        if !self.read_line()? {
            return Ok(Err("the input is empty".to_owned()));
        }
        if self.line == b"[" {
            self.array = true;
            self.read_line()?;
            if self.line.pop() != Some(b',') {
                return Ok(Err("its first object is not followed by a comma".to_owned()));
            }
        }
        self.digest.update(&self.line);
        self.digest.update(b"\n");
        let object = serde_json::from_slice::<Object>(&self.line);
        Ok(object.map_err(|_| "its first line is not a JSON object".to_owned()).and_then(|object| Preamble::parse(&object)))
    }

    /// The next object before the trailer.
    fn read(&mut self) -> Result<Read, StoreError> {
        if self.ended {
            return Ok(Read::End);
        }
        if !self.read_line()? {
            self.ended = true;
            if self.array {
                self.faults.push("the array is not closed");
            }
            return Ok(Read::End);
        }
        if self.array && self.line == b"]" {
            self.ended = true;
            self.expect_nothing_more()?;
            return Ok(Read::End);
        }
        let comma = self.array && self.line.last() == Some(&b',');
        if comma {
            self.line.pop();
        }
        let object = serde_json::from_slice::<Object>(&self.line).ok();
        if let Some(trailer) = object.as_ref().and_then(Trailer::parse) {
            self.trailer = Some(trailer);
            self.ended = true;
            self.close_array(comma)?;
            return Ok(Read::End);
        }
        self.digest.update(&self.line);
        self.digest.update(b"\n");
        self.count += 1;
        let well_formed = !self.array || comma;
        Ok(Read::Object(object.filter(|_| well_formed)))
    }

    fn close_array(&mut self, comma: bool) -> Result<(), StoreError> {
        if self.array {
            if comma {
                self.faults.push("the last object of the array is followed by a comma");
            }
            if !self.read_line()? || self.line != b"]" {
                self.faults.push("the array is not closed");
            }
        }
        self.expect_nothing_more()
    }

    fn expect_nothing_more(&mut self) -> Result<(), StoreError> {
        if self.read_line()? {
            self.faults.push("there is something after the end of the export");
        }
        Ok(())
    }
}

impl Preamble {
    fn parse(object: &Object) -> Result<Self, String> {
        const KEYS: [&str; 11] =
            ["lowlight", "version", "log_id", "size", "root", "first", "end", "frontier", "prev", "right_edge", "asked"];
        let wrong = |what: &str| format!("its first line is not the preamble of an export ({what})");
        if object.get("lowlight").and_then(Value::as_str) != Some("export") {
            return Err(wrong("no \"lowlight\":\"export\""));
        }
        let number = |key| object.get(key).and_then(Value::as_u64).ok_or_else(|| wrong(key));
        let version = number("version")?;
        if version != u64::from(FORMAT) {
            return Err(format!("it is of export version {version}, this software reads version {FORMAT}; use a newer lowlight"));
        }
        if !object.0.iter().all(|(key, _)| KEYS.contains(&key.as_str()) || key == "tombstones") {
            return Err(wrong("an unknown key"));
        }
        let bytes = |key: &'static str| object.get(key).and_then(Value::as_str).and_then(unhex).ok_or_else(|| wrong(key));
        let digest = |value: &Value| value.as_str().and_then(unhex).and_then(|bytes| Digest::from_slice(&bytes));
        let hashes = |key: &'static str| {
            let list = object.get(key).and_then(Value::as_array).ok_or_else(|| wrong(key))?;
            list.iter().map(digest).collect::<Option<Vec<_>>>().ok_or_else(|| wrong(key))
        };
        let (size, first, end) = (number("size")?, number("first")?, number("end")?);
        let prev = object.get("prev").map(|value| digest(value).ok_or_else(|| wrong("prev"))).transpose()?;
        if size == 0 || size >= lowlight_core::entry::MAX_SIZE || first > end || end > size || (first == 0) == prev.is_some() {
            return Err(wrong("its range contradicts itself"));
        }
        let tombstones = object.get("tombstones").and_then(Value::as_array).filter(|_| object.get("asked").is_some_and(Value::is_object));
        let tombstones = tombstones.ok_or_else(|| wrong("asked or tombstones"))?.clone();
        Ok(Self {
            log_id: LogId(bytes("log_id")?.try_into().map_err(|_| wrong("log_id"))?),
            size,
            root: Digest::from_slice(&bytes("root")?).ok_or_else(|| wrong("root"))?,
            first,
            end,
            frontier: Frontier::from_hashes(first, hashes("frontier")?),
            prev,
            right_edge: hashes("right_edge")?,
            tombstones,
        })
    }

    /// Whether a frontier at `end` and the right edge give the stated root.
    fn gives_root(&self, mut tree: Frontier) -> bool {
        let mut hashes = self.right_edge.iter();
        while let Some(level) = subtree_level(tree.size(), self.size) {
            let Some(hash) = hashes.next() else { return false };
            if !tree.push_subtree(level, *hash, |_, _, _| {}) {
                return false;
            }
        }
        hashes.next().is_none() && tree.size() == self.size && tree.root() == self.root
    }
}

impl Trailer {
    fn parse(object: &Object) -> Option<Self> {
        const KEYS: [&str; 5] = ["lowlight", "count", "digest", "verdict", "problems_total"];
        let is_trailer = object.get("lowlight").and_then(Value::as_str) == Some("end") && object.has_only(&KEYS) && object.0.len() == 5;
        let verdict = object.get("verdict").and_then(Value::as_str)?;
        let problems = object.get("problems_total").and_then(Value::as_u64)?;
        let digest = object.get("digest").and_then(Value::as_str).and_then(unhex).and_then(|bytes| Digest::from_slice(&bytes))?;
        let count = object.get("count").and_then(Value::as_u64)?;
        (is_trailer && matches!(verdict, "intact" | "broken")).then_some(Self { count, digest, problems, is_broken: verdict == "broken" })
    }
}

impl<R: BufRead> EntrySource for ExportSource<R> {
    type Error = StoreError;

    fn next(&mut self) -> Result<Option<Item<'_>>, StoreError> {
        let more = match (&self.current, self.opening) {
            (Some(Line::Entry { openings, .. }), Some(next)) => next < openings.len(),
            (Some(_), None) => true,
            _ => false,
        };
        if !more {
            self.opening = None;
            self.current = match self.read()? {
                Read::End => return Ok(None),
                Read::Object(Some(object)) => Some(parse_object(&object)),
                Read::Object(None) => Some(Line::Malformed { seq: None, leaf: None, why: "the line is not a JSON object of an export" }),
            };
        }
        let place = self.opening;
        self.leaf_only += u64::from(place.is_none() && matches!(self.current, Some(Line::LeafOnly { .. })));
        self.opening = Some(place.map_or(0, |place| place + 1));
        if let (Some(Line::Entry { seq, kind, .. }), None) = (&self.current, place)
            && (*kind == Kind::KeyChange || (*kind == Kind::Policy && self.has_rules))
            && !self.known.contains(seq)
            && self.unknown.len() < MAX_PROBLEMS
        {
            self.unknown.push((*kind, *seq));
        }
        Ok(self.current.as_ref().and_then(|line| item(line, place)))
    }

    fn tombstones(&mut self) -> Option<&mut dyn Tombstones<Error = StoreError>> {
        self.rules.as_mut().map(|rules| rules as _)
    }
}

fn item(line: &Line, place: Option<usize>) -> Option<Item<'_>> {
    match (line, place) {
        (Line::Entry { seq, body, leaf, .. }, None) => Some(Item::Entry { seq: *seq, body, leaf: *leaf, facts: None }),
        (Line::Entry { seq, openings, .. }, Some(place)) => {
            let Opening { field, salt, value } = openings.get(place)?;
            let field: FieldId = *field;
            Some(Item::Content { seq: *seq, field, salt: *salt, value: value.as_deref().map(str::as_bytes) })
        }
        (Line::LeafOnly { seq, leaf }, _) => Some(Item::LeafOnly { seq: *seq, leaf: *leaf }),
        (Line::Removed { seq, level, node, leaf }, _) => Some(Item::Removed { seq: *seq, level: *level, node: *node, leaf: *leaf }),
        (Line::Malformed { seq, leaf, why }, _) => Some(Item::Malformed { seq: *seq, leaf: *leaf, why }),
    }
}

/// Verifies an export.
pub fn verify_export<R: BufRead>(input: R) -> Report {
    verify_export_with(input, Against::default(), &mut |_, _| {})
}

/// Verifies an export, also against the checkpoints in `against`; `progress` is told the seq after every entry, and the end.
pub fn verify_export_with<R: BufRead>(input: R, mut against: Against<'_>, progress: &mut dyn FnMut(u64, u64)) -> Report {
    let mut source = ExportSource::new(input);
    let preamble = match source.preamble() {
        Ok(Ok(preamble)) => preamble,
        Ok(Err(why)) => {
            return Report::unreadable(format!(
                "not a lowlight export: {why} (a checkpoint is given with --checkpoint, a proof as a file)"
            ));
        }
        Err(error) => return Report::unreadable(error),
    };
    let start = Start {
        log_id: preamble.log_id,
        first: preamble.first,
        prev: preamble.prev,
        frontier: preamble.frontier.clone().unwrap_or_default(),
        tip: None,
        end: Some(preamble.end),
    };
    let end = preamble.end;
    let mut proved = false;
    let mut found = against.begin(preamble.log_id);
    match rules::read(&preamble, &mut found) {
        Ok(Some((rules, known))) => {
            source.rules = Some(rules);
            source.known = known;
            source.has_rules = !preamble.tombstones.is_empty();
        }
        Ok(None) => return Report::unreadable("not a lowlight export: its first line is not the preamble of an export (tombstones)"),
        Err(error) => return Report::unreadable(error),
    }
    let shared = RefCell::new(&mut against);
    let mut look = |verifier: &mut Verifier<MAX_PROBLEMS>| {
        progress(verifier.expected(), end);
        shared.borrow_mut().look(verifier)
    };
    let mut report = verify::run(start, &mut source, found, &mut look, &mut |source, verifier| {
        if source.trailer.is_some() {
            verifier.absent_until(source, preamble.end)?;
        }
        proved = at_end(&preamble, source, verifier);
        let in_range = |problem: &&Problem| problem.seq.is_some_and(|seq| (preamble.first..preamble.end).contains(&seq));
        let problems = source.rules.iter().flat_map(Rules::problems).filter(in_range);
        problems.for_each(|problem| verifier.add_problem(*problem));
        source.unknown.iter().for_each(|(kind, seq)| verifier.add_problem(rules::absent(*kind, *seq)));
        shared.borrow_mut().end_of_export(preamble.size, proved.then_some(preamble.root), verifier);
        Ok(())
    });
    against.tell(&mut report);
    report.log = Some(preamble.log_id.to_string());
    // The root is that of the whole log, of which the export may hold a part.
    report.root = proved.then(|| preamble.root.to_string());
    tell_holds(&preamble, &source, &mut report);
    report
}

/// What the export holds, and what it cannot show.
fn tell_holds<R: BufRead>(preamble: &Preamble, source: &ExportSource<R>, report: &mut Report) {
    if preamble.end - preamble.first < preamble.size {
        let range = if preamble.first == preamble.end {
            "no entry".to_owned()
        } else {
            format!("entries {} to {}", preamble.first, preamble.end - 1)
        };
        let all = if source.leaf_only == 0 && report.gaps_total == 0 && report.entries > 0 { ", all of them," } else { "" };
        report.notes.push(format!("this export holds {range}{all} of a log of {}; of the others it shows nothing", preamble.size));
    }
    if let Some(trailer) = source.trailer.as_ref().filter(|trailer| trailer.is_broken) {
        report.notes.push(format!("the log had {} problems when this was exported; verify the log itself to see them", trailer.problems));
    }
    if source.leaf_only > 0 {
        report
            .notes
            .push(format!("{} entries of the range are here as leaves only; what they say is not in this export, so it cannot show that none of them was asked for", source.leaf_only));
    }
}

/// What the trailer and the root say, once all lines were read; `true` when the entries give the stated root.
fn at_end<R: BufRead>(preamble: &Preamble, source: &mut ExportSource<R>, verifier: &mut Verifier<MAX_PROBLEMS>) -> bool {
    let expected = verifier.expected();
    let at = |seq, kind, detail| Problem { seq, kind, detail, span: 1 };
    match &source.trailer {
        None => verifier.add_problem(at(Some(expected), ProblemKind::Truncated, "the export ends before its trailer")),
        Some(trailer) => {
            let digest = Digest(std::mem::take(&mut source.digest).finalize().into());
            if trailer.count != source.count {
                verifier.add_problem(at(None, ProblemKind::RootMismatch, "the trailer counts other lines than there are"));
            } else if trailer.digest != digest {
                verifier.add_problem(at(None, ProblemKind::RootMismatch, "the digest in the trailer is not that of the lines"));
            }
            if trailer.is_broken {
                verifier.add_problem(at(None, ProblemKind::Broken, "the log did not verify when it was exported"));
            }
        }
    }
    for fault in &source.faults {
        verifier.add_problem(at(None, ProblemKind::Malformed, fault));
    }
    let complete = expected == preamble.end && source.trailer.is_some();
    let gives_root = preamble.frontier.is_some() && preamble.gives_root(verifier.frontier().clone());
    if preamble.frontier.is_none() || (complete && verifier.is_sound() && !gives_root) {
        verifier.add_problem(at(None, ProblemKind::RootMismatch, "the entries do not give the root that the export states"));
    }
    complete && verifier.is_sound() && gives_root
}
