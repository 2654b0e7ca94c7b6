//! A line of `record`'s input: refused with a short reason, or recorded so that it verifies and can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_host::store::Reader;
use lowlight_host::view::Views;
use lowlight_host::{Outcome, Recorder, fuzzing, verify};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

struct Log {
    dir: PathBuf,
    recorder: Recorder,
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("lowlight-fuzz-line-{}", std::process::id()));
        let recorder = Recorder::builder(dir.join("logs")).open().expect("a recorder");
        Log { dir, recorder }
    })
}

static RECORDED: AtomicU64 = AtomicU64::new(0);

fuzz_target!(|bytes: &[u8]| {
    let Log { dir, recorder } = log();
    let ticket = match fuzzing::line(bytes, recorder) {
        Ok(Some(ticket)) => ticket,
        Ok(None) => return,
        Err(why) => {
            assert!(!why.is_empty() && why.len() < 200 && !why.contains('\n'), "{why:?}");
            return;
        }
    };
    // Few of them wait for the disk: what was recorded is read again in one go.
    if RECORDED.fetch_add(1, Ordering::Relaxed) % 500 != 499 {
        drop(ticket);
        return;
    }
    let outcome = ticket.wait_timeout(Duration::from_secs(20));
    assert!(matches!(outcome, Outcome::Durable(_)), "{outcome:?}");
    let logs = dir.join("logs");
    let report = verify::log(&logs).expect("it can be read");
    assert_eq!(report.verdict, "intact", "{report:?}");
    let reader = Reader::open(&logs).expect("it can be read");
    for view in Views::new(reader.everything(true)) {
        let line = view.expect("an entry").to_json().to_string();
        assert!(!line.contains(|c: char| c < ' '), "{line}");
    }
});
