//! Exports that somebody else wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_host::export::{parse_line, verify_export};

fuzz_target!(|bytes: &[u8]| {
    let report = verify_export(bytes);
    match report.verdict {
        "intact" => assert!(report.root.is_some() && report.problems.is_empty() && report.error.is_none()),
        "broken" => assert!(report.problems_total > 0 && !report.problems.is_empty()),
        _ => assert!(report.error.is_some()),
    }
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let _ = parse_line(line);
    }
});
