//! Which number a value has: the same value of the same kind has the same number in one session, numbers count up from 1.
//!
//! Limits: the first 64 values of a session are found by an imprint of eight bytes; further ones are looked up in a map
//! with a keyed hash. So the time for each stays bounded, whatever the values are.

use std::collections::HashMap;

use super::kind::Kind;

/// Values found by their imprint.
const FEW: usize = 64;
/// Places in the table of those values: twice as many, so that most are found at the first look.
const PLACES: usize = 2 * FEW;

/// The numbers given so far.
pub(super) struct Numbers {
    /// The last number of each row; see [`row`].
    last: Vec<u32>,
    few: Vec<Known>,
    /// One more than the index in `few`, at the place that the imprint says or behind it; 0 is free.
    table: [u8; PLACES],
    /// The bytes of the few, one value after the other: one allocation for all of them.
    bytes: String,
    /// All further values by row.
    many: HashMap<usize, HashMap<Box<str>, u32>>,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { last: Vec::new(), few: Vec::new(), table: [0; PLACES], bytes: String::new(), many: HashMap::new() }
    }
}

/// What is numbered together: the values of a kind, or those of an own rule.
fn row(kind: Kind, rule: usize) -> usize {
    if kind == Kind::Custom { Kind::ALL.len() + rule } else { kind as usize }
}

/// A value that has a number.
struct Known {
    imprint: u64,
    start: usize,
    end: usize,
    row: usize,
    number: u32,
}

impl Numbers {
    /// The number of `value`; a value without an identity always gets a new one.
    pub(super) fn of(&mut self, kind: Kind, rule: usize, value: Option<&str>) -> u32 {
        let row = row(kind, rule);
        if self.last.len() <= row {
            self.last.resize(Kind::ALL.len().max(row + 1), 0);
        }
        let last = &mut self.last[row];
        let Some(value) = value else {
            *last = last.saturating_add(1);
            return *last;
        };
        let imprint = imprint(value) ^ row as u64;
        let mut place = (imprint.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as usize;
        while let Some(known) = usize::from(self.table[place]).checked_sub(1).and_then(|at| self.few.get(at)) {
            if known.imprint == imprint && known.row == row && self.bytes.get(known.start..known.end) == Some(value) {
                return known.number;
            }
            place = (place + 1) % PLACES;
        }
        if self.few.len() == FEW {
            let values = self.many.entry(row).or_default();
            if let Some(&number) = values.get(value) {
                return number;
            }
            values.insert(value.into(), last.saturating_add(1));
            *last = last.saturating_add(1);
            return *last;
        }
        if self.few.is_empty() {
            // Enough for nearly all, and within what allocators keep at hand.
            self.few.reserve(24);
            self.bytes.reserve(512);
        }
        *last = last.saturating_add(1);
        let start = self.bytes.len();
        self.bytes.push_str(value);
        self.few.push(Known { imprint, row, start, end: self.bytes.len(), number: *last });
        // At most 64, which fits.
        self.table[place] = u8::try_from(self.few.len()).unwrap_or(0);
        *last
    }
}

/// Tells most different values apart at the price of a few instructions: the length and the bytes at both ends.
fn imprint(value: &str) -> u64 {
    let b = value.as_bytes();
    let head = b.first_chunk().map_or(0, |chunk: &[u8; 8]| u64::from_le_bytes(*chunk));
    let tail = b.last_chunk().map_or(0, |chunk: &[u8; 4]| u64::from(u32::from_le_bytes(*chunk)));
    head ^ tail << 32 ^ (b.len() as u64) << 56
}
