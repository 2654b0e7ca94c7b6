//! The failure contract with real processes: several writers, one that is stopped, one that is killed.

use crate::seen::{LONG, Process, alarms, assert_intact, entries, gaps, lifecycle, number, prompts, quick, tell, wait_until};
use lowlight_core::OverflowPolicy;
use lowlight_host::{Outcome, Record, Recorder};
use lowlight_tests::{fill, scratch, verify};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WRITERS: usize = 4;
const EACH: usize = 500;

/// The receipts of a process: prompt by seq.
fn receipts(lines: &[String]) -> BTreeMap<u64, String> {
    let parse = |line: &String| {
        let mut words = line.strip_prefix("durable ")?.split(' ');
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    };
    lines.iter().filter_map(parse).collect()
}

/// What the log says: prompt by seq.
fn recorded(dir: &Path) -> BTreeMap<u64, String> {
    let all = entries(dir).into_iter().filter(|entry| entry["kind"] == "inference");
    all.map(|entry| (entry["seq"].as_u64().unwrap(), entry["prompt"].as_str().unwrap_or_default().to_owned())).collect()
}

#[test]
fn four_processes_write_one_chain_each_record_once_and_nobody_starves() {
    let dir = scratch();
    let path = dir.path().to_str().unwrap();
    let count = EACH.to_string();
    let mut writers: Vec<_> = (0..WRITERS).map(|number| Process::start(&["record", path, &count, &format!("writer{number}")])).collect();
    writers.iter().for_each(|writer| assert_eq!(writer.line(), "ready"));
    writers.iter_mut().for_each(Process::go);
    let mut acknowledged = BTreeMap::new();
    for writer in &mut writers {
        let lines: Vec<String> = (0..EACH + 2).map(|_| writer.line()).collect();
        let own = receipts(&lines);
        assert_eq!(own.len(), EACH, "all were durable, each under a seq of its own");
        acknowledged.extend(own);
        let longest: u64 = lines[EACH].strip_prefix("longest ").unwrap().parse().unwrap();
        assert!(longest < 5_000, "a burst of ten waited {longest} ms");
        assert_eq!(lines[EACH + 1], format!("closed {EACH}"));
        assert!(writer.succeeded());
    }
    assert_eq!(acknowledged.len(), WRITERS * EACH, "no seq was given to two processes");
    assert_eq!(recorded(dir.path()), acknowledged);
    assert_intact(dir.path());
    assert_eq!(lifecycle(dir.path(), "start").len(), WRITERS);
    assert_eq!(lifecycle(dir.path(), "stop").len(), WRITERS);
    assert_eq!(number(dir.path(), "SELECT count(DISTINCT run) FROM entry WHERE kind = 1"), i64::try_from(WRITERS).unwrap());
    assert_eq!(number(dir.path(), "SELECT count(*) FROM run WHERE stopped IS NULL"), 0);
    assert_eq!(lifecycle(dir.path(), "unclean_stop").len() + lifecycle(dir.path(), "alarm").len() + gaps(dir.path()).len(), 0);
}

#[test]
fn each_start_is_a_run_of_its_own_and_a_run_that_is_alive_is_no_crash() {
    let dir = scratch();
    let path = dir.path().to_str().unwrap();
    let alive = Process::start(&["endless", path, "alive"]);
    assert_eq!(alive.line(), "ready");
    for _ in 0..3 {
        quick(dir.path()).open().unwrap().close(LONG).unwrap();
    }
    assert_eq!(lifecycle(dir.path(), "unclean_stop").len(), 0, "the first writer is alive");
    let runs: Vec<i64> = entries(dir.path())
        .iter()
        .filter(|entry| entry["event"]["what"] == "start")
        .map(|entry| {
            let seq = entry["seq"].as_u64().unwrap();
            number(dir.path(), &format!("SELECT run FROM entry WHERE seq = {seq}"))
        })
        .collect();
    assert_eq!(runs, [1, 2, 3, 4]);
    drop(alive);
    quick(dir.path()).open().unwrap().close(LONG).unwrap();
    let crashes = lifecycle(dir.path(), "unclean_stop");
    assert_eq!(crashes.len(), 1);
    assert_eq!(crashes[0]["run"], 1);
}

#[test]
fn after_kill_9_all_that_was_acknowledged_is_there_and_the_next_start_says_what_may_be_missing() {
    let dir = scratch();
    let path = dir.path().to_str().unwrap();
    let mut writer = Process::start(&["endless", path, "killed"]);
    assert_eq!(writer.line(), "ready");
    writer.go();
    let mut lines: Vec<String> = (0..100).map(|_| writer.line()).collect();
    writer.kill();
    lines.extend(writer.rest());
    let acknowledged = receipts(&lines);
    assert!(acknowledged.len() >= 100);

    let recorder = quick(dir.path()).open().unwrap();
    assert!(matches!(tell(&recorder, "after").wait_timeout(LONG), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
    let recorded = recorded(dir.path());
    for (seq, prompt) in &acknowledged {
        assert_eq!(recorded.get(seq), Some(prompt), "acknowledged and not there");
    }
    let crashes = lifecycle(dir.path(), "unclean_stop");
    assert_eq!(crashes.len(), 1, "{crashes:?}");
    assert_eq!(crashes[0]["run"], 1);
    let last = number(dir.path(), "SELECT max(seq) FROM entry WHERE run = 1");
    assert_eq!(crashes[0]["last_seq"].as_i64(), Some(last));
    // The default queue holds 8,192; one batch may be in hand beside it.
    let at_most = crashes[0]["at_most"].as_u64().unwrap();
    assert!((8_192..=8_192 + 1_000).contains(&at_most), "{at_most}");
    assert_intact(dir.path());

    quick(dir.path()).open().unwrap().close(LONG).unwrap();
    assert_eq!(lifecycle(dir.path(), "unclean_stop").len(), 1, "said once");
}

#[test]
fn a_writer_killed_while_it_holds_the_locks_blocks_nobody() {
    let dir = scratch();
    fill(dir.path(), 3);
    let mut holder = Process::start(&["hold", dir.path().to_str().unwrap()]);
    assert_eq!(holder.line(), "holding");
    let recorder = quick(dir.path()).open_deadline(Duration::from_millis(20)).open().unwrap();
    let ticket = tell(&recorder, "waits");
    assert_eq!(ticket.wait_timeout(Duration::from_millis(20)), Outcome::Timeout);
    holder.kill();
    assert!(matches!(ticket.wait_timeout(LONG), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
    assert_intact(dir.path());
    assert_eq!(prompts(dir.path()).len(), 4);
}

#[test]
fn while_a_writer_is_stopped_in_mid_commit_the_others_accept_within_bounds_and_recover_when_it_goes_on() {
    let dir = scratch();
    fill(dir.path(), 3);
    let recorder = quick(dir.path()).queue(8, 1 << 20).overflow(OverflowPolicy::DropNewest).open().unwrap();
    let mut holder = Process::start(&["hold", dir.path().to_str().unwrap()]);
    assert_eq!(holder.line(), "holding");
    holder.signal(Signal::STOP);
    holder.wait_stopped();
    let started = Instant::now();
    let tickets: Vec<_> = (0..50).map(|number| tell(&recorder, &format!("meanwhile {number}"))).collect();
    assert!(started.elapsed() < Duration::from_secs(2), "callers wait for the stopped process");
    let stats = recorder.stats();
    assert!(stats.queued >= 8 && stats.lost.total() >= 33, "accepted within bounds, losses counted: {stats:?}");
    assert_eq!(stats.received, stats.durable + stats.queued + stats.lost.total());
    let started = Instant::now();
    recorder.flush(Duration::from_millis(50)).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2), "flush returns at its deadline");
    assert!(tickets.iter().all(|ticket| !matches!(ticket.outcome(), Some(Outcome::Durable(_)))));

    holder.signal(Signal::CONT);
    holder.go();
    assert_eq!(holder.line(), "released");
    let outcomes: Vec<_> = tickets.iter().map(|ticket| ticket.wait_timeout(LONG)).collect();
    let durable = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Durable(_))).count();
    let stats = recorder.close(LONG).unwrap();
    assert!(durable >= 8);
    assert_eq!((stats.durable, stats.durable + stats.lost.total()), (durable as u64, 50));
    assert_eq!(gaps(dir.path()).iter().map(|gap| gap.1).sum::<u64>(), stats.lost.total());
    assert_intact(dir.path());
}

#[test]
fn close_returns_at_its_deadline_while_another_writer_is_stopped_and_the_next_start_says_so() {
    let dir = scratch();
    fill(dir.path(), 3);
    let recorder = quick(dir.path()).open().unwrap();
    let holder = Process::start(&["hold", dir.path().to_str().unwrap()]);
    assert_eq!(holder.line(), "holding");
    holder.signal(Signal::STOP);
    holder.wait_stopped();
    let tickets: Vec<_> = (0..5).map(|number| tell(&recorder, &format!("late {number}"))).collect();
    let started = Instant::now();
    let late = recorder.close(Duration::from_millis(100)).unwrap_err();
    assert_eq!(late.pending, 5);
    assert!(started.elapsed() < Duration::from_secs(2), "close returned after {:?}", started.elapsed());
    // It dies where it stands; then the writer goes on with what it has in hand.
    drop(holder);
    for ticket in &tickets {
        let outcome = ticket.wait_timeout(LONG);
        assert!(matches!(outcome, Outcome::Durable(_) | Outcome::Lost(_)), "{outcome:?}");
    }
    wait_until("the writer thread has ended", || recorder.close(Duration::from_millis(20)).is_ok());
    assert_intact(dir.path());
    quick(dir.path()).open().unwrap().close(LONG).unwrap();
    let (stops, crashes) = (lifecycle(dir.path(), "stop").len(), lifecycle(dir.path(), "unclean_stop").len());
    assert_eq!(stops + crashes, 3, "each run ended with a stop, or the next start says that it did not");
}

#[test]
fn verifying_while_others_write_is_no_tampering() {
    let dir = scratch();
    fill(dir.path(), 300);
    let recorder = quick(dir.path()).open().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                let record = Record::inference("phi-3-mini").prompt(format!("meanwhile {number}")).response("yes");
                recorder.record(record).unwrap().wait_timeout(LONG);
            }
        });
        let mut bad = Vec::new();
        for _ in 0..30 {
            let report = verify(dir.path());
            if report.verdict != "intact" {
                bad.push(report.first_problem().or(report.error));
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(bad.is_empty(), "{} of 30 verifications of an honest log: {:?}", bad.len(), bad[0]);
    });
    recorder.close(LONG).unwrap();
    assert_intact(dir.path());
}

#[test]
fn starting_while_others_write_raises_no_alarm() {
    let dir = scratch();
    fill(dir.path(), 300);
    let mut writer = Process::start(&["endless", dir.path().to_str().unwrap(), "busy"]);
    assert_eq!(writer.line(), "ready");
    writer.go();
    for _ in 0..20 {
        // One more round of the other writer, so that they overlap.
        assert!(writer.line().starts_with("durable "));
        let recorder = Recorder::builder(dir.path()).open().unwrap();
        assert_eq!(recorder.stats().verify_problem, None);
        recorder.close(LONG).unwrap();
    }
    writer.kill();
    assert_eq!(alarms(dir.path(), "verify_failed").len(), 0);
}
