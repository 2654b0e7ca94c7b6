//! Templates and how their slots are filled.

use super::rng::Rng;
use super::{Line, Span, values};

/// Opens a slot; chosen because neither code nor prose uses it.
const OPEN: char = '⟦';
/// Closes a slot.
const CLOSE: char = '⟧';

/// Templates of one sort and the number of lines to make of them.
pub struct Family {
    /// How many lines; the templates take turns.
    pub lines: usize,
    /// The slots that `⟦*⟧` stands for, in turn.
    pub star: &'static [&'static str],
    /// The templates, never empty.
    pub templates: &'static [&'static str],
}

impl Family {
    /// All lines of this family.
    pub fn lines(&self, rng: &mut Rng) -> Vec<Line> {
        let count = self.templates.len();
        (0..self.lines)
            .map(|line| {
                let turn = line / count + line % count;
                let star = self.star.get(turn % self.star.len().max(1)).copied();
                fill(self.templates[line % count], star.unwrap_or("*"), rng)
            })
            .collect()
    }
}

/// The line of one template, with fresh values in its slots.
///
/// # Panics
///
/// Where a slot is not closed or has no maker: a mistake in a template, which the tests of this module find.
pub fn fill(template: &str, star: &str, rng: &mut Rng) -> Line {
    let mut text = String::with_capacity(2 * template.len());
    let mut spans = Vec::new();
    let mut rest = template;
    while let Some((plain, tail)) = rest.split_once(OPEN) {
        let Some((name, tail)) = tail.split_once(CLOSE) else {
            panic!("a slot is not closed in {template:?}");
        };
        text.push_str(plain);
        let start = text.len();
        let (kind, value) = values::make(if name == "*" { star } else { name }, rng);
        text.push_str(&value);
        if let Some(kind) = kind {
            let end = text.len();
            spans.push(Span { start, end, kind });
        }
        rest = tail;
    }
    text.push_str(rest);
    Line { text, spans }
}
