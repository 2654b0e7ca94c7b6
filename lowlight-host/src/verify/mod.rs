//! Verification of logs and exports on the host: opens the source, runs the shared verifier, makes the report.
//!
//! 1. The rules are the core's; this module only adds what a database or a file can show beyond entries.
//! 2. A fault that was found stays found when reading breaks off later.

mod against;
mod policy;

pub use against::{Against, Kept, Place};
pub use policy::{VerifyPolicy, Vetted};

use crate::checkpoints::{Checkpoints, newest_witnessed};
use crate::export;
use crate::import::{DeviceReport, verify_devices};
use crate::removal::Rules;
use crate::store::{Ahead, AtEnd, DbSource, Reader, StoreError};
use lowlight_core::source::{Item, Start, StoredNode, Tombstones};
use lowlight_core::verify::{MAX_PROBLEMS, Problem, ProblemKind, Verifier};
use lowlight_core::{EntrySource, Frontier};
use serde::Serialize;
use std::cell::RefCell;
use std::path::Path;

/// A verdict with all that a person or a program needs to act on it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `intact`, `broken` or `unreadable`.
    pub verdict: &'static str,
    /// Entries seen.
    pub entries: u64,
    /// Those a user wrote.
    pub records: u64,
    /// First seq seen.
    pub first_seq: Option<u64>,
    /// Last seq seen.
    pub last_seq: Option<u64>,
    /// Root over all entries, hex; absent when the tree could not be rebuilt.
    pub root: Option<String>,
    /// At most 100 problems, earliest first.
    pub problems: Vec<ReportedProblem>,
    /// How many there were.
    pub problems_total: u64,
    /// Runs of entries that are gone and that tombstones explain: the first 100.
    pub gaps: Vec<Gap>,
    /// How many there were.
    pub gaps_total: u64,
    /// Entries that are gone and contents that are gone of others, as tombstones explain.
    pub erased: u64,
    /// Entries of which something is still there that is to go.
    pub pending_erase: u64,
    /// How far the evidence goes.
    pub level: &'static str,
    /// What this verification could not know.
    pub not_checked: Vec<&'static str>,
    /// Entries up to the newest of the log's own checkpoints that they agree with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<u64>,
    /// Entries up to the newest of them that a witness has cosigned, as the log's directory says; its signature was not checked
    /// unless a policy or a key asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<u64>,
    /// Entries up to the newest size at which it was held against something kept elsewhere, a copy or a policy, and agrees. What
    /// [`Self::not_checked`] does not list was checked up to there, and no further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// The entry that a proof is about, with the fields it opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<serde_json::Value>,
    /// Entries of a later version or kind.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_understood: u64,
    /// Things worth knowing that are not faults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Id of the log, hex, as what was verified names it.
    #[serde(skip)]
    pub log: Option<String>,
    /// The logs of devices that were taken in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceReport>,
    /// Why the verdict is `unreadable`, or why reading stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether reading stopped because the database itself is damaged.
    #[serde(skip)]
    pub is_damaged: bool,
}

/// One problem, in words.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "as in the JSON verdict of docs/format.md")]
pub struct ReportedProblem {
    pub seq: Option<u64>,
    pub kind: &'static str,
    pub detail: String,
}

/// A run of entries that a tombstone explains.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "as in the JSON verdict of docs/format.md")]
pub struct Gap {
    pub first: u64,
    pub last: u64,
    pub explained_by: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

type Verdict = lowlight_core::Verdict<MAX_PROBLEMS>;

impl Report {
    /// The exit code that goes with the verdict: 0 intact, 1 broken, 2 could not tell.
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            "intact" => 0,
            "broken" => 1,
            _ => 2,
        }
    }

    /// The first problem in one line.
    pub fn first_problem(&self) -> Option<String> {
        let problem = self.problems.first()?;
        let place = problem.seq.map_or_else(|| "log".to_owned(), |seq| format!("entry {seq}"));
        Some(format!("{place}: {}: {}", problem.kind, problem.detail))
    }

    fn from_verdict(verdict: &Verdict, error: Option<String>) -> Self {
        let problems = verdict.problems.kept().iter().map(ReportedProblem::new).collect();
        let name = match (verdict.is_intact(), &error) {
            (false, _) => "broken",
            (true, None) => "intact",
            (true, Some(_)) => "unreadable",
        };
        Self {
            verdict: name,
            entries: verdict.entries,
            records: verdict.records,
            first_seq: verdict.first_seq,
            last_seq: verdict.last_seq,
            root: verdict.root.map(|root| root.to_string()),
            problems,
            problems_total: verdict.problems.total(),
            gaps: verdict.gaps.iter().map(|gap| Gap { first: gap.first, last: gap.last, explained_by: gap.explained_by }).collect(),
            gaps_total: verdict.gaps_total,
            erased: verdict.removed + verdict.erased,
            pending_erase: verdict.pending,
            level: "chain",
            // Without a checkpoint kept elsewhere a chain shows none of these, however honest the log.
            not_checked: ["tail", "rewrite", "rollback"].into_iter().chain((verdict.removed > 0).then_some("retention_age")).collect(),
            sealed: None,
            witnessed: None,
            held: None,
            entry: None,
            not_understood: verdict.not_understood,
            notes: Vec::new(),
            log: None,
            devices: Vec::new(),
            error,
            is_damaged: false,
        }
    }

    /// Takes in what the logs of devices show: when one of them is broken, this is.
    pub(crate) fn add_devices(&mut self, devices: Vec<DeviceReport>) {
        if devices.iter().any(|device| device.verdict == "broken") {
            self.verdict = "broken";
        } else if self.verdict == "intact" && devices.iter().any(|device| device.verdict == "unreadable") {
            self.verdict = "unreadable";
            self.error = Some("the log of a device could not be read".to_owned());
        }
        if devices.iter().any(|device| device.unchained > 0) {
            self.not_checked.push("unchained");
        }
        if devices.iter().any(|device| device.untold > 0) {
            self.not_checked.push("untold");
        }
        self.devices = devices;
    }

    /// The report on the log of a device alone.
    pub(crate) fn of_device(device: DeviceReport) -> Self {
        let mut report = Self { verdict: "intact", level: "chain", error: None, ..Self::unreadable("") };
        (report.entries, report.records) = (device.entries, device.records);
        report.not_understood = device.not_understood;
        report.log = Some(device.log_id.clone());
        report.add_devices(vec![device]);
        report
    }

    /// Number of entries of the log, those that were removed with the others.
    pub(crate) fn size(&self) -> u64 {
        self.last_seq.map_or(0, |last| last + 1)
    }

    /// The report on a proof of entry `seq`, as long as nothing speaks against it.
    pub(crate) fn of_proof(sealed: &Kept, seq: u64) -> Self {
        Self {
            verdict: "intact",
            entries: 1,
            first_seq: Some(seq),
            last_seq: Some(seq),
            root: Some(sealed.root().to_string()),
            log: Some(sealed.log().to_owned()),
            not_checked: vec!["rewrite"],
            error: None,
            ..Self::unreadable("")
        }
    }

    /// The same with the problems that were found.
    pub(crate) fn with_problems(self, problems: Vec<ReportedProblem>) -> Self {
        let verdict = if problems.is_empty() { self.verdict } else { "broken" };
        Self { verdict, problems_total: problems.len() as u64, problems, ..self }
    }

    /// The report on something that could not be read at all.
    pub fn unreadable(error: impl std::fmt::Display) -> Self {
        let nothing = Verifier::<MAX_PROBLEMS>::new(Start {
            log_id: lowlight_core::LogId([0; 16]),
            first: 0,
            prev: None,
            frontier: Frontier::new(),
            tip: None,
            end: None,
        });
        let verdict = nothing.so_far().clone();
        Self { verdict: "unreadable", ..Self::from_verdict(&verdict, Some(error.to_string())) }
    }
}

impl ReportedProblem {
    pub(crate) fn new(problem: &Problem) -> Self {
        let detail = match (problem.kind, problem.span) {
            (ProblemKind::Missing | ProblemKind::Truncated | ProblemKind::UnexplainedGap | ProblemKind::Reordered, span) if span > 1 => {
                format!("{} ({span} entries)", problem.detail)
            }
            _ => problem.detail.to_owned(),
        };
        Self { seq: problem.seq, kind: problem.kind.name(), detail }
    }
}

/// How many threads verify a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// The caller's alone.
    #[default]
    One,
    /// One reads, the caller's hashes and judges: faster on more than one processor, with a few packets in memory.
    Two,
}

/// Verifies a log directory or a database file, also against its own checkpoints and those in `against`; `progress` is
/// told the seq after every entry, and the number of entries.
pub fn log_with(path: &Path, threads: Threads, against: Against<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, StoreError> {
    // Where a recorder removes entries while they are read, a pass sees half of it.
    let (report, is_torn) = pass(path, threads, against.again(), progress, false)?;
    if !is_torn {
        return Ok(report);
    }
    // Then all is read from one snapshot, behind which the WAL grows.
    Ok(pass(path, Threads::One, against, progress, true)?.0)
}

/// One pass over a log, and whether something was removed meanwhile.
fn pass(
    path: &Path,
    threads: Threads,
    against: Against<'_>,
    progress: &mut dyn FnMut(u64, u64),
    hold: bool,
) -> Result<(Report, bool), StoreError> {
    // Before the log is opened: whoever writes to it meanwhile may write checkpoints of what this reader does not see.
    let dir = if path.is_dir() { Some(path) } else { path.parent().filter(|_| path.ends_with("lowlight.db")) };
    let journal = dir.map(Checkpoints::open).transpose()?;
    let reader = Reader::open(path)?;
    let reader = if hold { Reader::open_held(reader.path())? } else { reader };
    let mut against = match journal {
        Some(journal) => against.with_journal(journal.of(reader.log_id()))?,
        None => against,
    };
    let mut report = match threads {
        Threads::One => judge(&reader, reader.everything(true), &|source| source.at_end().map(Some), &mut against, progress)?,
        Threads::Two => judge(&reader, Ahead::start(&reader)?, &|source| Ok(source.at_end()), &mut against, progress)?,
    };
    against.tell(&mut report);
    if let Some(dir) = dir
        && report.verdict == "intact"
    {
        report.witnessed = newest_witnessed(dir, reader.log_id())?.map(|newest| newest.size).filter(|size| Some(*size) <= report.sealed);
    }
    if let Some(before) = reader.predecessor()? {
        let size = before.size.map_or(String::new(), |size| format!(", of which {size} entries are known"));
        let log = before.log_id.map_or_else(|| "another log".to_owned(), |log| format!("the log {log}"));
        report.notes.push(format!("it follows {log}{size}, which was moved aside: look in quarantine/ beside it"));
    }
    if reader.has_pending_removal()? {
        let why = "a tombstone is not carried out to the end: what it names may still be in the files; the next recorder finishes it";
        report.notes.push(why.to_owned());
    }
    let is_torn = report.verdict == "broken" && reader.removes_meanwhile()?;
    Ok((report, is_torn))
}

/// The same with the devices whose logs were taken in, where `path` is the directory of a log: what they show is theirs, and makes
/// this report what it makes of the whole.
pub fn log_and_devices(
    path: &Path,
    threads: Threads,
    against: Against<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, StoreError> {
    let mut report = log_with(path, threads, against, progress)?;
    if path.is_dir() {
        report.add_devices(verify_devices(path, &Reader::open(path)?)?);
    }
    Ok(report)
}

/// Verifies a log directory or a database file.
pub fn log(path: &Path) -> Result<Report, StoreError> {
    log_with(path, Threads::One, Against::default(), &mut |_, _| {})
}

/// Verifies at least the newest `count` entries of a log.
pub fn log_tail(path: &Path, count: u64) -> Result<Report, StoreError> {
    let reader = Reader::open(path)?;
    // A multiple of 256: the frontier there consists of stored nodes alone.
    let first = reader.tip().size.saturating_sub(count) / 256 * 256;
    if first == 0 {
        return whole(&reader);
    }
    let (prev, frontier) = (reader.leaf(first - 1)?, export::frontier_at(&reader, first)?);
    // What a tail starts from is gone: then only the whole log can be judged.
    let (Some(_), Some(frontier)) = (prev, frontier) else { return whole(&reader) };
    let start = Start { first, prev, frontier, ..reader.start() };
    let end = reader.tip().last_seq.saturating_add(1);
    let entries = reader.source(first..end, &crate::store::Filter::default(), true);
    let mut source = WithRules { entries, rules: Rules::read(Box::new(&reader), reader.log_id())? };
    Ok(run(start, &mut source, Vec::new(), &mut |_| Ok(()), &mut |source, verifier| {
        let of_tail = source.rules.problems().iter().filter(|problem| problem.seq.is_some_and(|seq| seq >= first));
        of_tail.for_each(|problem| verifier.add_problem(*problem));
        Ok(())
    }))
}

/// Entries of a log, with its tombstones.
struct WithRules<'r, S> {
    entries: S,
    rules: Rules<'r>,
}

impl<S: EntrySource<Error = StoreError>> EntrySource for WithRules<'_, S> {
    type Error = StoreError;

    fn next(&mut self) -> Result<Option<Item<'_>>, StoreError> {
        self.entries.next()
    }

    fn node(&mut self, level: u8, index: u64) -> Result<StoredNode, StoreError> {
        self.entries.node(level, index)
    }

    fn tombstones(&mut self) -> Option<&mut dyn Tombstones<Error = StoreError>> {
        Some(&mut self.rules)
    }
}

/// Without checkpoints: for the writer, which looks before it goes on.
fn whole(reader: &Reader) -> Result<Report, StoreError> {
    let end_of = |source: &DbSource<'_>| source.at_end().map(Some);
    judge(reader, reader.everything(true), &end_of, &mut Against::default(), &mut |_, _| {})
}

/// Judges all that `source` reads of the log that `reader` has open.
fn judge<S: EntrySource<Error = StoreError>>(
    reader: &Reader,
    entries: S,
    end_of: &dyn Fn(&S) -> Result<Option<AtEnd>, StoreError>,
    against: &mut Against<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, StoreError> {
    let size = reader.tip().size;
    let mut source = WithRules { entries, rules: Rules::read(Box::new(reader), reader.log_id())? };
    let mut found = Vec::new();
    let problem = |kind, detail| Problem { seq: None, kind, detail, span: 1 };
    let stray =
        |seq: &u64| Problem { seq: Some(*seq), ..problem(ProblemKind::ContentMismatch, "there is content of an entry that is not there") };
    found.extend(reader.stray_contents().iter().map(stray));
    // The words are filled in below: the core's problems carry fixed text only.
    found.extend(reader.schema().faults.iter().map(|_| problem(ProblemKind::Schema, "")));
    if reader.has_negative_rows() {
        found.push(problem(ProblemKind::Inserted, "there are rows with a negative seq"));
    }
    let at_end = |source: &mut WithRules<'_, S>, verifier: &mut Verifier<MAX_PROBLEMS>| {
        let end = end_of(&source.entries)?;
        if end.is_none_or(|end| !end.time_index_agrees) {
            verifier.add_problem(problem(ProblemKind::Schema, "the time index does not hold what the table holds"));
        }
        if end.is_none_or(|end| !end.rule_index_agrees) {
            verifier.add_problem(problem(ProblemKind::Schema, "the index of tombstones and policies does not hold what the table holds"));
        }
        source.rules.problems().iter().for_each(|problem| verifier.add_problem(*problem));
        if end.is_some_and(|end| end.met_too_large) {
            verifier.add_problem(problem(ProblemKind::Malformed, "a value is larger than any writer makes"));
        }
        // Nodes can only be judged by a tree that could be rebuilt.
        if verifier.is_sound() && reader.has_stray_nodes() {
            verifier.add_problem(problem(ProblemKind::RootMismatch, "there are tree nodes for entries that are not there"));
        }
        Ok(())
    };
    found.extend(against.begin(reader.log_id()));
    let against = RefCell::new(against);
    let mut look = |verifier: &mut Verifier<MAX_PROBLEMS>| {
        progress(verifier.expected(), size);
        against.borrow_mut().look(verifier)
    };
    let mut report = run(reader.start(), &mut source, found, &mut look, &mut |source, verifier| {
        at_end(source, verifier)?;
        against.borrow_mut().end(verifier)
    });
    for (problem, fault) in report.problems.iter_mut().zip(&reader.schema().faults) {
        problem.detail.clone_from(fault);
    }
    report.notes.clone_from(&reader.schema().notes);
    report.log = Some(reader.log_id().to_string());
    Ok(report)
}

/// Runs the verifier over a source; `look` is called after every step, and `at_end` may add what only the end of the
/// source shows. An error of theirs ends the reading like one of the source.
pub fn run<S: EntrySource<Error = StoreError>>(
    start: Start,
    source: &mut S,
    found: Vec<Problem>,
    look: &mut dyn FnMut(&mut Verifier<MAX_PROBLEMS>) -> Result<(), StoreError>,
    at_end: &mut dyn FnMut(&mut S, &mut Verifier<MAX_PROBLEMS>) -> Result<(), StoreError>,
) -> Report {
    let mut verifier = Verifier::<MAX_PROBLEMS>::new(start);
    found.into_iter().for_each(|problem| verifier.add_problem(problem));
    // What is read may begin at a size that something is known of.
    if let Err(error) = look(&mut verifier) {
        return broken_off(&verifier, &error);
    }
    loop {
        let step =
            verifier.step(source).and_then(|more| if more { look(&mut verifier) } else { at_end(source, &mut verifier) }.map(|()| more));
        match step {
            Ok(true) => {}
            Ok(false) => return Report::from_verdict(&verifier.finish(), None),
            Err(error) => return broken_off(&verifier, &error),
        }
    }
}

fn broken_off(verifier: &Verifier<MAX_PROBLEMS>, error: &StoreError) -> Report {
    let got = verifier.expected();
    let report = Report::from_verdict(verifier.so_far(), Some(format!("{error} (read up to entry {got})")));
    Report { is_damaged: matches!(error, StoreError::Corrupt { .. }), ..report }
}
