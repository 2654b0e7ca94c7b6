//! What retention writes, and how long it keeps the writer.

use super::{PAYLOAD, bytes_written, row, scratch};
use lowlight_host::removal::RetentionPolicy;
use lowlight_host::store::Reader;
use lowlight_host::{Record, Recorder};
use std::path::Path;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(600);

fn builder(dir: &Path, keep: u64) -> lowlight_host::Builder {
    let policy = RetentionPolicy { max_entries: keep, ..RetentionPolicy::default() };
    Recorder::builder(dir).queue(16_384, 64 << 20).redact(off()).retention(policy).upkeep()
}

fn off() -> lowlight_host::redact::RedactConfig {
    lowlight_host::redact::RedactConfig { enabled: false, ..Default::default() }
}

fn record(recorder: &Recorder, count: u64) {
    let text = "x".repeat(PAYLOAD / 2);
    for number in 0..count {
        let _ticket = recorder.record(Record::inference("m").prompt(text.as_str()).response(text.as_str())).unwrap();
        if number % 4_096 == 4_095 {
            recorder.flush(LONG).unwrap();
        }
    }
    recorder.flush(LONG).unwrap();
}

/// Bytes of pages that are in use.
fn used(dir: &Path) -> u64 {
    let reader = Reader::open(dir).unwrap();
    let number = |name| reader.connection().pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    ((number("page_count") - number("freelist_count")) * number("page_size")) as u64
}

pub fn run(quick: bool) {
    let count: u64 = if quick { 20_000 } else { 100_000 };
    let dir = scratch();
    let recorder = builder(dir.path(), count / 5).open().unwrap();
    record(&recorder, count);
    // What is still in the WAL belongs to the recording.
    recorder.close(LONG).unwrap();
    let recorder = builder(dir.path(), count / 5).open().unwrap();
    let before = used(dir.path());
    let written = bytes_written();
    let started = Instant::now();
    let pruned = recorder.prune(LONG).unwrap();
    let took = started.elapsed();
    recorder.close(LONG).unwrap();
    let written = bytes_written() - written;
    let removed = before - used(dir.path()).min(before);
    assert!(pruned.removed.entries > count / 2);
    row(
        "bytes that retention writes per byte removed",
        format!("{:.2}", written as f64 / removed as f64),
        "pages that were freed; 2.0 is the floor (WAL and database)",
        "2.5",
        "2.2",
    );
    println!("|  | {} entries, {} MB in {:.1} s | | | |", pruned.removed.entries, removed / 1_000_000, took.as_secs_f64());
    let pause = pause(count);
    let without = pause_without(count);
    row(
        "longest wait for a durable record while retention removes, ms",
        format!("{:.0}", pause.as_secs_f64() * 1e3),
        &format!("{:.0} without retention", without.as_secs_f64() * 1e3),
        "100 more",
        "",
    );
}

/// The longest that one record at a time takes to be durable, while old entries are removed or not.
fn pause(count: u64) -> Duration {
    let dir = scratch();
    let policy = RetentionPolicy { max_entries: count / 5, ..RetentionPolicy::default() };
    let recorder =
        Recorder::builder(dir.path()).queue(16_384, 64 << 20).redact(off()).retention(policy).retention_interval(LONG).open().unwrap();
    // The first look at the start finds nothing to do.
    std::thread::sleep(Duration::from_millis(200));
    record(&recorder, count);
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| recorder.prune(LONG).unwrap());
        let mut longest = Duration::ZERO;
        while !pruning.is_finished() {
            longest = longest.max(one(&recorder));
        }
        assert!(pruning.join().unwrap().removed.entries > count / 2);
        longest
    })
}

fn pause_without(count: u64) -> Duration {
    let dir = scratch();
    let recorder = Recorder::builder(dir.path()).queue(16_384, 64 << 20).redact(off()).open().unwrap();
    record(&recorder, count / 5);
    (0..500).map(|_| one(&recorder)).max().unwrap_or_default()
}

fn one(recorder: &Recorder) -> Duration {
    let started = Instant::now();
    recorder.record(Record::inference("m").prompt("one")).unwrap().wait();
    started.elapsed()
}
