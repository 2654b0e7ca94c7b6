//! The verifier that host, export and flash share: no I/O, constant memory, reports every fault and goes on.
//!
//! Limits: keeps `P` problems (counts all) and tracks 32 open faults; memory does not depend on the log.
//!
//! ```text
//! Verifier::step: item of the source -> rules -> nodes it completed, compared with the source's    Verifier::finish -> Verdict
//! ```
//!
//! 1. One pass, in the order of the source; nothing is read twice.
//! 2. A broken chain is a [`Verdict`], never an `Err`; `Err` means that reading failed.
//! 3. At most one problem per seq; the rules are those of `docs/format.md`, section 8, in their order.

mod chain_rules;
mod content;
mod device;
mod end;
mod gap;
mod verdict;

pub use device::{DeviceGap, DeviceVerdict, DeviceVerifier};
pub use verdict::{Gap, Problem, ProblemKind, Problems, Verdict};

use crate::chain::{Digest, LogId};
use crate::entry::codec::{decode, peek_seq};
use crate::entry::{EntryError, Event, Kind, Slots};
use crate::sink::Node;
use crate::source::{EntrySource, Item, Start, StoredNode, Tip};
use crate::tree::{Frontier, LEVELS, STORED_LEVEL};
use chain_rules::Failed;
use content::OpenContents;
use gap::Gaps;

/// Problems that a host keeps and prints.
pub const MAX_PROBLEMS: usize = 100;
const OPEN_FAULTS: usize = 32;

/// The state of a verification.
#[derive(Debug)]
pub struct Verifier<const P: usize> {
    log_id: LogId,
    tip: Option<Tip>,
    end: Option<u64>,
    first: u64,
    expected: u64,
    prev: Option<Digest>,
    shift: i64,
    failed: Option<Failed>,
    open_faults: heapless::Deque<(u64, Digest), OPEN_FAULTS>,
    sound: bool,
    tip_right: bool,
    frontier: Frontier,
    contents: OpenContents,
    /// Nodes that the entry at hand completed, whose stored form is still to be compared.
    nodes: heapless::Deque<Node, LEVELS>,
    gaps: Gaps,
    result: Verdict<P>,
}

/// Reads `source` to its end.
///
/// # Errors
///
/// What the source failed with, together with what was found until then: an altered entry stays found.
#[expect(clippy::result_large_err, reason = "a verdict is as large in the other case")]
pub fn verify<S: EntrySource, const P: usize>(source: &mut S, start: Start) -> Result<Verdict<P>, (S::Error, Verdict<P>)> {
    let mut verifier = Verifier::new(start);
    loop {
        match verifier.step(source) {
            Ok(true) => {}
            Ok(false) => return Ok(verifier.finish()),
            Err(error) => return Err((error, verifier.result)),
        }
    }
}

impl<const P: usize> Verifier<P> {
    /// A verifier that has seen nothing yet.
    pub fn new(start: Start) -> Self {
        let prev = if start.first == 0 { Some(start.log_id.genesis()) } else { start.prev };
        Self {
            log_id: start.log_id,
            tip: start.tip,
            end: start.end,
            first: start.first,
            expected: start.first,
            prev,
            shift: 0,
            failed: None,
            open_faults: heapless::Deque::new(),
            sound: start.frontier.size() == start.first,
            tip_right: false,
            frontier: start.frontier,
            contents: OpenContents::default(),
            nodes: heapless::Deque::new(),
            gaps: Gaps::default(),
            result: Verdict::new(),
        }
    }

    /// Adds a problem that the source found outside the entries, for instance in the schema.
    pub fn add_problem(&mut self, problem: Problem) {
        self.result.problems.add(problem);
    }

    /// What was found so far.
    pub fn so_far(&self) -> &Verdict<P> {
        &self.result
    }

    /// The seq that should come next.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// Reads and checks one item of `source`, and the tree nodes it completes; `false` at the end of the source.
    ///
    /// # Errors
    ///
    /// What the source failed with; what was found until then stays found.
    pub fn step<S: EntrySource>(&mut self, source: &mut S) -> Result<bool, S::Error> {
        self.watch(source)?;
        let Some(item) = source.next()? else { return Ok(false) };
        self.item(&item);
        self.explain(source)?;
        while let Some(node) = self.nodes.pop_front() {
            let stored = source.node(node.level, node.index)?;
            self.compare_node(&node, stored);
        }
        Ok(true)
    }

    fn item(&mut self, item: &Item<'_>) {
        match *item {
            Item::Entry { seq, body, leaf, facts: Some((kind, slots)) } => {
                self.row(Some(seq), |this| this.known(seq, body, leaf, kind, slots));
            }
            Item::Entry { seq, body, leaf, facts: None } => self.row(Some(seq), |this| this.entry(seq, body, leaf)),
            Item::Malformed { seq, leaf, why } => {
                let at = seq.unwrap_or(self.expected);
                self.row(seq, |this| this.malformed(at, leaf, why));
            }
            Item::LeafOnly { seq, leaf } => self.row(Some(seq), |this| this.leaf_only(leaf)),
            Item::Removed { seq, level, node, leaf } => self.removed(seq, level, node, leaf),
            Item::Content { seq, field, salt, value } => self.content(seq, field, salt, value),
        }
    }

    fn compare_node(&mut self, node: &Node, stored: StoredNode) {
        let detail = match stored {
            StoredNode::NotKept => return,
            StoredNode::Present(hash) if hash == node.hash => return,
            StoredNode::Present(_) => "a stored tree node differs from the entries below it",
            StoredNode::Absent => "a stored tree node is not there",
        };
        self.report(self.expected.saturating_sub(1), ProblemKind::RootMismatch, detail);
    }

    /// Order and presence (8.2), then `place` for a row that stands in the log. A row that names no seq is taken for
    /// the next one.
    fn row(&mut self, named: Option<u64>, place: impl FnOnce(&mut Self) -> Option<Digest>) {
        self.close_contents();
        let seq = named.unwrap_or(self.expected);
        if seq < self.expected {
            let (kind, detail) = if seq.saturating_add(1) == self.expected && self.expected > self.first {
                (ProblemKind::Inserted, "the same seq stands here twice")
            } else {
                (ProblemKind::Reordered, "an entry stands after later ones")
            };
            self.sound = false;
            return self.report(seq, kind, detail);
        }
        if self.tip_right || (named.is_some() && self.end.is_some_and(|end| seq >= end)) {
            return self.report(seq, ProblemKind::Inserted, "an entry stands beyond the end");
        }
        if seq > self.expected {
            self.nothing_until(seq);
        }
        self.expected = seq.saturating_add(1);
        self.result.first_seq.get_or_insert(seq);
        self.result.last_seq = Some(seq);
        if let Some(leaf) = place(self) {
            self.grow(leaf);
        }
        self.gaps.leaf_is_gone = false;
    }

    fn entry(&mut self, seq: u64, body: &[u8], leaf: Digest) -> Option<Digest> {
        self.result.entries += 1;
        let decoded = match decode(body) {
            Ok(entry) if entry.header.seq == seq => Some(entry),
            Err(EntryError::NotUnderstood) if peek_seq(body).is_none_or(|inside| inside == seq) => None,
            Ok(_) | Err(_) => return self.fault_malformed(seq, Some(leaf), "the body is not one of this seq or not canonical"),
        };
        let open_id = match decoded.as_ref().map(|entry| &entry.event) {
            Some(Event::Open(open)) => Some(open.log_id),
            _ => None,
        };
        self.chain(seq, body, leaf, open_id);
        if seq == 0 && self.failed.is_none() && open_id.is_none_or(|id| id != self.log_id) {
            self.report(0, ProblemKind::Malformed, "entry 0 does not open this log");
        }
        match decoded {
            Some(entry) => {
                self.expect_contents(seq, entry.event.kind(), &entry.fields);
                self.note(&entry);
            }
            None => self.result.not_understood += 1,
        }
        Some(leaf)
    }

    /// An entry that its source has encoded itself: its kind is understood and not `Open`.
    fn known(&mut self, seq: u64, body: &[u8], leaf: Digest, kind: Kind, slots: &Slots) -> Option<Digest> {
        self.result.entries += 1;
        self.chain(seq, body, leaf, None);
        if seq == 0 && self.failed.is_none() {
            self.report(0, ProblemKind::Malformed, "entry 0 does not open this log");
        }
        self.expect_contents(seq, kind, slots);
        if self.gaps.is_watched(seq)
            && let Ok(entry) = decode(body)
        {
            self.note(&entry);
        }
        Some(leaf)
    }

    fn expect_contents(&mut self, seq: u64, kind: Kind, slots: &Slots) {
        self.result.records += u64::from(kind.is_record());
        self.open_contents(seq, slots, self.failed.is_none());
    }

    fn malformed(&mut self, seq: u64, leaf: Option<Digest>, why: &'static str) -> Option<Digest> {
        self.result.entries += 1;
        self.fault_malformed(seq, leaf, why)
    }

    /// Rule 1 of the decision table.
    fn fault_malformed(&mut self, seq: u64, leaf: Option<Digest>, why: &'static str) -> Option<Digest> {
        self.decide_failed(ProblemKind::Broken, BROKEN);
        self.failed = None;
        self.prev = leaf;
        self.sound &= leaf.is_some();
        self.report(seq, ProblemKind::Malformed, why);
        self.open_contents(seq, &[], false);
        leaf
    }

    fn leaf_only(&mut self, leaf: Digest) -> Option<Digest> {
        self.decide_failed(ProblemKind::Broken, BROKEN);
        self.failed = None;
        self.prev = Some(leaf);
        Some(leaf)
    }

    /// Adds a leaf to the tree and notes whether the tip is reached.
    fn grow(&mut self, leaf: Digest) {
        self.add_subtree(0, leaf);
        self.tip_right = self.at_tip(leaf);
    }

    /// Adds a complete subtree and notes which stored nodes what it completes can be compared with.
    fn add_subtree(&mut self, level: u8, hash: Digest) {
        let nodes = &mut self.nodes;
        self.sound &= self.frontier.push_subtree(level, hash, |level, index, hash| {
            if level >= STORED_LEVEL {
                // The capacity is the number of levels, so this always fits.
                let _ = nodes.push_back(Node { level, index, hash: *hash });
            }
        });
        if !self.sound || self.failed.is_some() {
            self.nodes.clear();
        }
    }

    fn at_tip(&self, leaf: Digest) -> bool {
        self.sound
            && self.failed.is_none()
            && self.shift == 0
            && self
                .tip
                .as_ref()
                .is_some_and(|tip| tip.size == self.frontier.size() && tip.head == leaf && tip.hashes.iter().eq(self.frontier.hashes()))
    }

    fn report(&mut self, seq: u64, kind: ProblemKind, detail: &'static str) {
        self.result.problems.add(Problem { seq: Some(seq), kind, detail, span: 1 });
    }

    fn report_log(&mut self, kind: ProblemKind, detail: &'static str) {
        self.result.problems.add(Problem { seq: None, kind, detail, span: 1 });
    }
}

const BROKEN: &str = "the chain does not hold here and neither neighbour tells why";
