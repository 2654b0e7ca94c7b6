//! Bytes of the state of a witness on flash (`docs/format.md`, section 19).
//!
//! ```text
//! half   | header 256 | header again | record 160 | record again | record | ... | erased        two halves, one of them is the state
//! ```
//!
//! 1. The keys are in the state: whoever has lost the one has lost the other, and cannot begin anew under the same name.
//! 2. Each thing stands there twice, and the second is begun when the first was read back: damage is told from power loss.

use crate::FORMAT;
use crate::chain::{Digest, LogId};
use crate::frame::{CRC, put_all};
use crate::note::is_name;

/// Length of a header, bytes.
pub const WITNESS_HEADER: usize = 256;
/// Length of a record, bytes.
pub const WITNESS_RECORD: usize = 160;
/// Logs that are remembered.
pub const WITNESS_SLOTS: usize = 4;
/// Bytes of both names together, at most.
pub const WITNESS_NAMES: usize = 128;
/// Slot of a note.
const NOTE: u8 = 255;
/// "LWLW", little endian.
const MAGIC: u32 = 0x574C_574C;

/// What stands at the start of a half. Its bytes hold private keys: it prints without them.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessHeader {
    /// Pairs behind it that were taken over.
    pub carried: u8,
    /// Of the half, from 1.
    pub generation: u32,
    /// How often the state was written when the half was opened.
    pub write_seq: u64,
    /// Of the newest cosignature then, Unix seconds.
    pub time: u64,
    /// Ed25519 key of the log.
    pub log_key: [u8; 32],
    /// Seeds of the keys that cosign and attest.
    pub seeds: [u8; 64],
    /// Name of the log's key, and of the witness; see [`names`](Self::names).
    names: [u8; WITNESS_NAMES],
    lengths: (u8, u8),
}

#[cfg(feature = "defmt")]
impl defmt::Format for WitnessHeader {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (log_name, name) = self.names();
        defmt::write!(f, "WitnessHeader {{ name: {=str}, log: {=str}, generation: {=u32} }}", name, log_name, self.generation);
    }
}

impl core::fmt::Debug for WitnessHeader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (log_name, name) = self.names();
        f.debug_struct("WitnessHeader")
            .field("name", &name)
            .field("log", &log_name)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl WitnessHeader {
    /// The header of the first half: nothing was written yet. `None` when a name is none, or they are too long.
    pub fn new(log_name: &str, log_key: [u8; 32], name: &str, seeds: [u8; 64]) -> Option<Self> {
        let mut names = [0; WITNESS_NAMES];
        names.get_mut(..log_name.len())?.copy_from_slice(log_name.as_bytes());
        names.get_mut(log_name.len()..log_name.len() + name.len())?.copy_from_slice(name.as_bytes());
        let lengths = (u8::try_from(log_name.len()).ok()?, u8::try_from(name.len()).ok()?);
        let header = Self { carried: 0, generation: 1, write_seq: 0, time: 0, log_key, seeds, names, lengths };
        (is_plain(log_name) && is_plain(name)).then_some(header)
    }

    /// Name of the log's key, and of the witness.
    pub fn names(&self) -> (&str, &str) {
        let (first, second) = (usize::from(self.lengths.0), usize::from(self.lengths.1));
        let text = |range| self.names.get(range).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default();
        (text(0..first), text(first..first + second))
    }

    /// The bytes.
    pub fn emit(&self) -> [u8; WITNESS_HEADER] {
        let mut bytes = [0; WITNESS_HEADER];
        let parts: [&[u8]; 8] = [
            &MAGIC.to_le_bytes(),
            &[FORMAT, self.carried, self.lengths.0, self.lengths.1],
            &self.generation.to_le_bytes(),
            &self.write_seq.to_le_bytes(),
            &self.time.to_le_bytes(),
            &self.log_key,
            &self.seeds,
            &self.names,
        ];
        let (head, checksum) = bytes.split_at_mut(WITNESS_HEADER - 4);
        put_all(head, &parts);
        checksum.copy_from_slice(&CRC.checksum(head).to_le_bytes());
        bytes
    }

    /// Parses a header; `None` for whatever is not a whole and valid one of this version.
    pub fn parse(bytes: &[u8; WITNESS_HEADER]) -> Option<Self> {
        let (head, checksum) = bytes.split_last_chunk::<4>()?;
        if CRC.checksum(head) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (magic, rest) = head.split_first_chunk()?;
        let ([version, carried, first, second], rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (write_seq, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (log_key, rest) = rest.split_first_chunk()?;
        let (seeds, names) = rest.split_first_chunk()?;
        let header = Self {
            carried: *carried,
            generation: u32::from_le_bytes(*generation),
            write_seq: u64::from_le_bytes(*write_seq),
            time: u64::from_le_bytes(*time),
            log_key: *log_key,
            seeds: *seeds,
            names: names.try_into().ok()?,
            lengths: (*first, *second),
        };
        let (log_name, name) = header.names();
        let used = usize::from(*first) + usize::from(*second);
        let is_padded = header.names.get(used..)?.iter().all(|byte| *byte == 0);
        let fits = u32::from_le_bytes(*magic) == MAGIC && *version == FORMAT && usize::from(*carried) <= WITNESS_SLOTS;
        (fits && is_padded && header.generation > 0 && is_plain(log_name) && is_plain(name)).then_some(header)
    }
}

/// A name of a key that stands in JSON as it is.
fn is_plain(name: &str) -> bool {
    is_name(name) && !name.contains(['"', '\\'])
}

/// What is remembered of one log; or a note, see [`is_note`](Self::is_note).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WitnessRecord {
    /// Which of the slots; 255 in a note.
    pub slot: u8,
    /// Id of the key that signed the checkpoint.
    pub key_id: [u8; 4],
    /// How often the state was written, this time included.
    pub write_seq: u64,
    /// Newest size that was cosigned.
    pub size: u64,
    /// Of the cosignature, Unix seconds.
    pub time: u64,
    /// Which log.
    pub log_id: LogId,
    /// Root at that size.
    pub root: Digest,
    /// The log's signature.
    pub signature: [u8; 64],
}

impl WitnessRecord {
    /// A note that a half is complete.
    pub fn note(write_seq: u64) -> Self {
        let (log_id, root) = (LogId([0; 16]), Digest([0; 32]));
        Self { slot: NOTE, key_id: [0; 4], write_seq, size: 0, time: 0, log_id, root, signature: [0; 64] }
    }

    /// Whether it is a note.
    pub fn is_note(&self) -> bool {
        self.slot == NOTE
    }

    /// The bytes, for the place at `offset` in a half of that generation.
    pub fn emit(&self, generation: u32, offset: u32) -> [u8; WITNESS_RECORD] {
        let mut bytes = [0; WITNESS_RECORD];
        let parts: [&[u8]; 8] = [
            &[self.slot, FORMAT, 0, 0],
            &self.key_id,
            &self.write_seq.to_le_bytes(),
            &self.size.to_le_bytes(),
            &self.time.to_le_bytes(),
            &self.log_id.0,
            &self.root.0,
            &self.signature,
        ];
        let (head, checksum) = bytes.split_at_mut(WITNESS_RECORD - 4);
        put_all(head, &parts);
        checksum.copy_from_slice(&sum(generation, offset, head).to_le_bytes());
        bytes
    }

    /// Parses the record at `offset` in a half of that generation; `None` for whatever is not a whole and valid one of this version.
    pub fn parse(bytes: &[u8; WITNESS_RECORD], generation: u32, offset: u32) -> Option<Self> {
        let (head, checksum) = bytes.split_last_chunk::<4>()?;
        if sum(generation, offset, head) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let ([slot, version, zeros @ ..], rest) = head.split_first_chunk::<4>()?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (write_seq, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (log_id, rest) = rest.split_first_chunk()?;
        let (root, rest) = rest.split_first_chunk()?;
        let (signature, padding) = rest.split_first_chunk()?;
        let is_padded = zeros.iter().chain(padding).all(|byte| *byte == 0);
        let record = Self {
            slot: *slot,
            key_id: *key_id,
            write_seq: u64::from_le_bytes(*write_seq),
            size: u64::from_le_bytes(*size),
            time: u64::from_le_bytes(*time),
            log_id: LogId(*log_id),
            root: Digest(*root),
            signature: *signature,
        };
        let is_known = usize::from(*slot) < WITNESS_SLOTS || record == Self::note(record.write_seq);
        (is_known && *version == FORMAT && is_padded).then_some(record)
    }
}

/// A record counts only at its place: nothing of an earlier generation is taken for one.
fn sum(generation: u32, offset: u32, head: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&generation.to_le_bytes());
    digest.update(&offset.to_le_bytes());
    digest.update(head);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_one_form_and_every_bit_counts() {
        let header = WitnessHeader {
            carried: 2,
            generation: 7,
            write_seq: 9,
            time: 1_800_000_000,
            ..WitnessHeader::new("lowlight", [3; 32], "board", [4; 64]).unwrap()
        };
        let bytes = header.emit();
        assert_eq!(WitnessHeader::parse(&bytes).as_ref(), Some(&header));
        assert_eq!(header.names(), ("lowlight", "board"));
        for bit in 0..8 * WITNESS_HEADER {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(WitnessHeader::parse(&bytes), None, "bit {bit}");
        }
        for (log_name, name) in [("", "b"), ("a", ""), ("a b", "c"), ("a", "b+c"), ("a", "b\"c")] {
            assert_eq!(WitnessHeader::new(log_name, [0; 32], name, [0; 64]), None);
        }
        let long = core::str::from_utf8(&[b'a'; 128]).unwrap();
        assert_eq!(WitnessHeader::new(long, [0; 32], "b", [0; 64]), None);
        assert!(WitnessHeader::new(&long[1..], [0; 32], "b", [0; 64]).is_some());
    }

    #[test]
    fn a_record_counts_only_whole_and_at_its_place() {
        let record = WitnessRecord {
            slot: 3,
            key_id: [1, 2, 3, 4],
            write_seq: 5,
            size: 600,
            time: 7,
            log_id: LogId([8; 16]),
            root: Digest([9; 32]),
            signature: [10; 64],
        };
        let bytes = record.emit(2, 512);
        assert_eq!(WitnessRecord::parse(&bytes, 2, 512), Some(record));
        assert_eq!(WitnessRecord::parse(&bytes, 3, 512), None);
        assert_eq!(WitnessRecord::parse(&bytes, 2, 672), None);
        for bit in 0..8 * WITNESS_RECORD {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(WitnessRecord::parse(&bytes, 2, 512), None, "bit {bit}");
        }
        for slot in [4, 255] {
            assert_eq!(WitnessRecord::parse(&WitnessRecord { slot, ..record }.emit(2, 512), 2, 512), None);
        }
        let note = WitnessRecord::note(6);
        assert_eq!(WitnessRecord::parse(&note.emit(2, 512), 2, 512), Some(note));
    }
}
