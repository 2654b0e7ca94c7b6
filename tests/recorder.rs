//! The recorder: counts that add up at every instant, deadlines that hold, callbacks, sampling, spans, content modes.

use crate::seen::{Jam, LONG, Stall, assert_intact, entries, gaps, lifecycle, number, prompts, quick, tell, wait_until};
use lowlight_core::OverflowPolicy;
use lowlight_host::{ContentMode, Outcome, Record, Recorder, Stats, Ticket};
use lowlight_tests::{db, scratch};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const THREADS: u64 = 8;
const EACH: u64 = 250;

fn adds_up(stats: &Stats) -> bool {
    stats.received == stats.durable + stats.queued + stats.lost.total()
}

/// Eight threads in bursts into a small queue, somebody watching the counts all the time.
fn storm(policy: OverflowPolicy) {
    let dir = scratch();
    let builder = quick(dir.path()).queue(64, 64 << 10).batch(16, 64 << 10).overflow(policy).block_for(Duration::from_millis(2));
    let recorder = builder.open().unwrap();
    let done = AtomicBool::new(false);
    let burst = |thread: u64| (0..EACH).map(|number| tell(&recorder, &format!("{thread} {number}"))).collect::<Vec<_>>();
    let burst = &burst;
    let (tickets, wrong) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut wrong = None;
            while !done.load(Ordering::Relaxed) {
                let stats = recorder.stats();
                wrong = wrong.or((!adds_up(&stats)).then_some(stats));
            }
            wrong
        });
        let callers: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || burst(thread))).collect();
        let tickets: Vec<Ticket> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        (tickets, watcher.join().unwrap())
    });
    let stats = recorder.close(LONG).unwrap();
    assert_eq!((stats.received, stats.queued), (THREADS * EACH, 0));
    assert!(adds_up(&stats), "{stats:?}");
    let outcomes: Vec<_> = tickets.iter().map(|ticket| ticket.outcome().expect("resolved at close")).collect();
    let seqs: BTreeSet<u64> =
        outcomes.iter().filter_map(|outcome| if let Outcome::Durable(seq) = outcome { Some(*seq) } else { None }).collect();
    let lost = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Lost(_))).count() as u64;
    assert_eq!((seqs.len() as u64, lost), (stats.durable, stats.lost.total()), "the tickets say what the counts say");
    let in_log: BTreeSet<u64> =
        entries(dir.path()).iter().filter(|it| it["kind"] == "inference").map(|it| it["seq"].as_u64().unwrap()).collect();
    assert_eq!(in_log, seqs, "the log holds what the tickets say");
    assert_eq!(gaps(dir.path()).iter().map(|gap| gap.1).sum::<u64>(), lost, "the gaps say what the counts say");
    assert_intact(dir.path());
    assert!(wrong.is_none(), "received = durable + queued + lost did not hold: {wrong:?}");
}

#[test]
fn counts_add_up_at_every_instant_when_the_newest_is_dropped() {
    storm(OverflowPolicy::DropNewest);
}

#[test]
fn counts_add_up_at_every_instant_when_the_oldest_is_dropped() {
    storm(OverflowPolicy::DropOldest);
}

#[test]
fn counts_add_up_at_every_instant_when_the_queue_samples() {
    storm(OverflowPolicy::Sample { one_in: 3 });
}

#[test]
fn counts_add_up_at_every_instant_when_callers_block() {
    storm(OverflowPolicy::Block);
}

#[test]
fn flush_and_close_return_at_their_deadline_and_close_may_be_called_again() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let stall = Stall::new(dir.path());
    let ticket = tell(&recorder, "late");
    stall.wait_for_writer();
    for deadline in [0, 1, 40] {
        let started = Instant::now();
        assert_eq!(recorder.flush(Duration::from_millis(deadline)).unwrap_err().pending, 1);
        assert!(started.elapsed() < Duration::from_secs(2));
    }
    let started = Instant::now();
    assert_eq!(recorder.close(Duration::from_millis(40)).unwrap_err().pending, 1);
    assert!(started.elapsed() < Duration::from_secs(2));
    stall.release();
    assert!(matches!(ticket.wait_timeout(LONG), Outcome::Durable(_)), "what was in hand is written all the same");
    assert_eq!(recorder.close(LONG).unwrap().durable, 1);
    assert_eq!(recorder.close(Duration::ZERO).unwrap().durable, 1, "closing twice is fine");
    assert_eq!(lifecycle(dir.path(), "stop").len(), 1);
}

#[test]
fn flush_waits_for_the_batch_in_hand_even_if_younger_records_are_evicted() {
    let dir = scratch();
    let recorder = quick(dir.path()).queue(2, 1 << 20).overflow(OverflowPolicy::DropOldest).open().unwrap();
    let jam = Jam::new(dir.path());
    let in_hand = tell(&recorder, "in hand");
    wait_until("the writer has failed once", || recorder.stats().waiting.is_some());
    let done = AtomicBool::new(false);
    let flushed = std::thread::scope(|scope| {
        let flusher = scope.spawn(|| {
            let flushed = recorder.flush(Duration::from_millis(300));
            done.store(true, Ordering::Relaxed);
            flushed
        });
        while !done.load(Ordering::Relaxed) {
            tell(&recorder, "evicts another one");
            std::thread::sleep(Duration::from_millis(1));
        }
        flusher.join().unwrap()
    });
    assert_eq!(in_hand.outcome(), None);
    assert!(flushed.is_err(), "flush said that all was settled while a record accepted before it was in memory");
    jam.mend();
    recorder.close(LONG).unwrap();
}

#[test]
fn a_record_after_close_is_closed_and_not_counted() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    recorder.close(LONG).unwrap();
    assert_eq!(tell(&recorder, "too late").wait(), Outcome::Closed);
    assert_eq!(recorder.stats().received, 0);
    recorder.flush(Duration::ZERO).unwrap();
    assert_eq!(prompts(dir.path()), [""; 0]);
}

#[test]
fn a_caller_that_blocks_is_told_when_the_recorder_gives_up() {
    let dir = scratch();
    let recorder = quick(dir.path()).queue(1, 1 << 20).overflow(OverflowPolicy::Block).block_for(LONG).open().unwrap();
    let _jam = Jam::new(dir.path());
    let in_hand = tell(&recorder, "in hand");
    wait_until("the writer has failed once", || recorder.stats().waiting.is_some());
    let queued = tell(&recorder, "in the queue");
    let caller = std::thread::spawn({
        let recorder = recorder.clone();
        move || tell(&recorder, "waits for space")
    });
    std::thread::sleep(Duration::from_millis(50));
    assert!(!caller.is_finished(), "the caller did not wait");
    recorder.close(Duration::from_millis(20)).unwrap_err();
    let waited = caller.join().unwrap();
    for ticket in [&in_hand, &queued, &waited] {
        let outcome = ticket.wait_timeout(Duration::from_secs(3));
        assert!(matches!(outcome, Outcome::Lost(_) | Outcome::Closed), "{outcome:?}: nobody will ever resolve it");
    }
    let stats = recorder.close(LONG).unwrap();
    assert!(adds_up(&stats) && stats.queued == 0, "{stats:?}");
}

#[test]
fn dropping_the_last_handle_closes_the_log() {
    let dir = scratch();
    let recorder = Recorder::builder(dir.path()).open().unwrap();
    let other = recorder.clone();
    let ticket = tell(&recorder, "one");
    drop(recorder);
    tell(&other, "two");
    assert_eq!(lifecycle(dir.path(), "stop").len(), 0, "a handle is left");
    drop(other);
    assert!(matches!(ticket.outcome(), Some(Outcome::Durable(_))));
    assert_eq!(prompts(dir.path()), ["one", "two"]);
    assert_eq!(lifecycle(dir.path(), "stop").len(), 1);
}

#[test]
fn a_callback_that_panics_harms_neither_caller_nor_writer() {
    let dir = scratch();
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let builder = quick(dir.path()).queue(4, 1 << 20).on_pressure(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        panic!("a panic that a test plants");
    });
    let recorder = builder.open().unwrap();
    let stall = Stall::new(dir.path());
    let _in_hand = tell(&recorder, "in hand");
    stall.wait_for_writer();
    (0..10).for_each(|number| drop(tell(&recorder, &format!("prompt {number}"))));
    assert_eq!(calls.load(Ordering::Relaxed), 7, "six losses, and once for getting full");
    stall.release();
    recorder.flush(LONG).unwrap();
    assert!(matches!(tell(&recorder, "after").wait_timeout(LONG), Outcome::Durable(_)));
    assert!(adds_up(&recorder.close(LONG).unwrap()));
}

#[test]
fn a_callback_that_records_is_not_called_for_its_own_records() {
    let dir = scratch();
    let handle: Arc<OnceLock<Recorder>> = Arc::default();
    let calls = Arc::new(AtomicU64::new(0));
    let (inside, counter) = (Arc::clone(&handle), Arc::clone(&calls));
    let builder = quick(dir.path()).queue(4, 1 << 20).on_pressure(move |pressure| {
        counter.fetch_add(1, Ordering::Relaxed);
        assert_eq!(pressure.capacity, 4);
        drop(tell(inside.get().unwrap(), "from the callback"));
    });
    let recorder = builder.open().unwrap();
    handle.set(recorder.clone()).unwrap();
    let stall = Stall::new(dir.path());
    drop(tell(&recorder, "in hand"));
    stall.wait_for_writer();
    (0..10).for_each(|number| drop(tell(&recorder, &format!("prompt {number}"))));
    assert_eq!(calls.load(Ordering::Relaxed), 7, "six losses, and once for getting full");
    stall.release();
    let stats = recorder.close(LONG).unwrap();
    assert_eq!((stats.received, stats.durable, stats.lost.queue_full), (18, 5, 13));
}

#[test]
fn sampling_keeps_exactly_one_in_n_and_says_so() {
    let dir = scratch();
    let recorder = quick(dir.path()).sample(10).open().unwrap();
    let tickets: Vec<_> = (0..1_000).map(|number| tell(&recorder, &format!("prompt {number}"))).collect();
    let stats = recorder.close(LONG).unwrap();
    assert_eq!((stats.received, stats.durable, stats.lost.sampled, stats.lost.total()), (1_000, 100, 900, 900));
    let kept = tickets.iter().filter(|ticket| matches!(ticket.outcome(), Some(Outcome::Durable(_)))).count();
    assert_eq!(kept, 100);
    assert_eq!(prompts(dir.path())[..2], ["prompt 0", "prompt 10"]);
    let told = gaps(dir.path());
    assert!(told.iter().all(|gap| gap.0 == "sampled"));
    assert_eq!(told.iter().map(|gap| gap.1).sum::<u64>(), 900);
    let batches = number(dir.path(), "SELECT count(*) FROM entry WHERE kind = 1");
    assert!(i64::try_from(told.len()).unwrap() <= batches + 1, "at most one gap for each batch and one at the stop");
}

#[test]
fn a_span_that_is_finished_failed_or_dropped_is_recorded_as_that() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let mut span = recorder.span("phi-3-mini").prompt("finished");
    span.first_token();
    std::thread::sleep(Duration::from_millis(2));
    span.first_token();
    span.finish("yes", |usage| usage.output_tokens = Some(1)).unwrap();
    recorder.span("phi-3-mini").prompt("failed").fail("no memory").unwrap();
    drop(recorder.span("phi-3-mini").prompt("dropped"));
    let refused = recorder.span("phi-3-mini").finish("yes", |usage| usage.status = "NOT A TOKEN");
    assert!(refused.is_err());
    drop(recorder);
    let spans: Vec<_> = entries(dir.path()).into_iter().filter(|entry| entry["kind"] == "inference").collect();
    let shown: Vec<_> = spans.iter().map(|it| (it["prompt"].as_str().unwrap(), it["status"].as_str().unwrap())).collect();
    assert_eq!(shown, [("finished", "ok"), ("failed", "error"), ("dropped", "cancelled")], "and each once");
    assert_eq!((spans[0]["response"].as_str(), spans[0]["output_tokens"].as_u64()), (Some("yes"), Some(1)));
    assert_eq!(spans[1]["error"], "no memory");
    let (ttft, whole) = (spans[0]["ttft_ms"].as_f64().unwrap(), spans[0]["latency_ms"].as_f64().unwrap());
    assert!(ttft + 2.0 <= whole, "later calls of first_token change nothing: {ttft} {whole}");
}

#[test]
fn hash_only_keeps_commitments_and_none_keeps_nothing() {
    for (mode, rows, values) in [(ContentMode::Full, 2, 2), (ContentMode::HashOnly, 2, 0), (ContentMode::None, 0, 0)] {
        let dir = scratch();
        let recorder = quick(dir.path()).content(mode).open().unwrap();
        recorder.record(Record::inference("phi-3-mini").prompt("needle in a prompt").actor("alice")).unwrap();
        recorder.close(LONG).unwrap();
        assert_eq!(number(dir.path(), "SELECT count(*) FROM content WHERE length(salt) = 16"), rows, "{mode:?}");
        assert_eq!(number(dir.path(), "SELECT count(value) FROM content"), values, "{mode:?}");
        let bytes = std::fs::read(dir.path().join("lowlight.db")).unwrap();
        assert_eq!(bytes.windows(6).any(|window| window == b"needle"), values > 0, "{mode:?}");
        assert_intact(dir.path());
    }
}

#[test]
fn the_content_cap_holds_for_every_field_and_has_a_floor() {
    let dir = scratch();
    let recorder = quick(dir.path()).content_cap(1).open().unwrap();
    let text = "word ".repeat(10_000);
    let record = Record::inference("phi-3-mini").prompt(text.as_str()).response(text.as_str()).actor(text.as_str()).error(text.as_str());
    recorder.record(record).unwrap();
    recorder.record(Record::inference("phi-3-mini").prompt("word ".repeat(1_600))).unwrap();
    recorder.close(LONG).unwrap();
    assert_eq!(
        number(dir.path(), "SELECT max(length(value)) FROM content WHERE id >> 6 = (SELECT min(seq) FROM entry WHERE kind = 1)"),
        4_096
    );
    assert_eq!(number(dir.path(), "SELECT max(length(value)) FROM content"), 8_000, "8 KiB is the least that can be set");
    assert_intact(dir.path());
}

#[test]
fn what_nobody_waits_for_is_durable_after_the_loss_window() {
    let dir = scratch();
    let recorder = Recorder::builder(dir.path()).max_loss_window(Duration::from_millis(50)).open().unwrap();
    let ticket = tell(&recorder, "nobody waits");
    let connection = db(dir.path());
    let count = || connection.query_row("SELECT count(*) FROM entry WHERE kind = 1", [], |row| row.get::<_, i64>(0)).unwrap();
    wait_until("it is on disk by itself", || count() == 1);
    wait_until("the ticket knows it", || matches!(ticket.outcome(), Some(Outcome::Durable(_))));
    recorder.close(LONG).unwrap();
}

#[test]
fn token_counts_are_estimated_only_when_asked_for_and_only_where_none_is_given() {
    let counts = |estimate: bool, record: Record<'_>| {
        let dir = scratch();
        let recorder = quick(dir.path()).estimate_tokens(estimate).content_cap(8 << 10).open().unwrap();
        let _ticket = recorder.record(record).unwrap();
        recorder.close(LONG).unwrap();
        let it = entries(dir.path()).into_iter().find(|it| it["kind"] == "inference").unwrap();
        let number = |name: &str| it[name].as_u64();
        (number("input_tokens"), number("output_tokens"), it["tokens_source"].as_str().map(str::to_owned))
    };
    let estimated = || Some("estimated".to_owned());
    let short = || Record::inference("m").prompt("äöüß and").response("no");
    assert_eq!(counts(false, short()), (None, None, None));
    assert_eq!(counts(true, short()), (Some(2), Some(1), estimated()), "characters, not bytes; rounded up");
    let given = short().with(|it| it.output_tokens = Some(7));
    assert_eq!(counts(true, given), (None, Some(7), None), "what is given stands alone");
    let long = "word ".repeat(4 << 10);
    assert_eq!(counts(true, Record::inference("m").prompt(long.as_str()).response("no")), (None, Some(1), estimated()), "a cut text");
    assert_eq!(counts(true, Record::inference("m")), (None, None, None), "nothing to count");
}

#[test]
fn the_wal_stays_bounded_under_steady_load() {
    let dir = scratch();
    let recorder = quick(dir.path()).overflow(OverflowPolicy::Block).block_for(LONG).open().unwrap();
    let wal = dir.path().join("lowlight.db-wal");
    let text = "w".repeat(8_000);
    let mut largest = 0;
    for number in 0..12_000 {
        let ticket = recorder.record(Record::inference("m").prompt(text.as_str()).response(text.as_str())).unwrap();
        if number % 500 == 0 {
            ticket.wait();
            largest = largest.max(std::fs::metadata(&wal).unwrap().len());
        }
    }
    recorder.close(LONG).unwrap();
    let stored = std::fs::metadata(dir.path().join("lowlight.db")).unwrap().len();
    assert!(stored > 150 << 20, "enough was written to tell: {stored}");
    // 4,000 pages, and the batches that were committed before somebody got to copying them.
    assert!((4 << 20..40 << 20).contains(&largest), "{largest} bytes of WAL");
}

#[test]
fn a_run_with_other_options_says_so_once() {
    let dir = scratch();
    let run = |queue: usize| drop(quick(dir.path()).queue(queue, 1 << 20).open().unwrap().close(LONG).unwrap());
    let changes = || lifecycle(dir.path(), "config_changed").len();
    run(100);
    run(100);
    assert_eq!(changes(), 0);
    run(200);
    assert_eq!(changes(), 1);
    run(200);
    assert_eq!(changes(), 1);
    run(100);
    assert_eq!(changes(), 2);
    assert_intact(dir.path());
}
