//! Bytes of an entry: postcard, exactly one encoding per entry (`docs/format.md`, section 2).
//!
//! Limit: a body is at most [`MAX_BODY`] bytes, so a fixed buffer always suffices.
//!
//! 1. `decode(encode(e)) == e`, and `encode(decode(b)) == b` for every `b` that decodes.
//! 2. Anything else is an [`EntryError`]; nothing is coerced.

use super::{Entry, EntryError, Event, FieldId, Header, Kind, MAX_BODY, Payload, Slot, SlotState, Slots, field};
use crate::FORMAT;
use crate::chain::Digest;
use serde::{Deserialize, Serialize};

/// Space for one body.
pub type Buffer = [u8; MAX_BODY];

/// Kinds this version understands are below; the encoding reserves up to 127 for later ones.
const KINDS: u8 = 10;
const MAX_KIND: u8 = 127;

/// Encodes and checks an entry; returns the part of `buffer` that holds the body.
pub fn encode<'b>(entry: &Entry<'_>, buffer: &'b mut [u8]) -> Result<&'b [u8], EntryError> {
    entry.check()?;
    let length = buffer.len().min(MAX_BODY);
    put(&(FORMAT, entry), buffer.get_mut(..length).unwrap_or_default())
}

/// Encodes and checks an entry with that payload: the bytes are those of [`encode`].
pub fn encode_payload<'b, P: Payload>(
    header: &Header<'_>,
    payload: &P,
    fields: &Slots,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], EntryError> {
    header.check()?;
    payload.check()?;
    field::check(fields)?;
    let length = buffer.len().min(MAX_BODY);
    put(&(FORMAT, header, P::KIND.number(), payload, fields), buffer.get_mut(..length).unwrap_or_default())
}

/// Run of a body of version 1, and whether it says that the run stopped in order, found without decoding it. What is no body gives
/// anything.
pub fn peek_run(body: &[u8]) -> Option<(u64, bool)> {
    // seq, recorded
    let rest = skip_varint(skip_varint(body.strip_prefix(&[FORMAT])?));
    let optional = |rest: &'_ [u8]| rest.first().is_some_and(|tag| *tag == 1);
    let (is_there, rest) = (optional(rest), rest.get(1..)?);
    // occurred, monotonic
    let rest = skip_varint(if is_there { skip_varint(rest) } else { rest });
    let (run, rest) = first_varint(rest)?;
    // clock, id, severity
    let mut rest = rest.get(1 + 16 + 1..)?;
    for _ in 0..TEXTS {
        let is_there = optional(rest);
        rest = rest.get(1..)?;
        if is_there {
            let (length, after) = first_varint(rest)?;
            rest = after.get(usize::try_from(length).ok()?..)?;
        }
    }
    // redactions, redaction_kinds, redaction_policy
    let rest = skip_varint(skip_varint(skip_varint(rest)));
    Some((run, rest.starts_with(&[Kind::Lifecycle.number(), STOP])))
}

/// Optional texts of a header.
const TEXTS: usize = 7;
/// Number of the lifecycle event that says that a run stopped in order.
const STOP: u8 = 1;

/// The number at the start of `bytes`, and what follows it.
fn first_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut shift) = (0_u64, 0);
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..).map(|rest| (value, rest));
        }
        shift += 7;
    }
    None
}

/// The bytes of a body of version 1 with another seq in it.
pub fn renumbered(body: &[u8], seq: u64) -> impl Iterator<Item = u8> + '_ {
    let rest = skip_varint(body.get(1..).unwrap_or_default());
    core::iter::once(FORMAT).chain(varint(seq)).chain(rest.iter().copied())
}

/// Encodes and checks an entry; returns the body and where its list of slots begins.
pub fn encode_split<'b>(entry: &Entry<'_>, buffer: &'b mut Buffer) -> Result<(&'b [u8], usize), EntryError> {
    entry.check()?;
    let head = put(&(FORMAT, &entry.header, &entry.event), buffer)?.len();
    let room = buffer.get_mut(head..).unwrap_or_default();
    let fields = postcard::to_slice(&entry.fields, room).map_err(|_| EntryError::TooLarge)?.len();
    Ok((buffer.get(..head + fields).unwrap_or_default(), head))
}

/// Encodes header and event, then copies `fields`, which must be an encoded list that [`decode_slots`] accepts.
///
/// This is what a store does that keeps the slots in their encoded form.
pub fn encode_with_fields<'b>(
    header: &Header<'_>,
    event: &Event<'_>,
    fields: &[u8],
    buffer: &'b mut Buffer,
) -> Result<&'b [u8], EntryError> {
    header.check()?;
    event.check()?;
    let length = put(&(FORMAT, header, event), buffer)?.len();
    let end = length + fields.len();
    buffer.get_mut(length..end).ok_or(EntryError::TooLarge)?.copy_from_slice(fields);
    buffer.get(..end).ok_or(EntryError::TooLarge)
}

/// Decodes a body, refusing every encoding but the canonical one.
///
/// [`EntryError::NotUnderstood`] means a later version or kind: keep the bytes, hash them, go on.
pub fn decode(body: &[u8]) -> Result<Entry<'_>, EntryError> {
    if body.len() > MAX_BODY {
        return Err(EntryError::TooLarge);
    }
    let (version, rest) = postcard::take_from_bytes::<u8>(body).map_err(|_| EntryError::Encoding)?;
    if version != FORMAT {
        return Err(EntryError::NotUnderstood);
    }
    let (header, rest) = postcard::take_from_bytes::<Header<'_>>(rest).map_err(|_| EntryError::Encoding)?;
    if let Some(&kind) = rest.first()
        && (KINDS..=MAX_KIND).contains(&kind)
    {
        header.check()?;
        return check_prefix(&header, body).and(Err(EntryError::NotUnderstood));
    }
    let (event, rest) = postcard::take_from_bytes::<Event<'_>>(rest).map_err(|_| EntryError::Encoding)?;
    let fields = decode_slots(rest)?;
    let entry = Entry { header, event, fields };
    let mut buffer = [0; MAX_BODY];
    if encode(&entry, &mut buffer)? == body { Ok(entry) } else { Err(EntryError::NotCanonical) }
}

/// The seq of a body that is of version 1, whether its kind is understood or not.
pub fn peek_seq(body: &[u8]) -> Option<u64> {
    let (version, rest) = body.split_first()?;
    if *version != FORMAT {
        return None;
    }
    postcard::take_from_bytes::<u64>(rest).ok().map(|(seq, _)| seq)
}

/// Encodes a list of slots as it stands at the end of a body.
pub fn encode_slots<'b>(slots: &Slots, buffer: &'b mut Buffer) -> Result<&'b [u8], EntryError> {
    field::check(slots)?;
    put(slots, buffer)
}

/// Decodes a list of slots, refusing every encoding but the canonical one.
pub fn decode_slots(bytes: &[u8]) -> Result<Slots, EntryError> {
    let mut slots = Slots::new();
    decode_slots_into(bytes, &mut slots)?;
    Ok(slots)
}

/// The same into a list that is there already: what a verifier does for every entry it reads. After an error the list
/// holds what was decoded before it.
pub fn decode_slots_into(bytes: &[u8], slots: &mut Slots) -> Result<(), EntryError> {
    slots.clear();
    let (count, mut rest) = take_varint(bytes)?;
    for _ in 0..count {
        let [field, state, cut, ref after @ ..] = *rest else { return Err(EntryError::Encoding) };
        let field = FieldId::new(field).ok_or(EntryError::Range("field"))?;
        let state = match state {
            0 => SlotState::Kept,
            1 => SlotState::HashOnly,
            _ => return Err(EntryError::Encoding),
        };
        let (cut_from, after) = match cut {
            0 => (None, after),
            1 => take_varint(after).map(|(length, after)| (Some(length), after))?,
            _ => return Err(EntryError::Encoding),
        };
        let (commitment, after) = after.split_first_chunk().ok_or(EntryError::Encoding)?;
        let slot = Slot { field, state, cut_from, commitment: Digest(*commitment) };
        slots.push(slot).map_err(|_| EntryError::Encoding)?;
        rest = after;
    }
    if !rest.is_empty() {
        return Err(EntryError::NotCanonical);
    }
    field::check(slots)
}

/// The number at the start of `bytes` and what follows it; the shortest spelling only.
fn take_varint(bytes: &[u8]) -> Result<(u64, &[u8]), EntryError> {
    if let Some((&first, rest)) = bytes.split_first().filter(|(first, _)| **first < 0x80) {
        return Ok((first.into(), rest));
    }
    let (value, rest) = postcard::take_from_bytes::<u64>(bytes).map_err(|_| EntryError::Encoding)?;
    if bytes.len() - rest.len() == varint(value).count() { Ok((value, rest)) } else { Err(EntryError::NotCanonical) }
}

/// Encodes the payload of an event: its bytes without the kind.
pub fn encode_event<'b>(event: &Event<'_>, buffer: &'b mut Buffer) -> Result<&'b [u8], EntryError> {
    event.check()?;
    put(event, buffer)?.get(1..).ok_or(EntryError::Encoding)
}

/// Decodes the payload of an event of that kind, refusing every encoding but the canonical one.
///
/// The bytes must be preceded by room for the kind: `tagged` is the kind byte followed by the payload.
pub fn decode_event(tagged: &[u8]) -> Result<Event<'_>, EntryError> {
    let event = canonical::<Event<'_>>(tagged)?;
    event.check()?;
    Ok(event)
}

fn check_prefix(header: &Header<'_>, body: &[u8]) -> Result<(), EntryError> {
    let mut buffer = [0; MAX_BODY];
    if body.starts_with(put(&(FORMAT, header), &mut buffer)?) { Ok(()) } else { Err(EntryError::NotCanonical) }
}

fn put<'b, T: Serialize>(value: &T, buffer: &'b mut [u8]) -> Result<&'b [u8], EntryError> {
    postcard::to_slice(value, buffer).map(|bytes| &*bytes).map_err(|_| EntryError::TooLarge)
}

fn canonical<'a, T: Deserialize<'a> + Serialize>(bytes: &'a [u8]) -> Result<T, EntryError> {
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| EntryError::Encoding)?;
    let mut buffer = [0; MAX_BODY];
    if !rest.is_empty() || put(&value, &mut buffer)? != bytes {
        return Err(EntryError::NotCanonical);
    }
    Ok(value)
}

/// The bytes of a varint, least significant group first.
pub(crate) fn varint(value: u64) -> impl Iterator<Item = u8> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let value = rest?;
        let [low, ..] = value.to_le_bytes();
        rest = (value >= 0x80).then_some(value >> 7);
        Some(if rest.is_some() { low | 0x80 } else { low })
    })
}

/// What follows the varint at the start of `bytes`.
pub(crate) fn skip_varint(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    bytes.get(length..).unwrap_or_default()
}
