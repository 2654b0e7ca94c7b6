//! End to end, and what a caller pays.

use super::{Cost, PAYLOAD, files, measure, pairs, row, scratch};
use lowlight_host::redact::RedactConfig;
use lowlight_host::{Record, Recorder};
use rusqlite::Connection;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Prose with an address in one record of twenty, as the baselines had it.
pub fn text(number: usize, length: usize) -> String {
    const WORDS: [&str; 16] = [
        "please",
        "summarise",
        "the",
        "report",
        "about",
        "pump",
        "seven",
        "and",
        "say",
        "whether",
        "pressure",
        "fell",
        "during",
        "last",
        "night",
        "shift",
    ];
    let mut text = if number.is_multiple_of(20) { format!("write to user{number}@example.com: ") } else { String::new() };
    let mut step = number;
    while text.len() < length {
        step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS[(step >> 33) % WORDS.len()]);
        text.push(' ');
    }
    text.truncate(length);
    text
}

pub fn payloads(count: usize) -> Vec<(String, String)> {
    (0..count).map(|number| (text(number, PAYLOAD / 3), text(number + 7, PAYLOAD - PAYLOAD / 3))).collect()
}

/// Prepared inserts of the same payload with the same durability settings.
fn raw(payloads: &[(String, String)], batch: usize) -> Cost {
    let dir = scratch();
    let uri = format!("file:{}/raw.db?psow=0", dir.path().display());
    let database = Connection::open(uri).unwrap();
    database.execute_batch("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE r (seq INTEGER PRIMARY KEY, at INTEGER, model TEXT, ns INTEGER, prompt TEXT, response TEXT) STRICT").unwrap();
    let mut cost = measure(|| {
        for chunk in payloads.chunks(batch) {
            database.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut insert =
                database.prepare_cached("INSERT INTO r (at, model, ns, prompt, response) VALUES (?1, ?2, ?3, ?4, ?5)").unwrap();
            for (prompt, response) in chunk {
                insert.execute((1_i64, "phi-3-mini", 87_300_000_i64, prompt, response)).unwrap();
            }
            database.execute_batch("COMMIT").unwrap();
        }
    });
    drop(database);
    cost.stored = files(dir.path());
    cost
}

/// The recorder with that many producers, until everything is durable.
pub fn recorder(payloads: &[(String, String)], producers: usize, redact: bool, batch: usize) -> Cost {
    sealed(payloads, producers, redact, batch, 10_000)
}

/// The same with a checkpoint every so many entries.
fn sealed(payloads: &[(String, String)], producers: usize, redact: bool, batch: usize, every: u64) -> Cost {
    let dir = scratch();
    let builder = Recorder::builder(dir.path()).redact(RedactConfig { enabled: redact, ..RedactConfig::default() });
    let builder = builder.overflow(lowlight_core::OverflowPolicy::Block).block_for(Duration::from_secs(60)).batch(batch, 4 << 20);
    let recorder = builder.checkpoints(every, Duration::from_secs(600)).open().unwrap();
    let mut cost = measure(|| {
        std::thread::scope(|scope| {
            for share in payloads.chunks(payloads.len().div_ceil(producers)) {
                let recorder = recorder.clone();
                scope.spawn(move || {
                    for (prompt, response) in share {
                        let record = Record::inference("phi-3-mini")
                            .prompt(prompt.as_str())
                            .response(response.as_str())
                            .duration(Duration::from_millis(87));
                        drop(recorder.record(record).unwrap());
                    }
                });
            }
        });
        recorder.flush(Duration::from_secs(120)).unwrap();
    });
    let stats = recorder.close(Duration::from_secs(60)).unwrap();
    assert_eq!(stats.durable, payloads.len() as u64);
    cost.stored = files(dir.path());
    cost
}

pub fn run(quick: bool) {
    // Long enough that the WAL is emptied several times under load.
    let payloads = payloads(if quick { 4_000 } else { 80_000 });
    let rate = |a: Cost, b: Cost| b.wall.as_secs_f64() / a.wall.as_secs_f64();
    let cpu = |a: Cost, b: Cost| a.cpu.as_secs_f64() / b.cpu.as_secs_f64();
    let per_second = |cost: Cost| format!("{:.0}/s", payloads.len() as f64 / cost.wall.as_secs_f64());
    for producers in [1, 4] {
        for redact in [false, true] {
            let (ratio, ours, theirs) = pairs(|| recorder(&payloads, producers, redact, 1000), || raw(&payloads, 1000), rate);
            let what = format!("rate end to end, {producers} producers, redaction {}", if redact { "on" } else { "off" });
            let limits = if redact || producers == 1 { ("-", "-") } else { ("≥ 0.5", "≥ 0.7") };
            row(
                &what,
                format!("{ratio:.2} ({})", per_second(ours)),
                &format!("raw insert, batch 1000 ({})", per_second(theirs)),
                limits.0,
                limits.1,
            );
            let (ratio, ours, theirs) = pairs(|| recorder(&payloads, producers, redact, 1000), || raw(&payloads, 1000), cpu);
            let micros = |cost: Cost| cost.cpu.as_secs_f64() * 1e6 / payloads.len() as f64;
            let what = format!("CPU a record, {producers} producers, redaction {}", if redact { "on" } else { "off" });
            let limits = if redact || producers == 1 { ("-", "-") } else { ("≤ 4", "≤ 2.5") };
            row(
                &what,
                format!("{ratio:.2} ({:.1} µs)", micros(ours)),
                &format!("raw insert, batch 1000 ({:.1} µs)", micros(theirs)),
                limits.0,
                limits.1,
            );
        }
    }
    let small = &payloads[..payloads.len().min(1_000)];
    for (batch, share) in [(1, small), (50, payloads.as_slice())] {
        let (ratio, ours, theirs) = pairs(|| recorder(share, 4, false, batch), || raw(share, batch), rate);
        let count = |cost: Cost| format!("{:.0}/s", share.len() as f64 / cost.wall.as_secs_f64());
        row(
            &format!("rate end to end, 4 producers, batch from {batch}"),
            format!("{ratio:.2} ({})", count(ours)),
            &format!("raw insert, batch {batch} ({})", count(theirs)),
            "-",
            "-",
        );
    }
    let share = &payloads[..payloads.len().min(20_000)];
    for every in [10_000, 250] {
        let (ratio, ours, theirs) = pairs(|| sealed(share, 4, false, 250, every), || sealed(share, 4, false, 250, u64::MAX), rate);
        let count = |cost: Cost| format!("{:.0}/s", share.len() as f64 / cost.wall.as_secs_f64());
        let limits = if every == 10_000 { "≥ 0.9" } else { "-" };
        row(
            &format!("rate with a checkpoint every {every} entries, batch 250"),
            format!("{ratio:.2} ({})", count(ours)),
            &format!("the same without ({})", count(theirs)),
            limits,
            "-",
        );
    }
    sizes(share);
    caller(share);
}

fn sizes(payloads: &[(String, String)]) {
    let total = payloads.iter().map(|(prompt, response)| prompt.len() + response.len()).sum::<usize>() as f64;
    for (batch, must, aim) in [(250, "≤ 3.0", "≤ 2.6"), (50, "≤ 3.6", "≤ 3.2")] {
        let cost = paced(payloads, batch);
        row(&format!("bytes written, batch {batch}"), format!("{:.2}", cost.written as f64 / total), "bytes of content", must, aim);
        if batch == 250 {
            row("bytes stored", format!("{:.2}", cost.stored as f64 / total), "bytes of content", "≤ 1.4", "≤ 1.25");
        }
    }
}

/// Batches of exactly that size: each is flushed before the next begins.
fn paced(payloads: &[(String, String)], batch: usize) -> Cost {
    let dir = scratch();
    let builder = Recorder::builder(dir.path()).redact(RedactConfig { enabled: false, ..RedactConfig::default() });
    let recorder = builder.batch(10_000, 64 << 20).max_loss_window(Duration::from_secs(60)).open().unwrap();
    let mut cost = measure(|| {
        for chunk in payloads.chunks(batch) {
            for (prompt, response) in chunk {
                drop(recorder.record(Record::inference("phi-3-mini").prompt(prompt.as_str()).response(response.as_str())).unwrap());
            }
            recorder.flush(Duration::from_secs(60)).unwrap();
        }
        recorder.close(Duration::from_secs(60)).unwrap();
    });
    cost.stored = files(dir.path());
    cost
}

/// What `record()` costs its caller, against a push behind a mutex that nobody contends for.
fn caller(payloads: &[(String, String)]) {
    let dir = scratch();
    let off = RedactConfig { enabled: false, ..RedactConfig::default() };
    let recorder = Recorder::builder(dir.path()).redact(off).queue(16_384, 64 << 20).open().unwrap();
    let queue = Mutex::new(Vec::with_capacity(1 << 16));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (prompt, response) in payloads {
        let started = Instant::now();
        let ticket = recorder.record(Record::inference("phi-3-mini").prompt(prompt.as_str()).response(response.as_str())).unwrap();
        ours.push(started.elapsed());
        drop(black_box(ticket));
        let started = Instant::now();
        queue.lock().unwrap().push((prompt.clone(), response.clone()));
        theirs.push(started.elapsed());
    }
    ours.sort_unstable();
    theirs.sort_unstable();
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let at = |times: &[Duration]| times[((times.len() - 1) as f64 * share) as usize];
        let (a, b) = (at(&ours), at(&theirs));
        let limits = if name == "p99" { "≤ 20" } else { "-" };
        row(
            &format!("record() {name}"),
            format!("{:.1} ({:.2} µs)", a.as_secs_f64() / b.as_secs_f64(), a.as_secs_f64() * 1e6),
            &format!("mutex and push of the same texts ({:.2} µs)", b.as_secs_f64() * 1e6),
            limits,
            "-",
        );
    }
    recorder.close(Duration::from_secs(60)).unwrap();
}
