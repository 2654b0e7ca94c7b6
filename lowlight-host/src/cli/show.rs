//! `lowlight show`: one entry whole, or whether a value kept elsewhere is the one that it commits to.

use super::args::{Cli, ShowArgs};
use super::{Failure, Outcome, open_log, stdout, text};
use crate::export::{Opening, entry_line, unhex};
use crate::store::columns;
use crate::store::{Filter, Reader, StoreError};
use crate::view::Views;
use lowlight_core::entry::codec;
use lowlight_core::entry::{EntryError, Kind, MAX_BODY, MAX_CONTENT};
use lowlight_core::source::{EntrySource, Item};
use lowlight_core::{Commitment, Digest, FieldId, Salt};
use serde_json::json;
use std::io::{Read as _, Write};

pub(super) fn run(cli: &Cli, args: &ShowArgs) -> Outcome {
    let reader = open_log(cli, &args.device)?;
    let Some(found) = find(&reader, args.seq)? else { return Err(not_there(&reader, args)) };
    if let Some(holds) = &args.holds {
        return hold(cli, args, &found, holds);
    }
    let line = found.line(args.seq)?;
    let mut out = stdout();
    if cli.json {
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    } else {
        let named = |name: &str| FieldId::from_name(name).map_or(Ok(None), |field| reader.content_removed_by(args.seq, field));
        print(&line, &named, &mut out)?;
        let mut view = Views::new(reader.source(args.seq..args.seq + 1, &Filter::default(), false));
        if let Some(event) = view.next().transpose()?.and_then(|view| view.text("event")) {
            writeln!(out, "{:<18} {}", "  decoded", text::safe(&event))?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// Why there is no such entry.
fn not_there(reader: &Reader, args: &ShowArgs) -> Failure {
    let why = || {
        if let Some(tombstone) = reader.removed_by(args.seq)? {
            return Ok(format!("entry {} was removed: `lowlight show {tombstone}` is the tombstone that says why", args.seq));
        }
        let size = reader.tip().size;
        Ok(if args.device.device.is_some() && args.seq < size {
            format!("entry {} of the device is not here: lost there, or taken in elsewhere", args.seq)
        } else {
            format!("no entry {}: the log has {size} entries, 0 to {}", args.seq, size.saturating_sub(1))
        })
    };
    why().map_or_else(|error: StoreError| error.into(), Failure::Usage)
}

/// An entry as it is stored, with the content that is still there.
struct Found {
    body: Vec<u8>,
    leaf: Digest,
    openings: Vec<Opening>,
}

fn find(reader: &Reader, seq: u64) -> Result<Option<Found>, Failure> {
    let Some(end) = seq.checked_add(1) else { return Ok(None) };
    let mut source = reader.source(seq..end, &Filter::default(), true);
    let (body, leaf) = match source.next()? {
        None | Some(Item::Content { .. } | Item::LeafOnly { .. } | Item::Removed { .. }) => return Ok(None),
        Some(Item::Malformed { why, .. }) => return Err(Failure::Usage(format!("entry {seq} cannot be read: {why}"))),
        Some(Item::Entry { body, leaf, .. }) => (body.to_vec(), leaf),
    };
    let mut openings = Vec::new();
    while let Some(item) = source.next()? {
        if let Item::Content { field, salt, value, .. } = item {
            openings.push(Opening { field, salt, value: value.map(|value| String::from_utf8_lossy(value).into_owned()) });
        }
    }
    Ok(Some(Found { body, leaf, openings }))
}

impl Found {
    /// As an export line: all columns, commitments, salts and values.
    fn line(&self, seq: u64) -> Result<Vec<u8>, Failure> {
        let (mut payload, mut encoded) = ([0; MAX_BODY], [0; MAX_BODY]);
        let mut out = Vec::new();
        let written = match codec::decode(&self.body) {
            Ok(entry) => {
                let fields = codec::encode_slots(&entry.fields, &mut encoded).unwrap_or_default();
                entry_line(&mut out, &columns::row(&entry, fields, &self.leaf, &mut payload), &self.openings)
            }
            Err(EntryError::NotUnderstood) => {
                let (hex, leaf) = (crate::export::hex(&self.body), self.leaf);
                out = format!("{{\"seq\":{seq},\"kind\":\"{}\",\"raw\":\"{hex}\",\"leaf\":\"{leaf}\"}}", Kind::Unknown.name()).into_bytes();
                Ok(())
            }
            Err(_) => Err("its bytes are not a valid encoding"),
        };
        written.map_err(|why| Failure::Usage(format!("entry {seq} cannot be read: {why}")))?;
        Ok(out)
    }
}

/// Says whether a value that was kept elsewhere is the one that the entry commits to.
fn hold(cli: &Cli, args: &ShowArgs, found: &Found, holds: &str) -> Outcome {
    let usage = |why: String| Failure::Usage(format!("--holds {holds}: {why}"));
    let (name, file) = holds.split_once('=').ok_or_else(|| usage("give the name of a field, =, and a file".to_owned()))?;
    let field = FieldId::from_name(name).ok_or_else(|| usage(format!("there is no content field {name}")))?;
    let entry = codec::decode(&found.body).map_err(|why| usage(format!("entry {} cannot be read: {why}", args.seq)))?;
    let Some(slot) = entry.fields.iter().find(|slot| slot.field == field) else {
        return Err(usage(format!("entry {} has no such field", args.seq)));
    };
    let salt = match &args.salt {
        Some(hex) => unhex(&hex.to_ascii_lowercase())
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| Failure::Usage(format!("--salt {hex}: a salt has 32 hex digits")))?,
        None => found
            .openings
            .iter()
            .find(|opening| opening.field == field)
            .and_then(|opening| opening.salt)
            .ok_or_else(|| usage("the salt is not in the log: give --salt, as it was kept with the value".to_owned()))?,
    };
    let mut value = Vec::new();
    let most = MAX_CONTENT as u64 + 1;
    let read = if file == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut value)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut value))
    };
    read.map_err(|error| usage(error.to_string()))?;
    let is_held = Commitment::new(&Salt(salt), field, &value).0 == slot.commitment;
    let mut out = stdout();
    if cli.json {
        let line = json!({ "seq": args.seq, "field": name, "holds": is_held, "commitment": slot.commitment.to_string(), "cut_from": slot.cut_from });
        writeln!(out, "{line}")?;
    } else if is_held {
        writeln!(out, "{name} of entry {}: this is the value that the entry commits to", args.seq)?;
    } else {
        writeln!(out, "{name} of entry {}: this is not the value that the entry commits to, byte for byte, under this salt", args.seq)?;
    }
    out.flush()?;
    Ok(u8::from(!is_held))
}

/// `named`: which tombstone names a content field of the entry.
fn print(line: &[u8], named: &dyn Fn(&str) -> Result<Option<u64>, StoreError>, out: &mut impl Write) -> Result<(), Failure> {
    let value: serde_json::Value = serde_json::from_slice(line).map_err(std::io::Error::from)?;
    let Some(object) = value.as_object() else { return Ok(()) };
    for name in columns::NAMES {
        let Some(value) = object.get(*name).filter(|_| *name != "fields") else { continue };
        let shown = value.as_str().map_or_else(|| value.to_string(), |text| text::safe(text).into_owned());
        writeln!(out, "{name:<18} {shown}")?;
    }
    for slot in object.get("fields").and_then(serde_json::Value::as_array).into_iter().flatten() {
        let part = |key: &str| slot.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        let value = match (part("state"), slot.get("value")) {
            ("hash_only", _) => "(only its hash is kept)".to_owned(),
            (_, None) => named(part("field"))?.map_or_else(|| "(not there)".to_owned(), |it| format!("(removed, says tombstone {it})")),
            _ => text::safe(part("value")).into_owned(),
        };
        writeln!(out, "{:<18} {value}", part("field"))?;
        writeln!(out, "{:<18} {}", "  commitment", part("commitment"))?;
        if let Some(length) = slot.get("cut_from") {
            writeln!(out, "{:<18} {length} bytes", "  cut from")?;
        }
    }
    Ok(())
}
