//! Frames in a sector: what is appended, one program operation each (`docs/format.md`, section 16.2).

use super::{BATCH_HEAD, FRAME_HEAD, MAX_FRAME};
use crate::chain::Digest;
use crate::frame::{self, CRC};

/// Where a frame stands; part of what its checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Place {
    /// Seq of the sector.
    pub seq: u32,
    /// The first bytes of the sector's anchor.
    pub anchor: [u8; 4],
    /// Offset in the sector, bytes.
    pub offset: u32,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Frame<'a> {
    /// One body, or several in a row with their lengths before them.
    Entries {
        /// The lowest 16 bits of the index of the first.
        index: u16,
        /// How many bodies there are.
        count: u16,
        /// The payload.
        payload: &'a [u8],
        /// Whether lengths stand before the bodies.
        is_batch: bool,
    },
    /// About the log itself.
    Note(Note),
    /// A kind of a later version: passed over.
    Other,
}

/// What a note says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Note {
    /// Nothing was under way when power went; the lowest 16 bits of the index of the next entry, so that the loss of the last one shows.
    Stop(u16),
    /// The sector is about to be erased: what stands before in it was never there, and nothing is to be written behind.
    Void,
    /// Where the log stood at a start of the firmware: what follows does not depend on what stands before.
    Boot(Boot),
}

/// Where a log stood at a start of the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Boot {
    /// Number of the start.
    pub run: u32,
    /// Index of the next entry.
    pub next: u64,
    /// Leaf of the entry before it, as far as it could be known.
    pub head: Digest,
    /// Entries before it could not be read, so that `head` is not the leaf of the entry before.
    pub is_torn: bool,
}

/// What stands at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Seen<'a> {
    /// A frame, and how many bytes it takes.
    Frame(Frame<'a>, usize),
    /// The first bytes are those of erased flash; nothing is said of what is behind them.
    Erased,
    /// Something else.
    Bad,
}

const ENTRY: u8 = 0;
const BATCH: u8 = 1;
const NOTE: u8 = 3;
/// Erased flash reads as this.
const NEVER: u8 = 15;
const STOP: u8 = 1;
const BOOT: u8 = 2;
const VOID: u8 = 3;
const BOOT_LENGTH: usize = 1 + 1 + 4 + 8 + 32;

impl<'a> Frame<'a> {
    /// The bodies, in order of index.
    pub fn bodies(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (mut rest, is_batch) = match *self {
            Frame::Entries { payload, is_batch, .. } => (payload, is_batch),
            Frame::Note(_) | Frame::Other => (&[][..], false),
        };
        // No body is empty.
        let single = |rest: &mut &'a [u8]| Some(core::mem::take(rest)).filter(|body| !body.is_empty());
        core::iter::from_fn(move || if is_batch { frame::take_prefixed(&mut rest) } else { single(&mut rest) })
    }
}

/// The words before the payload, and the checksum over place, words and payload.
fn head(place: &Place, kind: u8, index: u16, payload: &[u8]) -> Option<[u8; FRAME_HEAD]> {
    let length = u16::try_from(payload.len()).ok().filter(|length| *length < 1 << 12)?;
    let ([a, b], [c, d]) = ((u16::from(kind) << 12 | length).to_le_bytes(), index.to_le_bytes());
    let mut digest = CRC.digest();
    let parts: [&[u8]; 5] = [&place.seq.to_le_bytes(), &place.offset.to_le_bytes(), &place.anchor, &[a, b, c, d], payload];
    parts.into_iter().for_each(|part| digest.update(part));
    let [e, f, g, h] = digest.finalize().to_le_bytes();
    Some([a, b, c, d, e, f, g, h])
}

/// Puts a frame into `buffer`: with as many bodies from the front of `bodies` as fit, up to `room` bytes with `index` for the first.
/// How many they are, and the length of the frame, a multiple of `write`.
///
/// `None` when not even the first fits.
pub fn emit(place: &Place, index: u64, bodies: &[&[u8]], write: usize, room: usize, buffer: &mut [u8]) -> Option<(usize, usize)> {
    let room = room.min(buffer.len()).min(MAX_FRAME);
    let padded = |payload: usize| (FRAME_HEAD + payload).next_multiple_of(write);
    let (mut count, mut length) = (0, 0);
    for body in bodies {
        let more = length + BATCH_HEAD + body.len();
        if padded(more) > room {
            break;
        }
        (count, length) = (count + 1, more);
    }
    let first = bodies.first()?;
    let is_batch = count > 1;
    if !is_batch {
        (count, length) = (1, first.len());
    }
    // An empty body would be no entry.
    if length == 0 || padded(length) > room {
        return None;
    }
    let payload = buffer.get_mut(FRAME_HEAD..FRAME_HEAD + length)?;
    if is_batch {
        let mut rest = payload;
        for body in bodies.iter().take(count) {
            rest = frame::put_all(rest, &[&u16::try_from(body.len()).unwrap_or(u16::MAX).to_le_bytes(), body]);
        }
    } else {
        payload.copy_from_slice(first);
    }
    let kind = if is_batch { BATCH } else { ENTRY };
    let size = finish(place, kind, index, length, write, buffer)?;
    Some((count, size))
}

/// Puts checksum and padding around the payload that is in `buffer`; the length of the frame.
fn finish(place: &Place, kind: u8, index: u64, length: usize, write: usize, buffer: &mut [u8]) -> Option<usize> {
    let size = (FRAME_HEAD + length).next_multiple_of(write);
    #[expect(clippy::cast_possible_truncation, reason = "the lowest 16 bits are what a frame has")]
    let index = index as u16;
    let words = head(place, kind, index, buffer.get(FRAME_HEAD..FRAME_HEAD + length)?)?;
    buffer.get_mut(..FRAME_HEAD)?.copy_from_slice(&words);
    buffer.get_mut(FRAME_HEAD + length..size)?.fill(0xFF);
    Some(size)
}

impl Note {
    /// Puts the note into `buffer`; the length of its frame, a multiple of `write`. `None` when the buffer is too small.
    pub fn emit(&self, place: &Place, write: usize, buffer: &mut [u8]) -> Option<usize> {
        let mut bytes = [0; BOOT_LENGTH];
        let (length, index) = match self {
            Self::Stop(next) => {
                frame::put_all(&mut bytes, &[&[STOP]]);
                (1, u64::from(*next))
            }
            Self::Void => {
                frame::put_all(&mut bytes, &[&[VOID]]);
                (1, 0)
            }
            Self::Boot(boot) => {
                let (run, next) = (boot.run.to_le_bytes(), boot.next.to_le_bytes());
                frame::put_all(&mut bytes, &[&[BOOT, boot.is_torn.into()], &run, &next, &boot.head.0]);
                (BOOT_LENGTH, boot.next)
            }
        };
        buffer.get_mut(FRAME_HEAD..FRAME_HEAD + length)?.copy_from_slice(bytes.get(..length)?);
        finish(place, NOTE, index, length, write, buffer)
    }

    fn parse(index: u16, payload: &[u8]) -> Option<Self> {
        match payload.split_first()? {
            (&STOP, []) => Some(Self::Stop(index)),
            (&VOID, []) => Some(Self::Void),
            (&BOOT, rest) => {
                let (torn, rest) = rest.split_first()?;
                let (run, rest) = rest.split_first_chunk()?;
                let (next, head) = rest.split_first_chunk()?;
                let boot = Boot {
                    run: u32::from_le_bytes(*run),
                    next: u64::from_le_bytes(*next),
                    head: Digest::from_slice(head)?,
                    is_torn: *torn == 1,
                };
                (*torn <= 1 && boot.next < crate::entry::MAX_SIZE).then_some(Self::Boot(boot))
            }
            _ => None,
        }
    }
}

/// What stands at `place`, of which `bytes` are the bytes from there on, at least to the end of a frame.
pub fn parse<'a>(place: &Place, write: usize, bytes: &'a [u8]) -> Seen<'a> {
    seen(place, write, bytes).unwrap_or(Seen::Bad)
}

fn seen<'a>(place: &Place, write: usize, bytes: &'a [u8]) -> Option<Seen<'a>> {
    let words = bytes.first_chunk::<FRAME_HEAD>()?;
    if words.iter().all(|byte| *byte == 0xFF) {
        return Some(Seen::Erased);
    }
    let [a, b, c, d, ..] = *words;
    let (word, index) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    let (kind, length) = ((word >> 12) as u8, usize::from(word & 0xFFF));
    let payload = bytes.get(FRAME_HEAD..FRAME_HEAD + length)?;
    if kind == NEVER || head(place, kind, index, payload)? != *words {
        return None;
    }
    let frame = match kind {
        ENTRY if length > 0 => Frame::Entries { index, count: 1, payload, is_batch: false },
        BATCH => {
            let count = frame::count_prefixed(payload).and_then(|count| u16::try_from(count).ok()).filter(|count| *count > 0)?;
            Frame::Entries { index, count, payload, is_batch: true }
        }
        NOTE => Frame::Note(Note::parse(index, payload)?),
        ENTRY => return None,
        _ => Frame::Other,
    };
    Some(Seen::Frame(frame, (FRAME_HEAD + length).next_multiple_of(write)))
}
