//! What was taken in of devices, held against what the host's log says of it (`docs/format.md`, section 18).

use super::ImportError;
use super::store::{DeviceStore, Stretch, UNKNOWN, devices};
use crate::store::{Filter, Reader, StoreError};
use crate::verify::ReportedProblem;
use lowlight_core::LogId;
use lowlight_core::entry::codec::decode;
use lowlight_core::entry::{Event, Import, Kind, Lifecycle};
use lowlight_core::source::{EntrySource as _, Item};
use lowlight_core::verify::{DeviceVerdict, DeviceVerifier, MAX_PROBLEMS};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The verdict on the log of a device.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "as in the JSON verdict of docs/format.md, where nothing else is said")]
pub struct DeviceReport {
    pub log_id: String,
    /// `intact`, `broken` or `unreadable`.
    pub verdict: &'static str,
    pub entries: u64,
    pub records: u64,
    pub first: Option<u64>,
    /// Index behind the last entry.
    pub end: u64,
    /// Starts of the firmware.
    pub boots: u64,
    /// Entries that are not there, in runs: the first 100.
    pub gaps: Vec<DeviceGapReport>,
    pub gaps_total: u64,
    pub lost: u64,
    /// Entries that the device lost before they were stored, as its own entries say.
    pub dropped: u64,
    /// Entries of a later version or kind.
    pub not_understood: u64,
    /// Entries whose link to the one before could not be checked.
    pub unchained: u64,
    /// Places where the device lost entries and chained on from the last it knew.
    pub torn: u64,
    /// Entries that no entry of the host's log covers, yet or at all.
    pub untold: u64,
    pub problems: Vec<ReportedProblem>,
    pub problems_total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Entries that are not there.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceGapReport {
    /// Index of the first.
    pub first: u64,
    /// Index of the last.
    pub last: u64,
    /// What follows is chained to what the device said stood before it.
    pub anchored: bool,
}

impl DeviceReport {
    /// The report on a verdict.
    pub fn new(log_id: LogId, verdict: &DeviceVerdict<MAX_PROBLEMS>) -> Self {
        let gaps = verdict.gaps.iter().map(|gap| DeviceGapReport { first: gap.first, last: gap.end - 1, anchored: gap.is_anchored });
        Self {
            log_id: log_id.to_string(),
            verdict: if verdict.is_intact() { "intact" } else { "broken" },
            entries: verdict.entries,
            records: verdict.records,
            first: verdict.first,
            end: verdict.end.0,
            boots: verdict.boots,
            gaps: gaps.collect(),
            gaps_total: verdict.gaps_total,
            lost: verdict.lost,
            dropped: verdict.dropped,
            not_understood: verdict.not_understood,
            unchained: verdict.unchained,
            torn: verdict.torn,
            untold: 0,
            problems: verdict.problems.kept().iter().map(ReportedProblem::new).collect(),
            problems_total: verdict.problems.total(),
            error: None,
        }
    }

    fn unreadable(log_id: String, error: &ImportError) -> Self {
        let nothing = DeviceVerifier::new(LogId([0; 16]), 0, None).finish();
        Self { log_id, verdict: "unreadable", error: Some(error.to_string()), ..Self::new(LogId([0; 16]), &nothing) }
    }

    fn add(&mut self, seq: Option<u64>, kind: &'static str, detail: String) {
        self.verdict = "broken";
        self.problems_total += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(ReportedProblem { seq, kind, detail });
        }
    }

    /// Import entries of the host's log of which nothing is here.
    fn missing<'a>(&mut self, said: impl Iterator<Item = &'a (u64, Import)>) {
        for (seq, import) in said {
            let (first, last) = (import.first, import.end.saturating_sub(1));
            let what = format!("entry {seq} of the host's log says that {first} to {last} were taken in, and that is not here");
            self.add(Some(first), "missing", what);
        }
    }
}

/// Verifies what was taken in of every device into the log in `dir`.
///
/// # Errors
///
/// What reading the host's log failed with; what is wrong with a device is in its report.
pub fn verify_devices(dir: &Path, reader: &Reader) -> Result<Vec<DeviceReport>, StoreError> {
    let said = imports(reader)?;
    let mut names: BTreeSet<String> = said.keys().map(ToString::to_string).collect();
    names.extend(made_devices(dir));
    let report = |name: &String| {
        let own = said.iter().find(|(log_id, _)| log_id.to_string() == *name).map_or(&[][..], |(_, own)| own);
        verify_one(&devices(dir).join(name), own, reader.tip().size).unwrap_or_else(|error| DeviceReport::unreadable(name.clone(), &error))
    };
    Ok(names.iter().map(report).collect())
}

/// The import entries of the host's log, by device.
fn imports(reader: &Reader) -> Result<BTreeMap<LogId, Vec<(u64, Import)>>, StoreError> {
    let mut filter = Filter::default();
    filter.and("kind = ?", [rusqlite::types::Value::Integer(Kind::Import.number().into())]);
    let mut source = reader.source(0..reader.tip().size, &filter, false);
    let mut found: BTreeMap<LogId, Vec<(u64, Import)>> = BTreeMap::new();
    while let Some(item) = source.next()? {
        if let Item::Entry { seq, body, .. } = item
            && let Ok(entry) = decode(body)
            && let Event::Import(import) = entry.event
        {
            found.entry(import.log_id).or_default().push((seq, import));
        }
    }
    Ok(found)
}

/// Whether entry `seq` of the host's log says what `import` says.
pub(super) fn tells(reader: &Reader, seq: u64, import: &Import) -> Result<bool, StoreError> {
    let Some(end) = seq.checked_add(1).filter(|end| *end <= reader.tip().size) else { return Ok(false) };
    let mut source = reader.source(seq..end, &Filter::default(), false);
    let Some(Item::Entry { body, .. }) = source.next()? else { return Ok(false) };
    Ok(decode(body).is_ok_and(|entry| matches!(entry.event, Event::Import(said) if said == *import)))
}

/// Newest entries of the host's log among which an alarm is not said again.
const NEW: u64 = 1000;

/// Whether an alarm stands among the newest entries of the host's log.
pub(super) fn is_alarmed(reader: &Reader, code: &str, detail: &str) -> Result<bool, StoreError> {
    let mut filter = Filter::default();
    filter.and("kind = ?", [rusqlite::types::Value::Integer(Kind::Lifecycle.number().into())]);
    let size = reader.tip().size;
    let mut source = reader.source(size.saturating_sub(NEW)..size, &filter, false);
    while let Some(item) = source.next()? {
        if let Item::Entry { body, .. } = item
            && let Ok(entry) = decode(body)
            && entry.event == Event::Lifecycle(Lifecycle::Alarm { code, detail })
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The devices that were taken in into the log in `dir`: the names of their directories in [`devices`].
pub(crate) fn names_of_devices(dir: &Path) -> BTreeSet<String> {
    let found = std::fs::read_dir(devices(dir)).into_iter().flatten().flatten();
    let names = found.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| is_log_id(name)).collect()
}

/// Those without what an import made that made no more than the place: of that there is nothing to say.
pub(crate) fn made_devices(dir: &Path) -> impl Iterator<Item = String> {
    names_of_devices(dir).into_iter().filter(move |name| !DeviceStore::is_unmade(&devices(dir).join(name)))
}

/// Whether a directory is that of a device, by its name.
fn is_log_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn verify_one(home: &Path, said: &[(u64, Import)], size: u64) -> Result<DeviceReport, ImportError> {
    if DeviceStore::is_unmade(home)
        && let Some((_, import)) = said.first()
    {
        let nothing = DeviceVerifier::new(import.log_id, 0, None).finish();
        let mut report = DeviceReport::new(import.log_id, &nothing);
        report.missing(said.iter());
        return Ok(report);
    }
    let store = DeviceStore::read(home)?;
    let mut stretches = store.stretches()?;
    // One that fills what an earlier one left out stands where it belongs; of two about the same, the later is behind.
    stretches.sort_by_key(|stretch| (stretch.import.first, stretch.id));
    let mut verifier = DeviceVerifier::<MAX_PROBLEMS>::new(store.log_id(), 0, None);
    let mut wrong = Vec::new();
    for stretch in &stretches {
        match stretch.import.head_before {
            UNKNOWN => verifier.assume(),
            before => verifier.anchor(stretch.import.first, before, stretch.is_torn),
        }
        if !store.is_whole(stretch, |index, body| verifier.entry(index, body))? {
            wrong.push((stretch.import.first, stretch.import.end.saturating_sub(1)));
        }
    }
    let mut report = DeviceReport::new(store.log_id(), &verifier.finish());
    for (first, last) in wrong {
        report.add(Some(first), "modified", format!("the entries from here to {last} are not those that were taken in"));
    }
    if let Some(index) = store.stray()? {
        report.add(Some(index), "inserted", "entries are here that no import has taken in".to_owned());
    }
    report.missing(said.iter().filter(|(_, import)| !stretches.iter().any(|stretch| stretch.import == *import)));
    // Of what came in since the log was read nothing can be said.
    let (told, untold): (Vec<&Stretch>, Vec<&Stretch>) = stretches.iter().partition(|stretch| stretch.seq.is_some_and(|seq| seq < size));
    if let Some(stretch) = told.iter().find(|stretch| !said.iter().any(|(_, import)| stretch.import == *import)) {
        let what = "no entry of the host's log says that it was taken in".to_owned();
        report.add(Some(stretch.import.first), "inserted", what);
    }
    report.untold = untold.iter().map(|stretch| stretch.entries()).fold(0, u64::saturating_add);
    Ok(report)
}
