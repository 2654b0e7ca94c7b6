//! A copy that somebody else wrote: a log is not held to be what it is not on its word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_host::copy::{Copier, compare};
use lowlight_host::store::Layout;
use lowlight_host::verify::{self, Report};
use lowlight_host::{Record, Recorder};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

struct Log {
    dir: PathBuf,
    copy: PathBuf,
    honest: Vec<u8>,
    report: Report,
}

/// A small log and its copy, made once.
fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("lowlight-fuzz-copy-{}", std::process::id()));
        let (logs, folder) = (dir.join("logs"), dir.join("copy"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let recorder = Recorder::builder(&logs).open().expect("a recorder");
        for number in 0..8 {
            drop(recorder.record(Record::inference("m").prompt(format!("p{number}"))).expect("a record"));
        }
        recorder.close(Duration::from_secs(30)).expect("an end");
        Copier::new(&folder, false).catch_up(&Layout::new(&logs)).expect("a copy");
        let copy = std::fs::read_dir(&folder).expect("files").flatten().next().expect("a file").path();
        let honest = std::fs::read(&copy).expect("a file");
        let report = verify::log(&logs).expect("a report");
        Log { dir, copy, honest, report }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let log = log();
    // Edits of the honest copy: (place, how many bytes go, what comes in their place)*, each a few bytes.
    let mut text = log.honest.clone();
    for edit in bytes.chunks(8) {
        let [a, b, gone, rest @ ..] = edit else { break };
        let place = usize::from(u16::from_le_bytes([*a, *b])) % text.len().max(1);
        let end = (place + usize::from(*gone)).min(text.len());
        text.splice(place..end, rest.iter().copied());
    }
    std::fs::write(&log.copy, &text).expect("a file");
    let mut report = log.report.clone();
    let done = compare(&log.dir.join("logs"), log.copy.parent().expect("a folder"), &mut report);
    if text == log.honest {
        assert!(done.is_ok() && report.verdict == "intact" && report.level == "checkpoint", "{report:?}");
    }
    // Who has no second preimage of a hash accuses nobody.
    assert!(report.verdict != "broken", "{report:?}");
});
