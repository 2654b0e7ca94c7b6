//! The checkpoint journal `DIR/checkpoints`: what the log looked like, again and again.
//!
//! ```text
//! {"log":hex id,"size":n,"root":hex,"recorded":ns,"cause":"start|entries|time|error|removal|stop","partial":[hex..],"note":text}\n
//! ```
//!
//! Limits: a line is at most [`MAX_LINE`] bytes; reading holds one line in memory.
//!
//! 1. A line is written after the COMMIT of the entries it covers, and flushed; a line cut off by a power cut is
//!    overwritten by the next.
//! 2. Sizes of one log ascend: who comes late with a smaller one writes nothing, a larger one covers it.
//! 3. `partial` are the nodes below level 8 of the tree at that size; with the stored nodes they give its root for ever.

mod journal;
mod witnessed;

pub use journal::Journal;
pub use witnessed::{Witnessed, add as add_witnessed, newest as newest_witnessed};

use crate::export::unhex;
use crate::store::{Layout, StoreError};
use crate::verify::Kept;
use lowlight_core::entry::MAX_SIZE;
use lowlight_core::{Digest, LogId};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom, Take};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Most bytes of a line.
pub const MAX_LINE: u64 = 8 << 10;
/// Where the newest ones are looked for first.
const NEAR_END: u64 = 64 << 10;

/// One checkpoint of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Id of the log, hex.
    pub log: String,
    /// Number of entries.
    pub size: u64,
    /// Root over them, hex.
    pub root: String,
    /// When it was made, nanoseconds since 1970.
    pub recorded: i64,
    /// Why: `start`, `entries`, `time`, `error`, `removal`, `stop`.
    pub cause: String,
    /// Nodes below level 8 at that size, left to right, hex.
    pub partial: Vec<String>,
    /// The checkpoint as a note, or its text alone when there is no key; absent once thinned out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Sealed {
    /// The root.
    pub fn root(&self) -> Option<Digest> {
        Digest::from_slice(&unhex(&self.root)?)
    }

    /// What is wrong about it by itself.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.size > MAX_SIZE {
            return Err("a size is larger than a log can be");
        }
        let root = self.root().ok_or("a root is not a hash")?;
        let note = self.note.as_ref().map(|note| Kept::parse(note.as_bytes(), &[]));
        let fits =
            note.is_none_or(|note| note.is_ok_and(|note| note.size() == self.size && *note.root() == root && note.log() == self.log));
        if fits { Ok(()) } else { Err("a note is not that of its line") }
    }
}

/// Where the journal of a log is.
pub fn file(layout: &Layout) -> PathBuf {
    layout.dir().join("checkpoints")
}

/// Reads the checkpoints of one log in order.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    lines: Option<BufReader<Take<File>>>,
    log: String,
    newest: Option<u64>,
}

impl Checkpoints {
    /// The journal in `dir` as it is now; one that is not there is empty. [`Checkpoints::of`] says whose lines are meant.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = file(&Layout::new(dir));
        // Whatever lies there, opening it does not wait.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let lines = match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => match file.metadata() {
                // What is written from now on is not read.
                Ok(meta) if meta.is_file() => Some(BufReader::new(file.take(meta.len()))),
                _ => None,
            },
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(StoreError::from_io(&path, source)),
        };
        Ok(Self { path, lines, log: String::new(), newest: None })
    }

    /// Lines of that log only.
    #[must_use]
    pub fn of(mut self, log_id: LogId) -> Self {
        self.log = log_id.to_string();
        self
    }

    /// The next one; `Err` with what is wrong about a line that is not valid or whose size does not ascend.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when reading fails.
    #[expect(clippy::should_implement_trait, reason = "two kinds of failure, one of which ends the reading")]
    pub fn next(&mut self) -> Result<Option<Result<Sealed, &'static str>>, StoreError> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        let mut line = Vec::new();
        loop {
            line.clear();
            lines.take(MAX_LINE).read_until(b'\n', &mut line).map_err(|source| StoreError::from_io(&self.path, source))?;
            if line.last() != Some(&b'\n') {
                // A last line without its end was cut off while it was written.
                if (line.len() as u64) < MAX_LINE {
                    return Ok(None);
                }
                lines.skip_until(b'\n').map_err(|source| StoreError::from_io(&self.path, source))?;
                return Ok(Some(Err("a line is too long")));
            }
            let Ok(sealed) = serde_json::from_slice::<Sealed>(&line) else { return Ok(Some(Err("a line is not a checkpoint"))) };
            if sealed.log != self.log {
                continue;
            }
            if self.newest.replace(sealed.size).is_some_and(|before| before >= sealed.size) {
                return Ok(Some(Err("sizes do not ascend")));
            }
            return Ok(Some(sealed.check().map(|()| sealed)));
        }
    }

    /// The newest one that is valid and of at most `size` entries; looked for from the end.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when reading fails.
    pub fn newest(mut self, size: u64) -> Result<Option<Sealed>, StoreError> {
        let length = self.lines.as_ref().map_or(0, |lines| lines.get_ref().limit());
        for tail in [NEAR_END, u64::MAX] {
            self.go_to(length.saturating_sub(tail), length)?;
            let mut newest = None;
            while let Some(next) = self.next()? {
                newest = next.ok().filter(|sealed| sealed.size <= size).or(newest);
            }
            if newest.is_some() || length <= tail {
                return Ok(newest);
            }
        }
        Ok(None)
    }

    /// The last valid line, of whichever log.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when reading fails.
    pub fn last(mut self) -> Result<Option<Sealed>, StoreError> {
        let length = self.lines.as_ref().map_or(0, |lines| lines.get_ref().limit());
        self.go_to(length.saturating_sub(NEAR_END), length)?;
        let mut tail = Vec::new();
        if let Some(lines) = &mut self.lines {
            lines.read_to_end(&mut tail).map_err(|source| StoreError::from_io(&self.path, source))?;
        }
        let valid = |line| serde_json::from_slice(line).ok().filter(|sealed: &Sealed| sealed.check().is_ok());
        Ok(tail.split(|byte| *byte == b'\n').rev().find_map(valid))
    }

    /// Lines behind that of `size` entries, if there is one near the end; else from the start on.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when reading fails.
    pub fn near(mut self, size: u64) -> Result<Self, StoreError> {
        let length = self.lines.as_ref().map_or(0, |lines| lines.get_ref().limit());
        if size > 0 && length > NEAR_END {
            let place = length - NEAR_END;
            self.go_to(place, length)?;
            let is_before = matches!(self.next()?, Some(Ok(sealed)) if sealed.size <= size);
            self.go_to(if is_before { place } else { 0 }, length)?;
        }
        Ok(self)
    }

    /// Goes on with the first line that begins behind `place`, to `length`.
    fn go_to(&mut self, place: u64, length: u64) -> Result<(), StoreError> {
        self.newest = None;
        let failed = |source| StoreError::from_io(&self.path, source);
        let Some(mut file) = self.lines.take().map(|lines| lines.into_inner().into_inner()) else { return Ok(()) };
        file.seek(SeekFrom::Start(place)).map_err(failed)?;
        let mut lines = BufReader::new(file.take(length - place));
        if place > 0 {
            lines.skip_until(b'\n').map_err(failed)?;
        }
        self.lines = Some(lines);
        Ok(())
    }
}
