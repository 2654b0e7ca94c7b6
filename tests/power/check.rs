//! Opens what a power loss left with the real recorder, and holds it against what was promised before.

use crate::disk::Image;
use lowlight_core::Digest;
use lowlight_host::store::Reader;
use lowlight_host::{Record, Recorder, verify};
use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// What a workload was promised by the time of a cut.
#[derive(Debug, Clone, Default)]
pub struct Promised {
    /// Newest entry that was acknowledged as durable.
    pub acked: Option<u64>,
    /// Texts of which nothing may be left.
    pub erased: Vec<String>,
}

/// What is the same for all cuts of a workload.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Leaves of the entries as they were written, as far as they are still there at the end.
    pub leaves: BTreeMap<u64, Digest>,
    /// The log was damaged before: it is moved aside.
    pub is_damaged: bool,
}

/// Puts an image into an empty directory.
pub fn lay_out(image: &Image, dir: &Path) -> std::io::Result<()> {
    let _ = std::fs::remove_dir_all(dir);
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true).mode(0o700).create(dir)?;
    for (path, content) in image {
        let file = dir.join(path);
        if let Some(parent) = file.parent().filter(|parent| !parent.is_dir()) {
            folder.create(parent)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
        std::io::Write::write_all(&mut file, content)?;
    }
    Ok(())
}

/// Reads the files below a directory.
pub fn read_in(dir: &Path) -> std::io::Result<Image> {
    let mut image = Image::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                image.insert(path.strip_prefix(dir).unwrap_or(&path).to_path_buf(), std::fs::read(&path)?);
            }
        }
    }
    Ok(image)
}

/// Opens the log in `dir`, records one more entry and verifies.
pub fn check(dir: &Path, expected: &Expected, promised: &Promised) -> Result<(), String> {
    let logs = dir.join("logs");
    let recorder = Recorder::builder(&logs).open().map_err(|error| format!("the recorder does not start: {error}"))?;
    let ticket = recorder.record(Record::inference("after").prompt("after the power loss")).map_err(|error| error.to_string())?;
    let outcome = ticket.wait_timeout(LONG);
    // Retention has a second when a recorder ends, and the next one finishes it; here it has as long as it needs.
    recorder.finish_removal(LONG).map_err(|error| format!("removal is not finished: {error}"))?;
    let stats = recorder.close(LONG).map_err(|late| format!("it does not end: {late:?}"))?;
    let lowlight_host::Outcome::Durable(seq) = outcome else { return Err(format!("nothing can be recorded: {outcome:?}, {stats:?}")) };
    if stats.quarantined.is_some() && !expected.is_damaged && promised.acked.is_some() {
        return Err(format!("the log was moved aside: {:?}", stats.quarantined));
    }
    if let Some(problem) = &stats.verify_problem {
        return Err(format!("the recorder found a problem: {problem}"));
    }
    let report = verify::log(&logs).map_err(|error| error.to_string())?;
    if report.verdict != "intact" {
        return Err(format!("it does not verify: {}", report.first_problem().or(report.error).unwrap_or_default()));
    }
    if report.pending_erase > 0 {
        return Err(format!("{} entries are named for removal and still there", report.pending_erase));
    }
    let reader = Reader::open(&logs).map_err(|error| error.to_string())?;
    if let Some(acked) = promised.acked.filter(|_| stats.quarantined.is_none()) {
        if seq <= acked {
            return Err(format!("entry {acked} was acknowledged, and the next one is {seq}"));
        }
        // The chain ties all before it.
        let (newest, leaf) = expected.leaves.range(..=acked).next_back().ok_or("no leaf to compare with")?;
        let own = reader.leaf(*newest).map_err(|error| error.to_string())?;
        if own.is_some_and(|own| own != *leaf) {
            return Err(format!("entry {newest} is another than the one that was acknowledged"));
        }
    }
    let sql = "SELECT count(*) FROM entry WHERE kind = 4 AND instr(event, CAST('journal_ahead' AS BLOB)) > 0";
    let ahead: i64 = reader.connection().query_row(sql, [], |row| row.get(0)).map_err(|error| error.to_string())?;
    if ahead > 0 {
        return Err("a checkpoint was durable before the entries it covers".to_owned());
    }
    for needle in &promised.erased {
        for (path, content) in read_in(dir).map_err(|error| error.to_string())? {
            if content.windows(needle.len()).any(|window| window == needle.as_bytes()) {
                return Err(format!("{needle} was erased and is in {}", path.display()));
            }
        }
    }
    Ok(())
}
