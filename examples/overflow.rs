//! What happens when records come faster than storage takes them: four policies, and the losses in the log itself.
//!
//! `cargo run --example overflow`

use lowlight_core::OverflowPolicy;
use lowlight_host::recorder::Stats;
use lowlight_host::store::{Filter, Layout, Reader};
use lowlight_host::view::{Cell, Views};
use lowlight_host::{Record, Recorder, verify};
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Duration;

const RECORDS: usize = 300;

/// What one run left behind: counts, the losses that gap entries tell of, the prompts that are in the log.
struct Run {
    stats: Stats,
    gaps: Vec<(String, u64)>,
    prompts: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let newest = run(OverflowPolicy::DropNewest)?;
    assert!(newest.stats.lost.queue_full > 0);
    assert_eq!(newest.prompts.first().map(String::as_str), Some("record 0"));

    let oldest = run(OverflowPolicy::DropOldest)?;
    assert!(oldest.stats.lost.queue_full > 0);
    assert_eq!(oldest.prompts.last().map(String::as_str), Some("record 299"));

    let sample = run(OverflowPolicy::Sample { one_in: 4 })?;
    assert!(sample.stats.lost.sampled > 0);

    let block = run(OverflowPolicy::Block)?;
    assert_eq!((block.stats.durable, block.stats.lost.total()), (300, 0));
    Ok(())
}

fn run(policy: OverflowPolicy) -> Result<Run, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let logs = dir.path().join("logs");
    let recorder =
        Recorder::builder(&logs).queue(16, 1 << 20).batch(8, 1 << 20).overflow(policy).block_for(Duration::from_secs(30)).open()?;
    // Stands for a slow disk: as long as this lock is held, the writer thread cannot begin a batch.
    let slow = File::options().write(true).open(Layout::new(&logs).lock())?;
    slow.lock()?;
    let release = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        drop(slow);
    });
    for number in 0..RECORDS {
        recorder.record(Record::inference("phi-3-mini").prompt(format!("record {number}")))?;
    }
    release.join().map_err(|_| "the lock was not released")?;
    let stats = recorder.close(Duration::from_secs(30))?;
    let name = format!("{policy:?}");
    println!("{name:<22} {} received, {} durable or lost", stats.received, stats.durable + stats.lost.total());
    // Nothing is unaccounted for, whatever the policy.
    assert_eq!(stats.received, stats.durable + stats.queued + stats.lost.total());
    assert_eq!(stats.received, 300);

    let (gaps, prompts) = read(&logs)?;
    // Each loss is in the log, with its reason.
    assert_eq!(gaps.iter().map(|gap| gap.1).sum::<u64>(), stats.lost.total());
    assert_eq!(prompts.len() as u64, stats.durable);
    assert_eq!(verify::log(&logs)?.verdict, "intact");
    Ok(Run { stats, gaps, prompts }.told())
}

impl Run {
    fn told(self) -> Self {
        let reasons: Vec<_> = self.gaps.iter().map(|gap| gap.0.as_str()).collect();
        println!("{:<22} {} gap entries: {}", "", self.gaps.len(), reasons.join(", "));
        self
    }
}

type Losses = Vec<(String, u64)>;

/// Losses per gap entry and the prompts, in the order of the log.
fn read(logs: &Path) -> Result<(Losses, Vec<String>), Box<dyn Error>> {
    let reader = Reader::open(logs)?;
    let (mut gaps, mut prompts) = (Vec::new(), Vec::new());
    for view in Views::new(reader.source(0..reader.tip().size, &Filter::default(), true)) {
        let view = view?;
        if let (lowlight_core::entry::Kind::Gap, Some(Cell::Json(gap))) = (view.kind, view.get("event")) {
            gaps.push((gap["reason"].as_str().unwrap_or_default().to_owned(), gap["lost"].as_u64().unwrap_or(0)));
        }
        prompts.extend(view.text("prompt"));
    }
    Ok((gaps, prompts))
}
