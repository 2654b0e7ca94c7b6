//! The log on disk: one SQLite database in WAL mode, appended by one batch at a time.
//!
//! ```text
//! DIR/lowlight.db (+ -wal, -shm)   the log          DIR/lowlight.lock   held while a batch is written
//!                                                  DIR/copy.lock       held while entries are copied elsewhere
//! DIR/run/<n>.lock                 held by run n    DIR/quarantine/     damaged files, moved aside
//! DIR/reserve                      room to give up when the disk is full, where retention can make more
//! ```
//!
//! 1. A batch is acknowledged only after COMMIT has returned, with synchronous=FULL and psow=0.
//! 2. The tip is read inside the transaction that appends to it; nothing about it is cached.
//! 3. Files are 0600, directories 0700, and symbolic links in their place are refused.
//! 4. The database file is only ever opened through SQLite: closing any other handle would drop SQLite's locks.

mod ahead;
pub mod columns;
mod contents;
mod error;
pub(crate) mod files;
mod function;
mod lookup;
mod open;
mod reader;
mod recover;
mod remove;
pub(crate) mod reserve;
mod rules;
mod runs;
mod scan;
pub mod schema;
mod scratch;
mod source;
mod wal;
mod writer;

pub use ahead::Ahead;
pub use contents::Contents;
pub use error::StoreError;
pub use files::Layout;
pub(crate) use files::{create_database, private_dir, private_file, sync_parent};
pub(crate) use open::{PrivateCopy, connect_other, is_orphaned};
pub use reader::{Filter, Reader};
pub use recover::{Quarantined, is_sound, quarantine, set_aside};
pub use remove::{Altered, BLOCK, Block256, MayGo};
pub use rules::{BEGUN, ERASED, REMOVED};
pub use runs::{Crashed, RunLock};
pub(crate) use scratch::Scratch;
pub use source::{AtEnd, DbSource};
pub use writer::Store;
