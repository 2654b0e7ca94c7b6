//! Helpers that the tests share.

pub mod corpus;

use lowlight_host::verify::{Against, Report, Threads};
use lowlight_host::{Record, Recorder};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A directory that goes with the test.
///
/// # Panics
///
/// If there is no room for one.
pub fn scratch() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let private = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(private).tempdir().expect("a temporary directory")
}

/// Records `n` inferences with prompts `prompt 0` to `prompt n-1` and closes the log.
///
/// # Panics
///
/// If anything is lost.
pub fn fill(dir: &Path, n: u64) {
    let recorder = Recorder::builder(dir).queue(16_384, 64 << 20).open().expect("a log");
    for number in 0..n {
        let record = Record::inference("phi-3-mini").prompt(format!("prompt {number}")).response("yes").actor("alice");
        let _ticket = recorder.record(record).expect("a valid record");
        if number % 4096 == 4095 {
            recorder.flush(Duration::from_secs(60)).expect("a disk that works");
        }
    }
    let stats = recorder.close(Duration::from_secs(60)).expect("a disk that works");
    assert_eq!((stats.durable, stats.lost.total()), (n, 0));
}

/// Verifies a log directory or database; a log that cannot be read is a report too.
///
/// # Panics
///
/// If one thread and two do not agree.
pub fn verify(path: &Path) -> Report {
    // Where a log is being written to, each sees its own moment.
    let shm = if path.is_dir() { path.join("lowlight.db-shm") } else { path.with_extension("db-shm") };
    let was_live = shm.exists();
    let [one, two] = [Threads::One, Threads::Two].map(|threads| {
        lowlight_host::verify::log_with(path, threads, Against::default(), &mut |_, _| {}).unwrap_or_else(Report::unreadable)
    });
    let json = |report: &Report| serde_json::to_string(report).expect("a report is JSON");
    if !was_live && !shm.exists() {
        assert_eq!(json(&one), json(&two), "one thread and two do not agree");
    }
    one
}

/// A connection to the log's database, as a stranger would open it.
///
/// # Panics
///
/// If it cannot be opened.
pub fn db(dir: &Path) -> rusqlite::Connection {
    let path = if dir.is_dir() { dir.join("lowlight.db") } else { dir.to_path_buf() };
    rusqlite::Connection::open(path).expect("a database")
}

/// The helper program that writes a log from a process of its own.
///
/// # Panics
///
/// If it has not been built.
pub fn writer_process() -> PathBuf {
    let mut path = std::env::current_exe().expect("a path of this test");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push("writer_process");
    assert!(path.exists(), "{} is not there: run cargo test for the whole package", path.display());
    path
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
