//! Where the files of a log are, and how they are created: private, and never through a symbolic link.

use super::StoreError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Paths of the files in a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The layout of `dir`, which need not exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The log directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.dir.join("lowlight.db")
    }

    /// The lock held while a batch is written.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lowlight.lock")
    }

    /// The lock held while entries are copied elsewhere.
    pub fn copy_lock(&self) -> PathBuf {
        self.dir.join("copy.lock")
    }

    /// The locks of runs.
    pub fn runs(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Room to give up when the disk is full.
    pub fn reserve(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    /// Damaged files that were moved aside.
    pub fn quarantine(&self) -> PathBuf {
        self.dir.join("quarantine")
    }

    /// Creates the directory (0700) if it is not there and refuses one that others can read or write.
    pub fn prepare(&self) -> Result<(), StoreError> {
        private_dir(&self.dir)?;
        private_dir(&self.runs())
    }
}

/// Creates a private directory, or checks that the one that is there is private and ours.
pub fn private_dir(path: &Path) -> Result<(), StoreError> {
    use std::io::ErrorKind as Kind;
    if let Err(source) = DirBuilder::new().recursive(true).mode(0o700).create(path) {
        return Err(match source.kind() {
            Kind::AlreadyExists | Kind::NotADirectory => {
                let why = "is a file where a directory is needed; choose another --path".to_owned();
                StoreError::Unsafe { path: path.to_path_buf(), why }
            }
            Kind::PermissionDenied | Kind::NotFound => {
                let why = format!("cannot be made ({source}); choose another --path or make it yours");
                StoreError::Unsafe { path: path.to_path_buf(), why }
            }
            _ => StoreError::from_io(path, source),
        });
    }
    let meta = path.symlink_metadata().map_err(|source| StoreError::from_io(path, source))?;
    if meta.is_symlink() {
        // A link to a log directory is the operator's choice; what it points to is checked instead.
        return check_mode(path, &path.metadata().map_err(|source| StoreError::from_io(path, source))?, 0o700);
    }
    check_mode(path, &meta, 0o700)
}

fn check_mode(path: &Path, meta: &std::fs::Metadata, mode: u32) -> Result<(), StoreError> {
    let why = if meta.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user; use a directory of your own".to_owned()
    } else if meta.permissions().mode() & 0o077 != 0 {
        format!("can be read or changed by other users; run: chmod {mode:o} '{}', or `lowlight doctor --fix`", path.display())
    } else {
        return Ok(());
    };
    Err(StoreError::Unsafe { path: path.to_path_buf(), why })
}

/// Opens a file of ours for reading and writing, creating it 0600; refuses a symbolic link, what is no file, and a file others can read.
pub fn private_file(path: &Path) -> Result<File, StoreError> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(nofollow).open(path);
    let file = file.map_err(|source| match source.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            let why = "is a symbolic link where a file of the log should be; move it away".to_owned();
            StoreError::Unsafe { path: path.to_path_buf(), why }
        }
        _ => StoreError::from_io(path, source),
    })?;
    let meta = file.metadata().map_err(|source| StoreError::from_io(path, source))?;
    if !meta.is_file() {
        return Err(StoreError::Unsafe { path: path.to_path_buf(), why: "is no file; move it away".to_owned() });
    }
    check_mode(path, &meta, 0o600)?;
    Ok(file)
}

/// Opens a private file for reading; `None` when there is none. Refuses a symbolic link and a file others can read.
pub fn read_private(path: &Path) -> Result<Option<File>, StoreError> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => {
            check_mode(path, &file.metadata().map_err(|source| StoreError::from_io(path, source))?, 0o600)?;
            Ok(Some(file))
        }
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::from_io(path, source)),
    }
}

/// Creates the database file empty and private before SQLite sees it, so that it is never wider than 0600.
///
/// Must not be called when this process may have the database open: see invariant 4 of `store`. A file that is there already is left alone.
pub fn create_database(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Ok(file) => sync_parent(path).and_then(|()| file.sync_all().map_err(|source| StoreError::from_io(path, source))),
        Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {
            check_database(path)?;
            for suffix in ["-wal", "-shm"] {
                let companion = super::recover::with_suffix(path, suffix);
                if companion.symlink_metadata().is_ok() {
                    check_database(&companion)?;
                }
            }
            Ok(())
        }
        Err(source) => Err(StoreError::from_io(path, source)),
    }
}

/// Checks owner, mode and type of a database without opening it.
fn check_database(path: &Path) -> Result<(), StoreError> {
    let meta = path.symlink_metadata().map_err(|source| StoreError::from_io(path, source))?;
    if !meta.is_file() {
        let why = "is a symbolic link, a directory or a device where the log should be; move it away".to_owned();
        return Err(StoreError::Unsafe { path: path.to_path_buf(), why });
    }
    check_mode(path, &meta, 0o600)
}

/// Makes a new directory entry durable.
pub fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = File::open(parent).map_err(|source| StoreError::from_io(parent, source))?;
    dir.sync_all().map_err(|source| StoreError::from_io(parent, source))
}

/// Device and inode of a file: what tells whether a path still names the file that was opened.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}
