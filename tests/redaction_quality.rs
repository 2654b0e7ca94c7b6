//! Recall and precision of redaction on lines it was never tuned on.

use lowlight_host::redact::{RedactConfig, Redactor};
use lowlight_tests::corpus::{Half, Line, corpus};
use std::collections::BTreeMap;

/// Seeds that were never used for tuning.
const UNSEEN_SEEDS: [u64; 3] = [9_001, 9_002, 9_003];

#[derive(Default, Debug)]
struct Score {
    /// Sensitive spans, and those of which nothing is left.
    spans: usize,
    hidden: usize,
    vendor_missed: Vec<String>,
    /// Characters hidden that were sensitive, and that were not, counted as replacements.
    replacements: usize,
    wrong_replacements: usize,
    clean: usize,
    clean_touched: usize,
    per_kind: BTreeMap<&'static str, (usize, usize)>,
    missed: Vec<String>,
    touched: Vec<String>,
}

impl Score {
    fn recall(&self) -> f64 {
        self.hidden as f64 / self.spans as f64
    }

    fn precision(&self) -> f64 {
        1.0 - self.wrong_replacements as f64 / self.replacements as f64
    }

    fn line(&mut self, redactor: &Redactor, line: &Line) {
        let mut session = redactor.session();
        let out = session.text(&line.text).into_owned();
        let kept = kept_ranges(&line.text, &out);
        if line.spans.is_empty() {
            self.clean += 1;
            if out != line.text {
                self.clean_touched += 1;
                self.wrong_replacements += session.total() as usize;
                self.touched.push(format!("{} -> {out}", line.text));
            }
        }
        self.replacements += session.total() as usize;
        let mut useful = 0;
        for span in &line.spans {
            // A span is hidden when no run of more than a third of it is left as it was.
            let longest = kept.iter().map(|range| range.end.min(span.end).saturating_sub(range.start.max(span.start))).max().unwrap_or(0);
            let hidden = longest * 3 <= span.end - span.start;
            self.spans += 1;
            self.hidden += usize::from(hidden);
            useful += usize::from(hidden);
            let kind = self.per_kind.entry(span.kind).or_default();
            kind.0 += 1;
            kind.1 += usize::from(hidden);
            if !hidden {
                let text = format!("{}: {} in {}", span.kind, &line.text[span.start..span.end], line.text);
                if span.is_vendor() {
                    self.vendor_missed.push(text.clone());
                }
                self.missed.push(text);
            }
        }
        if !line.spans.is_empty() {
            let extra = (session.total() as usize).saturating_sub(useful.max(1));
            self.wrong_replacements += extra;
            if extra > 0 {
                self.touched.push(format!("{} -> {out}", line.text));
            }
        }
    }
}

/// Ranges of the input that stand in the output unchanged, found by aligning around the placeholders.
fn kept_ranges(input: &str, output: &str) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    for piece in pieces(output).filter(|piece| !piece.is_empty()) {
        if let Some(found) = input[at..].find(piece) {
            ranges.push(at + found..at + found + piece.len());
            at += found + piece.len();
        }
    }
    ranges
}

/// The text between placeholders such as `[EMAIL_1]`.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut from = 0;
        while let Some(open) = text[from..].find('[').map(|open| from + open) {
            let inner = &text[open + 1..];
            let close = inner.find(']').filter(|close| {
                let name = &inner[..*close];
                name.rsplit_once('_').is_some_and(|(name, number)| {
                    !name.is_empty()
                        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
                        && number.parse::<u32>().is_ok()
                })
            });
            if let Some(close) = close {
                rest = Some(&inner[close + 1..]);
                return Some(&text[..open]);
            }
            from = open + 1;
        }
        rest = None;
        Some(text)
    })
}

fn score(half: Half, seeds: &[u64]) -> Score {
    let redactor = Redactor::new(&RedactConfig::default()).unwrap();
    let mut score = Score::default();
    for seed in seeds {
        corpus(half, *seed).iter().for_each(|line| score.line(&redactor, line));
    }
    score
}

fn report(name: &str, score: &Score) {
    println!(
        "{name}: recall {:.4} ({} of {}), precision {:.4} ({} wrong of {}), clean lines touched {} of {}, vendor tokens missed {}",
        score.recall(),
        score.hidden,
        score.spans,
        score.precision(),
        score.wrong_replacements,
        score.replacements,
        score.clean_touched,
        score.clean,
        score.vendor_missed.len()
    );
    for (kind, (spans, hidden)) in &score.per_kind {
        println!("  {kind:<16} {hidden} of {spans}");
    }
    if std::env::var_os("SHOW_MISSES").is_some() {
        score.missed.iter().for_each(|line| println!("  missed {line:?}"));
        score.touched.iter().for_each(|line| println!("  touched {line:?}"));
    }
}

#[test]
fn redaction_reaches_its_targets_on_text_it_was_never_tuned_on() {
    let score = score(Half::Unseen, &UNSEEN_SEEDS);
    report("unseen", &score);
    assert!(score.recall() >= 0.95);
    assert!(score.precision() >= 0.97);
    assert!(score.vendor_missed.is_empty());
    assert!(score.clean_touched * 50 <= score.clean);
}

#[test]
fn redaction_reaches_its_targets_on_the_tuning_half() {
    let score = score(Half::Tuning, &[1, 2]);
    report("tuning", &score);
    assert!(score.recall() >= 0.95);
    assert!(score.precision() >= 0.97);
}

#[test]
fn the_score_notices_a_redactor_that_does_nothing() {
    let redactor = Redactor::new(&RedactConfig { keys: Vec::new(), ..RedactConfig::default() }).unwrap();
    let line =
        Line { text: "nothing to hide here".to_owned(), spans: vec![lowlight_tests::corpus::Span { start: 0, end: 7, kind: "EMAIL" }] };
    let mut score = Score::default();
    score.line(&redactor, &line);
    assert_eq!((score.spans, score.hidden), (1, 0));
}
