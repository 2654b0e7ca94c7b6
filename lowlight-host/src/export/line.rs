//! One entry as a line of JSON, and back (`docs/format.md`, section 7).
//!
//! 1. A line has the columns of section 6 by name; NULL is absent.
//! 2. Keys that are not known, or occur twice, make a line malformed.

use super::{hex, unhex};
use crate::store::columns::{self, COUNT, Col, Row, Value};
use lowlight_core::Digest;
use lowlight_core::entry::MAX_SIZE;
use lowlight_core::entry::codec::{self, Buffer};
use lowlight_core::entry::{FieldId, Kind, MAX_BODY, Slot, SlotState, Slots};
use lowlight_core::tree::STORED_LEVEL;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::fmt;

/// Salt and value of a slot, as far as they are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Which field.
    pub field: FieldId,
    /// The salt; `None` when it is not 16 bytes.
    pub salt: Option<[u8; 16]>,
    /// The value, unless it is not kept.
    pub value: Option<String>,
}

/// Writes one line, without its newline, for an entry in its column form.
pub fn entry_line(out: &mut Vec<u8>, row: &Row<'_>, openings: &[Opening]) -> Result<(), columns::Malformed> {
    let kind = columns::kind(row)?;
    out.push(b'{');
    let mut separator = "";
    for (col, value) in Col::all().zip(row) {
        if *value == Value::Null {
            continue;
        }
        out.extend_from_slice(separator.as_bytes());
        separator = ",";
        out.extend_from_slice(format!("\"{}\":", col.name()).as_bytes());
        match (col, value) {
            (Col::Kind, _) => string(out, kind.name()),
            (Col::Registered, Value::Int(flag)) => out.extend_from_slice(if *flag == 0 { b"false" } else { b"true" }),
            (Col::Fields, Value::Blob(bytes)) => fields(out, bytes, openings)?,
            (_, Value::Int(number)) => match col.number_names() {
                Some(names) => {
                    let name = usize::try_from(*number).ok().and_then(|number| names.get(number)).ok_or("a number stands for nothing")?;
                    string(out, name);
                }
                None => out.extend_from_slice(number.to_string().as_bytes()),
            },
            (_, Value::Text(bytes)) => string(out, std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?),
            (_, Value::Blob(bytes)) => string(out, &hex(bytes)),
            (_, Value::Null) => {}
        }
    }
    out.push(b'}');
    Ok(())
}

fn fields(out: &mut Vec<u8>, encoded: &[u8], openings: &[Opening]) -> Result<(), columns::Malformed> {
    let slots = codec::decode_slots(encoded).map_err(|_| "the slots are not a valid encoding")?;
    out.push(b'[');
    for (index, slot) in slots.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"field\":\"" } else { b",{\"field\":\"" });
        let state = if slot.state == SlotState::Kept { "kept" } else { "hash_only" };
        out.extend_from_slice(format!("{}\",\"state\":\"{state}\"", slot.field.name()).as_bytes());
        if let Some(length) = slot.cut_from {
            out.extend_from_slice(format!(",\"cut_from\":{length}").as_bytes());
        }
        out.extend_from_slice(format!(",\"commitment\":\"{}\"", slot.commitment).as_bytes());
        if let Some(opening) = openings.iter().find(|opening| opening.field == slot.field) {
            if let Some(salt) = &opening.salt {
                out.extend_from_slice(format!(",\"salt\":\"{}\"", hex(salt)).as_bytes());
            }
            if let Some(value) = &opening.value {
                out.extend_from_slice(b",\"value\":");
                string(out, value);
            }
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

/// Appends a JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // Writing a string to a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// An entry whose values make a body.
    Entry {
        /// Its seq.
        seq: u64,
        /// Its kind.
        kind: Kind,
        /// Its body, encoded from the values.
        body: Vec<u8>,
        /// The leaf it states.
        leaf: Digest,
        /// Its contents, ascending by field.
        openings: Vec<Opening>,
    },
    /// An entry left out by the filter.
    LeafOnly {
        /// Its seq.
        seq: u64,
        /// Its leaf.
        leaf: Digest,
    },
    /// Entries that are gone, of which a node of the tree is here.
    Removed {
        /// Seq of the first.
        seq: u64,
        /// Level of the node.
        level: u8,
        /// The node.
        node: Digest,
        /// Leaf of the last of them, where it was kept.
        leaf: Option<Digest>,
    },
    /// An entry line whose values do not make a body.
    Malformed {
        /// Its seq, if that could be read.
        seq: Option<u64>,
        /// The leaf it states, if that could be read.
        leaf: Option<Digest>,
        /// Why.
        why: &'static str,
    },
}

/// A JSON object with its keys in order of appearance, none twice at any depth.
#[derive(Debug, Clone, Default)]
pub(super) struct Object(pub Vec<(String, serde_json::Value)>);

impl<'de> de::Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object without repeated keys")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut entries: Vec<(String, serde_json::Value)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, crate::json::Strict>()? {
                    if entries.iter().any(|(known, _)| *known == key) {
                        return Err(de::Error::custom("a key occurs twice"));
                    }
                    entries.push((key, value.0));
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl Object {
    pub(super) fn get(&self, key: &str) -> Option<&serde_json::Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub(super) fn has_only(&self, keys: &[&str]) -> bool {
        self.0.iter().all(|(key, _)| keys.contains(&key.as_str()))
    }
}

const WRONG_KEYS: Line = Line::Malformed { seq: None, leaf: None, why: "the line does not have the keys of an entry" };

/// Parses one line, without its newline or comma.
pub fn parse_line(text: &[u8]) -> Line {
    match serde_json::from_slice::<Object>(text) {
        Ok(object) => parse_object(&object),
        Err(_) => Line::Malformed { seq: None, leaf: None, why: "the line is not a JSON object, or a key occurs twice" },
    }
}

/// A line with `removed`.
fn removed(object: &Object) -> Option<Line> {
    let seq = object.get("seq")?.as_u64()?;
    let level = u8::try_from(object.get("removed")?.as_u64()?).ok().filter(|level| *level <= STORED_LEVEL)?;
    let node = object.get("node").and_then(digest)?;
    let leaf = object.get("leaf").map(|leaf| digest(leaf).filter(|_| level > 0).ok_or(())).transpose().ok()?;
    let is_placed = seq < MAX_SIZE && seq.trailing_zeros() >= u32::from(level);
    (is_placed && object.has_only(&["seq", "removed", "node", "leaf"])).then_some(Line::Removed { seq, level, node, leaf })
}

pub(super) fn parse_object(object: &Object) -> Line {
    let leaf = object.get("leaf").and_then(digest);
    if object.get("removed").is_some() {
        return removed(object).unwrap_or(Line::Malformed { seq: None, leaf: None, why: "a line about removed entries is not valid" });
    }
    if object.has_only(&["seq", "leaf"]) && object.0.len() == 2 {
        return match (object.get("seq").and_then(serde_json::Value::as_u64), leaf) {
            (Some(seq), Some(leaf)) => Line::LeafOnly { seq, leaf },
            (seq, leaf) => Line::Malformed { seq, leaf, why: "seq or leaf is not valid" },
        };
    }
    let keys_are_right = object.has_only(columns::NAMES) && ["seq", "kind", "leaf"].iter().all(|key| object.get(key).is_some());
    let Some(seq) = object.get("seq").and_then(serde_json::Value::as_u64).filter(|seq| i64::try_from(*seq).is_ok()) else {
        return WRONG_KEYS;
    };
    if !keys_are_right {
        return WRONG_KEYS;
    }
    let mut openings = Vec::new();
    let body = body(object, &mut openings);
    match (body, leaf) {
        (Ok(body), Some(leaf)) => {
            let kind = object.get("kind").and_then(serde_json::Value::as_str).and_then(Kind::from_name).unwrap_or(Kind::Unknown);
            Line::Entry { seq, kind, body, leaf, openings }
        }
        (Ok(_), None) => Line::Malformed { seq: Some(seq), leaf: None, why: "the leaf is not 32 bytes of lower-case hex" },
        (Err(why), leaf) => Line::Malformed { seq: Some(seq), leaf, why },
    }
}

fn digest(value: &serde_json::Value) -> Option<Digest> {
    Digest::from_slice(&unhex(value.as_str()?)?)
}

fn body(object: &Object, openings: &mut Vec<Opening>) -> Result<Vec<u8>, columns::Malformed> {
    let mut blobs: Vec<(Col, Vec<u8>)> = Vec::new();
    for col in [Col::Id, Col::Event, Col::Raw, Col::Leaf] {
        if let Some(value) = object.get(col.name()) {
            let bytes = value.as_str().and_then(unhex).ok_or("bytes are not lower-case hex")?;
            blobs.push((col, bytes));
        }
    }
    if let Some(value) = object.get("fields") {
        blobs.push((Col::Fields, slots(value, openings)?));
    }
    let mut row: Row<'_> = [Value::Null; COUNT];
    for col in Col::all() {
        let blob = blobs.iter().find(|(known, _)| *known == col).map(|(_, bytes)| Value::Blob(bytes));
        row[col as usize] = match (blob, object.get(col.name())) {
            (Some(blob), _) => blob,
            (None, Some(value)) => plain(col, value)?,
            (None, None) => Value::Null,
        };
    }
    let mut buffer = [0; MAX_BODY];
    columns::body(&row, &mut buffer).map(<[u8]>::to_vec)
}

/// A value of a column that is neither bytes nor slots.
fn plain(col: Col, value: &serde_json::Value) -> Result<Value<'_>, columns::Malformed> {
    let number = |position: Option<usize>| position.and_then(|position| i64::try_from(position).ok()).map(Value::Int);
    match (col, value) {
        (Col::Kind, serde_json::Value::String(name)) => {
            let kind = Kind::from_name(name).ok_or("the kind is not a known name")?;
            Ok(Value::Int(kind.number().into()))
        }
        (Col::Registered, serde_json::Value::Bool(flag)) => Ok(Value::Int((*flag).into())),
        (Col::Kind | Col::Registered, _) => Err("a value is of the wrong type"),
        (_, serde_json::Value::String(text)) => match col.number_names() {
            Some(names) => number(names.iter().position(|name| name == text)).ok_or("a name stands for nothing"),
            None => Ok(Value::Text(text.as_bytes())),
        },
        (_, serde_json::Value::Number(value)) if col.number_names().is_none() => {
            value.as_i64().map(Value::Int).ok_or("a number is not an integer of 64 bits")
        }
        _ => Err("a value is of the wrong type"),
    }
}

fn slots(value: &serde_json::Value, openings: &mut Vec<Opening>) -> Result<Vec<u8>, columns::Malformed> {
    const KEYS: [&str; 6] = ["field", "state", "cut_from", "commitment", "salt", "value"];
    let list = value.as_array().ok_or("fields is not a list")?;
    let mut slots = Slots::new();
    for item in list {
        let object = item.as_object().ok_or("a slot is not an object")?;
        if object.keys().any(|key| !KEYS.contains(&key.as_str())) {
            return Err("a slot has a key that is not known");
        }
        let text = |key| object.get(key).and_then(serde_json::Value::as_str);
        let field = text("field").and_then(FieldId::from_name).ok_or("a slot names no field")?;
        let state = match text("state") {
            Some("kept") => SlotState::Kept,
            Some("hash_only") => SlotState::HashOnly,
            _ => return Err("a slot has no state"),
        };
        let cut_from = match object.get("cut_from") {
            None => None,
            Some(length) => Some(length.as_u64().ok_or("cut_from is not a number")?),
        };
        let commitment = object.get("commitment").and_then(digest).ok_or("a commitment is not 32 bytes of lower-case hex")?;
        slots.push(Slot { field, state, cut_from, commitment }).map_err(|_| "there are more than 16 slots")?;
        opening(object, field, openings)?;
    }
    let mut buffer: Buffer = [0; MAX_BODY];
    codec::encode_slots(&slots, &mut buffer).map(<[u8]>::to_vec).map_err(|_| "the slots break a limit of the format")
}

fn opening(
    object: &serde_json::Map<String, serde_json::Value>,
    field: FieldId,
    openings: &mut Vec<Opening>,
) -> Result<(), columns::Malformed> {
    let text = |key| match object.get(key) {
        None => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("salt or value is not a text"),
    };
    let (salt, value) = (text("salt")?, text("value")?);
    if salt.is_none() && value.is_none() {
        return Ok(());
    }
    let salt = match salt {
        None => None,
        Some(salt) => unhex(salt).ok_or("a salt is not lower-case hex")?.try_into().ok(),
    };
    openings.push(Opening { field, salt, value: value.cloned() });
    Ok(())
}
