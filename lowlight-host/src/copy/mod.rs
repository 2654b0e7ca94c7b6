//! A copy of a log that is only ever appended to, on another disk or share (`docs/format.md`, section 15).
//!
//! ```text
//! DIR/<log id>-<first seq>.ndjson    head | entry line* with checkpoint lines between
//! copy.lock, beside the log          held by whoever appends
//! ```
//!
//! 1. Nothing in it is ever changed: a file that ends in the middle of a line is left, and another is begun.
//! 2. Without content it holds nothing that an erasure would have to reach.
//! 3. Whoever can write to the folder gets nothing else written or read through it: links and pipes are refused.

mod compare;
mod own;
mod write;

pub use compare::compare;
pub use write::Copier;

use crate::checkpoints::Sealed;
use crate::export::MAX_LINE;
use crate::store::StoreError;
use lowlight_core::LogId;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file with more is followed by another, bytes.
const MAX_FILE: u64 = if cfg!(test) { 16 << 10 } else { 64 << 20 };

/// Why a copy cannot be continued, or a log not be held against it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy could not be read or written.
    #[error("the copy {0}: {1}")]
    Io(String, std::io::Error),
    /// There is nothing of this log.
    #[error("the copy {0} has nothing of the log {1}")]
    Nothing(String, String),
    /// The copy has entries that the log does not have.
    #[error(
        "the copy goes on to entry {0} and the log ends with {1} entries: the log was rolled back, or the copy was altered; `lowlight verify --against` tells, and a copy that was altered is moved away by hand"
    )]
    Ahead(u64, u64),
    /// What the copy ends with is not what the log has there.
    #[error(
        "the log is another than the copy before entry {0}, so nothing is added: the log was put back and gone on with, or the copy was altered; `lowlight verify --against` tells, and a copy that was altered is moved away by hand"
    )]
    Another(u64),
    /// An entry is neither there nor removed; or it is removed just now.
    #[error("entry {0} cannot be copied: the log has neither it nor what stands for it; `lowlight verify` tells")]
    Lacks(u64),
    /// Another recorder is at it.
    #[error("another recorder writes the copy")]
    Busy,
}

/// Files of the copy of a log, ascending by the first seq they hold.
///
/// # Errors
///
/// What the system says.
pub fn files(dir: &Path, log_id: LogId) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let prefix = format!("{log_id}-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        // As a copier names them: another spelling of a number would come before them, or between.
        let digits = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".ndjson"));
        let first = digits.filter(|digits| digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit()));
        let first = first.and_then(|digits| digits.parse().ok());
        found.extend(first.map(|first| (first, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

/// How many entries of a log are in the copy in `dir`.
///
/// # Errors
///
/// What the system says.
pub fn size(dir: &Path, log_id: LogId) -> std::io::Result<u64> {
    write::end(dir, log_id).map(|at| at.next)
}

/// The files of a copy with the lengths they have now: what is appended from now on is not read.
fn snapshot(dir: &Path, log_id: LogId) -> std::io::Result<Vec<(PathBuf, u64)>> {
    let length = |(_, path): (u64, PathBuf)| Ok((path.clone(), path.symlink_metadata()?.len()));
    files(dir, log_id)?.into_iter().map(length).collect()
}

/// Opens a file of a copy; refuses what is none without waiting for it.
fn open(path: &Path, how: &mut OpenOptions) -> std::io::Result<File> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let refuse = || std::io::Error::other(format!("{} is not a file of a copy: a link, a pipe or a device; move it away", path.display()));
    match how.mode(0o600).custom_flags(flags).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => Err(refuse()),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Err(refuse()),
        Err(error) => Err(error),
    }
}

/// First line of a file, without its newline.
fn head(log_id: LogId, first: u64) -> String {
    format!("{{\"lowlight\":\"copy\",\"version\":1,\"log_id\":\"{log_id}\",\"first\":{first}}}")
}

/// The next whole line, without its newline; `None` at the end, also at a line that was cut off.
fn line<R: BufRead>(input: &mut R, line: &mut Vec<u8>) -> std::io::Result<Option<()>> {
    line.clear();
    if input.by_ref().take(MAX_LINE as u64).read_until(b'\n', line)? == MAX_LINE && line.last() != Some(&b'\n') {
        return Err(std::io::Error::other("a line of it is longer than any that was written"));
    }
    Ok((line.pop() == Some(b'\n')).then_some(()))
}

/// A checkpoint line.
fn checkpoint(text: &[u8]) -> Option<Sealed> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped {
        checkpoint: Sealed,
    }
    text.starts_with(b"{\"checkpoint\"").then(|| serde_json::from_slice::<Wrapped>(text).ok().map(|wrapped| wrapped.checkpoint)).flatten()
}

#[cfg(test)]
mod tests {
    use super::{Copier, MAX_FILE, compare, files};
    use crate::store::{Layout, Reader};
    use crate::{Record, Recorder, verify};
    use std::time::Duration;

    #[test]
    fn two_that_take_turns_behind_a_full_file_write_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, copy) = (dir.path().join("logs"), dir.path().join("copy"));
        std::fs::create_dir(&copy).unwrap();
        let recorder = Recorder::builder(&logs).open().unwrap();
        let record = |count| {
            (0..count).for_each(|_| drop(recorder.record(Record::inference("m").prompt("p")).unwrap()));
            recorder.flush(Duration::from_secs(30)).unwrap();
        };
        let mut turns = [Copier::new(&copy, false), Copier::new(&copy, false)];
        for turn in 0..12 {
            record(40);
            turns[turn % 2].catch_up(&Layout::new(&logs)).unwrap();
        }
        // One falls behind while the other begins new files.
        record(40);
        turns[0].catch_up(&Layout::new(&logs)).unwrap();
        for _ in 0..3 {
            record(200);
            turns[1].catch_up(&Layout::new(&logs)).unwrap();
        }
        record(40);
        turns[0].catch_up(&Layout::new(&logs)).unwrap();
        recorder.close(Duration::from_secs(30)).unwrap();
        turns[0].catch_up(&Layout::new(&logs)).unwrap();
        let written = files(&copy, Reader::open(&logs).unwrap().log_id()).unwrap();
        assert!(written.len() > 2 && written[0].1.metadata().unwrap().len() >= MAX_FILE);
        let mut report = verify::log(&logs).unwrap();
        compare(&logs, &copy, &mut report).unwrap();
        assert_eq!((report.verdict, report.level), ("intact", "checkpoint"), "{report:?}");
    }

    #[test]
    fn a_file_that_was_begun_and_is_empty_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, copy) = (dir.path().join("logs"), dir.path().join("copy"));
        std::fs::create_dir(&copy).unwrap();
        let recorder = Recorder::builder(&logs).open().unwrap();
        recorder.close(Duration::from_secs(30)).unwrap();
        let log = Reader::open(&logs).unwrap().log_id();
        std::fs::write(copy.join(format!("{log}-{:020}.ndjson", 0)), "").unwrap();
        Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap();
        assert_eq!(files(&copy, log).unwrap().len(), 1);
    }
}
