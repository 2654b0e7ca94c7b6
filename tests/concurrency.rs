//! Everything at once: many threads record, wait, flush, close, drop and panic; two recorders in one process; a log that changes its
//! version under a recorder.

use crate::seen::{LONG, assert_intact, entries, gaps, number, prompts, quick, tell, wait_until};
use lowlight_core::OverflowPolicy;
use lowlight_host::store::Reader;
use lowlight_host::{LossReason, Outcome, Recorder};
use lowlight_tests::{db, scratch};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const THREADS: u64 = 64;
const EACH: u64 = 30;

/// What one of many threads does with a recorder that all of them have; the prompts that it knows to be durable, by seq.
fn anything(recorder: &Recorder, thread: u64, closed: &AtomicU64) -> Vec<(u64, String)> {
    let mut durable = Vec::new();
    for number in 0..EACH {
        let prompt = format!("{thread}-{number}");
        let mine = recorder.clone();
        let ticket = tell(&mine, &prompt);
        drop(mine);
        match (thread + number) % 7 {
            0 => drop(ticket),
            1 => drop(recorder.flush(Duration::from_millis(1))),
            2 => drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _held = recorder.clone();
                std::panic::resume_unwind(Box::new("a caller that panics"));
            }))),
            3 => {
                let _counts = recorder.stats();
            }
            _ => match ticket.wait() {
                Outcome::Durable(seq) => durable.push((seq, prompt)),
                Outcome::Closed => {
                    closed.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Lost(LossReason::QueueFull | LossReason::Sampled | LossReason::Abandoned) => {}
                other => panic!("{other:?}"),
            },
        }
        if thread == 13 && number == EACH - 5 {
            // Some are still in the middle of a call.
            drop(recorder.close(Duration::from_secs(20)));
        }
    }
    durable
}

fn all_at_once(policy: OverflowPolicy) {
    let dir = scratch();
    let panics = |_| std::panic::resume_unwind(Box::new("a callback that panics"));
    let builder = quick(dir.path()).queue(48, 1 << 20).batch(16, 1 << 20).overflow(policy).block_for(Duration::from_millis(5));
    let recorder = builder.on_pressure(panics).open().unwrap();
    let (known, closed) = (Mutex::new(BTreeMap::new()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (recorder, known, closed) = (recorder.clone(), &known, &closed);
            scope.spawn(move || known.lock().unwrap().extend(anything(&recorder, thread, closed)));
        }
    });
    let stats = recorder.close(LONG).unwrap();
    assert_eq!(stats.received, stats.durable + stats.lost.total(), "{stats:?}");
    assert_eq!(stats.queued, 0);
    let recorded = entries(dir.path()).into_iter().filter(|entry| entry["kind"] == "inference");
    let recorded: BTreeMap<u64, String> =
        recorded.map(|entry| (entry["seq"].as_u64().unwrap(), entry["prompt"].as_str().unwrap().to_owned())).collect();
    assert_eq!(recorded.len() as u64, stats.durable, "the log has what the counts say");
    let known = known.into_inner().unwrap();
    assert!(known.iter().all(|(seq, prompt)| recorded.get(seq) == Some(prompt)), "each durable ticket names its entry");
    assert_eq!(gaps(dir.path()).iter().map(|gap| gap.1).sum::<u64>(), stats.lost.total() - stats.lost.abandoned, "{stats:?}");
    assert_intact(dir.path());
}

#[test]
fn sixty_four_threads_do_everything_at_once_under_every_policy() {
    for policy in [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest, OverflowPolicy::Sample { one_in: 3 }, OverflowPolicy::Block] {
        all_at_once(policy);
    }
}

#[test]
fn two_recorders_and_readers_in_one_process_share_a_log() {
    let dir = scratch();
    let [first, second] = [(); 2].map(|()| quick(dir.path()).open().unwrap());
    for round in 0..40 {
        let tickets = [tell(&first, &format!("first {round}")), tell(&second, &format!("second {round}"))];
        // Closing any other handle to the file would drop the locks of both.
        drop(Reader::open(dir.path()).unwrap());
        if round == 20 {
            drop(quick(dir.path()).open().unwrap().close(LONG).unwrap());
        }
        assert!(tickets.iter().all(|ticket| matches!(ticket.wait(), Outcome::Durable(_))));
    }
    assert_eq!((first.close(LONG).unwrap().durable, second.close(LONG).unwrap().durable), (40, 40));
    let mut all = prompts(dir.path());
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 80);
    assert_eq!(number(dir.path(), "SELECT count(*) FROM run WHERE stopped IS NULL"), 0);
    assert_intact(dir.path());
}

#[test]
fn a_log_that_gets_a_newer_version_under_a_recorder_is_not_touched_and_nothing_is_lost_when_it_is_taken_back() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    assert!(matches!(tell(&recorder, "before").wait(), Outcome::Durable(_)));
    db(dir.path()).execute_batch("PRAGMA user_version = 9").unwrap();
    let count = number(dir.path(), "SELECT count(*) FROM entry");
    let ticket = tell(&recorder, "meanwhile");
    wait_until("the recorder says what is wrong", || recorder.stats().waiting.is_some_and(|why| why.contains("version 9")));
    assert_eq!(ticket.outcome(), None);
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry"), count, "it was not touched");
    db(dir.path()).execute_batch("PRAGMA user_version = 1").unwrap();
    assert!(matches!(ticket.wait(), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
    assert_eq!(prompts(dir.path()), ["before", "meanwhile"]);
    assert_intact(dir.path());
}

#[test]
fn a_journal_whose_database_is_gone_or_empty_is_moved_aside_and_not_deleted() {
    for is_gone in [true, false] {
        let dir = scratch();
        let recorder = quick(dir.path()).open().unwrap();
        assert!(matches!(tell(&recorder, "only in the journal").wait(), Outcome::Durable(_)));
        let home = scratch();
        for name in ["lowlight.db", "lowlight.db-wal"] {
            std::fs::copy(dir.path().join(name), home.path().join(name)).unwrap();
        }
        let (database, journal) = (home.path().join("lowlight.db"), home.path().join("lowlight.db-wal"));
        let bytes = std::fs::read(&journal).unwrap();
        if is_gone {
            std::fs::remove_file(&database).unwrap()
        } else {
            std::fs::write(&database, b"").unwrap()
        }
        assert!(Reader::open(home.path()).unwrap_err().to_string().contains("its journal (-wal) is there"));
        assert_eq!(std::fs::read(&journal).unwrap(), bytes, "a reader leaves it alone");
        let second = quick(home.path()).open().unwrap();
        assert!(matches!(tell(&second, "after").wait(), Outcome::Durable(_)));
        second.close(LONG).unwrap();
        assert_eq!(std::fs::read(home.path().join("quarantine/damaged-1/lowlight.db-wal")).unwrap(), bytes);
        assert_intact(home.path());
    }
}
