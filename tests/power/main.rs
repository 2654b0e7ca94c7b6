//! Power loss: records once what real commands write, replays every prefix of it with what a device may lose, and opens each
//! state that this leaves with the real recorder and the real verifier.
//!
//! ```text
//! power_loss LOWLIGHT [--images N] [--seed N] [--workload NAME] [--controls] [--replay WORKLOAD,CUT,LOSS,TRY]
//! ```
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test program"
)]

mod check;
mod controls;
mod disk;
mod trace;
mod workloads;

use check::{Expected, Promised, check, lay_out};
use disk::{Disk, Image, LOSSES, Loss, Random};
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;
use trace::Op;

/// A recording of a workload.
pub struct Recording {
    name: &'static str,
    /// Its part of all images.
    weight: u64,
    before: Image,
    ops: Vec<Op>,
    expected: Expected,
}

/// Which image of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    cut: usize,
    loss: Loss,
    attempt: u64,
}

impl Case {
    /// Every image has its own random numbers, so that each can be made again alone.
    fn random(self, seed: u64, name: &str) -> Random {
        let mut hasher = DefaultHasher::new();
        (seed, name, self.cut, self.loss as u8, self.attempt).hash(&mut hasher);
        Random(hasher.finish())
    }
}

/// What came of the images of a recording.
#[derive(Debug, Default)]
struct Outcome {
    cuts: usize,
    /// Different ones.
    images: u64,
    failures: Vec<(String, String)>,
}

const HELP: &str =
    "Records each workload once under strace, replays every prefix of its calls with what a device may lose of it, and opens what is left.

  --images N    so many different images over all workloads, at least one of every kind for each call [default: 200000]
  --seed N      of the random numbers [default: 1]
  --workload    this one only
  --controls    planted mistakes, each of which must be caught
  --replay      one image again, by the words that a failure prints: what was promised, what is left, and whether it holds";

struct Options {
    lowlight: PathBuf,
    images: u64,
    seed: u64,
    workload: Option<String>,
    controls: bool,
    replay: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: power_loss LOWLIGHT [--images N] [--seed N] [--workload NAME] [--controls] [--replay WORKLOAD,CUT,LOSS,TRY]";
    let mut options = Options { lowlight: PathBuf::new(), images: 200_000, seed: 1, workload: None, controls: false, replay: None };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| usage.to_owned());
        match argument.as_str() {
            "--help" | "-h" => return Err(format!("{usage}\n\n{HELP}")),
            "--images" => options.images = value()?.parse().map_err(|_| usage)?,
            "--seed" => options.seed = value()?.parse().map_err(|_| usage)?,
            "--workload" => options.workload = Some(value()?),
            "--controls" => options.controls = true,
            "--replay" => options.replay = Some(value()?),
            path => options.lowlight = std::fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))?,
        }
    }
    if options.lowlight.as_os_str().is_empty() { Err(usage.to_owned()) } else { Ok(options) }
}

fn main() {
    let done = options().and_then(|options| run(&options));
    if let Err(why) = done {
        eprintln!("{why}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), String> {
    // In memory: a flush there costs nothing, and the disk of the machine is not what is tested.
    let mut scratch = tempfile::Builder::new();
    scratch.prefix("lowlight-power-");
    let scratch = scratch.tempdir_in("/dev/shm").or_else(|_| scratch.tempdir()).map_err(|error| error.to_string())?;
    let chosen = workloads::ALL.iter().filter(|it| options.workload.as_ref().is_none_or(|name| it.name == name));
    let recordings = chosen.map(|it| it.record(&options.lowlight, scratch.path())).collect::<Result<Vec<_>, _>>()?;
    if recordings.is_empty() {
        return Err(format!("no such workload; there are {}", workloads::ALL.map(|it| it.name).join(", ")));
    }
    if options.controls {
        return controls::run(&recordings, options.seed, scratch.path());
    }
    if let Some(replay) = &options.replay {
        return play_again(&recordings, replay, options.seed);
    }
    println!("seed {}", options.seed);
    let mut failed = 0;
    let weights: u64 = recordings.iter().map(|it| it.weight).sum();
    let mut images = 0;
    for recording in &recordings {
        let begun = Instant::now();
        let outcome = play(recording, (options.images * recording.weight).div_ceil(weights), options.seed, scratch.path(), usize::MAX);
        println!(
            "{:<12} {:>6} operations {:>6} cuts {:>8} different images {:>4} failures  {:.0} s",
            recording.name,
            recording.ops.len(),
            outcome.cuts,
            outcome.images,
            outcome.failures.len(),
            begun.elapsed().as_secs_f64()
        );
        images += outcome.images;
        for (case, why) in outcome.failures.iter().take(5) {
            println!("  --replay {case}: {why}");
        }
        failed += outcome.failures.len();
    }
    println!("{images} images in all");
    if failed == 0 { Ok(()) } else { Err(format!("{failed} images break a promise; --seed {} makes them again", options.seed)) }
}

/// Different images of every prefix, `images` of them or until chance makes hardly any new ones, or until `most` failed.
fn play(recording: &Recording, images: u64, seed: u64, scratch: &Path, most: usize) -> Outcome {
    let round = Round { recording, seed, scratch, most, seen: Mutex::default(), failures: Mutex::default() };
    for attempt in 0.. {
        let before = round.tried();
        round.run(attempt);
        let tried = round.tried();
        if tried >= images || round.is_over() || (tried - before) * 100 < tried {
            break;
        }
    }
    let images = round.tried();
    let mut failures = round.failures.into_inner().expect("no panic");
    failures.sort();
    Outcome { cuts: recording.ops.iter().filter(|op| is_cut(op)).count(), images, failures }
}

/// What the rounds over a recording share.
struct Round<'r> {
    recording: &'r Recording,
    seed: u64,
    scratch: &'r Path,
    most: usize,
    /// Images that were tried, with what was promised by then.
    seen: Mutex<HashSet<u64>>,
    failures: Mutex<Vec<(String, String)>>,
}

impl Round<'_> {
    fn tried(&self) -> u64 {
        self.seen.lock().expect("no panic").len() as u64
    }

    fn is_over(&self) -> bool {
        self.failures.lock().expect("no panic").len() >= self.most
    }

    /// One image for each cut and loss, on as many threads as there are processors.
    fn run(&self, attempt: u64) {
        let next = Mutex::new(State::new(self.recording));
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            for worker in 0..workers {
                let (dir, next) = (self.scratch.join(format!("image-{worker}")), &next);
                scope.spawn(move || {
                    while !self.is_over() {
                        let Some((cut, disk, promised)) = next.lock().expect("no panic").advance() else { break };
                        for loss in LOSSES {
                            // Without chance there is one of these.
                            if attempt == 0 || !matches!(loss, Loss::Kept | Loss::Lost) {
                                self.one(Case { cut, loss, attempt }, &disk, &promised, &dir);
                            }
                        }
                    }
                    let _ = std::fs::remove_dir_all(&dir);
                });
            }
        });
    }

    fn one(&self, case: Case, disk: &Disk, promised: &Promised, dir: &Path) {
        let image = disk.image(case.loss, &mut case.random(self.seed, self.recording.name));
        let mut hasher = DefaultHasher::new();
        (&image, promised.acked, &promised.erased).hash(&mut hasher);
        if !self.seen.lock().expect("no panic").insert(hasher.finish()) {
            return;
        }
        // A thread that was still choosing when its recorder ended may read files of the image before: nothing is written over them.
        let dir = &dir.join(format!("{:016x}", hasher.finish()));
        let tried = try_image(&image, dir, self.recording, promised);
        let _ = std::fs::remove_dir_all(dir);
        if let Err(why) = tried {
            let name = format!("{},{},{:?},{}", self.recording.name, case.cut, case.loss, case.attempt);
            self.failures.lock().expect("no panic").push((name, why));
        }
    }
}

fn try_image(image: &Image, dir: &Path, recording: &Recording, promised: &Promised) -> Result<(), String> {
    lay_out(image, dir).map_err(|error| format!("the image could not be laid out: {error}"))?;
    check(dir, &recording.expected, promised)
}

/// The disk at one cut after the other.
struct State<'r> {
    recording: &'r Recording,
    disk: Disk,
    promised: Promised,
    next: usize,
}

impl<'r> State<'r> {
    fn new(recording: &'r Recording) -> Self {
        Self { recording, disk: Disk::with(&recording.before), promised: Promised::default(), next: 0 }
    }

    /// To behind the next operation at which something may be lost; what was promised by then.
    fn advance(&mut self) -> Option<(usize, Disk, Promised)> {
        loop {
            let op = self.recording.ops.get(self.next)?;
            self.next += 1;
            self.disk.apply(op);
            match op {
                Op::Said(line) => workloads::promise(line, &mut self.promised),
                _ if !is_cut(op) => continue,
                _ => {}
            }
            return Some((self.next, self.disk.clone(), self.promised.clone()));
        }
    }
}

/// Nothing is different after an index file of the WAL was written.
fn is_cut(op: &Op) -> bool {
    let is_index = |path: &PathBuf| path.to_string_lossy().ends_with("-shm");
    !matches!(op, Op::Create(path) | Op::Write { path, .. } | Op::Truncate(path, _) if is_index(path))
}

/// One image again, kept for looking at.
fn play_again(recordings: &[Recording], case: &str, seed: u64) -> Result<(), String> {
    let parts: Vec<_> = case.split(',').collect();
    let [name, cut, loss, attempt] = parts[..] else { return Err("WORKLOAD,CUT,LOSS,TRY".to_owned()) };
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let recording = recordings.iter().find(|it| it.name == name).ok_or("no such workload")?;
    let loss = LOSSES.into_iter().find(|it| format!("{it:?}").eq_ignore_ascii_case(loss));
    let loss = loss.ok_or_else(|| format!("no such loss; there are {LOSSES:?}"))?;
    let case = Case { cut: usize::try_from(number(cut)?).expect("a small number"), loss, attempt: number(attempt)? };
    let mut state = State::new(recording);
    let found = std::iter::from_fn(|| state.advance()).find(|(cut, ..)| *cut == case.cut);
    let (_, disk, promised) = found.ok_or("no such cut: recordings of several processes differ from one another")?;
    let dir = std::env::temp_dir().join(format!("lowlight-power-{}", std::process::id()));
    let image = disk.image(loss, &mut case.random(seed, recording.name));
    let sizes: BTreeMap<_, _> = image.iter().map(|(path, content)| (path.display().to_string(), content.len())).collect();
    println!("{promised:?}\n{sizes:?}\nthe image is in {}", dir.display());
    lay_out(&image, &dir.with_extension("before")).map_err(|error| error.to_string())?;
    try_image(&image, &dir, recording, &promised)?;
    println!("holds: what was promised by then is there, the log verifies, and a recorder goes on");
    Ok(())
}
