//! Several processes write one log: the chain stays one line, nobody's records are lost or mixed up.
//!
//! `cargo run --example processes`; the program starts itself again as the writers.

use lowlight_host::store::{Filter, Reader};
use lowlight_host::view::Views;
use lowlight_host::{Record, Recorder, verify};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const WRITERS: usize = 4;
const RECORDS: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, logs, name] = arguments.as_slice()
        && role == "writer"
    {
        return write(Path::new(logs), name);
    }
    let dir = tempfile::tempdir()?;
    let logs = dir.path().join("logs");
    let start = |number: usize| -> std::io::Result<Child> {
        Command::new(std::env::current_exe()?).arg("writer").arg(&logs).arg(format!("writer-{number}")).spawn()
    };
    let writers = (0..WRITERS).map(start).collect::<Result<Vec<_>, _>>()?;
    for mut writer in writers {
        assert!(writer.wait()?.success());
    }

    let report = verify::log(&logs)?;
    println!("{}: {} records of {WRITERS} processes in one chain", report.verdict, report.records);
    assert_eq!((report.verdict, report.records), ("intact", 200));

    // Each writer's records are all there, in the order in which it made them.
    let reader = Reader::open(&logs)?;
    let mut inferences = Filter::default();
    inferences.and("kind = 1", []);
    let mut next = BTreeMap::<String, usize>::new();
    for view in Views::new(reader.source(0..reader.tip().size, &inferences, true)) {
        let view = view?;
        let place = next.entry(view.text("app").unwrap_or_default()).or_default();
        assert_eq!(view.text("prompt"), Some(format!("record {place}")));
        *place += 1;
    }
    for (writer, count) in &next {
        println!("{writer}: {count} records");
    }
    assert_eq!(next.values().copied().collect::<Vec<_>>(), [RECORDS; WRITERS]);

    // Each start of a process is a run of its own, and each ended in order.
    let sql = "SELECT count(DISTINCT run) FROM entries WHERE kind = 'inference'";
    let runs: usize = reader.connection().query_row(sql, [], |row| row.get::<_, u32>(0))?.try_into()?;
    let open: u32 = reader.connection().query_row("SELECT count(*) FROM run WHERE stopped IS NULL", [], |row| row.get(0))?;
    println!("{runs} runs, {open} not stopped");
    assert_eq!((runs, open), (WRITERS, 0));
    Ok(())
}

/// One writer process.
fn write(logs: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    // Small batches, so that the processes take turns.
    let recorder = Recorder::builder(logs).app(name).batch(5, 1 << 20).open()?;
    for number in 0..RECORDS {
        recorder.record(Record::inference("phi-3-mini").prompt(format!("record {number}")))?;
    }
    let stats = recorder.close(Duration::from_secs(30))?;
    assert_eq!(stats.durable, 50);
    Ok(())
}
