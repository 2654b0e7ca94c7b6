//! The header of a sector (`docs/format.md`, section 16.1).

use super::{MAX_FRAME, MIN_FRAME};
use crate::FORMAT;
use crate::chain::{Digest, LogId};
use crate::frame::{CRC, put_all};

/// Length of a sector's header, bytes; a multiple of every write size.
pub const HEADER: usize = 96;
/// "LWLF", little endian.
const MAGIC: u32 = 0x464C_574C;
/// log2 of the largest sector, bytes: 1 MiB.
pub const LOG2_MAX_SECTOR: u8 = 20;
/// Seqs are below this; a ring of 8,192 sectors would have been erased 262,144 times.
pub const END_SEQ: u32 = 1 << 31;

/// What stands at the start of a sector, programmed once, right after the sector was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SectorHeader {
    /// log2 of the write size, bytes.
    pub log2_write: u8,
    /// log2 of the size of a sector, bytes.
    pub log2_sector: u8,
    /// Entries before it could not be read at the start that opened it, so that `anchor` is not the leaf of the entry before.
    pub is_torn: bool,
    /// Lap times the number of sectors, plus the position of this one.
    pub seq: u32,
    /// Largest frame of this log, bytes: a multiple of the write size, at most [`MAX_FRAME`].
    pub max: u16,
    /// Sectors of this log, at least 2.
    pub sectors: u16,
    /// Id of the log.
    pub log_id: LogId,
    /// Number of the start of the firmware that opened the sector.
    pub run: u32,
    /// Index of the first entry that may stand in it.
    pub first: u64,
    /// All entries below this were safe elsewhere.
    pub acked: u64,
    /// Entries that were lost before they reached flash, since the log was made.
    pub dropped: u64,
    /// Leaf of the entry before `first`; genesis for 0.
    pub anchor: Digest,
}

impl SectorHeader {
    /// The bytes.
    pub fn emit(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let parts: [&[u8]; 11] = [
            &MAGIC.to_le_bytes(),
            &[FORMAT, self.log2_write, self.log2_sector, u8::from(self.is_torn)],
            &self.seq.to_le_bytes(),
            &self.max.to_le_bytes(),
            &self.sectors.to_le_bytes(),
            &self.log_id.0,
            &self.run.to_le_bytes(),
            &self.first.to_le_bytes(),
            &self.acked.to_le_bytes(),
            &self.dropped.to_le_bytes(),
            &self.anchor.0,
        ];
        let (head, checksum) = bytes.split_at_mut(HEADER - 4);
        put_all(head, &parts);
        checksum.copy_from_slice(&CRC.checksum(head).to_le_bytes());
        bytes
    }

    /// Parses a header; `None` for whatever is not a whole and valid one of this version.
    pub fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let (head, checksum) = bytes.split_last_chunk::<4>()?;
        let magic = u32::from_le_bytes(field(head, 0)?);
        let [version, log2_write, log2_sector, torn] = field(head, 4)?;
        if magic != MAGIC || version != FORMAT || torn > 1 || CRC.checksum(head) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let header = Self {
            log2_write,
            log2_sector,
            is_torn: torn == 1,
            seq: u32::from_le_bytes(field(head, 8)?),
            max: u16::from_le_bytes(field(head, 12)?),
            sectors: u16::from_le_bytes(field(head, 14)?),
            log_id: LogId(field(head, 16)?),
            run: u32::from_le_bytes(field(head, 32)?),
            first: u64::from_le_bytes(field(head, 36)?),
            acked: u64::from_le_bytes(field(head, 44)?),
            dropped: u64::from_le_bytes(field(head, 52)?),
            anchor: Digest(field(head, 60)?),
        };
        header.is_valid().then_some(header)
    }

    /// Size of a sector, bytes.
    pub fn sector(&self) -> usize {
        1 << self.log2_sector.min(LOG2_MAX_SECTOR)
    }

    /// Whether it is of a log in as many sectors of that size with the same frames.
    pub fn has_layout_of(&self, other: &Self) -> bool {
        let layout = |header: &Self| (header.log2_write, header.log2_sector, header.max, header.sectors);
        layout(self) == layout(other)
    }

    fn is_valid(&self) -> bool {
        let max = usize::from(self.max);
        // An index that no log reaches would overflow what is added to it.
        let small = [self.first, self.acked, self.dropped].into_iter().all(|number| number < crate::entry::MAX_SIZE);
        let sizes = self.log2_write <= 5 && self.log2_sector <= LOG2_MAX_SECTOR && self.sectors >= 2;
        let is_frame = (MIN_FRAME..=MAX_FRAME).contains(&max) && HEADER + 2 * max <= self.sector();
        sizes && is_frame && max % (1 << self.log2_write) == 0 && self.seq < END_SEQ && small
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_one_spelling() {
        let header = SectorHeader {
            log2_write: 2,
            log2_sector: 10,
            is_torn: true,
            seq: 9,
            max: 256,
            sectors: 6,
            log_id: LogId([3; 16]),
            run: 4,
            first: 77,
            acked: 70,
            dropped: 1,
            anchor: Digest([5; 32]),
        };
        let bytes = header.emit();
        assert_eq!(SectorHeader::parse(&bytes), Some(header));
        // Version, write size, sectors too small and too large, torn, seq, a single sector, an index; with a checksum that is right.
        for (at, value) in [(4, 2), (5, 6), (5, 64), (6, 9), (6, 21), (6, 64), (7, 2), (11, 0x80), (14, 1), (43, 1)] {
            let mut other = bytes;
            other[at] = value;
            let sum = CRC.checksum(&other[..HEADER - 4]).to_le_bytes();
            other[HEADER - 4..].copy_from_slice(&sum);
            assert_eq!(SectorHeader::parse(&other), None, "{at}");
        }
    }
}
