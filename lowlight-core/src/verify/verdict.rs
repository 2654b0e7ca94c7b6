//! What a verification found.

/// Kinds of problem (`docs/format.md`, section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ProblemKind {
    /// A stored value differs from what was written.
    Modified,
    /// An entry is not there and nothing explains it.
    Missing,
    /// An entry is there that does not belong to the log.
    Inserted,
    /// An entry stands where another belongs.
    Reordered,
    /// The chain does not hold and it cannot be said why.
    Broken,
    /// An entry is absent outside every tombstone.
    UnexplainedGap,
    /// Something was done that the policy does not allow.
    PolicyViolation,
    /// A key was changed without the key before it.
    KeyViolation,
    /// Stored values do not make an entry.
    Malformed,
    /// Content does not match its commitment.
    ContentMismatch,
    /// Tree, tip or digest do not match the entries.
    RootMismatch,
    /// The end is not there.
    Truncated,
    /// The history differs from a checkpoint.
    Rewritten,
    /// The log is older than a checkpoint.
    RolledBack,
    /// Two checkpoints contradict each other.
    Forked,
    /// The database has objects that do not belong there, or lacks some.
    Schema,
}

impl ProblemKind {
    /// The name, as in the JSON verdict.
    pub fn name(self) -> &'static str {
        match self {
            Self::Modified => "modified",
            Self::Missing => "missing",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Broken => "broken",
            Self::UnexplainedGap => "unexplained_gap",
            Self::PolicyViolation => "policy_violation",
            Self::KeyViolation => "key_violation",
            Self::Malformed => "malformed",
            Self::ContentMismatch => "content_mismatch",
            Self::RootMismatch => "root_mismatch",
            Self::Truncated => "truncated",
            Self::Rewritten => "rewritten",
            Self::RolledBack => "rolled_back",
            Self::Forked => "forked",
            Self::Schema => "schema",
        }
    }
}

/// One problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Problem {
    /// The entry; `None` when it concerns the whole log.
    pub seq: Option<u64>,
    /// What kind.
    pub kind: ProblemKind,
    /// The facts, in words.
    pub detail: &'static str,
    /// How many entries the problem spans: more than 1 only for runs of missing entries.
    pub span: u64,
}

/// At most `P` problems, the earliest ones, and how many there were.
#[derive(Debug, Clone, Default)]
pub struct Problems<const P: usize> {
    kept: heapless::Vec<Problem, P>,
    total: u64,
    /// Seq of the newest problem, which may not be among those kept.
    newest: Option<u64>,
}

impl<const P: usize> Problems<P> {
    /// The kept problems: those of the schema, then by ascending seq, then those without a seq.
    pub fn kept(&self) -> &[Problem] {
        &self.kept
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Adds a problem, unless that seq has one already.
    pub fn add(&mut self, problem: Problem) {
        let known = problem.seq.is_some() && (self.newest == problem.seq || self.kept.iter().any(|known| known.seq == problem.seq));
        if known {
            return;
        }
        self.newest = problem.seq;
        self.total += 1;
        let place = self.kept.iter().position(|known| rank(known) > rank(&problem)).unwrap_or(self.kept.len());
        if self.kept.is_full() {
            if place == self.kept.len() {
                return;
            }
            self.kept.pop();
        }
        // There is room now, and `place` is at most the length.
        let _ = self.kept.insert(place, problem);
    }

    /// Lengthens the run of the newest problem, if that one was kept.
    pub(super) fn lengthen_newest(&mut self, by: u64) {
        if let Some(problem) = self.kept.iter_mut().find(|known| known.seq.is_some() && known.seq == self.newest) {
            problem.span = problem.span.saturating_add(by);
        }
    }

    /// Adds a problem that explains more than `broken` does: it takes the place of that one at its seq.
    pub(super) fn add_better(&mut self, problem: Problem) {
        match self.kept.iter_mut().find(|known| known.seq == problem.seq) {
            Some(known) if known.kind == ProblemKind::Broken => *known = problem,
            Some(_) => {}
            None => self.add(problem),
        }
    }
}

fn rank(problem: &Problem) -> (u8, u64) {
    match (problem.kind, problem.seq) {
        (ProblemKind::Schema, _) => (0, 0),
        (_, Some(seq)) => (1, seq),
        (_, None) => (2, 0),
    }
}

/// Result of a verification that could be made: intact, or broken with the problems found.
#[derive(Debug, Clone)]
pub struct Verdict<const P: usize> {
    /// What was found; empty means intact.
    pub problems: Problems<P>,
    /// Entries seen, leaf-only lines not counted.
    pub entries: u64,
    /// Those a user wrote.
    pub records: u64,
    /// Entries of a later version or kind.
    pub not_understood: u64,
    /// First seq seen.
    pub first_seq: Option<u64>,
    /// Last seq seen.
    pub last_seq: Option<u64>,
    /// Root over all stored leaves; `None` when the tree could not be rebuilt.
    pub root: Option<crate::chain::Digest>,
    /// Runs of entries that are gone and that a tombstone explains, the first ones.
    pub gaps: heapless::Vec<Gap, P>,
    /// How many there were.
    pub gaps_total: u64,
    /// Entries in them.
    pub removed: u64,
    /// Contents that are gone and that a tombstone explains, of entries that are there.
    pub erased: u64,
    /// Entries that are there with something that a tombstone says is to go.
    pub pending: u64,
}

/// A run of entries that are gone and that one tombstone explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "self-explanatory")]
pub struct Gap {
    pub first: u64,
    pub last: u64,
    /// Seq of the tombstone.
    pub explained_by: u64,
}

impl<const P: usize> Verdict<P> {
    /// What is known before anything was seen.
    pub(super) fn new() -> Self {
        Self {
            problems: Problems::default(),
            entries: 0,
            records: 0,
            not_understood: 0,
            first_seq: None,
            last_seq: None,
            root: None,
            gaps: heapless::Vec::new(),
            gaps_total: 0,
            removed: 0,
            erased: 0,
            pending: 0,
        }
    }

    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.problems.total == 0
    }
}
