//! `lowlight show`: one entry whole.

use super::args::{Cli, ShowArgs};
use super::{Failure, Outcome, open_log, stdout, text};
use crate::export::{Opening, entry_line};
use crate::store::columns;
use crate::store::{Filter, Reader, StoreError};
use crate::view::Views;
use lowlight_core::FieldId;
use lowlight_core::entry::codec;
use lowlight_core::entry::{EntryError, Kind, MAX_BODY};
use lowlight_core::source::{EntrySource, Item};
use std::io::Write;

pub(super) fn run(cli: &Cli, args: &ShowArgs) -> Outcome {
    let reader = open_log(cli, &args.device)?;
    let line = line(&reader, args.seq)?;
    let Some(line) = line else {
        if let Some(tombstone) = reader.removed_by(args.seq)? {
            return Err(Failure::Usage(format!(
                "entry {} was removed: `lowlight show {tombstone}` is the tombstone that says why",
                args.seq
            )));
        }
        let size = reader.tip().size;
        if args.device.device.is_some() && args.seq < size {
            return Err(Failure::Usage(format!("entry {} of the device is not here: lost there, or taken in elsewhere", args.seq)));
        }
        return Err(Failure::Usage(format!("no entry {}: the log has {size} entries, 0 to {}", args.seq, size.saturating_sub(1))));
    };
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

/// The entry as an export line: all columns, commitments, salts and values.
fn line(reader: &Reader, seq: u64) -> Result<Option<Vec<u8>>, Failure> {
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
    let (mut payload, mut encoded) = ([0; MAX_BODY], [0; MAX_BODY]);
    let mut out = Vec::new();
    let written = match codec::decode(&body) {
        Ok(entry) => {
            let fields = codec::encode_slots(&entry.fields, &mut encoded).unwrap_or_default();
            entry_line(&mut out, &columns::row(&entry, fields, &leaf, &mut payload), &openings)
        }
        Err(EntryError::NotUnderstood) => {
            let hex = crate::export::hex(&body);
            out = format!("{{\"seq\":{seq},\"kind\":\"{}\",\"raw\":\"{hex}\",\"leaf\":\"{leaf}\"}}", Kind::Unknown.name()).into_bytes();
            Ok(())
        }
        Err(_) => Err("its bytes are not a valid encoding"),
    };
    written.map_err(|why| Failure::Usage(format!("entry {seq} cannot be read: {why}")))?;
    Ok(Some(out))
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
