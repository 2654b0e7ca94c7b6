//! Clean lines: nothing in them is sensitive, much of it looks as if it were.
//!
//! Two thirds come from templates (digits, identifiers, versions, code), a third is written by hand.

mod tuning;
mod unseen;
mod written_tuning_machine;
mod written_tuning_speech;
mod written_unseen_machine;
mod written_unseen_speech;

use super::rng::Rng;
use super::template::Family;
use super::{Half, Line};

/// The template families of one half.
pub fn families(half: Half) -> &'static [Family] {
    match half {
        Half::Tuning => tuning::FAMILIES,
        Half::Unseen => unseen::FAMILIES,
    }
}

/// The hand-written lines of one half.
pub fn written(half: Half) -> impl Iterator<Item = &'static str> {
    let (speech, machine) = match half {
        Half::Tuning => (written_tuning_speech::LINES, written_tuning_machine::LINES),
        Half::Unseen => (written_unseen_speech::LINES, written_unseen_machine::LINES),
    };
    speech.iter().chain(machine).copied()
}

/// All lines of one half, templates first.
pub fn lines(half: Half, rng: &mut Rng) -> Vec<Line> {
    let mut lines: Vec<Line> = families(half).iter().flat_map(|family| family.lines(rng)).collect();
    lines.extend(written(half).map(|text| Line { text: text.to_owned(), spans: Vec::new() }));
    lines
}
