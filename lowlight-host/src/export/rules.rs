//! What the preamble of an export says about removals and keys: entry 0, policies, tombstones and key changes, each proved to be
//! in the log.

use super::line::{Line, Object, parse_object};
use super::read::Preamble;
use super::unhex;
use crate::removal::{RuleEntries, Rules};
use crate::store::StoreError;
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Event, Kind};
use lowlight_core::tree::proof::verify_inclusion;
use lowlight_core::verify::{Problem, ProblemKind};
use lowlight_core::{Digest, chain};
use serde_json::Value;

/// Bodies that were proved.
struct Proved(Vec<Vec<u8>>);

impl RuleEntries for Proved {
    fn each(&self, take: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        self.0.iter().for_each(|body| take(body));
        Ok(())
    }
}

/// What a line of kind policy or `key_change` in the range is when the preamble does not have it.
pub(super) fn absent(kind: Kind, seq: u64) -> Problem {
    let (kind, detail) = match kind {
        Kind::KeyChange => (ProblemKind::KeyViolation, "a change of keys is not in the preamble, so that it cannot be judged"),
        _ => (
            ProblemKind::PolicyViolation,
            "a policy of the range is not in the preamble, so that what tombstones may do is judged by another",
        ),
    };
    Problem { seq: Some(seq), kind, detail, span: 1 }
}

/// Those of a preamble that count; what is wrong with the others is added to `found`. `None` when one has not the form of
/// an entry line with its proof.
pub(super) fn read(preamble: &Preamble, found: &mut Vec<Problem>) -> Result<Option<(Rules<'static>, Vec<u64>)>, StoreError> {
    let mut proved = Vec::new();
    let mut last = None;
    for value in &preamble.tombstones {
        let Some(stated) = Stated::parse(value) else { return Ok(None) };
        match stated.prove(preamble).filter(|_| last.is_none_or(|last| last < stated.seq)) {
            Some(body) => {
                last = Some(stated.seq);
                proved.push(body);
            }
            None => {
                let detail = "a tombstone or policy of the preamble is not in the log of the export";
                found.push(Problem { seq: Some(stated.seq), kind: ProblemKind::RootMismatch, detail, span: 1 });
            }
        }
    }
    let opens = proved.first().and_then(|body| decode(body).ok()).is_some_and(|entry| matches!(entry.event, Event::Open(_)));
    if !opens {
        proved.clear();
    }
    let seqs = proved.iter().filter_map(|body| decode(body).ok()).map(|entry| entry.header.seq).collect();
    Ok(Some((Rules::read(Box::new(Proved(proved)), preamble.log_id)?, seqs)))
}

/// One of them, as it stands there.
struct Stated {
    seq: u64,
    line: Line,
    prev: Digest,
    proof: Vec<Digest>,
}

impl Stated {
    fn parse(value: &Value) -> Option<Self> {
        let mut keys = value.as_object()?.clone();
        let hash = |value: &Value| Digest::from_slice(&unhex(value.as_str()?)?);
        let prev = hash(&keys.remove("prev")?)?;
        let proof = keys.remove("proof")?.as_array()?.iter().map(hash).collect::<Option<_>>()?;
        let seq = keys.get("seq")?.as_u64()?;
        let line = parse_object(&Object(keys.into_iter().collect()));
        let has_form = !matches!(line, Line::LeafOnly { .. } | Line::Removed { .. } | Line::Malformed { seq: None, .. });
        has_form.then_some(Self { seq, line, prev, proof })
    }

    /// Its body, if it is one of the four kinds and in the log.
    fn prove(&self, preamble: &Preamble) -> Option<Vec<u8>> {
        let Line::Entry { seq, body, leaf, openings, .. } = &self.line else { return None };
        let entry = decode(body).ok()?;
        let is_rule = match &entry.event {
            // What signatures are made for depends on it.
            Event::Open(open) => *seq == 0 && open.log_id == preamble.log_id && self.prev == preamble.log_id.genesis(),
            Event::Policy(_) | Event::Tombstone(_) | Event::KeyChange(_) => true,
            _ => false,
        };
        let own = chain::leaf(&self.prev, body);
        let is_sound = is_rule && openings.is_empty() && entry.header.seq == *seq && own == *leaf;
        (is_sound && verify_inclusion(*seq, preamble.size, &own, &self.proof, &preamble.root)).then(|| body.clone())
    }
}
