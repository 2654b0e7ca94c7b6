//! End to end with redaction on, against lowlightlog 0.4.0 on the same payload, in the same run.
//!
//! `LOWLIGHT_BENCH_PYTHON` names an interpreter that has it (`pip install lowlightlog==0.4.0`); without it nothing is measured.

use super::{Cost, pairs, row};
use crate::writing::{payloads, recorder};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Fewer than elsewhere: the peer takes seconds for them.
const RECORDS: usize = 4_000;

fn lowlightlog(python: &str, input: &str, batch: usize) -> Cost {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer.py");
    let mut child = Command::new(python).args([script, &batch.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "the peer failed");
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["written"], RECORDS, "the peer lost records: {report}");
    let seconds = |name: &str| Duration::from_secs_f64(report[name].as_f64().unwrap());
    Cost { wall: seconds("wall"), cpu: seconds("cpu"), ..Cost::default() }
}

pub fn run() {
    let Ok(python) = std::env::var("LOWLIGHT_BENCH_PYTHON") else {
        return println!("\nlowlightlog: not measured, LOWLIGHT_BENCH_PYTHON names no interpreter that has it");
    };
    let payloads = payloads(RECORDS);
    let input: String = payloads.iter().map(|pair| serde_json::to_string(pair).unwrap() + "\n").collect();
    let count = RECORDS as f64;
    for batch in [50, 1_000] {
        let (ratio, ours, theirs) = pairs(
            || recorder(&payloads, 1, true, batch),
            || lowlightlog(&python, &input, batch),
            |a, b| b.wall.as_secs_f64() / a.wall.as_secs_f64(),
        );
        let rate = |cost: Cost| format!("{:.0}/s", count / cost.wall.as_secs_f64());
        row(
            &format!("rate, redaction on, batch {batch}, times lowlightlog's"),
            format!("{ratio:.0} ({})", rate(ours)),
            &format!("lowlightlog 0.4.0 ({})", rate(theirs)),
            "≥ 10",
            "≥ 25",
        );
        let (ratio, ours, theirs) = pairs(
            || recorder(&payloads, 1, true, batch),
            || lowlightlog(&python, &input, batch),
            |a, b| b.cpu.as_secs_f64() / a.cpu.as_secs_f64(),
        );
        let micros = |cost: Cost| format!("{:.1} µs", cost.cpu.as_secs_f64() * 1e6 / count);
        row(
            &format!("CPU a record, redaction on, batch {batch}, lowlightlog's in ours"),
            format!("{ratio:.0} ({})", micros(ours)),
            &format!("lowlightlog 0.4.0 ({})", micros(theirs)),
            "≥ 12",
            "≥ 20",
        );
    }
}
