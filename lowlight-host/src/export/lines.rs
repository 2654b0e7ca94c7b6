//! The entries of a log one after the other as lines, each with its contents.

use super::MAX_LINE;
use super::line::{Opening, entry_line};
use super::write::Options;
use crate::store::columns::{self, Value};
use crate::store::{DbSource, StoreError};
use lowlight_core::entry::codec;
use lowlight_core::entry::{EntryError, Kind, MAX_BODY};
use lowlight_core::source::{EntrySource as _, Item};
use lowlight_core::{Digest, Entry};

/// What a line was.
pub enum Written {
    /// An entry in full.
    Entry,
    /// The leaf of an entry.
    LeafOnly,
    /// Nodes for so many entries.
    Removed(u64),
}

/// An entry in hand while its contents are still coming.
struct Pending {
    seq: u64,
    what: What,
    leaf: Digest,
    openings: Vec<Opening>,
}

enum What {
    Entry(Vec<u8>),
    /// With the leaf, where it is one.
    Malformed(Option<Digest>),
    /// With the level of the node and the leaf of the last entry; the node stands in the place of the leaf.
    Removed(u8, Option<Digest>),
}

/// The entries of a source as lines.
pub struct EntryLines<'r> {
    source: DbSource<'r>,
    pending: Option<Pending>,
    start: u64,
    end: u64,
}

impl<'r> EntryLines<'r> {
    /// Those of `source`.
    pub fn new(source: DbSource<'r>) -> Self {
        Self { source, pending: None, start: 0, end: 0 }
    }

    /// The seq at which the newest line begins.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The seq behind the newest line.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Writes the next entry's line into `line`; says what it is, or `None` at the end.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the log cannot be read.
    pub fn next(&mut self, options: &Options, line: &mut Vec<u8>) -> Result<Option<Written>, StoreError> {
        loop {
            let next = match self.source.next()? {
                Some(Item::Content { seq, field, salt, value }) => {
                    if let Some(pending) = self.pending.as_mut().filter(|pending| pending.seq == seq) {
                        let value = value.map(|value| String::from_utf8_lossy(value).into_owned());
                        pending.openings.push(Opening { field, salt, value });
                    }
                    continue;
                }
                Some(Item::Entry { seq, body, leaf, .. }) => {
                    Some(Pending { seq, what: What::Entry(body.to_vec()), leaf, openings: Vec::new() })
                }
                Some(Item::Malformed { seq, leaf, .. }) => {
                    let seq = seq.unwrap_or(self.end);
                    Some(Pending { seq, what: What::Malformed(leaf), leaf: Digest([0; 32]), openings: Vec::new() })
                }
                Some(Item::Removed { seq, level, node, leaf }) => {
                    Some(Pending { seq, what: What::Removed(level, leaf), leaf: node, openings: Vec::new() })
                }
                Some(Item::LeafOnly { .. }) => continue,
                None => None,
            };
            let is_end = next.is_none();
            let Some(done) = std::mem::replace(&mut self.pending, next) else {
                if is_end {
                    return Ok(None);
                }
                continue;
            };
            line.clear();
            let mut what = done.write(options, line);
            // Longer than any reader takes a line: then its hash stands for it.
            if line.len() + 2 > MAX_LINE {
                *line = format!("{{\"seq\":{},\"leaf\":\"{}\"}}", done.seq, done.leaf).into_bytes();
                what = Written::LeafOnly;
            }
            self.start = done.seq;
            self.end = done.seq + if let Written::Removed(count) = what { count } else { 1 };
            return Ok(Some(what));
        }
    }
}

impl Pending {
    fn write(&self, options: &Options, line: &mut Vec<u8>) -> Written {
        let body = match &self.what {
            What::Entry(body) => body,
            What::Malformed(leaf) => {
                // What does not make an entry is kept visible as such: the line is malformed for every verifier.
                let leaf = leaf.map_or(String::new(), |leaf| leaf.to_string());
                line.extend_from_slice(format!("{{\"seq\":{},\"kind\":\"unreadable\",\"leaf\":\"{leaf}\"}}", self.seq).as_bytes());
                return Written::Entry;
            }
            What::Removed(level, leaf) => {
                let leaf = leaf.map_or(String::new(), |leaf| format!(",\"leaf\":\"{leaf}\""));
                let (seq, node) = (self.seq, self.leaf);
                line.extend_from_slice(format!("{{\"seq\":{seq},\"removed\":{level},\"node\":\"{node}\"{leaf}}}").as_bytes());
                return Written::Removed(1 << level);
            }
        };
        let mut buffer = [0; MAX_BODY];
        match codec::decode(body) {
            Ok(entry) if options.covers(&entry) => {
                let mut encoded = [0; MAX_BODY];
                let fields = codec::encode_slots(&entry.fields, &mut encoded).unwrap_or_default();
                let row = columns::row(&entry, fields, &self.leaf, &mut buffer);
                if entry_line(line, &row, &self.openings).is_ok() {
                    return Written::Entry;
                }
                line.clear();
            }
            Err(EntryError::NotUnderstood) if options.since.is_none() && options.until.is_none() && options.only.is_none() => {
                let mut row = [Value::Null; columns::COUNT];
                row[columns::Col::Seq as usize] = Value::Int(self.seq.cast_signed());
                row[columns::Col::Kind as usize] = Value::Int(Kind::Unknown.number().into());
                row[columns::Col::Raw as usize] = Value::Blob(body);
                row[columns::Col::Leaf as usize] = Value::Blob(&self.leaf.0);
                if entry_line(line, &row, &[]).is_ok() {
                    return Written::Entry;
                }
                line.clear();
            }
            _ => {}
        }
        line.extend_from_slice(format!("{{\"seq\":{},\"leaf\":\"{}\"}}", self.seq, self.leaf).as_bytes());
        Written::LeafOnly
    }
}

impl Options {
    fn covers(&self, entry: &Entry<'_>) -> bool {
        let at = entry.header.recorded;
        if self.only.as_ref().is_some_and(|only| !only.contains(entry.header.seq)) {
            return false;
        }
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}
