//! Redaction of the whole rule set, per KiB, against copying the same bytes.

use super::{median, row};
use crate::writing::text;
use lowlight_host::redact::{RedactConfig, Redactor};
use std::hint::black_box;
use std::time::Instant;

const SIZE: usize = 64 << 10;

fn clean() -> String {
    text(1, SIZE)
}

fn numeric() -> String {
    let mut out = String::new();
    for number in 0.. {
        if out.len() > SIZE {
            break;
        }
        out.push_str(&format!(
            "2026-11-22T10:{:02}:{:02}Z GET https://example.org/items/{number}?page=3 200 {}.{:03} ms id={:08x}; ",
            number % 60,
            number * 7 % 60,
            number % 900,
            number % 1000,
            number * 2_654_435_761_u64 % 0xffff_ffff
        ));
    }
    out
}

fn dense() -> String {
    let mut out = String::new();
    for number in 0.. {
        if out.len() > SIZE {
            break;
        }
        out.push_str(&format!(
            "user{number}@example.com called +49 30 1234{:04} from 192.0.2.{}; card 4111 1111 1111 1111, password={}x!9 ",
            number % 10_000,
            number % 250,
            number * 31
        ));
    }
    out
}

pub fn run() {
    let redactor = Redactor::new(&RedactConfig::default()).unwrap();
    for (name, input, must, aim) in [
        ("clean prose", clean(), "≤ 1,500", "≤ 400"),
        ("numbers and URLs", numeric(), "≤ 2,500", "≤ 1,500"),
        ("dense with personal data", dense(), "≤ 5,000", "≤ 4,000"),
    ] {
        // Pieces of 1 KiB, as prompts are: what an entry costs, not what one huge text costs.
        let pieces: Vec<&str> = input.as_bytes().chunks(1024).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
        let per_kib = |work: &mut dyn FnMut(&str)| {
            let runs = (0..99).map(|_| {
                let started = Instant::now();
                pieces.iter().for_each(|piece| work(piece));
                started.elapsed().as_nanos() as f64 / pieces.len() as f64
            });
            median(runs.collect())
        };
        let ours = per_kib(&mut |piece| {
            black_box(redactor.session().text(piece).len());
        });
        let copy = per_kib(&mut |piece| drop(black_box(piece.to_owned())));
        row(
            &format!("redaction, {name}, ns per KiB"),
            format!("{ours:.0} ({:.0} times)", ours / copy),
            &format!("copying ({copy:.0} ns)"),
            must,
            aim,
        );
    }
}
