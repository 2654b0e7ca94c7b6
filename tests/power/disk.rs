//! What is on a disk when the power goes: everything that was flushed, and of the rest whatever the device liked.
//!
//! ```text
//! operations -> Disk: what is durable, what is pending -> Cut: one of the many states that power loss may leave -> Image
//! ```

use crate::trace::Op;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Contents of files by name.
pub type Image = BTreeMap<PathBuf, Vec<u8>>;
const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// How a device that loses its power treats what it was told and not told to flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the process was killed.
    Kept,
    /// All of it.
    Lost,
    /// All behind some place; the write there is torn.
    Cut,
    /// Some writes, whichever came later.
    Reordered,
    /// Some sectors of each write.
    Torn,
    /// Writes on the way leave rubbish in their sectors.
    Garbage,
    /// Pages that are being rewritten lose what was in them before.
    Pages,
}

pub const LOSSES: [Loss; 7] = [Loss::Kept, Loss::Lost, Loss::Cut, Loss::Reordered, Loss::Torn, Loss::Garbage, Loss::Pages];

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    /// With the number of the operation.
    pending: Vec<(usize, Change)>,
    /// Length with all that is pending.
    length: usize,
}

#[derive(Debug, Clone)]
enum Name {
    Add(PathBuf, usize),
    Remove(PathBuf),
    Move(PathBuf, PathBuf),
}

/// The file system below a directory.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    /// As the running system sees it.
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    /// Changes of names in the order they were made, with the number of the operation.
    pending: Vec<(usize, Name)>,
    done: usize,
}

/// A source of random numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap_or(0)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl Name {
    /// In which directory it is.
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Add(path, _) | Self::Remove(path) => parent(path) == dir,
            Self::Move(_, to) => parent(to) == dir,
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Add(path, inode) => drop(names.insert(path.clone(), *inode)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Move(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => write(content, *at, bytes),
            Self::Length(length) => content.resize(*length, 0),
        }
    }
}

impl Disk {
    /// Files that were there and durable before.
    pub fn with(image: &Image) -> Self {
        let mut disk = Self::default();
        for (path, content) in image {
            disk.names.insert(path.clone(), disk.inodes.len());
            disk.inodes.push(Inode { durable: content.clone(), pending: Vec::new(), length: content.len() });
        }
        disk.durable.clone_from(&disk.names);
        disk
    }

    /// Carries an operation out.
    pub fn apply(&mut self, op: &Op) {
        let number = self.done;
        self.done += 1;
        match op {
            Op::Create(path) if !self.names.contains_key(path) => {
                self.rename(number, Name::Add(path.clone(), self.inodes.len()));
                self.inodes.push(Inode::default());
            }
            Op::Create(_) | Op::MakeDir(_) | Op::Said(_) => {}
            Op::Write { path, offset, bytes } => {
                let Some(inode) = self.names.get(path).map(|inode| &mut self.inodes[*inode]) else { return };
                let at = if *offset == u64::MAX { inode.length } else { usize::try_from(*offset).expect("a small file") };
                inode.length = inode.length.max(at + bytes.len());
                inode.pending.push((number, Change::Write(at, bytes.clone())));
            }
            Op::Truncate(path, length) => {
                let Some(inode) = self.names.get(path).map(|inode| &mut self.inodes[*inode]) else { return };
                inode.length = usize::try_from(*length).expect("a small file");
                inode.pending.push((number, Change::Length(inode.length)));
            }
            Op::Link(from, to) => {
                if let Some(inode) = self.names.get(from) {
                    self.rename(number, Name::Add(to.clone(), *inode));
                }
            }
            Op::Rename(from, to) => self.rename(number, Name::Move(from.clone(), to.clone())),
            Op::Unlink(path) => self.rename(number, Name::Remove(path.clone())),
            Op::Sync { path, since } => self.sync(path, *since),
        }
    }

    fn rename(&mut self, number: usize, name: Name) {
        name.apply(&mut self.names);
        self.pending.push((number, name));
    }

    fn sync(&mut self, path: &Path, since: usize) {
        if let Some(inode) = self.names.get(path).map(|inode| &mut self.inodes[*inode]) {
            let Inode { durable, pending, .. } = inode;
            pending.iter().filter(|(number, _)| *number < since).for_each(|(_, change)| change.apply(durable));
            pending.retain(|(number, _)| *number >= since);
            return;
        }
        // A directory: names in it, and what came before them, for a file system keeps the order of names.
        let last = self.pending.iter().rposition(|(number, name)| *number < since && name.is_in(path));
        let synced: Vec<_> = self.pending.drain(..last.map_or(0, |last| last + 1)).collect();
        synced.iter().for_each(|(_, name)| name.apply(&mut self.durable));
    }

    /// What a power loss may leave now. Index files of the WAL are rebuilt at the first open, whatever is in them.
    pub fn image(&self, loss: Loss, random: &mut Random) -> Image {
        let mut names = self.durable.clone();
        let kept = match loss {
            Loss::Kept => self.pending.len(),
            Loss::Lost => 0,
            _ => random.below(self.pending.len() + 1),
        };
        self.pending.iter().take(kept).for_each(|(_, name)| name.apply(&mut names));
        let is_file = |path: &&PathBuf| !path.to_string_lossy().ends_with("-shm");
        let files: BTreeSet<_> = names.keys().filter(is_file).cloned().collect();
        files.into_iter().map(|path| (path.clone(), self.inodes[names[&path]].after(loss, random))).collect()
    }
}

impl Inode {
    fn after(&self, loss: Loss, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        let cut = random.below(self.pending.len() + 1);
        for (place, (_, change)) in self.pending.iter().enumerate() {
            let Change::Write(at, bytes) = change else {
                if loss == Loss::Kept || (loss != Loss::Lost && place <= cut) {
                    change.apply(&mut content);
                }
                continue;
            };
            match loss {
                Loss::Kept => change.apply(&mut content),
                Loss::Lost => {}
                Loss::Cut if place < cut => change.apply(&mut content),
                Loss::Cut if place == cut => write(&mut content, *at, &bytes[..random.below(bytes.len() + 1)]),
                Loss::Cut => {}
                Loss::Reordered => {
                    if random.below(2) == 0 {
                        change.apply(&mut content);
                    }
                }
                Loss::Torn | Loss::Garbage => tear(&mut content, *at, bytes, loss, random),
                Loss::Pages if place < cut => change.apply(&mut content),
                Loss::Pages if place == cut => lose_pages(&mut content, *at, bytes, random),
                Loss::Pages => {}
            }
        }
        content
    }
}

/// Each sector of a write is there, is not, or is rubbish.
fn tear(content: &mut Vec<u8>, at: usize, bytes: &[u8], loss: Loss, random: &mut Random) {
    let mut place = at;
    while place < at + bytes.len() {
        let end = ((place / SECTOR + 1) * SECTOR).min(at + bytes.len());
        match random.below(if loss == Loss::Garbage { 3 } else { 2 }) {
            0 => {}
            1 => write(content, place, &bytes[place - at..end - at]),
            _ => {
                let rubbish: Vec<_> = (place..end).map(|_| u8::try_from(random.below(256)).unwrap_or(0)).collect();
                write(content, place, &rubbish);
            }
        }
        place = end;
    }
}

/// Flash rewrites whole pages: what was in them beside the write may be gone, too.
fn lose_pages(content: &mut [u8], at: usize, bytes: &[u8], random: &mut Random) {
    let fill = [0, 0xff][random.below(2)];
    let (start, end) = (at / PAGE * PAGE, (at + bytes.len()).next_multiple_of(PAGE).min(content.len()));
    if let Some(pages) = content.get_mut(start..end.max(start)) {
        pages.fill(fill);
    }
}
