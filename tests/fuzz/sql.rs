//! `query --sql`: a statement reads the log and does nothing else; what is printed holds no control character.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lowlight_host::store::Reader;
use lowlight_host::{Record, Recorder, fuzzing};
use rusqlite::InterruptHandle;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// A log of a few entries in a folder of its own, which is the working directory as well: `ATTACH 'x'` would be seen.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("lowlight-fuzz-sql-{}", std::process::id()));
        let recorder = Recorder::builder(dir.join("logs")).open().expect("a recorder");
        for number in 0..4 {
            drop(recorder.record(Record::inference("m").prompt(format!("\x1b[31mp{number}\x07"))).expect("a record"));
        }
        recorder.close(Duration::from_secs(30)).expect("an end");
        std::env::set_current_dir(&dir).expect("the folder");
        dir
    })
}

/// All files, with what is in them. A WAL index may be made by any reader, and says nothing.
fn files(dir: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, into);
        } else if !path.to_string_lossy().ends_with("-shm") {
            into.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
}

/// The statement that runs, and since when; a thread of its own ends those that take long.
fn running() -> &'static Mutex<Option<(Instant, InterruptHandle)>> {
    static RUNNING: Mutex<Option<(Instant, InterruptHandle)>> = Mutex::new(None);
    static WATCH: OnceLock<()> = OnceLock::new();
    WATCH.get_or_init(|| {
        std::thread::spawn(|| loop {
            std::thread::sleep(Duration::from_millis(50));
            if let Some((_, handle)) = RUNNING.lock().expect("the lock").as_ref().filter(|(since, _)| since.elapsed() > Duration::from_millis(200)) {
                handle.interrupt();
            }
        });
    });
    &RUNNING
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(sql) = std::str::from_utf8(bytes) else { return };
    let dir = folder();
    let mut reader = Reader::open(&dir.join("logs")).expect("it can be read");
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    files(dir, &mut before);
    // A statement may run for ever; whoever typed it ends it.
    *running().lock().expect("the lock") = Some((Instant::now(), reader.connection().get_interrupt_handle()));
    let mut out = Vec::new();
    let done = fuzzing::sql(&mut reader, sql, false, &mut out);
    *running().lock().expect("the lock") = None;
    // Nothing a statement left behind outlives it.
    let temporary: i64 = reader.connection().query_row("SELECT count(*) FROM sqlite_temp_schema", [], |row| row.get(0)).unwrap_or(0);
    assert_eq!(temporary, 0);
    drop(reader);
    files(dir, &mut after);
    assert!(before == after, "a file changed");
    if done.is_ok() {
        let out = String::from_utf8(out).expect("text");
        assert!(!out.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{out:?}");
    }
});
