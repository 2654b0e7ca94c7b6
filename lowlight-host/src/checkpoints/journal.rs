//! Writing the journal: appending, thinning, setting aside.
//!
//! 1. Whoever changes it holds a lock on the file, and looks again whether it is still the one at the path.
//! 2. It is replaced by renaming a whole new one over it; a crash leaves one of the two.

use super::{Checkpoints, MAX_LINE, Sealed, file};
use crate::keys::{self, LogKey, origin};
use crate::store::{Layout, StoreError, files};
use lowlight_core::note::Checkpoint;
use lowlight_core::tree::STORED_LEVEL;
use lowlight_core::{Digest, Frontier, Head, LogId};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A smaller journal is left alone, bytes.
const THIN_FROM: u64 = 1 << 20;
/// Notes of the newest checkpoints that are kept.
const KEPT_NOTES: usize = 1_000;

/// Writes checkpoints of a log.
#[derive(Debug)]
pub struct Journal {
    layout: Layout,
}

impl Journal {
    /// The journal of a log; nothing is opened yet.
    pub fn new(layout: Layout) -> Self {
        Self { layout }
    }

    /// The key that signs. Read anew each time: it may be another one, and checkpoints are rare.
    ///
    /// # Errors
    ///
    /// Those of [`LogKey::load`].
    pub fn key(&self) -> Result<Option<LogKey>, StoreError> {
        LogKey::load(&self.layout)
    }

    /// Moves aside a journal that goes on beyond the log, which has `size` entries: somebody put an older database back, or
    /// the newest entries were lost. To be called under the writers' lock, where a checkpoint is never ahead. Returns the new
    /// name.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read or moved.
    pub fn set_aside_if_ahead(&self, log_id: LogId, size: u64, now: i64) -> Result<Option<PathBuf>, StoreError> {
        // Sizes ascend: the newest line tells.
        let newest = Checkpoints::open(self.layout.dir())?.of(log_id).newest(u64::MAX)?;
        if newest.is_none_or(|newest| newest.size <= size) {
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
    pub fn seal(&self, log_id: LogId, head: &Head, cause: &str, now: i64) -> Result<bool, StoreError> {
        let (root, size) = (head.frontier.root(), head.size());
        let key = self.key()?;
        let name = origin(key.as_ref().map_or(keys::DEFAULT_NAME, |key| key.key().name), log_id);
        let text = Checkpoint { origin: &name, size, root }.to_string();
        let note = key.map_or_else(
            || text.clone(),
            |mut key| {
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

    /// The journal, locked; whether it was not there before.
    fn locked(&self) -> Result<(File, bool), StoreError> {
        let path = file(&self.layout);
        loop {
            let is_new = !path.exists();
            let file = files::private_file(&path)?;
            file.lock().map_err(|source| StoreError::from_io(&path, source))?;
            // Between the two it may have been replaced by a thinner one.
            let meta = file.metadata().map_err(|source| StoreError::from_io(&path, source))?;
            if files::identity(&path) == Some((meta.dev(), meta.ino())) {
                return Ok((file, is_new));
            }
        }
    }

    fn append(&self, sealed: &Sealed) -> Result<bool, StoreError> {
        let path = file(&self.layout);
        let io = |source| StoreError::from_io(&path, source);
        let (mut file, is_new) = self.locked()?;
        let (end, newest, glued) = last_line(&mut file).map_err(io)?;
        let newest = newest.and_then(|line| serde_json::from_slice::<Sealed>(&line).ok()).filter(|newest| newest.check().is_ok());
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

    /// Takes old notes out of a large journal. Sizes, roots and partial hashes stay for ever; notes stay of the newest
    /// 1,000, of the first of each day, and of the first that a key signed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read or replaced; the old journal is there then.
    pub fn thin(&self) -> Result<(), StoreError> {
        let path = file(&self.layout);
        let io = |source| StoreError::from_io(&path, source);
        if path.metadata().map_or(0, |meta| meta.len()) < THIN_FROM {
            return Ok(());
        }
        let (held, _) = self.locked()?;
        let lines = || Ok::<_, StoreError>(BufReader::new(File::open(&path).map_err(io)?).lines());
        let parse = |line: &str| serde_json::from_str::<Sealed>(line).ok();
        let mut notes = 0;
        for line in lines()? {
            notes += usize::from(parse(&line.map_err(io)?).is_some_and(|sealed| sealed.note.is_some()));
        }
        if notes < 2 * KEPT_NOTES {
            return Ok(());
        }
        let fresh = path.with_file_name(format!(".checkpoints.{}", std::process::id()));
        let _ = std::fs::remove_file(&fresh);
        let mut out = BufWriter::new(files::private_file(&fresh)?);
        let (mut day, mut signer) = (None, None);
        for line in lines()? {
            let line = line.map_err(io)?;
            let Some(mut sealed) = parse(&line) else {
                writeln!(out, "{line}").map_err(io)?;
                continue;
            };
            let this_day = Some(sealed.recorded.div_euclid(86_400_000_000_000));
            let this_signer = sealed
                .note
                .as_deref()
                .and_then(|note| note.split_once("\n\n"))
                .map(|(_, lines)| lines.split(' ').nth(1).unwrap_or_default().to_owned());
            let is_first = day != this_day || signer != this_signer;
            if sealed.note.is_some() {
                (day, signer) = (this_day, this_signer);
                notes -= 1;
            }
            if notes >= KEPT_NOTES && !is_first {
                sealed.note = None;
            }
            serde_json::to_writer(&mut out, &sealed).map_err(|error| io(error.into()))?;
            out.write_all(b"\n").map_err(io)?;
        }
        out.flush().and_then(|()| out.get_ref().sync_all()).and_then(|()| std::fs::rename(&fresh, &path)).map_err(io)?;
        drop(held);
        files::sync_parent(&path)
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
