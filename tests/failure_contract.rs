//! The failure contract: a full queue, a locked or failing storage, broken configuration, a clock that is wrong.
//!
//! Its other rows: `failure_storage` (full, read-only, permissions), `failure_damage` (corrupt, foreign, newer, opened),
//! `failure_input` (what callers hand over) and `processes` (several, stopped and killed writers).

use crate::seen::{Jam, LONG, QUEUE_FULL, Stall, alarms, assert_intact, entries, gaps, lowlight, number, prompts, quick, tell, wait_until};
use lowlight_core::OverflowPolicy;
use lowlight_host::redact::{RedactConfig, RuleConfig};
use lowlight_host::{LossReason, Outcome, Record, Recorder, RecorderError, Stats};
use lowlight_tests::scratch;
use std::time::{Duration, Instant};

/// Ten records into a queue of four while one is in the writer's hand: what became of each, what the log says about it.
fn ten_into_four(policy: OverflowPolicy) -> (Vec<Outcome>, Vec<(String, u64)>, Stats) {
    let dir = scratch();
    let recorder = quick(dir.path()).queue(4, 1 << 20).overflow(policy).block_for(Duration::from_millis(20)).open().unwrap();
    let stall = Stall::new(dir.path());
    let in_hand = tell(&recorder, "in hand");
    stall.wait_for_writer();
    let tickets: Vec<_> = (0..10).map(|number| tell(&recorder, &format!("prompt {number}"))).collect();
    stall.release();
    assert!(matches!(in_hand.wait_timeout(LONG), Outcome::Durable(_)));
    let outcomes = tickets.iter().map(|ticket| ticket.wait_timeout(LONG)).collect();
    let stats = recorder.close(LONG).unwrap();
    assert_intact(dir.path());
    assert_eq!(stats.received, 11);
    assert_eq!(stats.received, stats.durable + stats.lost.total());
    let last = entries(dir.path()).pop().unwrap();
    assert_eq!((last["event"]["what"].as_str(), last["event"]["lost"].as_u64()), (Some("stop"), Some(stats.lost.total())));
    (outcomes, gaps(dir.path()), stats)
}

fn durable(outcomes: &[Outcome]) -> Vec<usize> {
    (0..outcomes.len()).filter(|index| matches!(outcomes[*index], Outcome::Durable(_))).collect()
}

fn lost(outcomes: &[Outcome], why: LossReason) -> Vec<usize> {
    (0..outcomes.len()).filter(|index| outcomes[*index] == Outcome::Lost(why)).collect()
}

#[test]
fn a_full_queue_that_drops_the_newest_keeps_the_oldest_and_writes_one_gap() {
    let (outcomes, gaps, stats) = ten_into_four(OverflowPolicy::DropNewest);
    assert_eq!(durable(&outcomes), [0, 1, 2, 3]);
    assert_eq!(lost(&outcomes, LossReason::QueueFull), [4, 5, 6, 7, 8, 9]);
    assert_eq!(gaps, [("queue_full".to_owned(), 6)]);
    assert_eq!(stats.lost.queue_full, 6);
}

#[test]
fn a_full_queue_that_drops_the_oldest_keeps_the_newest_and_writes_one_gap() {
    let (outcomes, gaps, stats) = ten_into_four(OverflowPolicy::DropOldest);
    assert_eq!(durable(&outcomes), [6, 7, 8, 9]);
    assert_eq!(lost(&outcomes, LossReason::QueueFull), [0, 1, 2, 3, 4, 5]);
    assert_eq!(gaps, [("queue_full".to_owned(), 6)]);
    assert_eq!(stats.lost.queue_full, 6);
}

#[test]
fn a_full_queue_that_samples_thins_out_from_half_full_on_and_writes_one_gap_per_reason() {
    let (outcomes, mut gaps, stats) = ten_into_four(OverflowPolicy::Sample { one_in: 2 });
    assert_eq!(durable(&outcomes), [0, 1, 2, 4]);
    assert_eq!(lost(&outcomes, LossReason::Sampled), [3, 5, 7, 9]);
    assert_eq!(lost(&outcomes, LossReason::QueueFull), [6, 8]);
    gaps.sort();
    assert_eq!(gaps, [("queue_full".to_owned(), 2), ("sampled".to_owned(), 4)]);
    assert_eq!((stats.lost.queue_full, stats.lost.sampled), (2, 4));
}

#[test]
fn a_full_queue_that_blocks_gives_up_at_the_deadline_and_writes_one_gap() {
    let (outcomes, gaps, stats) = ten_into_four(OverflowPolicy::Block);
    assert_eq!(durable(&outcomes), [0, 1, 2, 3]);
    assert_eq!(lost(&outcomes, LossReason::QueueFull), [4, 5, 6, 7, 8, 9]);
    assert_eq!(gaps, [("queue_full".to_owned(), 6)]);
    assert_eq!(stats.lost.queue_full, 6);
}

#[test]
fn a_caller_that_blocks_goes_on_as_soon_as_there_is_space_and_loses_nothing() {
    let dir = scratch();
    let recorder = quick(dir.path()).queue(1, 1 << 20).overflow(OverflowPolicy::Block).block_for(LONG).open().unwrap();
    let stall = Stall::new(dir.path());
    let mut tickets = vec![tell(&recorder, "in hand")];
    stall.wait_for_writer();
    tickets.push(tell(&recorder, "in the queue"));
    let caller = std::thread::spawn({
        let recorder = recorder.clone();
        move || tell(&recorder, "waits for space")
    });
    // It must be waiting and not lost: nothing else can make this true before the release.
    std::thread::sleep(Duration::from_millis(50));
    assert!(!caller.is_finished(), "the caller did not wait");
    stall.release();
    tickets.push(caller.join().unwrap());
    for ticket in &tickets {
        assert!(matches!(ticket.wait_timeout(LONG), Outcome::Durable(_)));
    }
    drop(recorder);
    assert_eq!(prompts(dir.path()), ["in hand", "in the queue", "waits for space"]);
    assert!(gaps(dir.path()).is_empty());
}

#[test]
fn the_bound_in_bytes_holds_too_and_a_record_larger_than_it_is_lost_at_once_under_every_policy() {
    for policy in [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest, OverflowPolicy::Sample { one_in: 2 }, OverflowPolicy::Block] {
        let dir = scratch();
        let recorder = quick(dir.path()).queue(100, 4_000).overflow(policy).block_for(LONG).open().unwrap();
        let too_large = tell(&recorder, &"the door is open. ".repeat(300));
        assert_eq!(too_large.outcome(), Some(QUEUE_FULL), "{policy:?}");
        assert!(matches!(tell(&recorder, "small").wait_timeout(LONG), Outcome::Durable(_)), "{policy:?}");
        let stats = recorder.close(LONG).unwrap();
        assert_eq!((stats.durable, stats.lost.queue_full), (1, 1));
        assert_eq!(gaps(dir.path()), [("queue_full".to_owned(), 1)]);
    }
    let dir = scratch();
    let recorder = quick(dir.path()).queue(100, 4_000).open().unwrap();
    let stall = Stall::new(dir.path());
    let _in_hand = tell(&recorder, "in hand");
    stall.wait_for_writer();
    let text = "the door is open. ".repeat(50);
    let tickets: Vec<_> = (0..20).map(|_| tell(&recorder, &text)).collect();
    let kept = tickets.iter().filter(|ticket| ticket.outcome().is_none()).count();
    assert!((1..=4).contains(&kept), "{kept} records of 900 bytes in 4,000 bytes");
    stall.release();
    recorder.close(LONG).unwrap();
}

#[test]
fn a_database_locked_by_somebody_else_is_waited_for_in_the_writer_thread_only() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let stall = Stall::new(dir.path());
    let first = tell(&recorder, "in hand");
    stall.wait_for_writer();
    let started = Instant::now();
    let tickets: Vec<_> = (0..200).map(|number| tell(&recorder, &format!("prompt {number}"))).collect();
    let handing_over = started.elapsed();
    // The lock is still held: had a call waited for it, it would not have come back.
    assert!(handing_over < Duration::from_secs(2), "200 calls took {handing_over:?}");
    assert!(first.outcome().is_none() && tickets.iter().all(|ticket| ticket.outcome().is_none()));
    let late = recorder.flush(Duration::from_millis(30)).unwrap_err();
    assert_eq!(late.pending, 201);
    stall.release();
    recorder.flush(LONG).unwrap();
    assert!(tickets.iter().all(|ticket| matches!(ticket.outcome(), Some(Outcome::Durable(_)))));
    let stats = recorder.close(LONG).unwrap();
    assert_eq!((stats.durable, stats.lost.total()), (201, 0));
    assert_intact(dir.path());
}

#[test]
fn a_recorder_opens_while_the_database_is_locked_and_writes_when_it_is_free() {
    let dir = scratch();
    lowlight_tests::fill(dir.path(), 3);
    let stall = Stall::new(dir.path());
    let recorder = quick(dir.path()).open_deadline(Duration::from_millis(20)).open().unwrap();
    let ticket = tell(&recorder, "while it was locked");
    assert_eq!(ticket.wait_timeout(Duration::from_millis(20)), Outcome::Timeout);
    stall.release();
    assert!(matches!(ticket.wait_timeout(LONG), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
    assert_intact(dir.path());
}

#[test]
fn storage_that_fails_loses_nothing_within_the_bounds_and_goes_on_when_it_is_mended() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let jam = Jam::new(dir.path());
    let tickets: Vec<_> = (0..50).map(|number| tell(&recorder, &format!("prompt {number}"))).collect();
    wait_until("stats say what is waited for", || recorder.stats().waiting.is_some());
    let stats = recorder.stats();
    assert_eq!((stats.queued, stats.lost.total()), (50, 0));
    jam.mend();
    assert!(tickets.iter().all(|ticket| matches!(ticket.wait_timeout(LONG), Outcome::Durable(_))));
    // Tickets come before figures.
    recorder.flush(LONG).unwrap();
    assert_eq!(recorder.stats().waiting, None);
    recorder.close(LONG).unwrap();
    assert_eq!(prompts(dir.path()).len(), 50);
    assert_eq!(number(dir.path(), "SELECT count(DISTINCT run) FROM entry"), 1, "it is still the same run");
    assert_intact(dir.path());
}

#[test]
fn a_loss_has_the_same_reason_in_the_log_as_in_the_ticket() {
    let dir = scratch();
    let recorder = quick(dir.path()).queue(2, 1 << 20).open().unwrap();
    let jam = Jam::new(dir.path());
    let _in_hand = tell(&recorder, "in hand");
    wait_until("the writer has failed once", || recorder.stats().waiting.is_some());
    let tickets: Vec<_> = (0..5).map(|number| tell(&recorder, &format!("prompt {number}"))).collect();
    jam.mend();
    let mut reasons: Vec<_> = tickets.iter().map(|ticket| ticket.wait_timeout(LONG)).collect();
    reasons.retain(|outcome| !matches!(outcome, Outcome::Durable(_)));
    assert_eq!(reasons.len(), 3);
    let stats = recorder.close(LONG).unwrap();
    let told = gaps(dir.path());
    let [(reason, 3)] = &told[..] else { panic!("{told:?}") };
    for outcome in reasons {
        let Outcome::Lost(why) = outcome else { panic!("{outcome:?}") };
        assert_eq!(why.name(), reason, "the ticket and the Gap entry disagree");
    }
    let counted = if reason == "disk_full" { stats.lost.disk_full } else { stats.lost.queue_full };
    assert_eq!(counted, 3, "the statistics and the Gap entry disagree");
}

#[test]
fn a_record_that_storage_rejects_is_counted_and_stands_in_a_gap() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let mut broken = Record::model_loaded("phi-3-mini", None);
    // The code of an alarm is a token; this one is not and is found out only when the entry is sealed.
    broken.event = lowlight_core::Event::Lifecycle(lowlight_core::entry::Lifecycle::Alarm { code: "Not A Token", detail: "" });
    let Ok(ticket) = recorder.record(broken) else {
        // Refused at the door: then nothing was lost.
        return;
    };
    assert_eq!(ticket.wait_timeout(LONG), Outcome::Lost(LossReason::Rejected));
    assert!(matches!(tell(&recorder, "after it").wait_timeout(LONG), Outcome::Durable(_)), "the batch goes on");
    assert_eq!(recorder.close(LONG).unwrap().lost.rejected, 1);
    assert_eq!(gaps(dir.path()), [("rejected".to_owned(), 1)], "every loss is on the record");
}

#[test]
fn a_redaction_rule_that_is_not_valid_stops_the_recorder_before_anything_is_made() {
    let dir = scratch();
    let log = dir.path().join("log");
    for (name, pattern) in [("broken", "("), ("empty", "x*"), ("no name", "x"), ("email", "x")] {
        let rule = RuleConfig { name: name.to_owned(), pattern: pattern.to_owned(), keyword: None, checksum: None };
        let config = RedactConfig { rules: vec![rule], ..RedactConfig::default() };
        let refused = Recorder::builder(&log).redact(config).open().map(drop);
        let Err(RecorderError::Redaction(error)) = refused else { panic!("{name}: {refused:?}") };
        assert!(error.to_string().contains(name), "{error}");
        assert!(!log.exists());
    }
    let file = dir.path().join("lowlight.toml");
    std::fs::write(&file, "[[redact.rules]]\nname = \"broken\"\npattern = \"(\"\n").unwrap();
    let arguments = ["--path", log.to_str().unwrap(), "--config", file.to_str().unwrap(), "record"];
    let (code, _, errors) = lowlight(&arguments, "{\"model\":\"m\"}\n");
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("broken") && !log.exists(), "{errors}");
}

#[test]
fn a_text_that_a_rule_cannot_scan_is_withheld_and_not_written_raw() {
    let dir = scratch();
    let rule = RuleConfig { name: "greedy".to_owned(), pattern: "z.*y|z".to_owned(), keyword: None, checksum: None };
    let config = RedactConfig { rules: vec![rule], ..RedactConfig::default() };
    let recorder = quick(dir.path()).redact(config).open().unwrap();
    let ticket = tell(&recorder, &"z".repeat(20_000));
    assert!(matches!(ticket.wait_timeout(LONG), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
    assert_eq!(prompts(dir.path()), ["[WITHHELD_1]"]);
    assert_eq!(number(dir.path(), "SELECT redactions FROM entry WHERE kind = 1"), 1);
}

#[test]
fn the_order_is_seq_whatever_the_callers_clock_says() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let times =
        [None, Some(0), Some(-1), Some(i64::MAX), Some(i64::MIN), Some(1_000_000_000_000_000_000), Some(-6_213_559_680_000_000_000)];
    for (number, time) in times.into_iter().enumerate() {
        let mut record = Record::inference("phi-3-mini").prompt(format!("prompt {number}"));
        record.occurred = time;
        recorder.record(record).unwrap();
    }
    recorder.close(LONG).unwrap();
    assert_eq!(prompts(dir.path()), (0..times.len()).map(|number| format!("prompt {number}")).collect::<Vec<_>>());
    let stored = "SELECT count(*) FROM entry WHERE occurred IN (9223372036854775807, -9223372036854775808, 0, -1)";
    assert_eq!(number(dir.path(), stored), 4, "as claimed, not corrected");
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry WHERE clock NOT IN (0, 1, 2) OR clock IS NULL"), 0);
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry WHERE abs(recorded - (SELECT max(recorded) FROM entry)) > 60000000000"), 0);
    assert_intact(dir.path());
    let path = dir.path().to_str().unwrap();
    for command in [&["--path", path, "query", "--json"][..], &["--path", path, "export"], &["--path", path, "stats"]] {
        let (code, _, errors) = lowlight(command, "");
        assert_eq!(code, 0, "{command:?}: {errors}");
    }
}

#[test]
fn an_alarm_is_not_repeated_with_every_batch() {
    let dir = scratch();
    lowlight_tests::fill(dir.path(), 5);
    lowlight_tests::db(dir.path()).execute("UPDATE content SET value = 'x' WHERE value = 'prompt 3'", []).unwrap();
    let recorder = Recorder::builder(dir.path()).max_loss_window(Duration::ZERO).open().unwrap();
    for number in 0..5 {
        assert!(matches!(tell(&recorder, &format!("after {number}")).wait_timeout(LONG), Outcome::Durable(_)));
    }
    recorder.close(LONG).unwrap();
    assert_eq!(alarms(dir.path(), "verify_failed").len(), 1);
}
