//! Holding a log against checkpoints: those of its own journal, and those that somebody kept elsewhere.
//!
//! Limit: a root can only be compared where the tree over the entries before it is whole; elsewhere there is another
//! problem already.
//!
//! ```text
//! pass over the entries:   size 1, 2, 3 ..      checkpoint of size n: its root against that of the first n leaves
//! ```
//!
//! 1. A kept checkpoint ends as a match, as a problem, or as "could not be compared"; never silently.
//! 2. The log's own journal proves nothing against whoever can write both; where it contradicts the log it is a problem
//!    all the same. It may be ahead of a copy that lacks its `-wal`: that is a note.

use super::Report;
use crate::checkpoints::{Checkpoints, Sealed};
use crate::store::StoreError;
use lowlight_core::note::{Checkpoint, Key, Note, NoteError};
use lowlight_core::tree::empty_root;
use lowlight_core::verify::{MAX_PROBLEMS, Problem, ProblemKind, Verifier};
use lowlight_core::{Digest, LogId};

/// Where a checkpoint was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// Somebody kept it elsewhere.
    #[default]
    Elsewhere,
    /// A witness was asked just now.
    Witness,
    /// It lies beside the log, or in the proof.
    Beside,
}

/// A checkpoint that a log is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    origin: String,
    size: u64,
    root: Digest,
    /// As it was given, if it has signatures.
    note: Option<String>,
    place: Place,
    /// vkey of the trusted key whose signature it carries.
    signed_by: Option<String>,
}

impl Kept {
    /// Reads checkpoints, one behind the other: signed ones, and texts of three lines. With `keys`, one of them must have
    /// signed each.
    ///
    /// # Errors
    ///
    /// [`NoteError`] when anything in there is not a checkpoint, or not signed as it must be.
    pub fn parse_all(bytes: &[u8], keys: &[Key<'_>]) -> Result<Vec<Self>, NoteError> {
        let mut all = Vec::new();
        let mut rest = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        while all.is_empty() || !rest.is_empty() {
            let mut lines = rest.split_inclusive('\n');
            let text: usize = lines.by_ref().take(3).map(str::len).sum();
            let is_note = lines.next() == Some("\n");
            let signatures: usize = if is_note { lines.take_while(|line| line.starts_with('\u{2014}')).map(str::len).sum() } else { 0 };
            let (one, behind) = rest.split_at(text + usize::from(is_note) + signatures);
            rest = behind;
            all.push(if is_note { Self::signed(one, keys)? } else { Self::unsigned(one, keys)? });
        }
        Ok(all)
    }

    /// Reads the one checkpoint of a proof, of a line of a journal, or of a witness; a signed one may have extension lines.
    pub(crate) fn parse(bytes: &[u8], keys: &[Key<'_>]) -> Result<Self, NoteError> {
        let text = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        if text.contains("\n\n") { Self::signed(text, keys) } else { Self::unsigned(text, keys) }
    }

    fn unsigned(text: &str, keys: &[Key<'_>]) -> Result<Self, NoteError> {
        let checkpoint = Checkpoint::parse(text)?;
        if keys.is_empty() { Ok(Self::new(checkpoint, None, None)) } else { Err(NoteError::Unsigned) }
    }

    fn signed(text: &str, keys: &[Key<'_>]) -> Result<Self, NoteError> {
        let note = Note::parse(text.as_bytes())?;
        let mut signed_by = None;
        for key in keys {
            if note.signature_of(key)?.is_some() {
                signed_by.get_or_insert_with(|| key.to_string());
            }
        }
        if !keys.is_empty() && signed_by.is_none() {
            return Err(NoteError::Untrusted);
        }
        Ok(Self::new(Checkpoint::parse(note.text)?, Some(text.to_owned()), signed_by))
    }

    fn new(checkpoint: Checkpoint<'_>, note: Option<String>, signed_by: Option<String>) -> Self {
        Self {
            origin: checkpoint.origin.to_owned(),
            size: checkpoint.size,
            root: checkpoint.root,
            note,
            place: Place::default(),
            signed_by,
        }
    }

    /// The same, found at `place`.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Whether two are about the same: signatures and places may differ.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.origin, self.size, &self.root) == (&other.origin, other.size, &other.root)
    }

    /// Where it was found.
    pub fn place(&self) -> Place {
        self.place
    }

    /// First line of its text: the name of a key, and the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The whole of it, if it has signatures.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Number of entries it covers.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root over them.
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// Id of the log, hex: the origin behind its last slash. The name before it changes with the key.
    pub fn log(&self) -> &str {
        self.origin.rsplit_once('/').map_or(&self.origin, |(_, id)| id)
    }

    /// vkey of the trusted key that signed it.
    pub fn signed_by(&self) -> Option<&str> {
        self.signed_by.as_deref()
    }

    fn is_of(&self, log_id: LogId) -> bool {
        self.log() == log_id.to_string()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Matches,
    Problem,
}

/// What a pass is compared with.
#[derive(Debug, Default)]
pub struct Against<'k> {
    journal: Option<Checkpoints>,
    next: Option<Sealed>,
    sealed: Option<u64>,
    ahead: Option<u64>,
    bad_line: Option<&'static str>,
    kept: Vec<(&'k Kept, State)>,
    keys: &'k [Key<'k>],
}

fn problem(kind: ProblemKind, detail: &'static str) -> Problem {
    Problem { seq: None, kind, detail, span: 1 }
}

impl<'k> Against<'k> {
    /// Checkpoints kept elsewhere, and the keys that signed them.
    pub fn kept(kept: &'k [Kept], keys: &'k [Key<'k>]) -> Self {
        Self { kept: kept.iter().map(|kept| (kept, State::Open)).collect(), keys, ..Self::default() }
    }

    /// The same before anything was compared, without a journal.
    pub(super) fn again(&self) -> Self {
        Self { kept: self.kept.iter().map(|(kept, _)| (*kept, State::Open)).collect(), keys: self.keys, ..Self::default() }
    }

    /// The log's own journal as well. To be opened before the log is, so that it is not ahead of it.
    pub fn with_journal(mut self, journal: Checkpoints) -> Result<Self, StoreError> {
        self.journal = Some(journal);
        self.advance()?;
        Ok(self)
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        self.next = None;
        let Some(journal) = &mut self.journal else { return Ok(()) };
        while let Some(line) = journal.next()? {
            match line {
                Ok(sealed) => {
                    self.next = Some(sealed);
                    break;
                }
                Err(why) => self.bad_line = self.bad_line.or(Some(why)),
            }
        }
        Ok(())
    }

    /// Before the pass: checkpoints of other logs, and two that contradict each other.
    pub fn begin(&mut self, log_id: LogId) -> Vec<Problem> {
        let mut found = Vec::new();
        for (kept, state) in &mut self.kept {
            let detail = if !kept.is_of(log_id) {
                "the checkpoint kept elsewhere is of another log"
            } else if kept.size == 0 && kept.root != empty_root() {
                "the checkpoint kept elsewhere is of no tree"
            } else {
                continue;
            };
            *state = State::Problem;
            found.push(problem(ProblemKind::Rewritten, detail));
        }
        let forked = |(place, (a, _)): (usize, &(&Kept, State))| {
            let rest = self.kept.iter().skip(place + 1);
            rest.filter(|(b, _)| a.log() == b.log() && a.size == b.size && a.root != b.root)
                .any(|(b, _)| a.signed_by.is_some() && a.signed_by == b.signed_by)
        };
        if self.kept.iter().enumerate().any(forked) {
            let detail = "two checkpoints of one size, both signed by the log's key, have different roots";
            found.push(problem(ProblemKind::Forked, detail));
        }
        found
    }

    /// After each step of the pass.
    pub fn look(&mut self, verifier: &mut Verifier<MAX_PROBLEMS>) -> Result<(), StoreError> {
        let size = verifier.frontier().size();
        let is_due = self.next.as_ref().is_some_and(|sealed| sealed.size <= size)
            || self.kept.iter().any(|(kept, state)| *state == State::Open && kept.size == size);
        if !is_due {
            return Ok(());
        }
        let root = verifier.is_sound().then(|| verifier.frontier().root());
        while let Some(sealed) = self.next.take_if(|sealed| sealed.size <= size) {
            if self.own(&sealed, size, root, verifier) {
                self.advance()?;
            } else {
                // Those behind it differ as well; the first says it.
                self.journal = None;
            }
        }
        for (kept, state) in self.kept.iter_mut().filter(|(kept, state)| *state == State::Open && kept.size == size) {
            let Some(root) = root else { continue };
            *state = if kept.root == root { State::Matches } else { State::Problem };
            if kept.root != root {
                let detail = "the entries up to a checkpoint kept elsewhere are not those it was made of";
                verifier.add_problem(problem(ProblemKind::Rewritten, detail));
            }
        }
        Ok(())
    }

    /// One checkpoint of the log's own journal; `false` when the log contradicts it.
    fn own(&mut self, sealed: &Sealed, size: u64, root: Option<Digest>, verifier: &mut Verifier<MAX_PROBLEMS>) -> bool {
        let own = sealed.root();
        for (kept, _) in self.kept.iter().filter(|(kept, _)| kept.size == sealed.size && Some(kept.root) != own) {
            // That a note is of the size and root of its line was checked when it was read.
            let note = sealed.note.as_ref().and_then(|note| Kept::parse(note.as_bytes(), self.keys).ok());
            if note.is_some_and(|note| note.signed_by.is_some() && note.signed_by == kept.signed_by && note.log() == kept.log()) {
                let detail = "the log's own checkpoint of this size and the one kept elsewhere are both signed by its key and differ";
                verifier.add_problem(problem(ProblemKind::Forked, detail));
            }
        }
        if root.is_none() || sealed.size != size {
            return true;
        }
        let agrees = own == root;
        if agrees {
            self.sealed = Some(size);
        } else {
            let detail = "the entries up to one of the log's own checkpoints are not those it was made of";
            verifier.add_problem(problem(ProblemKind::Rewritten, detail));
        }
        agrees
    }

    /// After the pass over a log, before the verdict.
    pub fn end(&mut self, verifier: &mut Verifier<MAX_PROBLEMS>) -> Result<(), StoreError> {
        while let Some(sealed) = self.next.take() {
            self.ahead = verifier.is_sound().then_some(sealed.size);
            self.advance()?;
        }
        self.longer_than(verifier.frontier().size(), verifier);
        Ok(())
    }

    /// After the pass over an export: `size` and, if the export proves it, `root` of the log it was made of.
    pub fn end_of_export(&mut self, size: u64, root: Option<Digest>, verifier: &mut Verifier<MAX_PROBLEMS>) {
        self.longer_than(size, verifier);
        for (kept, state) in self.kept.iter_mut().filter(|(kept, state)| *state == State::Open && kept.size == size) {
            let Some(root) = root else { continue };
            *state = if kept.root == root { State::Matches } else { State::Problem };
            if kept.root != root {
                verifier.add_problem(problem(ProblemKind::Rewritten, "the log of this export is not that of a checkpoint kept elsewhere"));
            }
        }
    }

    fn longer_than(&mut self, size: u64, verifier: &mut Verifier<MAX_PROBLEMS>) {
        for (_, state) in self.kept.iter_mut().filter(|(kept, state)| *state == State::Open && kept.size > size) {
            *state = State::Problem;
            let detail = "it is shorter than a checkpoint kept elsewhere: truncated, rolled back, or storage lost what it had acknowledged";
            verifier.add_problem(problem(ProblemKind::RolledBack, detail));
        }
    }

    /// Tells the report what came of it.
    pub fn tell(self, report: &mut Report) {
        report.sealed = self.sealed;
        if let Some(ahead) = self.ahead {
            report.notes.push(format!(
                "the log's own checkpoints go on to {ahead} entries: the newest are not here, because a -wal was left behind or the log was cut"
            ));
        }
        if let Some(why) = self.bad_line {
            report.notes.push(format!("the journal of checkpoints is damaged: {why}"));
        }
        let size = report.size();
        for (kept, _) in self.kept.iter().filter(|(kept, state)| *state == State::Problem && size > 0 && kept.size > size) {
            report.notes.push(format!("a checkpoint is of {} entries, and here are {size}", kept.size));
        }
        if self.kept.is_empty() || report.verdict != "intact" {
            return;
        }
        // Whoever gave a checkpoint wants an answer: what could not be compared is no match.
        if let Some((kept, _)) = self.kept.iter().find(|(_, state)| *state != State::Matches) {
            let size = kept.size;
            report.verdict = "unreadable";
            report.error = Some(format!(
                "it could not be held against the checkpoint of {size} entries: what is here does not show the tree at that size; verify the log itself, or another export"
            ));
            return;
        }
        report.level = "checkpoint";
        report.held = self.kept.iter().map(|(kept, _)| kept.size).max();
        report.not_checked.retain(|what| !matches!(*what, "rewrite" | "rollback"));
        for (kept, _) in self.kept {
            let size = kept.size;
            let signed = kept
                .signed_by
                .as_ref()
                .map_or_else(|| "its signature was not checked, give --key to do so".to_owned(), |vkey| format!("signed by {vkey}"));
            let says = match kept.place {
                Place::Elsewhere => format!("kept elsewhere ({signed}); rewriting up to there would show"),
                Place::Witness => format!("that the witness gave just now ({signed}); rewriting up to there would show"),
                Place::Beside => format!("that lies beside the log ({signed})"),
            };
            report.notes.push(format!("matches the checkpoint of {size} entries {says}"));
        }
    }
}
