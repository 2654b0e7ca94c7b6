//! Content slots: which content an entry has, and the commitment to each.

use super::{EntryError, MAX_FIELDS, MAX_INTEGER, range};
use crate::chain::Digest;
use serde::{Deserialize, Serialize};

/// Names a content field, 0 to 63; 32 and above belong to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FieldId(u8);

const NAMES: [&str; 64] = [
    "prompt",
    "response",
    "message",
    "attributes",
    "actor",
    "error",
    "resource_id",
    "before",
    "after",
    "correlation_id",
    "session_id",
    "actor_metadata",
    "reason",
    "field_13",
    "field_14",
    "field_15",
    "field_16",
    "field_17",
    "field_18",
    "field_19",
    "field_20",
    "field_21",
    "field_22",
    "field_23",
    "field_24",
    "field_25",
    "field_26",
    "field_27",
    "field_28",
    "field_29",
    "field_30",
    "field_31",
    "app_32",
    "app_33",
    "app_34",
    "app_35",
    "app_36",
    "app_37",
    "app_38",
    "app_39",
    "app_40",
    "app_41",
    "app_42",
    "app_43",
    "app_44",
    "app_45",
    "app_46",
    "app_47",
    "app_48",
    "app_49",
    "app_50",
    "app_51",
    "app_52",
    "app_53",
    "app_54",
    "app_55",
    "app_56",
    "app_57",
    "app_58",
    "app_59",
    "app_60",
    "app_61",
    "app_62",
    "app_63",
];

#[expect(missing_docs, reason = "the constants are named after the fields of the record model")]
impl FieldId {
    pub const PROMPT: Self = Self(0);
    pub const RESPONSE: Self = Self(1);
    pub const MESSAGE: Self = Self(2);
    pub const ATTRIBUTES: Self = Self(3);
    pub const ACTOR: Self = Self(4);
    pub const ERROR: Self = Self(5);
    pub const RESOURCE_ID: Self = Self(6);
    pub const BEFORE: Self = Self(7);
    pub const AFTER: Self = Self(8);
    pub const CORRELATION_ID: Self = Self(9);
    pub const SESSION_ID: Self = Self(10);
    pub const ACTOR_METADATA: Self = Self(11);
    pub const REASON: Self = Self(12);
}

impl FieldId {
    /// The field of that number, if it is at most 63.
    pub const fn new(id: u8) -> Option<Self> {
        if id < 64 { Some(Self(id)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The name, as in exports: `prompt`, `response`, ... `app_63`.
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// The field of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let position = NAMES.iter().position(|known| *known == name)?;
        u8::try_from(position).ok().map(Self)
    }
}

/// Whether a slot's value is meant to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SlotState {
    /// Value and salt are stored beside the entry until erased.
    Kept,
    /// Only the salt is stored; the value never was.
    HashOnly,
}

/// One content field as the body carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Slot {
    /// Which field.
    pub field: FieldId,
    /// Whether the value is kept.
    pub state: SlotState,
    /// Original length in bytes, if the value was cut.
    pub cut_from: Option<u64>,
    /// Commitment to the value.
    pub commitment: Digest,
}

/// The slots of one entry, strictly ascending by field.
pub type Slots = heapless::Vec<Slot, MAX_FIELDS>;

pub(super) fn check(slots: &[Slot]) -> Result<(), EntryError> {
    let mut last = None;
    for slot in slots {
        if slot.field.0 > 63 {
            return Err(EntryError::Range("field"));
        }
        if last >= Some(slot.field) {
            return Err(EntryError::Order("fields"));
        }
        range("cut_from", slot.cut_from.unwrap_or(0), MAX_INTEGER)?;
        last = Some(slot.field);
    }
    Ok(())
}
