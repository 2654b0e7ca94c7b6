//! Lines that hold something to hide, as an application with a language model logs them.
//!
//! A vendor token stands once in its own surroundings and many times in ones that any token may have.

mod tuning_personal;
mod tuning_secret;
mod unseen_personal;
mod unseen_secret;

use super::rng::Rng;
use super::template::Family;
use super::{Half, Line};

/// The template families of one half.
pub fn families(half: Half) -> impl Iterator<Item = &'static Family> {
    let (personal, secret) = match half {
        Half::Tuning => (tuning_personal::FAMILIES, tuning_secret::FAMILIES),
        Half::Unseen => (unseen_personal::FAMILIES, unseen_secret::FAMILIES),
    };
    personal.iter().chain(secret)
}

/// All lines of one half.
pub fn lines(half: Half, rng: &mut Rng) -> Vec<Line> {
    families(half).flat_map(|family| family.lines(rng)).collect()
}
