//! The failure contract: a database that is corrupt, foreign, newer, or was changed before it is opened.

use crate::seen::{LONG, alarms, assert_intact, copy_files, entries, files, lifecycle, lowlight, number, prompts, quick, tell};
use lowlight_host::recorder::VerifyAtStart;
use lowlight_host::store::StoreError;
use lowlight_host::{Outcome, Recorder, RecorderError, Stats};
use lowlight_tests::{db, fill, scratch, verify};
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const PAGE: usize = 4096;

/// Turns a page, numbered from 1, into garbage.
fn ruin(dir: &Path, page: usize) {
    let path = dir.join("lowlight.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page - 1) * PAGE..page * PAGE].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
}

fn root_page(dir: &Path, table: &str) -> usize {
    let sql = format!("SELECT rootpage FROM sqlite_schema WHERE name = '{table}'");
    usize::try_from(number(dir, &sql)).unwrap()
}

/// Opens a damaged log for recording, and checks everything that the contract says about it.
fn assert_moved_aside(dir: &Path, predecessor_is_known: bool) {
    let damaged = std::fs::read(dir.join("lowlight.db")).unwrap();
    let report = verify(dir);
    assert_eq!(report.verdict, "unreadable");
    let why = report.error.unwrap();
    assert!(why.contains("lowlight.db") && why.contains("damaged"), "readers get a named error: {why}");
    assert!(std::fs::read(dir.join("lowlight.db")).unwrap() == damaged, "reading changed it");

    let recorder = quick(dir).open_deadline(Duration::from_secs(2)).open().expect("a damaged log does not stop recording");
    let outcome = tell(&recorder, "after the damage").wait_timeout(Duration::from_secs(8));
    assert!(matches!(outcome, Outcome::Durable(_)), "{outcome:?}, waiting for {:?}", recorder.stats().waiting);
    let moved = recorder.stats().quarantined.expect("it says where the damaged log is");
    recorder.close(LONG).unwrap();
    assert!(moved.contains("quarantine/damaged-1"), "{moved}");

    assert!(std::fs::read(dir.join("quarantine/damaged-1/lowlight.db")).unwrap() == damaged, "moved as it was");
    assert_eq!(prompts(dir), ["after the damage"]);
    let alarm = &alarms(dir, "quarantined")[..];
    assert!(alarm.len() == 1 && alarm[0]["detail"].as_str().unwrap().contains("quarantine/damaged-1"), "{alarm:?}");
    let open = entries(dir).swap_remove(0);
    assert_eq!(open["kind"], "open");
    assert!(open["event"]["predecessor"].is_object(), "{open}");
    assert_eq!(open["event"]["predecessor"]["log_id"].is_string(), predecessor_is_known, "{open}");
    assert_intact(dir);
}

#[test]
fn a_log_whose_header_is_garbage_is_moved_aside() {
    let dir = scratch();
    fill(dir.path(), 300);
    ruin(dir.path(), 1);
    assert_moved_aside(dir.path(), false);
}

#[test]
fn a_log_whose_log_row_is_garbage_is_moved_aside() {
    let dir = scratch();
    fill(dir.path(), 300);
    ruin(dir.path(), root_page(dir.path(), "log"));
    assert_moved_aside(dir.path(), false);
}

#[test]
fn a_log_whose_entry_table_is_garbage_is_moved_aside_and_named_by_the_new_one() {
    let dir = scratch();
    fill(dir.path(), 300);
    let old = db(dir.path()).query_row("SELECT lower(hex(log_id)) FROM log", [], |row| row.get::<_, String>(0)).unwrap();
    ruin(dir.path(), root_page(dir.path(), "entry"));
    assert_moved_aside(dir.path(), true);
    let open = entries(dir.path()).swap_remove(0);
    assert_eq!(open["event"]["predecessor"]["log_id"], old);
    assert!(open["event"]["predecessor"]["size"].as_u64().unwrap() >= 300);
    assert!(open["event"]["predecessor"]["root"].is_string());
}

#[test]
fn a_page_of_content_that_is_garbage_is_noticed_when_the_log_is_opened() {
    let dir = scratch();
    fill(dir.path(), 300);
    let bytes = std::fs::read(dir.path().join("lowlight.db")).unwrap();
    let needle = b"prompt 150";
    let place = bytes.windows(needle.len()).position(|window| window == needle).expect("the prompt in the file");
    ruin(dir.path(), place / PAGE + 1);
    let report = verify(dir.path());
    assert_ne!(report.verdict, "intact");
    assert!(report.error.is_some_and(|error| error.contains("damaged")));
    let recorder = Recorder::builder(dir.path()).open().unwrap();
    let stats = recorder.stats();
    assert!(stats.verify_problem.is_some() || stats.quarantined.is_some(), "nothing was said: {stats:?}");
    recorder.close(LONG).unwrap();
    let told = alarms(dir.path(), "quarantined").len() + alarms(dir.path(), "verify_failed").len();
    assert_eq!(told, 1, "and it stands in the log");
}

#[test]
fn the_quarantine_is_bounded_and_never_overwrites() {
    let dir = scratch();
    let mut kept = Vec::new();
    for round in 0..8_u64 {
        fill(dir.path(), round + 1);
        ruin(dir.path(), 1);
        kept.push(std::fs::read(dir.path().join("lowlight.db")).unwrap());
        quick(dir.path()).open().unwrap().close(LONG).unwrap();
    }
    for (index, bytes) in kept.iter().enumerate() {
        let moved = std::fs::read(dir.path().join(format!("quarantine/damaged-{}/lowlight.db", index + 1))).unwrap();
        assert!(moved == *bytes, "damaged-{}", index + 1);
    }
    ruin(dir.path(), 1);
    let ninth = std::fs::read(dir.path().join("lowlight.db")).unwrap();
    let Err(error) = quick(dir.path()).open() else { panic!("there is no room for a ninth damaged log") };
    assert!(error.to_string().contains("quarantine"), "{error}");
    assert!(std::fs::read(dir.path().join("lowlight.db")).unwrap() == ninth, "left where it is");
    assert_eq!(std::fs::read_dir(dir.path().join("quarantine")).unwrap().count(), 8);
}

fn private(dir: &Path) {
    let path = dir.join("lowlight.db");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The files of the database itself: not our lock, which is made beside it.
fn database_files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    files(dir).into_iter().filter(|file| file.0.starts_with("lowlight.db") && !file.0.ends_with("-shm")).collect()
}

fn refusal(dir: &Path) -> StoreError {
    match Recorder::builder(dir).open_deadline(Duration::from_secs(2)).open() {
        Err(RecorderError::Store(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_database_of_another_application_is_left_as_it_is() {
    let dir = scratch();
    let connection = db(dir.path());
    connection.execute_batch("CREATE TABLE customer (name TEXT); INSERT INTO customer VALUES ('Ann'); PRAGMA application_id = 7").unwrap();
    drop(connection);
    private(dir.path());
    let before = database_files(dir.path());
    let error = refusal(dir.path());
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
    assert!(database_files(dir.path()) == before, "it was changed");
    assert!(!dir.path().join("quarantine").exists(), "quarantine is for our own files");
    let (code, _, errors) = lowlight(&["--path", dir.path().to_str().unwrap(), "record"], "{\"model\":\"m\"}\n");
    assert_eq!(code, 2, "{errors}");
    assert!(database_files(dir.path()) == before, "it was changed");
    assert_eq!(verify(dir.path()).verdict, "unreadable");
}

/// Another application's database in WAL mode, as its crash would leave it: with a journal that is not checkpointed.
fn leave_journal(dir: &Path, change: impl FnOnce(&Connection)) {
    let work = scratch();
    let connection = Connection::open(work.path().join("lowlight.db")).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    change(&connection);
    copy_files(work.path(), dir, &["lowlight.db", "lowlight.db-wal"]);
}

#[test]
fn a_journal_of_another_application_is_left_as_it_is_too() {
    let dir = scratch();
    leave_journal(dir.path(), |connection| {
        connection
            .execute_batch("PRAGMA application_id = 7; CREATE TABLE customer (name TEXT); INSERT INTO customer VALUES ('Ann')")
            .unwrap();
    });
    let before = database_files(dir.path());
    assert_eq!(before.len(), 2, "database and journal");
    let error = refusal(dir.path());
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
    assert!(database_files(dir.path()) == before, "the journal of another application was taken in");
}

#[test]
fn a_newer_log_is_refused_with_both_versions_and_not_touched() {
    for sql in ["PRAGMA user_version = 9", "UPDATE log SET format = 9"] {
        let dir = scratch();
        fill(dir.path(), 5);
        db(dir.path()).execute_batch(sql).unwrap();
        let before = database_files(dir.path());
        let error = refusal(dir.path());
        assert!(matches!(error, StoreError::Newer { found: 9, ours: 1, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("version 9") && text.contains("version 1"), "{text}");
        assert!(database_files(dir.path()) == before, "it was changed");
        assert!(!dir.path().join("quarantine").exists());
        let path = dir.path().to_str().unwrap();
        for command in ["record", "verify"] {
            let (code, out, errors) = lowlight(&["--path", path, command], "{\"model\":\"m\"}\n");
            assert_eq!(code, 2, "{command}: {out} {errors}");
        }
        assert!(database_files(dir.path()) == before, "it was changed");
    }
}

#[test]
fn a_newer_log_with_a_journal_is_not_touched_either() {
    let (dir, copy) = (scratch(), scratch());
    fill(dir.path(), 5);
    let newer = db(dir.path());
    newer.execute_batch("PRAGMA user_version = 9").unwrap();
    copy_files(dir.path(), copy.path(), &["lowlight.db", "lowlight.db-wal"]);
    let before = database_files(copy.path());
    assert!(before[1].1.len() > 32, "the version stands in the journal");
    let error = refusal(copy.path());
    assert!(matches!(error, StoreError::Newer { found: 9, .. }), "{error}");
    assert!(database_files(copy.path()) == before, "the journal was taken in");
}

/// Opens a log with `how`, records one thing, closes; what was found and how many alarms stand in the log.
fn opened_with(dir: &Path, how: VerifyAtStart) -> (Option<String>, usize) {
    let recorder = Recorder::builder(dir).verify_at_start(how).open().unwrap();
    let Stats { verify_problem, .. } = recorder.stats();
    assert!(matches!(tell(&recorder, "after it").wait_timeout(LONG), Outcome::Durable(_)), "recording goes on");
    recorder.close(LONG).unwrap();
    (verify_problem, alarms(dir, "verify_failed").len())
}

fn change_prompt(dir: &Path, number: u64) {
    let sql = format!("UPDATE content SET value = 'changed' WHERE value = 'prompt {number}'");
    assert_eq!(db(dir).execute(&sql, []).unwrap(), 1);
}

#[test]
fn a_tail_that_was_changed_is_reported_when_the_log_is_opened() {
    let dir = scratch();
    fill(dir.path(), 2_500);
    assert_eq!(opened_with(dir.path(), VerifyAtStart::Tail), (None, 0), "an honest log raises no alarm");
    assert_eq!(opened_with(dir.path(), VerifyAtStart::Full), (None, 0), "an honest log raises no alarm");
    change_prompt(dir.path(), 2_400);
    assert_eq!(opened_with(dir.path(), VerifyAtStart::Off), (None, 0), "off is off");
    let (problem, alarms) = opened_with(dir.path(), VerifyAtStart::Tail);
    let problem = problem.expect("the tail was verified");
    assert!(problem.contains("content_mismatch"), "{problem}");
    assert_eq!(alarms, 1);
}

#[test]
fn a_change_before_the_tail_is_reported_when_everything_is_verified() {
    let dir = scratch();
    fill(dir.path(), 2_500);
    change_prompt(dir.path(), 10);
    assert_eq!(opened_with(dir.path(), VerifyAtStart::Tail), (None, 0), "the tail begins later");
    let (problem, alarms) = opened_with(dir.path(), VerifyAtStart::Full);
    assert!(problem.is_some_and(|problem| problem.contains("content_mismatch")));
    assert_eq!(alarms, 1);
    assert_eq!(lifecycle(dir.path(), "start").len(), 3);
}
