//! What went wrong in the five systems we replace when they were run (`peers.md`), and does not go wrong here.

use crate::seen::{Jam, LONG, Stall, Tmpfs, assert_intact, copy_files, entries, gaps, lowlight, number, prompts, quick, tell, wait_until};
use lowlight_host::export::verify_export;
use lowlight_host::{ContentMode, Outcome, Record, Recorder};
use lowlight_tests::{db, fill, scratch, verify};
use std::path::Path;
use std::time::{Duration, Instant};

fn record(dir: &Path, lines: &str) -> (i32, String) {
    let (code, _, errors) = lowlight(&["--path", dir.to_str().unwrap(), "record"], lines);
    (code, errors)
}

fn verify_command(path: &Path) -> i32 {
    lowlight(&["verify", path.to_str().unwrap()], "").0
}

#[test]
fn lowlightlog_an_integer_latency_or_a_negative_zero_is_not_tampering() {
    let dir = scratch();
    let lines = "{\"model\":\"m\",\"latency_ms\":87}\n{\"model\":\"m\",\"latency_ms\":87.0}\n{\"model\":\"m\",\"latency_ms\":-0.0}\n\
        {\"model\":\"m\",\"cost_usd\":1e-9,\"input_tokens\":7.0}\n";
    assert_eq!(record(dir.path(), lines).0, 0);
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry WHERE duration_ns = 87000000"), 2);
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry WHERE duration_ns = 0"), 1);
    assert_intact(dir.path());
}

#[test]
fn lowlightlog_a_numeric_model_is_refused_and_does_not_read_as_tampering_later() {
    let dir = scratch();
    let (code, errors) = record(dir.path(), "{\"model\":7}\n{\"model\":\"7\"}\n");
    assert_eq!(code, 1);
    assert!(errors.contains("line 1: model is not a text"), "{errors}");
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry WHERE model = '7'"), 1);
    assert_intact(dir.path());
}

#[test]
fn lowlightlog_content_that_is_not_kept_is_not_tampering() {
    let dir = scratch();
    for mode in [ContentMode::HashOnly, ContentMode::None, ContentMode::Full] {
        let recorder = quick(dir.path()).content(mode).open().unwrap();
        tell(&recorder, "prompt");
        recorder.close(LONG).unwrap();
    }
    assert_eq!(prompts(dir.path()).len(), 1);
    assert_intact(dir.path());
}

#[test]
fn lowlightlog_one_bad_value_does_not_kill_the_writer_and_close_does_not_hang() {
    let dir = scratch();
    let bad = ["NaN", "1180591620717411303424", "\"\\ud800\"", "[null]", "1e999"];
    let mut lines = String::new();
    for number in 0..200 {
        lines += &format!("{{\"model\":\"m\",\"prompt\":\"prompt {number}\"}}\n");
        lines += &format!("{{\"model\":\"m\",\"latency_ms\":{}}}\n", bad[number % bad.len()]);
    }
    let started = Instant::now();
    let (code, errors) = record(dir.path(), &lines);
    assert!(started.elapsed() < LONG);
    assert_eq!(code, 1);
    assert!(errors.contains("200 lines recorded, 200 refused, 0 lost"), "{errors}");
    assert_eq!(prompts(dir.path()).len(), 200);
    assert_intact(dir.path());
}

#[test]
fn lowlightlog_a_locked_database_neither_stalls_callers_nor_drops_records() {
    let dir = scratch();
    let recorder = Recorder::builder(dir.path()).open().unwrap();
    let stall = Stall::new(dir.path());
    let started = Instant::now();
    (0..50).for_each(|number| drop(tell(&recorder, &format!("prompt {number}"))));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    stall.release();
    assert_eq!(recorder.close(LONG).unwrap().durable, 50);
    assert_intact(dir.path());
}

#[test]
fn lowlightlog_a_huge_prompt_costs_its_caller_no_more_than_one_at_the_cap() {
    let dir = scratch();
    let recorder = quick(dir.path()).content_cap(64 << 10).open().unwrap();
    let fastest = |text: &str| {
        let once = || {
            let record = Record::inference("m").prompt(text);
            let started = Instant::now();
            drop(recorder.record(record).unwrap());
            started.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap()
    };
    let at_the_cap = fastest(&"word ".repeat(14_000));
    let huge = fastest(&"word ".repeat(10_000_000));
    // 50 MB against 70 KB: work on all of it would take 700 times as long.
    assert!(huge < at_the_cap * 5 + Duration::from_millis(5), "{huge:?} against {at_the_cap:?}");
    recorder.close(LONG).unwrap();
}

#[test]
fn lowlightlog_a_burst_of_5_000_with_default_options_loses_nothing() {
    let dir = scratch();
    let recorder = Recorder::builder(dir.path()).open().unwrap();
    (0..5_000).for_each(|number| drop(tell(&recorder, &format!("prompt {number}"))));
    let stats = recorder.close(LONG).unwrap();
    assert_eq!((stats.received, stats.durable, stats.lost.total()), (5_000, 5_000, 0));
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry WHERE kind = 1"), 5_000);
}

#[test]
fn lowlightlog_on_a_full_disk_nothing_is_called_recorded_that_is_not_there() {
    let Some(disk) = Tmpfs::new("1m") else { return };
    let dir = disk.path().join("log");
    let recorder = quick(&dir).queue(32, 8 << 20).open().unwrap();
    let text = "the door is open. ".repeat(500);
    let mut tickets = Vec::new();
    wait_until("the disk is full", || {
        tickets.push(tell(&recorder, &text));
        recorder.stats().waiting.is_some()
    });
    tickets.extend((0..100).map(|_| tell(&recorder, &text)));
    let durable = tickets.iter().filter(|ticket| matches!(ticket.outcome(), Some(Outcome::Durable(_))));
    let claimed = durable.count();
    assert!(claimed > 0 && claimed < tickets.len() - 60, "{claimed} of {}", tickets.len());
    let there = number(&dir, "SELECT count(*) FROM entry WHERE kind = 1");
    assert_eq!(there, i64::try_from(claimed).unwrap());
    let stats = recorder.stats();
    assert_eq!((stats.received, stats.durable), (tickets.len() as u64, claimed as u64));
    assert_eq!(stats.received, stats.durable + stats.queued + stats.lost.total());
    disk.remount("size=32m");
    recorder.close(LONG).unwrap();
    assert_intact(&dir);
}

#[test]
fn lowlightlog_a_read_only_mount_can_be_verified() {
    let Some(disk) = Tmpfs::new("8m") else { return };
    let dir = disk.path().join("log");
    fill(&dir, 100);
    disk.remount("ro");
    assert_eq!(verify_command(&dir), 0);
    assert_eq!(verify(&dir).records, 100);
}

#[test]
fn lowlightlog_a_copy_without_its_journal_does_not_pass_as_the_whole() {
    let (dir, with, without) = (scratch(), scratch(), scratch());
    fill(dir.path(), 90);
    let reader = db(dir.path());
    reader.query_row("SELECT count(*) FROM entry", [], |row| row.get::<_, i64>(0)).unwrap();
    fill(dir.path(), 45);
    copy_files(dir.path(), with.path(), &["lowlight.db", "lowlight.db-wal"]);
    copy_files(dir.path(), without.path(), &["lowlight.db"]);
    assert_eq!((verify(with.path()).verdict, verify(with.path()).records), ("intact", 135));
    let report = verify(without.path());
    assert_eq!((report.verdict, report.records), ("intact", 90));
    assert!(report.not_checked.contains(&"tail"), "it says that the end could not be seen");
}

#[test]
fn lowlightlog_tampered_and_missing_and_corrupt_are_told_apart() {
    let dir = scratch();
    assert_eq!(verify_command(&dir.path().join("nowhere")), 2, "missing");
    fill(dir.path(), 50);
    assert_eq!(verify_command(dir.path()), 0, "intact");
    let good = std::fs::read(dir.path().join("lowlight.db")).unwrap();
    db(dir.path()).execute("UPDATE entry SET model = 'other' WHERE seq = 20", []).unwrap();
    assert_eq!(verify_command(dir.path()), 1, "tampered");
    let mut bad = good;
    bad[..4096].fill(7);
    std::fs::write(dir.path().join("lowlight.db"), bad).unwrap();
    assert_eq!(verify_command(dir.path()), 2, "corrupt");
}

#[test]
fn airlog_a_second_recorder_does_not_disturb_the_first() {
    let (one, other) = (scratch(), scratch());
    let first = quick(one.path()).open().unwrap();
    let second = quick(other.path()).open().unwrap();
    tell(&second, "second");
    second.close(LONG).unwrap();
    assert!(matches!(tell(&first, "first").wait_timeout(LONG), Outcome::Durable(_)));
    first.close(LONG).unwrap();
    assert_eq!((prompts(one.path()), prompts(other.path())), (vec!["first".to_owned()], vec!["second".to_owned()]));
}

#[test]
fn airlog_storage_that_fails_loses_no_event_silently() {
    let dir = scratch();
    let recorder = quick(dir.path()).queue(4, 1 << 20).open().unwrap();
    let jam = Jam::new(dir.path());
    let tickets: Vec<_> = (0..20).map(|number| tell(&recorder, &format!("prompt {number}"))).collect();
    wait_until("the writer has failed once", || recorder.stats().waiting.is_some());
    jam.mend();
    let lost = tickets.iter().filter(|ticket| matches!(ticket.wait_timeout(LONG), Outcome::Lost(_))).count() as u64;
    let stats = recorder.close(LONG).unwrap();
    assert_eq!((stats.lost.total(), stats.durable), (lost, 20 - lost));
    assert!(lost >= 12);
    assert_eq!(gaps(dir.path()).iter().map(|gap| gap.1).sum::<u64>(), lost, "what was lost stands in the log");
}

#[test]
fn airlog_two_writers_of_one_log_deliver_nothing_twice() {
    let dir = scratch();
    let (one, other) = (quick(dir.path()).open().unwrap(), quick(dir.path()).open().unwrap());
    for number in 0..100 {
        tell(&one, &format!("one {number}"));
        tell(&other, &format!("other {number}"));
    }
    one.close(LONG).unwrap();
    other.close(LONG).unwrap();
    let mut all = prompts(dir.path());
    all.sort();
    let before = all.len();
    all.dedup();
    assert_eq!((before, all.len()), (200, 200));
    assert_intact(dir.path());
}

#[test]
fn immutable_logging_line_separators_in_honest_text_are_not_tampering() {
    let dir = scratch();
    let text = "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f\r\ng\rh\u{feff}i\u{202e}j\u{0}k";
    let recorder = quick(dir.path()).open().unwrap();
    tell(&recorder, text);
    recorder.close(LONG).unwrap();
    assert_intact(dir.path());
    for format in ["json", "ndjson"] {
        let (code, out, errors) = lowlight(&["--path", dir.path().to_str().unwrap(), "export", "--format", format], "");
        assert_eq!(code, 0, "{errors}");
        let report = verify_export(out.as_bytes());
        assert_eq!((report.verdict, report.records), ("intact", 1), "{format}: {:?} {:?}", report.problems, report.error);
        let (code, _, errors) = lowlight(&["verify", "-"], out);
        assert_eq!(code, 0, "{errors}");
    }
}

#[test]
fn immutable_logging_a_torn_line_does_not_crash_verification() {
    let dir = scratch();
    fill(dir.path(), 20);
    let (_, out, _) = lowlight(&["--path", dir.path().to_str().unwrap(), "export", "--format", "ndjson"], "");
    let whole = out.trim_end();
    for cut in [1, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let report = verify_export(&whole.as_bytes()[..cut]);
        assert_ne!(report.verdict, "intact", "cut at {cut}");
        assert_ne!(report.exit_code(), 0);
    }
}

#[test]
fn immutable_logging_records_of_the_same_millisecond_do_not_overwrite_each_other() {
    let dir = scratch();
    let recorder = Recorder::builder(dir.path()).open().unwrap();
    for number in 0..5_000 {
        let mut record = Record::log(lowlight_core::entry::Severity::Info, format!("message {number}"));
        record.occurred = Some(1_767_268_800_000_000_000);
        recorder.record(record).unwrap();
    }
    recorder.close(LONG).unwrap();
    assert_eq!(number(dir.path(), "SELECT count(DISTINCT value) FROM content"), 5_000);
    assert_eq!(number(dir.path(), "SELECT count(DISTINCT id) FROM entry WHERE kind = 3"), 5_000);
}

#[test]
fn synapsekit_a_torn_end_does_not_make_the_log_unopenable() {
    for cut in [1, 100, 4_000, 9_000] {
        let (dir, copy) = (scratch(), scratch());
        fill(dir.path(), 10);
        let reader = db(dir.path());
        reader.query_row("SELECT count(*) FROM entry", [], |row| row.get::<_, i64>(0)).unwrap();
        fill(dir.path(), 10);
        copy_files(dir.path(), copy.path(), &["lowlight.db", "lowlight.db-wal"]);
        let journal = std::fs::OpenOptions::new().write(true).open(copy.path().join("lowlight.db-wal")).unwrap();
        journal.set_len(journal.metadata().unwrap().len() - cut).unwrap();
        drop(journal);
        assert_intact(copy.path());
        let recorder = quick(copy.path()).open().unwrap();
        assert!(matches!(tell(&recorder, "after").wait_timeout(LONG), Outcome::Durable(_)));
        recorder.close(LONG).unwrap();
        assert_intact(copy.path());
        assert!(prompts(copy.path()).len() > 10, "cut {cut}");
        assert!(!copy.path().join("quarantine").exists(), "a torn journal is no damage");
    }
}

#[test]
fn il_audit_a_batch_survives_storage_that_fails() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let jam = Jam::new(dir.path());
    let tickets: Vec<_> = (0..100).map(|number| tell(&recorder, &format!("prompt {number}"))).collect();
    wait_until("the writer has failed once", || recorder.stats().waiting.is_some());
    assert!(tickets.iter().all(|ticket| ticket.outcome().is_none()));
    jam.mend();
    recorder.close(LONG).unwrap();
    assert_eq!(prompts(dir.path()), (0..100).map(|number| format!("prompt {number}")).collect::<Vec<_>>());
    assert_intact(dir.path());
}

#[test]
fn cost_trackers_an_unknown_price_is_unknown_and_not_zero() {
    let dir = scratch();
    assert_eq!(record(dir.path(), "{\"model\":\"never-heard-of\",\"input_tokens\":10}\n{\"model\":\"free\",\"cost_usd\":0}\n").0, 0);
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry WHERE model = 'never-heard-of' AND cost_nano_usd IS NULL"), 1);
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry WHERE model = 'free' AND cost_nano_usd = 0"), 1);
    let unknown = entries(dir.path()).into_iter().find(|entry| entry["model"] == "never-heard-of").unwrap();
    assert!(unknown.get("cost_usd").is_none(), "{unknown}");
}
