//! Writing a copy: from where it is to where the log is.

use super::{CopyError, MAX_FILE, checkpoint, files, head, line, open};
use crate::checkpoints::Checkpoints;
use crate::export::{EntryLines, Line, Options, parse_line};
use crate::store::{BLOCK, Filter, Layout, Reader, StoreError, files as own_files};
use lowlight_core::LogId;
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
    /// Size of the newest checkpoint in it.
    sealed: u64,
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
        let next = self.copy(layout, &mut at)?;
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
        let mut journal = Checkpoints::open(layout.dir())?.of(log).near(at.sealed)?;
        let mut due = next_checkpoint(&mut journal, at.sealed)?;
        let mut batch = Vec::new();
        let mut line = Vec::new();
        let mut next = at.next;
        if let Some(line) = block_that_is_gone(&reader, next)? {
            batch.extend_from_slice(line.as_bytes());
            next = (next / BLOCK + 1) * BLOCK;
        }
        let mut entries = EntryLines::new(reader.source(next..size, &Filter::default(), self.content));
        loop {
            while let Some((sealed, line)) = due.take_if(|(sealed, _)| *sealed <= next) {
                batch.extend_from_slice(line.as_bytes());
                at.sealed = sealed;
                due = next_checkpoint(&mut journal, sealed)?;
            }
            let is_end = entries.next(&Options::default(), &mut line)?.is_none();
            if !is_end {
                batch.extend_from_slice(&line);
                batch.push(b'\n');
                next = entries.end();
            }
            if batch.len() >= BATCH || is_end {
                self.append(at, &mut batch, next).map_err(&failed)?;
            }
            if is_end {
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

/// The line of the block that `next` lies in, if it was removed as a whole: then no line begins at `next`.
fn block_that_is_gone(reader: &Reader, next: u64) -> Result<Option<String>, StoreError> {
    let (block, size) = (next / BLOCK, reader.tip().size);
    if next.is_multiple_of(BLOCK) || (block + 1) * BLOCK > size || reader.has_from(next, (block + 1) * BLOCK)? {
        return Ok(None);
    }
    let node = reader.subtree(8, block)?;
    let leaf = reader.leaf((block + 1) * BLOCK - 1)?.map_or(String::new(), |leaf| format!(",\"leaf\":\"{leaf}\""));
    Ok(node.map(|node| format!("{{\"seq\":{},\"removed\":8,\"node\":\"{node}\"{leaf}}}\n", block * BLOCK)))
}

/// Whether nobody else has written to the file since.
fn is_ours(at: &At) -> bool {
    at.file.as_ref().is_some_and(|(path, _, length)| path.symlink_metadata().is_ok_and(|meta| meta.len() == *length))
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
    let path = names.find(|path| path.symlink_metadata().is_err()).ok_or_else(|| std::io::Error::other("no free name"))?;
    let mut file = open(&path, OpenOptions::new().append(true).create_new(true))?;
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
    let mut at = At { log, next: 0, sealed: 0, file: None };
    // From the newest backwards, until one has an entry.
    for (_, path) in files(dir, log)?.into_iter().rev() {
        let mut input = BufReader::with_capacity(64 << 10, open(&path, OpenOptions::new().read(true))?);
        let mut text = Vec::new();
        while line(&mut input, &mut text)?.is_some() {
            if let Some(checkpoint) = checkpoint(&text) {
                at.sealed = at.sealed.max(checkpoint.size);
                continue;
            }
            let behind = match parse_line(&text) {
                Line::Entry { seq, .. } | Line::LeafOnly { seq, .. } | Line::Malformed { seq: Some(seq), .. } => seq.saturating_add(1),
                Line::Removed { seq, level, .. } => seq.saturating_add(1 << level),
                Line::Malformed { seq: None, .. } => 0,
            };
            at.next = at.next.max(behind);
        }
        if at.next > 0 {
            break;
        }
    }
    Ok(at)
}
