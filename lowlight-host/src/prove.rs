//! Proofs about a log that hold without it: of one entry, and of growth (`docs/format.md`, section 12).
//!
//! Limits: a proof file is read whole; its values are at most those of one entry.
//!
//! ```text
//! extra = u8 1 || leaf before 32 || u32 length || body || (u16 field || salt 16 || u32 length || value)*
//! ```
//!
//! 1. What a proof opens is what was asked for; of the other fields it holds the commitments that stand in the body.
//! 2. Nothing of `extra` counts before the leaf made from it is in the tree of the checkpoint.

use crate::checkpoints::{Checkpoints, Sealed, newest_witnessed};
use crate::export::{Opening, entry_line};
use crate::store::{Filter, Reader, StoreError, columns};
use crate::verify::{Kept, Report, ReportedProblem};
use lowlight_core::entry::codec::{decode, encode_slots};
use lowlight_core::entry::{Entry, EntryError, FieldId, MAX_BODY, MAX_CONTENT};
use lowlight_core::note::witness::Request;
use lowlight_core::note::{Key, NoteError, ProofFile};
use lowlight_core::source::{EntrySource as _, Item};
use lowlight_core::tree::{STORED_LEVEL, proof};
use lowlight_core::{Commitment, Digest, Salt, chain};
use std::path::Path;

const VERSION: u8 = 1;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such entry, field or checkpoint.
    #[error("{0}")]
    Absent(String),
    /// The log contradicts its own checkpoint: nothing is proved from it.
    #[error("{0}; run `lowlight verify`")]
    Broken(String),
}

fn broken(seq: u64) -> ProveError {
    ProveError::Broken(format!("entry {seq} does not fit the log's own checkpoint"))
}

/// Why a node is not there: entries of it were removed, and the nodes that were kept for the log's checkpoints do not give it.
fn lacks(reader: &Reader, level: u8, index: u64) -> ProveError {
    // Nodes above the level that is stored are always there.
    let first = index << level;
    let last = first + (1 << level.min(STORED_LEVEL)) - 1;
    let is_removed = |seq: u64| Ok::<_, StoreError>(reader.leaf(seq)?.is_none() && reader.removed_by(seq)?.is_some());
    let removed = (first..=last).map(is_removed).find(|removed| !matches!(removed, Ok(false)));
    match removed {
        Some(Ok(true)) => ProveError::Absent(format!(
            "entries of {first} to {last} were removed, and of what is between its checkpoints the log no longer proves anything; give the sizes of checkpoints"
        )),
        Some(Err(error)) => error.into(),
        _ => broken(first),
    }
}

/// The newest checkpoint, or the one of `wanted` entries, if it covers `size`.
fn covering(reader: &Reader, dir: &Path, size: u64, wanted: Option<u64>) -> Result<Sealed, ProveError> {
    let mut journal = Checkpoints::open(dir)?.of(reader.log_id());
    let found = match wanted {
        None => journal.newest(reader.tip().size)?,
        Some(wanted) => loop {
            match journal.next()? {
                Some(Ok(sealed)) if sealed.size == wanted => break Some(sealed),
                Some(_) => {}
                None => return Err(ProveError::Absent(format!("the journal has no checkpoint of {wanted} entries"))),
            }
        },
    };
    // One that a witness has cosigned says more than a newer one.
    let witnessed = newest_witnessed(dir, reader.log_id())?.filter(|it| wanted.map_or(it.size >= size, |wanted| wanted == it.size));
    let cosigned = match witnessed {
        Some(it) => Checkpoints::open(dir)?
            .of(reader.log_id())
            .newest(it.size)?
            .filter(|sealed| sealed.size == it.size)
            .map(|sealed| Sealed { note: Some(it.note), ..sealed }),
        None => None,
    };
    let found = cosigned.or(found);
    found.filter(|sealed| sealed.size >= size && sealed.note.is_some()).ok_or_else(|| {
        ProveError::Absent(match wanted {
            Some(wanted) => format!("the checkpoint of {wanted} entries does not cover it, or its note is not kept any more"),
            None => "no checkpoint of this log covers it yet; one is written when the recorder ends, and at the latest after its interval"
                .to_owned(),
        })
    })
}

/// Complete subtrees, from the database.
fn nodes(reader: &Reader) -> impl FnMut(u8, u64) -> Result<Digest, ProveError> + '_ {
    |level, index| reader.subtree(level, index)?.ok_or_else(|| lacks(reader, level, index))
}

/// Proves that entry `seq` is in the log in `dir`, by the newest checkpoint, or the one of `at` entries; opening the fields that
/// `opens` picks.
///
/// # Errors
///
/// [`ProveError`], also when the entry is younger than the newest checkpoint.
pub fn entry(dir: &Path, seq: u64, at: Option<u64>, opens: &dyn Fn(FieldId) -> bool) -> Result<Vec<u8>, ProveError> {
    let reader = Reader::open(dir)?;
    let size = reader.tip().size;
    let end = seq.checked_add(1).filter(|end| *end <= size);
    let end = end.ok_or_else(|| ProveError::Absent(format!("no entry {seq}: the log has {size}, the first is 0")))?;
    let sealed = covering(&reader, dir, end, at)?;
    let prev = if seq == 0 { Some(reader.log_id().genesis()) } else { reader.leaf(seq - 1)? };
    let mut source = reader.source(seq..end, &Filter::default(), true);
    let body = match source.next()? {
        Some(Item::Entry { body, .. }) => body.to_vec(),
        _ => {
            let gone = |tombstone| {
                ProveError::Absent(format!("entry {seq} was removed: `lowlight show {tombstone}` is the tombstone that says why"))
            };
            return Err(reader.removed_by(seq)?.map_or_else(|| broken(seq), gone));
        }
    };
    let prev = prev.ok_or_else(|| broken(seq))?;
    let mut extra = vec![VERSION];
    extra.extend_from_slice(&prev.0);
    put(&mut extra, &body);
    while let Some(item) = source.next()? {
        if let Item::Content { field, salt: Some(salt), value: Some(value), .. } = item
            && opens(field)
            // What an erasure has overwritten and not deleted yet opens nothing.
            && salt != [0; 16]
        {
            extra.extend_from_slice(&u16::from(field.get()).to_le_bytes());
            extra.extend_from_slice(&salt);
            put(&mut extra, value);
        }
    }
    let hashes = proof::inclusion(seq, sealed.size, &mut nodes(&reader))?.ok_or_else(|| broken(seq))?;
    let root = sealed.root().ok_or_else(|| broken(seq))?;
    if !proof::verify_inclusion(seq, sealed.size, &chain::leaf(&prev, &body), &hashes, &root) {
        return Err(broken(seq));
    }
    let mut out = String::new();
    // A String takes everything.
    let _ = ProofFile::write(&mut out, Some(&extra), seq, &hashes);
    out.push_str(sealed.note.as_deref().unwrap_or_default());
    Ok(out.into_bytes())
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Proves that the log of `new` entries, or of the newest checkpoint, begins with its first `old`, in the form of a request to a
/// witness (C2SP tlog-witness).
///
/// # Errors
///
/// [`ProveError`].
pub fn growth(dir: &Path, old: u64, new: Option<u64>) -> Result<Vec<u8>, ProveError> {
    use std::fmt::Write as _;
    let reader = Reader::open(dir)?;
    let size = reader.tip().size;
    if old > size {
        return Err(ProveError::Absent(format!("the log has {size} entries, not {old}")));
    }
    let sealed = covering(&reader, dir, old, new)?;
    let hashes = proof::consistency(old, sealed.size, &mut nodes(&reader))?;
    let hashes = hashes.ok_or_else(|| ProveError::Absent("growth is proved from 1 entry on".to_owned()))?;
    let old_root = proof::subtree(0, old, &mut nodes(&reader))?;
    let root = sealed.root().ok_or_else(|| broken(old))?;
    if !proof::verify_consistency(old, sealed.size, &old_root, &root, &hashes) {
        return Err(broken(old));
    }
    let mut out = format!("old {old}\n");
    for hash in &hashes {
        let _ = writeln!(out, "{}", lowlight_core::note::base64::Base64(&hash.0));
    }
    out.push('\n');
    out.push_str(sealed.note.as_deref().unwrap_or_default());
    Ok(out.into_bytes())
}

/// What `extra` says about an entry.
struct Extra {
    prev: Digest,
    body: Vec<u8>,
    openings: Vec<(FieldId, [u8; 16], Vec<u8>)>,
}

impl Extra {
    fn parse(bytes: &[u8]) -> Option<Self> {
        fn sized<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
            let length = u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?);
            rest.split_off(..usize::try_from(length).ok()?)
        }
        let mut rest = bytes;
        if rest.split_off_first()? != &VERSION {
            return None;
        }
        let prev = Digest::from_slice(rest.split_off(..32)?)?;
        let body = sized(&mut rest)?.to_vec();
        let mut openings: Vec<(FieldId, [u8; 16], Vec<u8>)> = Vec::new();
        while !rest.is_empty() {
            let field = u16::from_le_bytes(*rest.split_off(..2)?.first_chunk()?);
            let field = FieldId::new(u8::try_from(field).ok()?)?;
            let salt = *rest.split_off(..16)?.first_chunk()?;
            let value = sized(&mut rest).filter(|value| value.len() <= MAX_CONTENT)?.to_vec();
            if openings.last().is_some_and(|(before, ..)| *before >= field) {
                return None;
            }
            openings.push((field, salt, value));
        }
        Some(Self { prev, body, openings })
    }
}

/// Whether a file begins like a proof of an entry or of growth.
pub fn is_proof(start: &[u8]) -> bool {
    start.starts_with(b"c2sp.org/tlog-proof@v1\n") || start.starts_with(b"old ")
}

/// Checks a proof. `keys` must have signed its checkpoint; `kept` are checkpoints it must agree with.
pub fn verify(bytes: &[u8], kept: &[Kept], keys: &[Key<'_>]) -> Report {
    let checked = if bytes.starts_with(b"old ") { verify_growth(bytes, kept, keys) } else { verify_entry(bytes, kept, keys) };
    checked.unwrap_or_else(|error| Report::unreadable(format!("not a proof that can be checked: {error}")))
}

fn problem(seq: Option<u64>, kind: &'static str, detail: impl Into<String>) -> ReportedProblem {
    ReportedProblem { seq, kind, detail: detail.into() }
}

fn verify_entry(bytes: &[u8], kept: &[Kept], keys: &[Key<'_>]) -> Result<Report, NoteError> {
    let file = ProofFile::parse(bytes)?;
    let mut extra = Vec::new();
    file.extra(|byte| extra.push(byte));
    let extra = Extra::parse(&extra).ok_or(NoteError::NotProof)?;
    let sealed = Kept::parse(file.checkpoint, keys)?;
    let mut report = Report::of_proof(&sealed, file.index);
    let leaf = chain::leaf(&extra.prev, &extra.body);
    let mut problems = Vec::new();
    if !proof::verify_inclusion(file.index, sealed.size(), &leaf, &file.proof, sealed.root()) {
        let detail = "the entry is not in the log of the checkpoint, or not at this place";
        return Ok(report.with_problems(vec![problem(Some(file.index), "root_mismatch", detail)]));
    }
    let is_held = agree(&sealed, kept, &mut problems);
    if problems.is_empty() && kept.iter().any(|other| other.size() != sealed.size()) {
        return Ok(Report::unreadable(OTHER_SIZE));
    }
    vouch(&mut report, is_held);
    match decode(&extra.body) {
        Ok(entry) if entry.header.seq == file.index => {
            report.records = u64::from(entry.event.kind().is_record());
            check_openings(&entry, &extra, &mut problems);
            // What is not in the log is not shown as if it were.
            if problems.is_empty() {
                report.entry = opened(&entry, &leaf, &extra);
                report.notes.extend(fields(&entry, &extra));
            }
        }
        Err(EntryError::NotUnderstood) => report.not_understood = 1,
        _ => problems.push(problem(Some(file.index), "malformed", "the body is not one of this seq or not canonical")),
    }
    Ok(report.with_problems(problems))
}

/// Whether what a proof opens fits its commitments.
fn check_openings(entry: &Entry<'_>, extra: &Extra, problems: &mut Vec<ReportedProblem>) {
    for (field, salt, value) in &extra.openings {
        let slot = entry.fields.iter().find(|slot| slot.field == *field);
        if slot.is_none_or(|slot| Commitment::new(&Salt(*salt), *field, value).0 != slot.commitment) {
            problems.push(problem(Some(entry.header.seq), "content_mismatch", "a field does not match its commitment"));
        }
    }
}

/// The entry as an export line with what the proof opens.
fn opened(entry: &Entry<'_>, leaf: &Digest, extra: &Extra) -> Option<serde_json::Value> {
    let text = |value: &[u8]| std::str::from_utf8(value).ok().map(str::to_owned);
    let openings = extra.openings.iter().map(|(field, salt, value)| Opening { field: *field, salt: Some(*salt), value: text(value) });
    let openings: Vec<_> = openings.collect();
    let (mut payload, mut encoded, mut line) = ([0; MAX_BODY], [0; MAX_BODY], Vec::new());
    let slots = encode_slots(&entry.fields, &mut encoded).ok()?;
    entry_line(&mut line, &columns::row(entry, slots, leaf, &mut payload), &openings).ok()?;
    serde_json::from_slice(&line).ok()
}

/// Which fields are opened and which are hidden, in words.
fn fields(entry: &Entry<'_>, extra: &Extra) -> Option<String> {
    let is_open = |field: FieldId| extra.openings.iter().any(|(open, ..)| *open == field);
    let names = |open: bool| {
        let names: Vec<_> = entry.fields.iter().filter(|slot| is_open(slot.field) == open).map(|slot| slot.field.name()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    (!entry.fields.is_empty()).then(|| format!("fields opened: {}; hidden: {}", names(true), names(false)))
}

fn verify_growth(bytes: &[u8], kept: &[Kept], keys: &[Key<'_>]) -> Result<Report, NoteError> {
    let request = Request::parse(bytes).map_err(|_| NoteError::NotProof)?;
    let sealed = Kept::parse(request.checkpoint, keys)?;
    let mut report = Report::of_proof(&sealed, sealed.size().saturating_sub(1));
    (report.entries, report.first_seq, report.last_seq) = (0, None, None);
    let mut problems = Vec::new();
    let (olds, others): (Vec<_>, Vec<_>) = kept.iter().cloned().partition(|old| old.size() == request.old && old.log() == sealed.log());
    if olds.is_empty() {
        let why = format!("a proof of growth needs the checkpoint it begins with: give --checkpoint with that of {} entries", request.old);
        return Ok(Report::unreadable(why));
    }
    for old in &olds {
        if !proof::verify_consistency(request.old, sealed.size(), old.root(), sealed.root(), &request.proof) {
            let detail = format!("the log of {} entries does not begin with that of {}", sealed.size(), request.old);
            problems.push(problem(None, "rewritten", detail));
        }
    }
    let is_held = agree(&sealed, &others, &mut problems);
    if problems.is_empty() && others.iter().any(|other| other.size() != sealed.size()) {
        return Ok(Report::unreadable(OTHER_SIZE));
    }
    if problems.is_empty() {
        vouch(&mut report, is_held);
        report.notes.push(format!("the log grew from {} to {} entries and kept the first", request.old, sealed.size()));
    }
    Ok(report.with_problems(problems))
}

const OTHER_SIZE: &str =
    "the checkpoint of the proof and the one kept elsewhere have different sizes: ask for a proof of growth between them";

/// Holds the checkpoint of a proof against those that were kept: whether somebody vouches for it.
fn agree(sealed: &Kept, kept: &[Kept], problems: &mut Vec<ReportedProblem>) -> bool {
    let mut is_held = sealed.signed_by().is_some();
    for other in kept {
        if other.log() != sealed.log() {
            problems.push(problem(None, "rewritten", "the checkpoint kept elsewhere is of another log"));
        } else if other.size() == sealed.size() {
            is_held = true;
            if other.root() != sealed.root() {
                problems.push(problem(None, "rewritten", "the checkpoint of the proof and the one kept elsewhere differ"));
            }
        }
    }
    is_held
}

fn vouch(report: &mut Report, is_held: bool) {
    if is_held {
        report.level = "checkpoint";
        report.not_checked.clear();
    } else {
        report
            .notes
            .push("its checkpoint is not signed by a key you gave, and equals none you gave: give --key, or --checkpoint".to_owned());
    }
}
