//! A file that only takes room: given up when the disk is full, so that what makes room can be written.
//!
//! Limit: [`SIZE`]; it helps once, until there is room for it again.

use super::files::{Layout, private_file};
use std::io::Write as _;
use std::path::Path;

/// Room for all that a WAL may still have to add to the database, for tombstones and a checkpoint, bytes.
const SIZE: u64 = 16 << 20;

/// Makes the file, if the file system has twice its size free.
pub fn keep(layout: &Layout) {
    let path = layout.reserve();
    if path.metadata().is_ok_and(|meta| meta.len() >= SIZE) {
        return;
    }
    if free(layout.dir()) < SIZE * 2 {
        return;
    }
    // Written, for a file with holes takes no room; without it the log only has less to fall back on.
    let zeros = vec![0; 1 << 16];
    let write = |mut file: std::fs::File| (0..SIZE >> 16).try_for_each(|_| file.write_all(&zeros));
    if private_file(&path).ok().and_then(|file| write(file).ok()).is_none() {
        let _ = std::fs::remove_file(path);
    }
}

/// Free room where a folder is, bytes.
pub(super) fn free(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What is missing to as much free room as the file has, bytes.
pub fn missing(layout: &Layout) -> u64 {
    SIZE.saturating_sub(free(layout.dir()))
}

/// Gives the room back; `false` when there was none.
pub fn give_up(layout: &Layout) -> bool {
    std::fs::remove_file(layout.reserve()).is_ok()
}
