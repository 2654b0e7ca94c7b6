//! Verifying and exporting, against hashing the same inputs in memory; peak memory of a process that does nothing else.

use super::{Cost, measure, pairs, row, scratch};
use crate::writing::payloads;
use lowlight_core::source::{EntrySource, Item};
use lowlight_core::{Commitment, Digest, Frontier, Salt, chain};
use lowlight_host::export::{Form, Options, write};
use lowlight_host::redact::RedactConfig;
use lowlight_host::store::Reader;
use lowlight_host::verify::{self, Against, Threads};
use lowlight_host::{Record, Recorder};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn build(dir: &Path, count: usize) {
    let off = RedactConfig { enabled: false, ..RedactConfig::default() };
    let builder = Recorder::builder(dir).redact(off).overflow(lowlight_core::OverflowPolicy::Block).block_for(Duration::from_secs(60));
    let recorder = builder.batch(1000, 4 << 20).open().unwrap();
    let texts = payloads(1_000);
    for number in 0..count {
        let (prompt, response) = &texts[number % texts.len()];
        drop(
            recorder
                .record(
                    Record::inference("phi-3-mini").prompt(prompt.as_str()).response(response.as_str()).duration(Duration::from_millis(87)),
                )
                .unwrap(),
        );
    }
    recorder.close(Duration::from_secs(120)).unwrap();
}

/// Everything that verification hashes, already in memory.
struct Inputs {
    bodies: Vec<Vec<u8>>,
    contents: Vec<(lowlight_core::FieldId, [u8; 16], Vec<u8>)>,
}

fn load(dir: &Path) -> Inputs {
    let reader = Reader::open(dir).unwrap();
    let mut source = reader.everything(true);
    let mut inputs = Inputs { bodies: Vec::new(), contents: Vec::new() };
    while let Some(item) = source.next().unwrap() {
        match item {
            Item::Entry { body, .. } => inputs.bodies.push(body.to_vec()),
            Item::Content { field, salt, value, .. } => inputs.contents.push((field, salt.unwrap(), value.unwrap().to_vec())),
            _ => unreachable!("an honest log"),
        }
    }
    inputs
}

/// The hashes of a verification and nothing else: chain, tree, commitments.
fn hash(inputs: &Inputs) -> Digest {
    let (mut prev, mut tree) = (Digest([0; 32]), Frontier::new());
    for body in &inputs.bodies {
        prev = chain::leaf(&prev, body);
        tree.push(prev, |_, _, _| {});
    }
    for (field, salt, value) in &inputs.contents {
        black_box(Commitment::new(&Salt(*salt), *field, value));
    }
    tree.root()
}

/// Runs in a process of its own, so that its peak memory is that of the work alone.
pub fn child(what: &str, dir: &Path) {
    match what {
        "verify" => assert_eq!(verify::log(dir).unwrap().verdict, "intact"),
        "export" => {
            write(&Reader::open(dir).unwrap(), &Options::default(), Form::Ndjson, &mut std::io::sink(), &mut |_| {}).unwrap();
        }
        _ => {
            let recorder = Recorder::builder(dir).open().unwrap();
            recorder.record(Record::inference("m").prompt("hello")).unwrap().wait();
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let name = if what == "rest" { "VmRSS:" } else { "VmHWM:" };
    println!("{}", status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown").trim());
}

fn peak(what: &str, dir: &Path) -> String {
    let done = Command::new(std::env::current_exe().unwrap()).args(["--child", what]).arg(dir).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let kib: f64 = String::from_utf8_lossy(&done.stdout).split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    format!("{:.1} MiB", kib / 1024.0)
}

pub fn run(quick: bool) {
    let small = scratch();
    build(small.path(), 20_000);
    let inputs = load(small.path());
    let time = |a: Cost, b: Cost| b.wall.as_secs_f64() / a.wall.as_secs_f64();
    let milliseconds = |cost: Cost| format!("{:.0} ms", cost.wall.as_secs_f64() * 1e3);
    for (name, threads, must, aim) in [("one thread", Threads::One, "≥ 0.45", "≥ 0.7"), ("two threads", Threads::Two, "-", "-")] {
        let (ratio, ours, theirs) = pairs(
            || {
                measure(|| {
                    assert_eq!(verify::log_with(small.path(), threads, Against::default(), &mut |_, _| {}).unwrap().verdict, "intact")
                })
            },
            || {
                measure(|| {
                    black_box(hash(&inputs));
                })
            },
            time,
        );
        row(
            &format!("verify, 20,000 entries, {name}"),
            format!("{ratio:.2} ({})", milliseconds(ours)),
            &format!("hashing the same inputs in memory ({})", milliseconds(theirs)),
            must,
            aim,
        );
    }
    let export =
        || write(&Reader::open(small.path()).unwrap(), &Options::default(), Form::Ndjson, &mut std::io::sink(), &mut |_| {}).unwrap();
    let (ratio, ours, _) = pairs(
        || {
            measure(|| {
                export();
            })
        },
        || {
            measure(|| {
                black_box(hash(&inputs));
            })
        },
        time,
    );
    row("export as NDJSON, 20,000 entries", format!("{ratio:.2} ({})", milliseconds(ours)), "the same", "-", "-");
    row("peak memory of verify, 20,000 entries", peak("verify", small.path()), "-", "≤ 16 MiB", "-");
    row("peak memory of export, 20,000 entries", peak("export", small.path()), "-", "-", "-");
    if !quick {
        let large = scratch();
        build(large.path(), 500_000);
        row("peak memory of verify, 500,000 entries", peak("verify", large.path()), "-", "≤ 16 MiB", "-");
        row("peak memory of export, 500,000 entries", peak("export", large.path()), "-", "-", "-");
    }
    let rest = scratch();
    row("a logger at rest, resident", peak("rest", rest.path()), "-", "≤ 10 MiB", "-");
}
