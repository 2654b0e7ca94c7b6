//! Writing a copy: from where it is to where the log is.

use super::{MAX_FILE, files, line};
use crate::checkpoints::Checkpoints;
use crate::export::{Line, Opening, entry_line, parse_line};
use crate::store::{Filter, Layout, Reader, StoreError, columns};
use lowlight_core::LogId;
use lowlight_core::entry::codec;
use lowlight_core::entry::{EntryError, Kind, MAX_BODY};
use lowlight_core::source::{EntrySource as _, Item};
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes that are written before the copy is flushed.
const BATCH: usize = 4 << 20;

/// The writing end of a copy.
#[derive(Debug)]
pub struct Copier {
    dir: PathBuf,
    content: bool,
    /// The log that is being copied, and how far.
    at: Option<(LogId, u64)>,
    file: Option<(File, u64)>,
    /// Size of the newest checkpoint in it.
    sealed: u64,
}

impl Copier {
    /// A copy in `dir`; with salts and values if `content`.
    pub fn new(dir: impl Into<PathBuf>, content: bool) -> Self {
        Self { dir: dir.into(), content, at: None, file: None, sealed: 0 }
    }

    /// How many entries of the log are in it.
    pub fn size(&self) -> Option<u64> {
        self.at.map(|(_, size)| size)
    }

    /// Copies what is there and is not copied; returns how far the copy is. After an error the copy is looked at anew.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the log cannot be read or the copy cannot be written.
    pub fn catch_up(&mut self, layout: &Layout) -> Result<u64, StoreError> {
        let done = self.copy(layout);
        if done.is_err() {
            (self.at, self.file) = (None, None);
        }
        done
    }

    fn copy(&mut self, layout: &Layout) -> Result<u64, StoreError> {
        let io = |dir: &Path| {
            let dir = dir.to_path_buf();
            move |source| StoreError::from_io(&dir, source)
        };
        let reader = Reader::open(layout.dir())?;
        let (log_id, size) = (reader.log_id(), reader.tip().size);
        if self.at.is_none_or(|(log, _)| log != log_id) {
            // A folder that is a mount point with nothing mounted on it would be filled in its place: it must be there.
            if !self.dir.is_dir() {
                return Err(StoreError::from_io(
                    &self.dir,
                    std::io::Error::new(std::io::ErrorKind::NotFound, "the folder of the copy is not there"),
                ));
            }
            let (next, sealed) = end(&self.dir, log_id).map_err(io(&self.dir))?;
            (self.at, self.sealed, self.file) = (Some((log_id, next)), sealed, None);
        }
        let from = self.at.map_or(0, |(_, next)| next);
        let mut batch = Vec::new();
        let mut next = from;
        let mut journal = Checkpoints::open(layout.dir())?.of(log_id);
        let mut due = self.next_checkpoint(&mut journal)?;
        let mut entries = Entries { source: reader.source(from..size, &Filter::default(), self.content), pending: None };
        while let Some(done) = entries.next(&mut batch)? {
            next = done;
            while due.as_ref().is_some_and(|(sealed, _)| *sealed <= next) {
                let Some((sealed, line)) = due.take() else { break };
                batch.extend_from_slice(line.as_bytes());
                self.sealed = sealed;
                due = self.next_checkpoint(&mut journal)?;
            }
            if batch.len() >= BATCH {
                self.append(log_id, &mut batch, next).map_err(io(&self.dir))?;
            }
        }
        while let Some((sealed, line)) = due.take().filter(|(sealed, _)| *sealed <= next) {
            batch.extend_from_slice(line.as_bytes());
            self.sealed = sealed;
            due = self.next_checkpoint(&mut journal)?;
        }
        self.append(log_id, &mut batch, next).map_err(io(&self.dir))?;
        Ok(next)
    }

    /// The next line of the journal that is not in the copy.
    fn next_checkpoint(&self, journal: &mut Checkpoints) -> Result<Option<(u64, String)>, StoreError> {
        while let Some(line) = journal.next()? {
            let Ok(sealed) = line else { continue };
            if sealed.size > self.sealed {
                let text = serde_json::json!({ "checkpoint": sealed }).to_string() + "\n";
                return Ok(Some((sealed.size, text)));
            }
        }
        Ok(None)
    }

    fn append(&mut self, log_id: LogId, batch: &mut Vec<u8>, next: u64) -> std::io::Result<()> {
        if !batch.is_empty() {
            let first = self.at.map_or(0, |(_, size)| size);
            let (mut file, mut length) = match self.file.take().filter(|(_, length)| *length < MAX_FILE) {
                Some(open) => open,
                None => open(&self.dir, log_id, first)?,
            };
            file.write_all(batch)?;
            file.sync_data()?;
            length += batch.len() as u64;
            self.file = Some((file, length));
            batch.clear();
        }
        self.at = Some((log_id, next));
        Ok(())
    }
}

/// The newest file, if it ends with a line and is not full; else another.
fn open(dir: &Path, log_id: LogId, first: u64) -> std::io::Result<(File, u64)> {
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(dir)?;
    if let Some((_, path)) = files(dir, log_id)?.pop() {
        let mut file = std::fs::OpenOptions::new().read(true).append(true).open(&path)?;
        let length = file.seek(SeekFrom::End(0))?;
        let mut last = [0];
        let ends = length > 0 && file.seek(SeekFrom::End(-1)).is_ok() && file.read_exact(&mut last).is_ok() && last == [b'\n'];
        if ends && length < MAX_FILE {
            return Ok((file, length));
        }
    }
    // A file of that name may have been begun and broken off: the name only says where to look.
    let name = (0..1_000).map(|more| dir.join(format!("{log_id}-{:020}.ndjson", first + more))).find(|path| !path.exists());
    let path = name.ok_or_else(|| std::io::Error::other("no free name"))?;
    let mut file = std::fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
    let head = format!("{{\"lowlight\":\"copy\",\"version\":1,\"log_id\":\"{log_id}\",\"first\":{first}}}\n");
    file.write_all(head.as_bytes())?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok((file, head.len() as u64))
}

/// The seq behind the last one in the copy, and the size of its newest checkpoint.
fn end(dir: &Path, log_id: LogId) -> std::io::Result<(u64, u64)> {
    let (mut next, mut sealed) = (0, 0);
    // From the newest backwards, until one has an entry.
    for (_, path) in files(dir, log_id)?.into_iter().rev() {
        let mut input = BufReader::with_capacity(64 << 10, File::open(path)?);
        let mut text = Vec::new();
        while line(&mut input, &mut text)?.is_some() {
            if let Some(checkpoint) = checkpoint(&text) {
                sealed = sealed.max(checkpoint.size);
                continue;
            }
            match parse_line(&text) {
                Line::Entry { seq, .. } | Line::LeafOnly { seq, .. } => next = next.max(seq + 1),
                Line::Removed { seq, level, .. } => next = next.max(seq + (1 << level)),
                Line::Malformed { seq, .. } => next = seq.map_or(next, |seq| next.max(seq + 1)),
            }
        }
        if next > 0 {
            break;
        }
    }
    Ok((next, sealed))
}

/// A checkpoint line.
pub(super) fn checkpoint(text: &[u8]) -> Option<crate::checkpoints::Sealed> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped {
        checkpoint: crate::checkpoints::Sealed,
    }
    text.starts_with(b"{\"checkpoint\"").then(|| serde_json::from_slice::<Wrapped>(text).ok().map(|wrapped| wrapped.checkpoint)).flatten()
}

/// Entries as lines, contents with their entry.
struct Entries<'r> {
    source: crate::store::DbSource<'r>,
    pending: Option<(u64, Vec<u8>, lowlight_core::Digest, Vec<Opening>)>,
}

impl Entries<'_> {
    /// Adds the next line to `out`; the seq behind it, `None` at the end.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>, StoreError> {
        loop {
            let next = match self.source.next()? {
                Some(Item::Content { seq, field, salt, value }) => {
                    if let Some((.., openings)) = self.pending.as_mut().filter(|(pending, ..)| *pending == seq) {
                        openings.push(Opening { field, salt, value: value.map(|value| String::from_utf8_lossy(value).into_owned()) });
                    }
                    continue;
                }
                Some(Item::Entry { seq, body, leaf, .. }) => Some((seq, body.to_vec(), leaf, Vec::new())),
                Some(Item::Removed { seq, level, node, leaf }) => {
                    let leaf = leaf.map_or(String::new(), |leaf| format!(",\"leaf\":\"{leaf}\""));
                    let before = self.pending.take().map(|pending| write(&pending, out));
                    out.extend_from_slice(format!("{{\"seq\":{seq},\"removed\":{level},\"node\":\"{node}\"{leaf}}}\n").as_bytes());
                    let _ = before;
                    return Ok(Some(seq + (1 << level)));
                }
                Some(Item::Malformed { seq: Some(seq), leaf: Some(leaf), .. }) => Some((seq, Vec::new(), leaf, Vec::new())),
                Some(Item::Malformed { .. } | Item::LeafOnly { .. }) => continue,
                None => None,
            };
            let is_end = next.is_none();
            match std::mem::replace(&mut self.pending, next) {
                Some(done) => {
                    write(&done, out);
                    return Ok(Some(done.0 + 1));
                }
                None if is_end => return Ok(None),
                None => {}
            }
        }
    }
}

fn write((seq, body, leaf, openings): &(u64, Vec<u8>, lowlight_core::Digest, Vec<Opening>), out: &mut Vec<u8>) {
    let (mut payload, mut encoded) = ([0; MAX_BODY], [0; MAX_BODY]);
    let start = out.len();
    let written = match codec::decode(body) {
        Ok(entry) => {
            let fields = codec::encode_slots(&entry.fields, &mut encoded).unwrap_or_default();
            entry_line(out, &columns::row(&entry, fields, leaf, &mut payload), openings).is_ok()
        }
        Err(EntryError::NotUnderstood) => {
            let raw = crate::export::hex(body);
            out.extend_from_slice(
                format!("{{\"seq\":{seq},\"kind\":\"{}\",\"raw\":\"{raw}\",\"leaf\":\"{leaf}\"}}", Kind::Unknown.name()).as_bytes(),
            );
            true
        }
        Err(_) => false,
    };
    if !written {
        out.truncate(start);
        // Of what does not read as an entry the leaf is the evidence.
        out.extend_from_slice(format!("{{\"seq\":{seq},\"leaf\":\"{leaf}\"}}").as_bytes());
    }
    out.push(b'\n');
}
