//! The main job, end to end: a real voice-activity model runs over a real recording, every inference is recorded,
//! queried, counted and verified, and a tampered copy is caught. Takes seconds and cleans up after itself.
//!
//! `cargo run --release --example quickstart [-- --keep DIR]`

use lowlight_host::store::{Filter, Reader};
use lowlight_host::view::Views;
use lowlight_host::{Outcome, Record, Recorder, verify};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Samples of one 16 ms frame at 16 kHz.
const FRAME: usize = 256;
/// Scores above this count as speech.
const THRESHOLD: f32 = 0.7;

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let arguments: Vec<String> = std::env::args().collect();
    let dir = match arguments.iter().position(|argument| argument == "--keep") {
        Some(at) => PathBuf::from(arguments.get(at + 1).ok_or("--keep needs a directory")?),
        None => scratch.path().join("logs"),
    };
    let samples = read_wav(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/speech.wav"))?;
    println!("1. record: {} samples of speech, one inference per 16 ms", samples.len());
    record(&dir, &samples)?;
    println!("\n2. query: where was speech?");
    query(&dir)?;
    println!("\n3. verify");
    let report = verify::log(&dir)?;
    println!("   {}: {} entries, {} records, root {}", report.verdict, report.entries, report.records, short(report.root.as_deref()));
    assert_eq!(report.verdict, "intact");
    println!("\n4. tamper with a copy: entry 40 gets another result, entry 60 another status");
    tamper(&dir, &scratch.path().join("copy.db"))
}

/// Runs the model over the samples and records each inference.
fn record(dir: &Path, samples: &[i16]) -> Result<(), Box<dyn Error>> {
    let recorder = Recorder::builder(dir).app("quickstart").open()?;
    let digest = model_digest();
    recorder.record(Record::model_loaded("earshot", Some(&digest)))?;
    let mut detector = earshot::Detector::default();
    let mut last = None;
    for (number, frame) in samples.chunks_exact(FRAME).enumerate() {
        let started = Instant::now();
        let score = detector.predict_i16(frame);
        let duration = started.elapsed();
        let what = if score >= THRESHOLD { "speech" } else { "silence" };
        let record = Record::inference("earshot").prompt(format!("frame {number}")).response(what).duration(duration);
        let mut attributes = serde_json::Map::new();
        attributes.insert("score".to_owned(), score.into());
        attributes.insert("at_ms".to_owned(), (number * 16).into());
        last = Some(recorder.record(record.attributes(attributes).with(|inference| {
            inference.operation = "detect";
            inference.model_digest = Some(&digest);
        }))?);
    }
    // Waiting for the newest record waits for all before it.
    let outcome = last.ok_or("the recording is shorter than a frame")?.wait();
    assert!(matches!(outcome, Outcome::Durable(_)), "{outcome:?}");
    let stats = recorder.close(Duration::from_secs(10))?;
    println!("   {} received, {} durable, {} lost", stats.received, stats.durable, stats.lost.total());
    Ok(())
}

/// Reads the log back: how many frames were speech, from when to when, and how long an inference took.
fn query(dir: &Path) -> Result<(), Box<dyn Error>> {
    let reader = Reader::open(dir)?;
    let mut filter = Filter::default();
    filter.and("kind = 1", []);
    let (mut frames, mut speech) = (0, Vec::new());
    for view in Views::new(reader.source(0..reader.tip().size, &filter, true)) {
        let view = view?;
        frames += 1;
        if view.text("response").as_deref() == Some("speech") {
            speech.push((view.seq, view.text("prompt").unwrap_or_default()));
        }
    }
    let ends = speech.first().zip(speech.last()).ok_or("the model heard no speech")?;
    println!(
        "   {} of {frames} frames are speech, from {} (entry {}) to {} (entry {})",
        speech.len(),
        ends.0.1,
        ends.0.0,
        ends.1.1,
        ends.1.0
    );
    let sql = "SELECT min(latency_ms), avg(latency_ms), max(latency_ms) FROM entries WHERE model = 'earshot'";
    let (least, mean, most): (f64, f64, f64) = reader.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    println!("   inference took {least:.3} / {mean:.3} / {most:.3} ms (least / mean / most)");
    Ok(())
}

/// Changes one stored value in a copy of the database and verifies the copy.
fn tamper(dir: &Path, copy: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::copy(dir.join("lowlight.db"), copy)?;
    let database = rusqlite::Connection::open(copy)?;
    database.execute("UPDATE content SET value = 'nothing to hear' WHERE id = 40 * 64 + 1", [])?;
    database.execute("UPDATE entry SET status = 'filtered' WHERE seq = 60", [])?;
    drop(database);
    let report = verify::log(copy)?;
    println!("   {}:", report.verdict);
    for problem in &report.problems {
        println!("   entry {}: {}: {}", problem.seq.unwrap_or_default(), problem.kind, problem.detail);
    }
    let found: Vec<_> = report.problems.iter().map(|problem| (problem.seq, problem.kind)).collect();
    assert_eq!(found, [(Some(40), "content_mismatch"), (Some(60), "modified")]);
    Ok(())
}

/// The digest of the package that the model's weights ship in, as the lock file pins it.
fn model_digest() -> String {
    let lock = include_str!("../Cargo.lock");
    let package = lock.split("[[package]]").find(|package| package.contains("name = \"earshot\""));
    let checksum = package.and_then(|package| package.split("checksum = \"").nth(1)).and_then(|rest| rest.split('"').next());
    format!("sha256:{}", checksum.unwrap_or_default())
}

fn short(hash: Option<&str>) -> &str {
    hash.and_then(|hash| hash.get(..16)).unwrap_or("none")
}

/// Samples of a 48 kHz, 16 bit, mono file, brought to 16 kHz by averaging three at a time.
fn read_wav(path: &Path) -> Result<Vec<i16>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let data = bytes.windows(4).position(|window| window == b"data").ok_or("no data chunk")? + 8;
    let (samples, _) = bytes[data..].as_chunks::<2>();
    let samples: Vec<i32> = samples.iter().map(|sample| i32::from(i16::from_le_bytes(*sample))).collect();
    Ok(samples.chunks_exact(3).map(|three| i16::try_from(three.iter().sum::<i32>() / 3).unwrap_or(0)).collect())
}
