//! A program of its own that writes a log, for tests that need real processes.
//!
//! ```text
//! writer_process record DIR COUNT NAME   ready, <a line on stdin>, durable SEQ PROMPT ..., longest MS, closed
//! writer_process endless DIR NAME        ready, <a line on stdin>, durable SEQ PROMPT ... until it is killed
//! writer_process flood DIR NAME QUEUE    ready, handed COUNT, durable SEQ PROMPT ... in any order, never waiting, until it is killed
//! writer_process hold DIR                holding (lock and transaction), <a line on stdin>, released
//! WRITER_PROCESS=lowlight writer_process ...   the `lowlight` command itself
//! ```

use lowlight_core::{Batch, OverflowPolicy};
use lowlight_host::store::{Layout, Store};
use lowlight_host::{Outcome, Record, Recorder, Ticket};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Records that are handed over before their tickets are waited for.
const BURST: u64 = 10;

fn main() -> ExitCode {
    if std::env::var_os("WRITER_PROCESS").is_some_and(|mode| mode == "lowlight") {
        return ExitCode::from(lowlight_host::cli::main());
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["record", dir, count, name] => record(dir, count.parse().expect("a count"), name),
        ["endless", dir, name] => record(dir, u64::MAX, name),
        ["flood", dir, name, queue] => flood(dir, name, queue.parse().expect("a count")),
        ["hold", dir] => hold(dir),
        _ => {
            eprintln!("writer_process: wrong arguments");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Says a line to the test; ends when nobody listens any more.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(3);
    }
}

fn wait_for_a_line() {
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}

fn record(dir: &str, count: u64, name: &str) {
    let recorder = Recorder::builder(dir).open().expect("a log");
    say("ready");
    wait_for_a_line();
    let mut longest = Duration::ZERO;
    let mut next = 0;
    while next < count {
        let burst = next..count.min(next + BURST);
        next = burst.end;
        let started = Instant::now();
        let hand_over = |number: u64| {
            let prompt = format!("{name}-{number}");
            let ticket = recorder.record(Record::inference("phi-3-mini").prompt(prompt.as_str())).expect("a valid record");
            (prompt, ticket)
        };
        let tickets: Vec<_> = burst.map(hand_over).collect();
        for (prompt, ticket) in tickets {
            match ticket.wait() {
                Outcome::Durable(seq) => say(&format!("durable {seq} {prompt}")),
                other => say(&format!("{other:?} {prompt}")),
            }
        }
        longest = longest.max(started.elapsed());
    }
    say(&format!("longest {}", longest.as_millis()));
    let stats = recorder.close(Duration::from_secs(30)).expect("storage that works");
    say(&format!("closed {}", stats.durable));
}

/// Hands over as fast as there is room for; another thread says what became of it. What was handed over is said at least every 64 records.
fn flood(dir: &str, name: &str, queue: usize) {
    let policy = OverflowPolicy::Block;
    let recorder = Recorder::builder(dir).queue(queue, 64 << 20).overflow(policy).block_for(Duration::from_secs(60)).open().expect("a log");
    say("ready");
    let (send, tickets) = std::sync::mpsc::sync_channel::<(String, Ticket)>(10_000);
    std::thread::spawn(move || {
        for (prompt, ticket) in tickets {
            match ticket.wait() {
                Outcome::Durable(seq) => say(&format!("durable {seq} {prompt}")),
                other => say(&format!("{other:?} {prompt}")),
            }
        }
    });
    for number in 0_u64.. {
        let prompt = format!("{name}-{number}");
        let ticket = recorder.record(Record::inference("phi-3-mini").prompt(prompt.as_str())).expect("a valid record");
        if number % 64 == 63 {
            say(&format!("handed {}", number + 1));
        }
        send.send((prompt, ticket)).expect("a thread that takes it");
    }
}

/// Is where a writer is in mid-commit: it holds the lock file and the database's write lock.
fn hold(dir: &str) {
    let mut store = Store::open(&Layout::new(dir)).expect("a log");
    let batch = Batch::begin(&mut store).expect("a batch");
    say("holding");
    wait_for_a_line();
    drop(batch);
    say("released");
}
