//! Retention and erasure: what goes, what stays, and that the evidence holds.

use crate::seen::wait_until;
use lowlight_core::FieldId;
use lowlight_core::entry::{Clock, MAX_INTEGER};
use lowlight_host::checkpoints::Checkpoints;
use lowlight_host::keys::{self, LogKey};
use lowlight_host::recorder::Pruned;
use lowlight_host::removal::{ALL_FIELDS, Choice, Erase, EraseError, RetentionPolicy, Room, Rule, Runs, find};
use lowlight_host::store::{Filter, Layout, Reader};
use lowlight_host::verify::{Against, Kept, Report, Threads, log_with};
use lowlight_host::{Builder, Record, Recorder};
use lowlight_tests::{db, scratch, verify};
use std::path::Path;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn builder(dir: &Path) -> Builder {
    Recorder::builder(dir).queue(16_384, 64 << 20).retention_interval(Duration::from_secs(3600)).upkeep()
}

fn limited(max_entries: u64, rules: Vec<Rule>) -> RetentionPolicy {
    RetentionPolicy { max_entries, rules, ..RetentionPolicy::default() }
}

/// Records inferences, every 50th an audit event and every 40th an error.
fn record(recorder: &Recorder, count: u64) {
    for number in 0..count {
        let prompt = format!("prompt {number}");
        let record = if number % 50 == 3 {
            Record::audit("auth.login").actor("alice")
        } else if number % 40 == 5 {
            Record::inference("m").prompt(prompt).with(|it| it.status = "error").actor("bob")
        } else {
            Record::inference("m").prompt(prompt).response("fine").actor(if number % 9 == 0 { "carol" } else { "bob" })
        };
        let _ticket = recorder.record(record).unwrap();
        if number % 4096 == 4095 {
            recorder.flush(LONG).unwrap();
        }
    }
    recorder.flush(LONG).unwrap();
}

fn record_more(dir: &Path, count: u64) {
    let recorder = builder(dir).open().unwrap();
    record(&recorder, count);
    close(&recorder);
}

fn close(recorder: &Recorder) {
    let stats = recorder.close(LONG).unwrap();
    assert_eq!(stats.lost.total(), 0);
}

fn checkpoint(dir: &Path) -> Vec<Kept> {
    let reader = Reader::open(dir).unwrap();
    let newest = Checkpoints::open(dir).unwrap().of(reader.log_id()).newest(u64::MAX).unwrap().unwrap();
    Kept::parse_all(newest.note.unwrap().as_bytes(), &[]).unwrap()
}

fn against(dir: &Path, kept: &[Kept]) -> Report {
    log_with(dir, Threads::One, Against::kept(kept, &[]), &mut |_, _| {}).unwrap()
}

fn first(report: &Report) -> (Option<u64>, &'static str) {
    report.problems.first().map_or((None, "-"), |problem| (problem.seq, problem.kind))
}

fn count(dir: &Path, sql: &str) -> u64 {
    db(dir).query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
}

fn chosen(dir: &Path, wanted: u64) -> Choice {
    Choice::in_force(&Reader::open(dir).unwrap(), (i64::MAX, Clock::Rtc), Room { wanted }).unwrap()
}

#[test]
fn retention_by_count_leaves_a_log_that_verifies_and_every_checkpoint_holds() {
    let dir = scratch();
    let audit = Rule { kind: Some(2), min_age_s: MAX_INTEGER, ..Rule::default() };
    let mut kept = Vec::new();
    for _ in 0..3 {
        let recorder = builder(dir.path()).retention(limited(500, vec![audit.clone()])).open().unwrap();
        record(&recorder, 700);
        recorder.prune(LONG).unwrap();
        close(&recorder);
        kept.extend(checkpoint(dir.path()));
    }
    let report = against(dir.path(), &kept);
    assert_eq!((report.verdict, report.level), ("intact", "checkpoint"), "{report:?}");
    assert!(report.entries <= 500 + 256 && report.erased > 1000, "{} entries, {} removed", report.entries, report.erased);
    assert!(report.not_checked.contains(&"retention_age") && !report.gaps.is_empty());
    assert_eq!(count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 2"), 42, "exempt entries stay");
    assert_eq!(verify(dir.path()).verdict, "intact");

    // One exempt entry inside the gap goes as well: nothing explains that.
    let audit = count(dir.path(), "SELECT min(seq) FROM entry WHERE kind = 2");
    db(dir.path()).execute_batch(&format!("DELETE FROM entry WHERE seq = {audit}; DELETE FROM content WHERE id >> 6 = {audit}")).unwrap();
    let report = verify(dir.path());
    assert_eq!(first(&report), (Some(audit), "unexplained_gap"), "{report:?}");
}

#[test]
fn what_explains_gaps_does_not_grow_with_every_prune() {
    let dir = scratch();
    for _ in 0..8 {
        let recorder = builder(dir.path()).retention(limited(300, Vec::new())).open().unwrap();
        record(&recorder, 600);
        recorder.prune(LONG).unwrap();
        close(&recorder);
    }
    let report = verify(dir.path());
    assert_eq!((report.verdict, report.gaps_total), ("intact", 1), "{report:?}");
    assert!(count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 6") <= 3);
    // What checkpoints cut: at most 16 nodes for each, and there are three or four a run.
    assert!(count(dir.path(), "SELECT count(*) FROM node WHERE id < 8 << 56") < 8 * 4 * 16);
}

#[test]
fn age_kind_and_status_decide_what_goes() {
    let dir = scratch();
    let rules = vec![
        Rule { kind: Some(1), status: Some("error".to_owned()), min_age_s: 3600, ..Rule::default() },
        Rule { kind: Some(2), max_age_s: 1, content_only: true, ..Rule::default() },
        Rule { kind: Some(1), max_age_s: 1, ..Rule::default() },
    ];
    let recorder = builder(dir.path()).retention(limited(0, rules)).open().unwrap();
    record(&recorder, 520);
    std::thread::sleep(Duration::from_millis(2100));
    let pruned = recorder.prune(LONG).unwrap();
    close(&recorder);
    assert!(pruned.removed.entries > 400 && pruned.removed.contents > 0 && pruned.blocked.is_none(), "{pruned:?}");
    assert_eq!(count(dir.path(), "SELECT count(*) FROM entry WHERE status = 'error'"), 13);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 2"), 11);
    let contents = "SELECT count(*) FROM content WHERE id >> 6 IN (SELECT seq FROM entry WHERE kind = 2)";
    assert_eq!(count(dir.path(), contents), 0, "of those only the entry stays");
    assert_eq!(verify(dir.path()).verdict, "intact");
}

#[test]
fn a_minimum_age_beats_every_limit() {
    let dir = scratch();
    let young = Rule { min_age_s: 3600, ..Rule::default() };
    let recorder = builder(dir.path()).retention(RetentionPolicy { max_bytes: 1 << 20, ..limited(300, vec![young]) }).open().unwrap();
    record(&recorder, 3000);
    let pruned = recorder.prune(LONG).unwrap();
    close(&recorder);
    assert_eq!(pruned.removed.entries, 0);
    assert!(pruned.blocked.is_some(), "it says that it cannot");
    assert_eq!(verify(dir.path()).verdict, "intact");
}

#[test]
fn retention_by_size_keeps_the_database_small_while_it_is_written() {
    let dir = scratch();
    let recorder = Recorder::builder(dir.path())
        .queue(16_384, 64 << 20)
        .retention(RetentionPolicy { max_bytes: 2 << 20, ..RetentionPolicy::default() })
        .retention_interval(Duration::from_millis(50))
        .open()
        .unwrap();
    for batch in 1..=60 {
        record(&recorder, 500);
        recorder.flush(LONG).unwrap();
        // About twice what may be kept.
        wait_until("retention keeps pace", || recorder.stats().removed_entries + 12_000 > batch * 500);
    }
    let stats = recorder.close(LONG).unwrap();
    assert_eq!((stats.durable, stats.lost.total()), (30_000, 0));
    assert!(stats.removed_entries > 10_000, "{stats:?}");
    // Nearly 10 MB without retention.
    let size = std::fs::metadata(dir.path().join("lowlight.db")).unwrap().len();
    assert!(size < 6 << 20, "{size} bytes");
    let report = verify(dir.path());
    assert_eq!(report.verdict, "intact", "{report:?}");
}

fn erase(dir: &Path, sql_condition: &'static str, fields: u64) -> Erase {
    let mut filter = Filter::default();
    filter.and(sql_condition, []);
    let found = find(&Reader::open(dir).unwrap(), &filter, None, fields).unwrap();
    assert!(found.entries > 0);
    Erase { runs: found.runs, fields, reason: Some("asked for by dave@example.com".to_owned()) }
}

fn is_anywhere(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_anywhere(&path, needle);
        }
        std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn what_is_erased_is_in_no_file_any_more() {
    let dir = scratch();
    let recorder = builder(dir.path()).open().unwrap();
    let long = format!("needle-{}-end", "long ".repeat(20_000));
    record(&recorder, 600);
    let ticket = recorder.record(Record::inference("m").prompt(long).actor("erin")).unwrap();
    let lowlight_host::Outcome::Durable(seq) = ticket.wait() else { panic!() };
    let salts: Vec<Vec<u8>> = {
        let db = db(dir.path());
        let mut select = db.prepare("SELECT salt FROM content WHERE id >> 6 = ?1").unwrap();
        select.query_map([seq.cast_signed()], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert!(is_anywhere(dir.path(), b"needle-long") && salts.iter().all(|salt| is_anywhere(dir.path(), salt)));
    let removed = recorder.erase(&Erase { runs: Runs::of(vec![seq]), fields: ALL_FIELDS, reason: None }, LONG).unwrap();
    assert_eq!((removed.contents, removed.tombstones.len()), (2, 1));
    assert!(!is_anywhere(dir.path(), b"needle-long") && !is_anywhere(dir.path(), b"erin"), "while the recorder is open");
    assert!(!salts.iter().any(|salt| is_anywhere(dir.path(), salt)));
    close(&recorder);
    assert!(!is_anywhere(dir.path(), b"needle-long") && !salts.iter().any(|salt| is_anywhere(dir.path(), salt)));
    let report = verify(dir.path());
    assert_eq!((report.verdict, report.erased), ("intact", 2));
}

#[test]
fn erasing_one_field_leaves_the_others_and_the_reason_can_go_too() {
    let dir = scratch();
    let recorder = builder(dir.path()).open().unwrap();
    record(&recorder, 100);
    let actor = 1 << FieldId::ACTOR.get();
    let removed = recorder.erase(&erase(dir.path(), "kind = 1", actor), LONG).unwrap();
    assert_eq!(removed.contents, 98);
    assert!(!is_anywhere(dir.path(), b"carol") && is_anywhere(dir.path(), b"prompt 9") && is_anywhere(dir.path(), b"asked for by"));
    assert!(!is_anywhere(dir.path(), b"dave@example.com"), "the reason is redacted");
    recorder.erase(&erase(dir.path(), "kind = 6", ALL_FIELDS), LONG).unwrap();
    close(&recorder);
    assert_eq!(verify(dir.path()).verdict, "intact");
    let reasons = "SELECT count(*) FROM content WHERE id & 63 = 12";
    assert_eq!(count(dir.path(), reasons), 1, "that of the first erasure is gone, that of the second is there");
}

#[test]
fn a_reader_that_holds_the_wal_makes_an_erasure_pending_and_the_next_recorder_finishes_it() {
    let dir = scratch();
    let recorder = builder(dir.path()).open().unwrap();
    record(&recorder, 50);
    let order = erase(dir.path(), "kind = 1", ALL_FIELDS);
    let holder = db(dir.path());
    holder.execute_batch("BEGIN; SELECT count(*) FROM entry").unwrap();
    let _rows: i64 = holder.query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap();
    let pending = recorder.erase(&order, Duration::from_secs(2));
    assert!(matches!(&pending, Err(EraseError::Pending(why)) if why.contains("reader")), "{pending:?}");
    // Callers go on meanwhile.
    record(&recorder, 20);
    close(&recorder);
    drop(recorder);
    holder.execute_batch("COMMIT").unwrap();
    drop(holder);
    assert!(Reader::open(dir.path()).unwrap().has_pending_removal().unwrap());
    let recorder = builder(dir.path()).open().unwrap();
    recorder.finish_removal(LONG).unwrap();
    close(&recorder);
    assert!(!is_anywhere(dir.path(), b"prompt 49"));
    assert!(!Reader::open(dir.path()).unwrap().has_pending_removal().unwrap());
    assert_eq!(verify(dir.path()).verdict, "intact");
}

#[test]
fn an_entry_that_was_altered_is_not_removed_and_an_alarm_says_so() {
    let dir = scratch();
    let recorder = builder(dir.path()).retention(limited(300, Vec::new())).open().unwrap();
    record(&recorder, 1000);
    close(&recorder);
    db(dir.path()).execute_batch("UPDATE entry SET duration_ns = 7 WHERE seq = 300").unwrap();
    let recorder = builder(dir.path()).open().unwrap();
    let pruned = recorder.prune(LONG).unwrap();
    close(&recorder);
    assert!(pruned.blocked.as_ref().is_some_and(|why| why.contains("the first is 300")), "{pruned:?}");
    assert!(pruned.removed.entries > 600 && count(dir.path(), "SELECT count(*) FROM entry WHERE seq = 300") == 1);
    assert_eq!(first(&verify(dir.path())), (Some(300), "broken"), "nothing is behind it that tells more");
    // Asked again it does not name it, or anything else, again.
    let before = count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 6");
    let recorder = builder(dir.path()).open().unwrap();
    recorder.prune(LONG).unwrap();
    close(&recorder);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 6"), before);
}

/// A log of 1,000 entries from which all but 300 are to go, after content of entry 300 was altered: removal stops there.
fn pruned_where_content_was_altered(dir: &Path) -> Pruned {
    let recorder = builder(dir).retention(limited(300, Vec::new())).open().unwrap();
    record(&recorder, 1000);
    close(&recorder);
    db(dir).execute_batch("UPDATE content SET value = 'another' WHERE id = 300 << 6").unwrap();
    let recorder = builder(dir).open().unwrap();
    let pruned = recorder.prune(LONG).unwrap();
    close(&recorder);
    pruned
}

#[test]
fn content_that_was_altered_is_not_removed_with_its_entry() {
    let dir = scratch();
    let pruned = pruned_where_content_was_altered(dir.path());
    assert_eq!(pruned.removed.altered, [300]);
    assert_eq!(first(&verify(dir.path())), (Some(300), "content_mismatch"));
    assert!(count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 4 AND instr(event, 'removal_stopped')") > 0);
}

#[test]
fn what_is_named_and_still_there_is_not_removed_for_twice() {
    let dir = scratch();
    // Where it stops, what is named stays.
    let pruned = pruned_where_content_was_altered(dir.path());
    assert!(pruned.removed.altered == [300] && pruned.removed.entries < 600, "{pruned:?}");
    let choice = chosen(dir.path(), 0);
    assert_eq!((choice.entries, &choice.blocked), (0, &None), "{choice:?}");
}

#[test]
fn a_size_limit_takes_nothing_besides_what_is_old_when_that_is_enough() {
    let dir = scratch();
    let recorder = builder(dir.path()).open().unwrap();
    record(&recorder, 3000);
    std::thread::sleep(Duration::from_millis(1200));
    record(&recorder, 3000);
    close(&recorder);
    let size = count(dir.path(), "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()");
    let old = Rule { max_age_s: 1, ..Rule::default() };
    let policy = RetentionPolicy { max_bytes: size / 10 * 9, rules: vec![old], ..RetentionPolicy::default() };
    let recorder = builder(dir.path()).retention(policy).open().unwrap();
    close(&recorder);
    // As it was when the second half had just been recorded.
    let recorded = count(dir.path(), "SELECT max(recorded) FROM entry WHERE seq < 3100").cast_signed();
    let reader = Reader::open(dir.path()).unwrap();
    let choice = Choice::in_force(&reader, (recorded + 1_000_000_000, Clock::Rtc), Room::default()).unwrap();
    assert!((2500..3100).contains(&choice.entries), "{} of 6000", choice.entries);
}

#[test]
fn an_edited_policy_removes_nothing() {
    let dir = scratch();
    let recorder = builder(dir.path()).retention(limited(900, Vec::new())).open().unwrap();
    record(&recorder, 1200);
    close(&recorder);
    assert!(chosen(dir.path(), 0).entries > 0);
    let event: Vec<u8> = db(dir.path()).query_row("SELECT event FROM entry WHERE kind = 0", [], |row| row.get(0)).unwrap();
    let at = event.windows(2).position(|pair| pair == [0x84, 0x07]).expect("900 as a varint");
    let mut edited = event.clone();
    edited[at + 1] = 0x01;
    db(dir.path()).execute("UPDATE entry SET event = ?1 WHERE kind = 0", [edited]).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let why = Choice::in_force(&reader, (i64::MAX, Clock::Rtc), Room::default()).unwrap_err().to_string();
    assert!(why.contains("does not fit its hash"), "{why}");
    let recorder = builder(dir.path()).open().unwrap();
    assert!(recorder.prune(LONG).is_err());
    close(&recorder);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 1 OR kind = 2"), 1200);
}

#[test]
fn an_edited_tombstone_widens_no_removal() {
    let dir = scratch();
    let audit = Rule { kind: Some(2), max_age_s: 1, ..Rule::default() };
    let policy = limited(100_000, vec![audit]);
    let prune = |count: u64| {
        let recorder = builder(dir.path()).retention(policy.clone()).open().unwrap();
        record(&recorder, count);
        std::thread::sleep(Duration::from_millis(1500));
        let pruned = recorder.prune(LONG).unwrap();
        close(&recorder);
        pruned
    };
    let seq = prune(700).removed.tombstones[0];
    // Behind it a block is complete. Then its last run, of one entry, becomes one of forty.
    record_more(dir.path(), 300);
    let sql = format!(
        "UPDATE entry SET event = CAST(substr(event, 1, length(event) - 1) || x'28' AS BLOB) WHERE seq = {seq} AND substr(event, -1) = x'01'"
    );
    assert_eq!(db(dir.path()).execute(&sql, []).unwrap(), 1);
    let before = count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 1");
    let pruned = prune(300);
    assert!(pruned.removed.entries < 30, "{pruned:?}");
    assert_eq!(count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 1"), before + 294);
}

#[test]
fn content_that_was_altered_is_erased_and_an_alarm_says_so() {
    let dir = scratch();
    let recorder = builder(dir.path()).open().unwrap();
    record(&recorder, 40);
    close(&recorder);
    db(dir.path()).execute_batch("UPDATE content SET value = 'another' WHERE id = 20 << 6").unwrap();
    let recorder = builder(dir.path()).open().unwrap();
    let erase = Erase { runs: Runs::join(std::iter::once(10..30)), fields: ALL_FIELDS, reason: None };
    let removed = recorder.erase(&erase, LONG).unwrap();
    close(&recorder);
    assert_eq!(removed.unfit, [20]);
    assert_eq!(verify(dir.path()).verdict, "intact");
    assert_eq!(count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 4 AND instr(event, 'erased_altered')"), 1);
}

#[test]
fn a_tombstone_that_names_what_the_policy_keeps_is_a_violation_before_anything_is_gone() {
    let dir = scratch();
    let audit = Rule { kind: Some(2), min_age_s: MAX_INTEGER, ..Rule::default() };
    let recorder = builder(dir.path()).retention(limited(300, vec![audit])).open().unwrap();
    record(&recorder, 1000);
    close(&recorder);
    // What the column says is only a hint: the entry itself is asked.
    db(dir.path()).execute_batch("UPDATE entry SET kind = 3 WHERE kind = 2").unwrap();
    let recorder = builder(dir.path()).open().unwrap();
    recorder.prune(LONG).unwrap();
    close(&recorder);
    db(dir.path()).execute_batch("UPDATE entry SET kind = 2 WHERE kind = 3").unwrap();
    let report = verify(dir.path());
    assert_eq!((report.verdict, report.pending_erase), ("intact", 0), "{report:?}");
    assert_eq!(count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 2"), 20);
}

#[test]
fn erasing_one_after_another_leaves_nothing_behind_whatever_was_moved_about() {
    let dir = scratch();
    let recorder = builder(dir.path()).retention(limited(1500, Vec::new())).open().unwrap();
    let mut random = 7_u64;
    for number in 0..2500_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (user, length) = (random >> 33 & 7, [5, 100, 400, 900][(random >> 40 & 3) as usize]);
        let prompt = format!("secret-{user}-{number:06} {}", "p".repeat(length));
        let _ticket = recorder.record(Record::inference("m").prompt(prompt).actor(format!("user{user}"))).unwrap();
    }
    recorder.flush(LONG).unwrap();
    recorder.prune(LONG).unwrap();
    for user in 0..8 {
        let mut filter = Filter::default();
        filter.and("EXISTS (SELECT 1 FROM content WHERE content.id = entry.seq * 64 + 4 AND value = ?)", [format!("user{user}").into()]);
        let found = find(&Reader::open(dir.path()).unwrap(), &filter, None, ALL_FIELDS).unwrap();
        recorder.erase(&Erase { runs: found.runs, fields: ALL_FIELDS, reason: None }, LONG).unwrap();
        for erased in 0..=user {
            assert!(!is_anywhere(dir.path(), format!("secret-{erased}-").as_bytes()), "{erased} after {user}");
        }
    }
    close(&recorder);
    assert_eq!(verify(dir.path()).verdict, "intact");
}

#[test]
fn a_log_keeps_what_it_promised_unless_the_erasure_key_signs() {
    let dir = scratch();
    let layout = Layout::new(dir.path());
    LogKey::create_erasure(&layout, "erasure").unwrap();
    let away = dir.path().join("away.key");
    let policies = |max: u64| builder(dir.path()).retention(limited(max, Vec::new())).open().unwrap();
    close(&policies(1000));
    std::fs::rename(keys::erasure_file(&layout), &away).unwrap();
    close(&policies(2000));
    let recorder = policies(400);
    let refused = recorder.stats().retention_problem;
    assert!(refused.as_ref().is_some_and(|why| why.contains("erasure key")), "{refused:?}");
    record(&recorder, 1500);
    assert_eq!(recorder.prune(LONG).unwrap().removed.entries, 0, "the policy before stays in force");
    close(&recorder);
    let report = verify(dir.path());
    assert_eq!((report.verdict, count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 7")), ("intact", 1));
    std::fs::rename(&away, keys::erasure_file(&layout)).unwrap();
    let recorder = policies(400);
    assert!(recorder.prune(LONG).unwrap().removed.entries > 900);
    close(&recorder);
    let report = verify(dir.path());
    assert_eq!((report.verdict, count(dir.path(), "SELECT count(*) FROM entry WHERE kind = 7")), ("intact", 2), "{report:?}");
}

#[test]
fn removal_goes_on_while_a_log_is_verified() {
    let dir = scratch();
    let recorder = Recorder::builder(dir.path())
        .queue(16_384, 64 << 20)
        .retention(limited(600, Vec::new()))
        .retention_interval(Duration::from_millis(20))
        .open()
        .unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..30 {
                record(&recorder, 300);
                std::thread::sleep(Duration::from_millis(20));
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let report = lowlight_host::verify::log(dir.path()).unwrap();
            assert_eq!(report.verdict, "intact", "{:?}", report.problems);
        }
    });
    close(&recorder);
    assert_eq!(verify(dir.path()).verdict, "intact");
}
