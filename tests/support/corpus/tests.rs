//! The corpus keeps its own promises.

use std::collections::{BTreeMap, BTreeSet};

use super::template::Family;
use super::values::personal::{luhn_sum, mod97};
use super::{GENERAL, Half, Line, VENDORS, corpus, negatives, positives};

const SEED: u64 = 7;
const HALVES: [Half; 2] = [Half::Tuning, Half::Unseen];

/// The lines of both halves.
fn all_lines() -> impl Iterator<Item = Line> {
    HALVES.into_iter().flat_map(|half| corpus(half, SEED))
}

/// The values of one kind in both halves, without gaps.
fn values_of(kind: &str) -> Vec<String> {
    let mut values = Vec::new();
    for line in all_lines() {
        let spans = line.spans.iter().filter(|span| span.kind == kind);
        values.extend(spans.map(|span| line.text[span.start..span.end].replace([' ', '-', '.'], "")));
    }
    values
}

/// A template without the names in its slots, so that another slot alone does not make it another template.
fn outline(template: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for letter in template.chars() {
        inside = (inside || letter == '⟦') && letter != '⟧';
        if !inside {
            out.extend(letter.to_lowercase());
        }
    }
    out
}

/// The outlines of everything one half is made of.
fn outlines(half: Half) -> Vec<String> {
    let families: Vec<&Family> = positives::families(half).chain(negatives::families(half)).collect();
    let templates = families.iter().flat_map(|family| family.templates).copied();
    templates.chain(negatives::written(half)).map(outline).collect()
}

#[test]
fn spans_are_in_bounds_in_order_and_on_character_boundaries() {
    for line in all_lines() {
        let mut last = 0;
        for span in &line.spans {
            assert!(span.start >= last && span.start < span.end, "{span:?} in {:?}", line.text);
            assert!(line.text.get(span.start..span.end).is_some(), "{span:?} in {:?}", line.text);
            last = span.end;
        }
        assert!(line.spans.len() <= 3, "{:?}", line.text);
        assert!(!line.text.contains(['⟦', '⟧']), "a slot was left open in {:?}", line.text);
    }
}

#[test]
fn the_same_seed_gives_the_same_corpus_and_another_seed_another() {
    for half in HALVES {
        assert_eq!(corpus(half, SEED), corpus(half, SEED));
        assert_ne!(corpus(half, SEED), corpus(half, SEED + 1));
    }
}

#[test]
fn the_halves_share_no_template_and_no_written_line() {
    let tuning: BTreeSet<String> = outlines(Half::Tuning).into_iter().collect();
    for outline in outlines(Half::Unseen) {
        assert!(!tuning.contains(&outline), "in both halves: {outline:?}");
    }
}

#[test]
fn the_halves_share_no_finished_line() {
    let tuning: BTreeSet<String> = corpus(Half::Tuning, SEED).into_iter().map(|line| line.text).collect();
    assert!(corpus(Half::Unseen, SEED).iter().all(|line| !tuning.contains(&line.text)));
}

#[test]
fn every_kind_has_enough_samples_in_both_halves() {
    for half in HALVES {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for span in corpus(half, SEED).iter().flat_map(|line| &line.spans) {
            assert_eq!(span.is_vendor(), !GENERAL.contains(&span.kind), "{} is in no list or in both", span.kind);
            *counts.entry(span.kind).or_default() += 1;
        }
        for kind in VENDORS.iter().chain(GENERAL) {
            assert!(counts.get(kind).is_some_and(|count| *count >= 20), "{half:?} has too few of {kind}: {counts:?}");
        }
    }
}

#[test]
fn sizes_are_as_documented() {
    for half in HALVES {
        let (clean, positive): (Vec<Line>, Vec<Line>) = corpus(half, SEED).into_iter().partition(|line| line.spans.is_empty());
        assert!((1450..=1550).contains(&clean.len()), "{half:?} has {} clean lines", clean.len());
        assert!((2000..=2200).contains(&positive.len()), "{half:?} has {} positive lines", positive.len());
    }
}

#[test]
fn cards_and_accounts_have_valid_check_digits() {
    for card in values_of("CARD") {
        assert_eq!(luhn_sum(&card) % 10, 0, "{card}");
    }
    for account in values_of("IBAN") {
        assert_eq!(mod97(&format!("{}{}", &account[4..], &account[..4])), 1, "{account}");
    }
}

#[test]
fn known_numbers_pass_the_checks_that_the_corpus_is_made_with() {
    // A British sample account number, rotated by four as the check asks, and a sample card number.
    assert_eq!(mod97("WEST12345698765432GB82"), 1);
    assert_eq!(luhn_sum("4539 1488 0343 6467") % 10, 0);
    assert_ne!(luhn_sum("4539 1488 0343 6468") % 10, 0);
}
