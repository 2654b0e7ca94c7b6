//! Entries from elsewhere in a database of our schema that nobody else sees, so that they are read as those of a log are.
//!
//! Limit: a few MiB of memory; the file is in the folder for temporary files, has no name there, so that nothing of it is left, and takes a
//! little more room than the bodies had.
//!
//! 1. It is for looking at, and no evidence: nothing in it is verified, and it has no tree.
//! 2. What cannot be decoded stands there as bytes that are not understood.

use super::columns::{self, COUNT, Col, Value};
use super::open::{Opened, private_folder};
use super::reader::Reader;
use super::{StoreError, schema};
use lowlight_core::entry::codec::{self, Buffer};
use lowlight_core::entry::{Kind, MAX_BODY};
use lowlight_core::{Digest, FORMAT, LogId};
use rusqlite::{Connection, params, params_from_iter};
use std::path::{Path, PathBuf};

/// A database that is being filled.
pub(crate) struct Scratch {
    connection: Connection,
    /// What it is made from, for messages of who reads it.
    of: PathBuf,
    /// Where it was made, for messages of who fills it.
    place: PathBuf,
    insert: String,
    encoded: Box<[Buffer; 2]>,
}

impl Scratch {
    /// An empty one for the log `log_id`, made from the file `of`.
    pub fn new(of: &Path, log_id: LogId) -> Result<Self, StoreError> {
        let folder = private_folder()?;
        let place = std::env::temp_dir();
        let sqlite = |source| full(&place, &source);
        let connection = Connection::open(folder.file()).map_err(sqlite)?;
        let prepare = || {
            connection.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN")?;
            schema::create(&connection)?;
            let insert = "INSERT INTO log (id, log_id, format, size, head, frontier) VALUES (1, ?1, ?2, 0, ?3, x'')";
            connection.execute(insert, params![log_id.0, FORMAT, [0_u8; 32]])
        };
        prepare().map_err(sqlite)?;
        // It is open now, and goes when the connection does, whatever becomes of this process. SQLite's own databases without a name stay in
        // memory.
        drop(folder);
        let insert = format!("INSERT OR REPLACE INTO entry VALUES ({})", vec!["?"; COUNT].join(","));
        Ok(Self { connection, of: of.to_path_buf(), place, insert, encoded: Box::new([[0; MAX_BODY]; 2]) })
    }

    /// Puts an entry under `seq`, over one that is there.
    pub fn put(&mut self, seq: i64, leaf: &Digest, body: &[u8]) -> Result<(), StoreError> {
        let [fields, payload] = &mut *self.encoded;
        let entry = codec::decode(body);
        let slots = entry.as_ref().ok().and_then(|entry| codec::encode_slots(&entry.fields, fields).ok());
        let mut row = [Value::Null; COUNT];
        match (&entry, slots) {
            (Ok(entry), Some(slots)) => row = columns::row(entry, slots, leaf, payload),
            _ => {
                row[Col::Kind as usize] = Value::Int(Kind::Unknown.number().into());
                row[Col::Leaf as usize] = Value::Blob(&leaf.0);
                row[Col::Raw as usize] = Value::Blob(body);
            }
        }
        row[Col::Seq as usize] = Value::Int(seq);
        let done = self.connection.prepare_cached(&self.insert).and_then(|mut insert| insert.execute(params_from_iter(row)));
        done.map(drop).map_err(|source| full(&self.place, &source))
    }

    /// Reads what was put.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when that was nothing.
    pub fn read(self) -> Result<Reader, StoreError> {
        let sqlite = |source| full(&self.place, &source);
        let set = "UPDATE log SET size = (SELECT coalesce(max(seq), -1) + 1 FROM entry), \
            head = coalesce((SELECT leaf FROM entry ORDER BY seq DESC LIMIT 1), head); COMMIT";
        self.connection.execute_batch(set).map_err(sqlite)?;
        // Nobody can open it a second time.
        Reader::pin(self.of, Opened { connection: self.connection, uri: String::new(), copy: None, live: false }, false)
    }
}

/// What went wrong with it.
fn full(place: &Path, source: &rusqlite::Error) -> StoreError {
    let why = format!("{source} in the folder for temporary files, where the entries are laid out: set TMPDIR to one with more room");
    StoreError::Unsafe { path: place.to_path_buf(), why }
}
