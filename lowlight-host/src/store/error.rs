//! What can go wrong with a store, sorted by what to do about it.

use std::path::PathBuf;

/// Why a store could not be opened, read or written. Each message says what failed, on what, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no log.
    #[error("no log at {0}: nothing was recorded there yet, or the path is wrong; check it")]
    Missing(PathBuf),
    /// A valid database that Lowlight did not make.
    #[error("{path} is not a Lowlight log ({why}); it was left alone, choose another --path")]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// A log of a later format.
    #[error("{path} has format version {found}, this software reads version {ours}; use a newer lowlight, the file was not touched")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of the file.
        found: i64,
        /// Version of this software.
        ours: u8,
    },
    /// The database is damaged.
    #[error("{path} is damaged: {why}; a recorder that meets the damage moves it aside and starts a fresh log")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite or the check said.
        why: String,
    },
    /// No space, or the medium is read-only.
    #[error("{path} cannot be written: {why}; free some space or make the medium writable, recording goes on by itself then")]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        why: String,
    },
    /// Another process holds the database.
    #[error("{0} is locked by another process; wait for it or stop it")]
    Busy(PathBuf),
    /// The file system cannot do what durability needs.
    #[error("{path}: {why}; use a local file system that supports shared memory and fsync")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// A file of ours is not what it should be.
    #[error("{path}: {why}")]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite failed in a way not listed above.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts an SQLite error.
    pub fn from_sqlite(path: &std::path::Path, source: rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode as Code};
        let path = path.to_path_buf();
        let why = source.to_string();
        match source.sqlite_error_code() {
            // A cell that was overwritten may ask for more memory than there is.
            Some(Code::DatabaseCorrupt | Code::NotADatabase | Code::OutOfMemory) => Self::Corrupt { path, why },
            Some(Code::DiskFull | Code::ReadOnly) => Self::Full { path, why },
            Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed) => Self::Busy(path),
            // A value of a type that its column cannot have.
            None if matches!(source, Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..)) => Self::Corrupt { path, why },
            _ => Self::Sqlite { path, source },
        }
    }

    /// True when trying again is of no use: somebody has to change something first.
    pub fn is_hopeless(&self) -> bool {
        matches!(self, Self::NotOurs { .. } | Self::Newer { .. } | Self::Unsafe { .. } | Self::Unsupported { .. })
    }

    /// Wraps a file system error; no space and a read-only medium become [`Self::Full`].
    pub fn from_io(path: &std::path::Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let path = path.to_path_buf();
        match source.kind() {
            Kind::StorageFull | Kind::ReadOnlyFilesystem | Kind::QuotaExceeded => Self::Full { path, why: source.to_string() },
            _ => Self::Io { path, source },
        }
    }
}
