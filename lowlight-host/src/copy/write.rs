//! Writing a copy: from where it is to where the log is.

use super::{CopyError, MAX_FILE, checkpoint, files, head, line, open};
use crate::checkpoints::Checkpoints;
use crate::export::{EntryLines, Line, Options, frontier_at, parse_line};
use crate::store::{Filter, Layout, Reader, StoreError, files as own_files};
use lowlight_core::tree::STORED_LEVEL;
use lowlight_core::{Digest, LogId};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Bytes that are written before the copy is flushed.
const BATCH: usize = 4 << 20;
/// Files that may have been begun at one seq and broken off.
const MAX_BEGUN: u64 = 1_000;

/// Where a copy is.
#[derive(Debug)]
pub(super) struct At {
    log: LogId,
    /// Seq behind the last entry in it.
    pub(super) next: u64,
    /// Leaf of the entry before that, as far as it is known.
    leaf: Option<Digest>,
    /// Size of the newest checkpoint in it, and its root.
    sealed: u64,
    root: Option<Digest>,
    /// The newest file with its length, once it is open.
    file: Option<(PathBuf, File, u64)>,
}

/// The writing end of a copy.
#[derive(Debug)]
pub struct Copier {
    dir: PathBuf,
    content: bool,
    at: Option<At>,
}

impl Copier {
    /// A copy in `dir`; with salts and values if `content`.
    pub fn new(dir: impl Into<PathBuf>, content: bool) -> Self {
        Self { dir: dir.into(), content, at: None }
    }

    /// Copies what is there and is not copied; returns how far the copy is. After an error the copy is looked at anew.
    ///
    /// # Errors
    ///
    /// [`CopyError`] when the log cannot be read, the copy cannot be written or has more than the log.
    pub fn catch_up(&mut self, layout: &Layout) -> Result<u64, CopyError> {
        let mut at = self.at.take();
        let next = match self.copy(layout, &mut at) {
            // Removed between two looks at the log.
            Err(CopyError::Lacks(_)) => {
                at = None;
                self.copy(layout, &mut at)
            }
            done => done,
        }?;
        self.at = at;
        Ok(next)
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> CopyError {
        let dir = self.dir.display().to_string();
        move |error| CopyError::Io(dir.clone(), error)
    }

    fn copy(&self, layout: &Layout, at: &mut Option<At>) -> Result<u64, CopyError> {
        let failed = self.failed();
        if self.dir.canonicalize().is_ok_and(|dir| layout.dir().canonicalize().is_ok_and(|own| dir.starts_with(own))) {
            return Err(failed(std::io::Error::other("it lies in the log's own folder: what befalls the log befalls it as well")));
        }
        // A folder that is a mount point with nothing mounted on it would be filled in its place: it must be there.
        if !self.dir.is_dir() {
            return Err(failed(std::io::Error::new(std::io::ErrorKind::NotFound, "the folder of the copy is not there")));
        }
        // Shares do not always have locks, and all that append have the log.
        let lock = layout.copy_lock();
        let file = own_files::private_file(&lock)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => CopyError::Busy,
            TryLockError::Error(error) => StoreError::from_io(&lock, error).into(),
        })?;
        // Behind the lock, so that nobody has copied what this reader does not see.
        let reader = Reader::open(layout.dir())?;
        let (log, size) = (reader.log_id(), reader.tip().size);
        let at = match at.take_if(|at| at.log == log && is_ours(at)) {
            Some(known) => at.insert(known),
            None => at.insert(end(&self.dir, log).map_err(&failed)?),
        };
        if at.next > size {
            return Err(CopyError::Ahead(at.next, size));
        }
        if !continues(&reader, at)? {
            return Err(CopyError::Another(at.next));
        }
        let mut journal = Checkpoints::open(layout.dir())?.of(log).near(at.sealed)?;
        let mut due = next_checkpoint(&mut journal, at.sealed)?;
        let mut batch = Vec::new();
        let mut line = Vec::new();
        let mut next = at.next;
        let from = |next: u64| EntryLines::new(reader.source(next..size, &Filter::default(), self.content));
        let mut entries = from(next);
        loop {
            while let Some((sealed, line)) = due.take_if(|(sealed, _)| *sealed <= next) {
                batch.extend_from_slice(line.as_bytes());
                at.sealed = sealed;
                due = next_checkpoint(&mut journal, sealed)?;
            }
            let is_end = entries.next(&Options::default(), &mut line)?.is_none();
            if next < if is_end { size } else { entries.start() } {
                // What is gone began before: the rest of it is in the node over all of it.
                let (text, end) = node_over(&reader, next)?.ok_or(CopyError::Lacks(next))?;
                batch.extend_from_slice(text.as_bytes());
                next = end;
                entries = from(next);
                continue;
            }
            if !is_end {
                batch.extend_from_slice(&line);
                batch.push(b'\n');
                next = entries.end();
            }
            if batch.len() >= BATCH || is_end {
                self.append(at, &mut batch, next).map_err(&failed)?;
            }
            if is_end {
                (at.leaf, at.root) = (if next > 0 { reader.leaf(next - 1)? } else { None }, None);
                return Ok(next);
            }
        }
    }

    fn append(&self, at: &mut At, batch: &mut Vec<u8>, next: u64) -> std::io::Result<()> {
        if !batch.is_empty() {
            let (path, mut file, length) = match at.file.take().filter(|(.., length)| *length < MAX_FILE) {
                Some(open) => open,
                None => newest(&self.dir, at.log, at.next)?,
            };
            if let Err(error) = file.write_all(batch).and_then(|()| file.sync_data()) {
                // What was just begun and has no end is not left behind: a full disk would collect it.
                let _ = file.set_len(length);
                return Err(error);
            }
            at.file = Some((path, file, length + batch.len() as u64));
            batch.clear();
        }
        at.next = next;
        Ok(())
    }
}

/// Whether the log goes on from where the copy ends, as far as it can be said.
fn continues(reader: &Reader, at: &At) -> Result<bool, StoreError> {
    let own = if at.next > 0 { reader.leaf(at.next - 1)? } else { None };
    if let Some((own, leaf)) = own.zip(at.leaf) {
        return Ok(own == leaf);
    }
    let own = if at.root.is_some() { frontier_at(reader, at.sealed)? } else { None };
    Ok(own.zip(at.root).is_none_or(|(own, root)| own.root() == root))
}

/// A line of a node that begins before `next` and ends behind it, and where it ends.
fn node_over(reader: &Reader, next: u64) -> Result<Option<(String, u64)>, StoreError> {
    for level in 1..=STORED_LEVEL {
        let index = next >> level;
        let (seq, end) = (index << level, (index + 1) << level);
        let node = if end <= reader.tip().size { reader.node(level, index)? } else { None };
        if let Some(node) = node {
            let leaf = reader.leaf(end - 1)?.map_or(String::new(), |leaf| format!(",\"leaf\":\"{leaf}\""));
            return Ok(Some((format!("{{\"seq\":{seq},\"removed\":{level},\"node\":\"{node}\"{leaf}}}\n"), end)));
        }
    }
    Ok(None)
}

/// Whether nobody else has written to the file since, nor begun the next behind one that is full.
fn is_ours(at: &At) -> bool {
    let same = |path: &Path, length: u64| path.symlink_metadata().is_ok_and(|meta| meta.len() == length);
    at.file.as_ref().is_some_and(|(path, _, length)| *length < MAX_FILE && same(path, *length))
}

/// The next line of the journal that is not in the copy.
fn next_checkpoint(journal: &mut Checkpoints, behind: u64) -> Result<Option<(u64, String)>, StoreError> {
    while let Some(line) = journal.next()? {
        if let Some(sealed) = line.ok().filter(|sealed| sealed.size > behind) {
            return Ok(Some((sealed.size, serde_json::json!({ "checkpoint": sealed }).to_string() + "\n")));
        }
    }
    Ok(None)
}

/// The newest file, if it ends with a line and is not full; else another that begins with `first`.
fn newest(dir: &Path, log: LogId, first: u64) -> std::io::Result<(PathBuf, File, u64)> {
    if let Some((_, path)) = files(dir, log)?.pop() {
        let mut file = open(&path, OpenOptions::new().read(true).append(true))?;
        let length = file.seek(SeekFrom::End(0))?;
        let mut last = [0];
        let ends = length > 0 && file.seek(SeekFrom::End(-1)).is_ok() && file.read_exact(&mut last).is_ok() && last == [b'\n'];
        if ends && length < MAX_FILE {
            return Ok((path, file, length));
        }
    }
    // A file of that name may have been begun and broken off: the name only says where to look.
    let mut names = (0..MAX_BEGUN).map(|more| dir.join(format!("{log}-{:020}.ndjson", first + more)));
    let is_free = |path: &PathBuf| path.symlink_metadata().map_or(true, |meta| meta.is_file() && meta.len() == 0);
    let path = names.find(is_free).ok_or_else(|| std::io::Error::other("no free name"))?;
    let mut file = open(&path, OpenOptions::new().append(true).create(true))?;
    let head = head(log, first) + "\n";
    let written = file.write_all(head.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| File::open(dir)?.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok((path, file, head.len() as u64))
}

/// Where the copy ends.
pub(super) fn end(dir: &Path, log: LogId) -> std::io::Result<At> {
    let mut at = At { log, next: 0, leaf: None, sealed: 0, root: None, file: None };
    // From the newest backwards, until one has an entry.
    for (_, path) in files(dir, log)?.into_iter().rev() {
        let mut input = BufReader::with_capacity(64 << 10, open(&path, OpenOptions::new().read(true))?);
        let mut text = Vec::new();
        while line(&mut input, &mut text)?.is_some() {
            if let Some(checkpoint) = checkpoint(&text) {
                if checkpoint.size > at.sealed {
                    (at.sealed, at.root) = (checkpoint.size, checkpoint.root());
                }
                continue;
            }
            let (behind, leaf) = match parse_line(&text) {
                Line::Entry { seq, leaf, .. } | Line::LeafOnly { seq, leaf } => (seq.saturating_add(1), Some(leaf)),
                Line::Malformed { seq: Some(seq), leaf, .. } => (seq.saturating_add(1), leaf),
                Line::Removed { seq, level: 0, node, .. } => (seq.saturating_add(1), Some(node)),
                Line::Removed { seq, level, leaf, .. } => (seq.saturating_add(1 << level), leaf),
                Line::Malformed { seq: None, .. } => (0, None),
            };
            if behind > at.next {
                (at.next, at.leaf) = (behind, leaf);
            }
        }
        if at.next > 0 {
            break;
        }
    }
    Ok(at)
}
