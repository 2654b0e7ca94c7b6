//! How fast and how large, as ratios against something measured in the same run: raw SQLite, raw SHA-256, a mutex, memcpy.
//!
//! `cargo bench -p lowlight-host [-- --quick] [-- --only writing|waiting|reading|removing|redaction|peer]` prints a table; nothing is asserted, absolute figures are for orientation.
#![allow(missing_docs, clippy::unwrap_used, clippy::pedantic, reason = "a bench")]

mod peer;
mod reading;
mod redaction;
mod removing;
mod waiting;
mod writing;

use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of prompt and response together, as in the baselines of docs/comparison.md.
const PAYLOAD: usize = 1_050;
/// Pairs of runs, of which the median ratio is taken.
const PAIRS: usize = 5;

/// What one run took.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    wall: Duration,
    cpu: Duration,
    /// Bytes handed to write calls.
    written: u64,
    /// Bytes of files afterwards.
    stored: u64,
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn bytes_written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")).and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn measure(work: impl FnOnce()) -> Cost {
    let (wall, cpu, written) = (Instant::now(), cpu_time(), bytes_written());
    work();
    Cost { wall: wall.elapsed(), cpu: cpu_time() - cpu, written: bytes_written() - written, stored: 0 }
}

fn files(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .filter_map(Result::ok)
        .filter_map(|file| file.metadata().ok())
        .filter(|meta| meta.is_file())
        .map(|meta| meta.len())
        .sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs A and B in turns and gives the median of the ratios, with the last costs.
fn pairs(mut a: impl FnMut() -> Cost, mut b: impl FnMut() -> Cost, ratio: impl Fn(Cost, Cost) -> f64) -> (f64, Cost, Cost) {
    let (mut ratios, mut last) = (Vec::new(), (Cost::default(), Cost::default()));
    for _ in 0..PAIRS {
        last = (a(), b());
        ratios.push(ratio(last.0, last.1));
    }
    (median(ratios), last.0, last.1)
}

fn row(what: &str, value: String, against: &str, must: &str, aim: &str) {
    println!("| {what} | {value} | {against} | {must} | {aim} |");
}

fn scratch() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let base = std::env::var_os("LOWLIGHT_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir_in(base).unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--child") {
        return reading::child(&arguments[at + 1], Path::new(&arguments[at + 2]));
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--overload") {
        return waiting::child(&arguments[at + 1], Path::new(&arguments[at + 2]));
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown processor");
    println!(
        "{} x {model}; payload {PAYLOAD} bytes a record; medians of {PAIRS} pairs\n",
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    println!("| what | measured | against, in the same run | must | aim |\n| --- | --- | --- | --- | --- |");
    let only = arguments.iter().position(|argument| argument == "--only").and_then(|at| arguments.get(at + 1).cloned());
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if wanted("writing") {
        writing::run(quick);
    }
    if wanted("waiting") {
        waiting::run(quick);
    }
    if wanted("reading") {
        reading::run(quick);
    }
    if wanted("removing") {
        removing::run(quick);
    }
    if wanted("redaction") {
        redaction::run();
    }
    if wanted("peer") && !quick {
        peer::run();
    }
}
