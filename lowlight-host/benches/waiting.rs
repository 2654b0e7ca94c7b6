//! What callers and memory pay while storage cannot follow: a writer that stands still, and ten times the load that can be written.

use super::writing::payloads;
use super::{row, scratch};
use lowlight_core::Batch;
use lowlight_host::store::{Layout, Store};
use lowlight_host::{Record, Recorder};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Records a second that are handed over, on and on, with the writer at work and with it standing still.
const RATE: u32 = 2_000;
const PRODUCERS: usize = 4;

/// How long each call took, one every 1/2000 s.
fn calls(recorder: &Recorder, payloads: &[(String, String)], time: Duration) -> Vec<Duration> {
    let started = Instant::now();
    let mut times = Vec::new();
    for number in 0.. {
        let due = Duration::from_secs(1) * number / RATE;
        if due > time {
            break;
        }
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        let (prompt, response) = &payloads[number as usize % payloads.len()];
        let called = Instant::now();
        drop(recorder.record(Record::inference("phi-3-mini").prompt(prompt.as_str()).response(response.as_str())).unwrap());
        times.push(called.elapsed());
    }
    times.sort_unstable();
    times
}

/// The queue of the default policy and size, with somebody else holding the locks for as long as it takes.
fn stall(payloads: &[(String, String)], time: Duration) {
    let dir = scratch();
    let recorder = Recorder::builder(dir.path()).open().unwrap();
    let free = calls(&recorder, payloads, time);
    recorder.flush(Duration::from_secs(60)).unwrap();
    let mut other = Store::open(&Layout::new(dir.path())).unwrap();
    let held = Batch::begin(&mut other).unwrap();
    let stalled = calls(&recorder, payloads, time);
    let lost = recorder.stats().lost.total();
    drop(held);
    recorder.close(Duration::from_secs(60)).unwrap();
    for (name, share, must) in [("p50", 0.5, "-"), ("p99", 0.99, "-"), ("p99.9", 0.999, "≤ 3"), ("longest", 1.0, "-")] {
        let at = |times: &[Duration]| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64();
        row(
            &format!("record() {name} while the writer stands still for {} s, {lost} lost", time.as_secs()),
            format!("{:.2} ({:.1} µs)", at(&stalled) / at(&free), at(&stalled) * 1e6),
            &format!("the same with the writer at work ({:.1} µs)", at(&free) * 1e6),
            must,
            "-",
        );
    }
}

/// In a process of its own: hands over as fast as four threads can, and prints resident KiB at most, offered and written records.
pub fn child(seconds: &str, dir: &Path) {
    let recorder = Recorder::builder(dir).open().unwrap();
    let payloads = payloads(64);
    let (until, offered) = (Instant::now() + Duration::from_secs(seconds.parse().unwrap()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                while Instant::now() < until {
                    for (prompt, response) in &payloads {
                        drop(recorder.record(Record::inference("phi-3-mini").prompt(prompt.as_str()).response(response.as_str())).unwrap());
                    }
                    offered.fetch_add(payloads.len() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    let stats = recorder.close(Duration::from_secs(60)).unwrap();
    println!("{} {} {}", peak.split_whitespace().next().unwrap_or("0"), offered.load(Ordering::Relaxed), stats.durable);
}

fn overload(seconds: u32) {
    let dir = scratch();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let done = command.args(["--overload", &seconds.to_string()]).arg(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [peak, offered, written] = numbers[..] else { panic!("{said}{}", String::from_utf8_lossy(&done.stderr)) };
    let (_, configured) = Recorder::builder(dir.path()).queue_bounds();
    row(
        &format!(
            "resident at most beyond the {} MiB of the queue, {:.0} times overload for {seconds} s",
            configured >> 20,
            offered / written
        ),
        format!("{:.1} MiB", (peak * 1024.0 - configured as f64) / f64::from(1 << 20)),
        &format!("{written} of {offered} records written"),
        "≤ 12 MiB",
        "-",
    );
}

pub fn run(quick: bool) {
    let (stalled, overloaded) = if quick { (3, 5) } else { (30, 60) };
    stall(&payloads(1_000), Duration::from_secs(stalled));
    overload(overloaded);
}
