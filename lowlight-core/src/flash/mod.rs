//! Bytes of a flash log, headers of sectors and frames (`docs/format.md`, section 16), and of the state of a witness (section 19):
//! parsed and emitted; nothing is read or programmed here.
//!
//! ```text
//! sector   | header 96 B | frame | frame | ... | erased        N sectors are a ring; seq = lap * N + position
//! frame    | kind+length u16 | index u16 | crc32c u32 | payload | 0xFF to a multiple of W
//! ```
//!
//! 1. A frame is one program operation; its checksum is what commits it.
//! 2. The checksum covers the sector's seq and anchor and the offset: nothing of an earlier lap is ever taken for a frame.
//! 3. What erased flash reads as is neither a header nor a frame.

mod frame;
mod header;
mod image;
mod pass;
mod witness;

pub use frame::{Boot, Frame, Note, Place, Seen, emit, parse};
pub use header::{END_SEQ, HEADER, LOG2_MAX_SECTOR, SectorHeader};
pub use image::{Found, FoundIn, Image, ImageError};
pub use pass::Pass;
pub use witness::{WITNESS_HEADER, WITNESS_NAMES, WITNESS_RECORD, WITNESS_SLOTS, WitnessHeader, WitnessRecord};

/// Largest frame, bytes: it must fit a frame of the link.
pub const MAX_FRAME: usize = 4032;
/// Least that the largest frame of a log may be, bytes.
pub const MIN_FRAME: usize = 128;
/// Places in a row that a device passes over at most when they fail.
pub const MOST_BAD: u32 = 4;
/// What a frame adds to its payload, bytes.
pub const FRAME_HEAD: usize = 8;
/// What each entry of a batch adds to its body, bytes.
pub const BATCH_HEAD: usize = 2;
