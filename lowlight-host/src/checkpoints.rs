//! The checkpoint journal `DIR/checkpoints`: what the log looked like, again and again.
//!
//! ```text
//! {"log":hex id,"size":n,"root":hex,"recorded":ns,"cause":"start|entries|time|error|stop","partial":[hex..],"note":text}\n
//! ```
//!
//! Limits: a line is at most [`MAX_LINE`] bytes; reading holds one line in memory.
//!
//! 1. A line is written after the COMMIT of the entries it covers, and flushed; a line cut off by a power cut is
//!    overwritten by the next.
//! 2. Sizes of one log ascend: who comes late with a smaller one writes nothing, a larger one covers it.
//! 3. `partial` are the nodes below level 8 of the tree at that size; with the stored nodes they give its root for ever.

use crate::export::unhex;
use crate::keys::{self, LogKey, origin};
use crate::store::{Layout, StoreError, files};
use crate::verify::Kept;
use lowlight_core::note::Checkpoint;
use lowlight_core::tree::STORED_LEVEL;
use lowlight_core::{Digest, Frontier, Head, LogId};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom, Take, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Most bytes of a line.
pub const MAX_LINE: u64 = 8 << 10;

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
    /// Why: `start`, `entries`, `time`, `error`, `stop`.
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
}

/// Where the journal of a log is.
pub fn file(layout: &Layout) -> PathBuf {
    layout.dir().join("checkpoints")
}

/// Writes checkpoints of a log.
#[derive(Debug)]
pub struct Journal {
    layout: Layout,
    key: Option<LogKey>,
}

impl Journal {
    /// The journal of a log; nothing is opened yet.
    pub fn new(layout: Layout) -> Self {
        Self { layout, key: None }
    }

    /// The key that signs. Read anew each time: it may be another one, and checkpoints are rare.
    ///
    /// # Errors
    ///
    /// Those of [`LogKey::load`].
    pub fn key(&mut self) -> Result<Option<&mut LogKey>, StoreError> {
        self.key = LogKey::load(&self.layout)?;
        Ok(self.key.as_mut())
    }

    /// Moves aside a journal that goes on beyond the log, which has `size` entries: somebody put an older database back, or
    /// the newest entries were lost. To be called under the writers' lock, where a checkpoint is never ahead. Returns the new
    /// name.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read or moved.
    pub fn set_aside_if_ahead(&self, log_id: LogId, size: u64, now: i64) -> Result<Option<PathBuf>, StoreError> {
        let mut journal = Checkpoints::open(self.layout.dir())?.of(log_id);
        let mut is_ahead = false;
        while let Some(line) = journal.next()? {
            is_ahead |= line.is_ok_and(|sealed| sealed.size > size);
        }
        if !is_ahead {
            return Ok(None);
        }
        let (path, home) = (file(&self.layout), self.layout.quarantine());
        files::private_dir(&home)?;
        let aside = home.join(format!("checkpoints-{now}"));
        std::fs::rename(&path, &aside).map_err(|source| StoreError::from_io(&path, source))?;
        files::sync_parent(&path)?;
        Ok(Some(aside))
    }

    /// Writes a checkpoint at `head`, which must be committed; `false` when one of that size or a larger one is there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the journal cannot be written, or the key cannot be read.
    pub fn seal(&mut self, log_id: LogId, head: &Head, cause: &str, now: i64) -> Result<bool, StoreError> {
        let (root, size) = (head.frontier.root(), head.size());
        let key = self.key()?;
        let name = origin(key.as_ref().map_or(keys::DEFAULT_NAME, |key| key.key().name), log_id);
        let text = Checkpoint { origin: &name, size, root }.to_string();
        let note = key.map_or_else(
            || text.clone(),
            |key| {
                let mut note = format!("{text}\n");
                key.sign(&text, &mut note);
                note
            },
        );
        let partial = partial(&head.frontier).map(Digest::to_string).collect();
        let sealed = Sealed {
            log: log_id.to_string(),
            size,
            root: root.to_string(),
            recorded: now,
            cause: cause.to_owned(),
            partial,
            note: Some(note),
        };
        self.append(&sealed)
    }

    fn append(&self, sealed: &Sealed) -> Result<bool, StoreError> {
        let path = file(&self.layout);
        let io = |source| StoreError::from_io(&path, source);
        let is_new = !path.exists();
        let mut file = files::private_file(&path)?;
        file.lock().map_err(io)?;
        let (end, newest, glued) = last_line(&mut file).map_err(io)?;
        let newest = newest.and_then(|line| serde_json::from_slice::<Sealed>(&line).ok());
        if newest.is_some_and(|newest| newest.log == sealed.log && newest.size >= sealed.size) {
            return Ok(false);
        }
        // Behind something that does not end a line, a line begins anew.
        let mut line = if glued { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut line, sealed).map_err(|error| io(error.into()))?;
        line.push(b'\n');
        file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(io)?;
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(io)?;
        if is_new {
            files::sync_parent(&path)?;
        }
        Ok(true)
    }
}

/// The nodes below the level that is stored, left to right.
fn partial(frontier: &Frontier) -> impl Iterator<Item = &Digest> {
    let above = (frontier.size() >> STORED_LEVEL).count_ones() as usize;
    frontier.hashes().skip(above)
}

/// Where the last whole line ends, that line, and whether what stands before that place does not end a line.
fn last_line(file: &mut File) -> std::io::Result<(u64, Option<Vec<u8>>, bool)> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(2 * MAX_LINE);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    Read::by_ref(file).take(2 * MAX_LINE).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        // No line yet, or one longer than any of ours: what is there stays, and a new line begins behind it.
        return Ok(if from == 0 { (0, None, false) } else { (length, None, true) });
    };
    let whole = &tail[..end];
    let start = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok((from + end as u64 + 1, Some(whole[start..].to_vec()), false))
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
                    self.lines = None;
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
            let Some(root) = sealed.root() else { return Ok(Some(Err("a root is not a hash"))) };
            let note = sealed.note.as_ref().map(|note| Kept::parse(note.as_bytes(), &[]));
            let fits = note
                .is_none_or(|note| note.is_ok_and(|note| note.size() == sealed.size && *note.root() == root && note.log() == sealed.log));
            return Ok(Some(if fits { Ok(sealed) } else { Err("a note is not that of its line") }));
        }
    }

    /// The newest one that is valid and of at most `size` entries.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when reading fails.
    pub fn newest(mut self, size: u64) -> Result<Option<Sealed>, StoreError> {
        let mut newest = None;
        while let Some(next) = self.next()? {
            newest = next.ok().filter(|sealed| sealed.size <= size).or(newest);
        }
        Ok(newest)
    }
}
