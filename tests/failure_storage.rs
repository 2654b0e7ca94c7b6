//! The failure contract: no space, read-only media, copies without their journal, permissions and links.

use crate::seen::{
    LONG, Tmpfs, alarms, assert_intact, copy_files, entries, files, gaps, lowlight, number, prompts, quick, tell, wait_until,
};
use lowlight_host::store::StoreError;
use lowlight_host::{LossReason, Outcome, Recorder, RecorderError};
use lowlight_tests::{db, fill, scratch, verify};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn on_a_full_disk_retention_makes_room_out_of_the_reserve_and_recording_goes_on() {
    let Some(disk) = Tmpfs::new("64m") else { return };
    let dir = disk.path().join("log");
    let policy = lowlight_host::removal::RetentionPolicy { max_bytes: 1 << 30, ..Default::default() };
    let recorder =
        quick(&dir).queue(64, 8 << 20).overflow(lowlight_core::OverflowPolicy::Block).block_for(LONG).retention(policy).open().unwrap();
    wait_until("the reserve is there", || dir.join("reserve").exists());
    // Something else takes most of the disk.
    std::fs::write(disk.path().join("other"), vec![7; 16 << 20]).unwrap();
    let text = "the door is open. ".repeat(3_000);
    let tickets: Vec<_> = (0..1_500).map(|_| tell(&recorder, &text)).collect();
    let durable = tickets.iter().filter(|ticket| matches!(ticket.wait_timeout(LONG), Outcome::Durable(_))).count();
    let stats = recorder.stats();
    assert_eq!(durable, 1_500, "80 MB went through 48 MB: {stats:?}");
    assert!(stats.removed_entries > 0 && stats.lost.total() == 0, "{stats:?}");
    recorder.close(LONG).unwrap();
    assert_eq!(lowlight_tests::verify(&dir).verdict, "intact");
}

#[test]
fn a_full_disk_is_said_once_and_what_it_cost_stands_in_a_gap_when_there_is_space_again() {
    let Some(disk) = Tmpfs::new("2m") else { return };
    let dir = disk.path().join("log");
    let recorder = quick(&dir).queue(16, 8 << 20).open().unwrap();
    let text = "the door is open. ".repeat(3_000);
    let mut tickets = Vec::new();
    wait_until("the disk is full", || {
        tickets.push(tell(&recorder, &text));
        recorder.stats().waiting.is_some()
    });
    let waiting = recorder.stats().waiting.unwrap();
    assert!(waiting.contains("free some space"), "{waiting}");
    let started = Instant::now();
    tickets.extend((0..40).map(|_| tell(&recorder, "short")));
    assert!(started.elapsed() < Duration::from_secs(1), "callers wait for the disk");
    let stats = recorder.stats();
    assert!(stats.lost.disk_full >= 24 && stats.queued > 0, "{stats:?}");
    assert_eq!(stats.received, stats.durable + stats.queued + stats.lost.total());
    disk.remount("size=64m");
    for ticket in &tickets {
        let outcome = ticket.wait_timeout(LONG);
        assert!(matches!(outcome, Outcome::Durable(_) | Outcome::Lost(LossReason::DiskFull | LossReason::QueueFull)), "{outcome:?}");
    }
    let stats = recorder.close(LONG).unwrap();
    assert_eq!(stats.durable + stats.lost.total(), tickets.len() as u64);
    let told: u64 = gaps(&dir).iter().filter(|gap| gap.0 == "disk_full").map(|gap| gap.1).sum();
    assert_eq!(told, stats.lost.disk_full);
    assert_eq!(alarms(&dir, "disk_full").len(), 1);
    let durable = tickets.iter().filter(|ticket| matches!(ticket.outcome(), Some(Outcome::Durable(_)))).count();
    assert_eq!(number(&dir, "SELECT count(*) FROM entry WHERE kind = 1"), i64::try_from(durable).unwrap());
    assert_intact(&dir);
}

#[test]
fn a_reader_that_keeps_the_journal_long_leaves_room_to_copy_it() {
    let Some(disk) = Tmpfs::new("48m") else { return };
    let dir = disk.path().join("log");
    let recorder = quick(&dir).queue(16, 8 << 20).open().unwrap();
    assert!(matches!(tell(&recorder, "first").wait_timeout(LONG), Outcome::Durable(_)));
    let reader = lowlight_host::store::Reader::open(&dir).unwrap();
    reader.connection().execute_batch("BEGIN; SELECT count(*) FROM entry").unwrap();
    let text = "the door is open. ".repeat(3_000);
    wait_until("there is no room for more", || {
        tell(&recorder, &text).wait_timeout(Duration::from_millis(100));
        recorder.stats().waiting.is_some()
    });
    let size = |name: &str| dir.join(name).metadata().unwrap().len();
    assert!(size("lowlight.db-wal") < 30 << 20, "{}: {:?}", size("lowlight.db-wal"), recorder.stats().waiting);
    drop(reader);
    wait_until("recording goes on", || recorder.stats().waiting.is_none());
    assert!(matches!(tell(&recorder, "last").wait_timeout(LONG), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
    assert!(size("lowlight.db") > 16 << 20);
    assert_intact(&dir);
}

#[test]
fn a_recorder_that_starts_on_a_read_only_medium_says_so_and_goes_on_when_it_is_writable() {
    let Some(disk) = Tmpfs::new("8m") else { return };
    let dir = disk.path().join("log");
    fill(&dir, 5);
    disk.remount("ro");
    let recorder = quick(&dir).open_deadline(Duration::from_millis(200)).open().expect("a read-only medium is waited for");
    let ticket = tell(&recorder, "later");
    wait_until("stats say what is waited for", || recorder.stats().waiting.is_some());
    assert_eq!(ticket.outcome(), None);
    disk.remount("rw");
    assert!(matches!(ticket.wait_timeout(LONG), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
    assert_intact(&dir);
}

/// A log of 20 records in the database and 20 more in the journal, as a crash leaves it, copied to `to`.
fn crashed_copy(to: &Path, names: &[&str]) {
    let dir = scratch();
    fill(dir.path(), 20);
    // While somebody reads, the last writer leaves the journal behind.
    let reader = db(dir.path());
    reader.query_row("SELECT count(*) FROM entry", [], |row| row.get::<_, i64>(0)).unwrap();
    fill(dir.path(), 20);
    assert!(dir.path().join("lowlight.db-wal").metadata().unwrap().len() > 0);
    copy_files(dir.path(), to, names);
}

#[test]
fn a_log_on_a_read_only_medium_verifies_with_and_without_its_journal_files() {
    let cases: [(&[&str], u64); 4] = [
        (&["lowlight.db", "lowlight.db-wal", "lowlight.db-shm"], 40),
        (&["lowlight.db", "lowlight.db-wal"], 40),
        (&["lowlight.db"], 20),
        (&["lowlight.db", "lowlight.db-shm"], 20),
    ];
    for (names, records) in cases {
        let Some(disk) = Tmpfs::new("8m") else { return };
        crashed_copy(disk.path(), names);
        let before = files(disk.path());
        disk.remount("ro");
        let report = verify(disk.path());
        assert_eq!((report.verdict, report.records), ("intact", records), "{names:?}: {:?} {:?}", report.problems, report.error);
        assert!(report.not_checked.contains(&"tail"), "what could not be seen is said: {:?}", report.not_checked);
        assert!(files(disk.path()) == before, "verifying changed the medium");
    }
}

#[test]
fn verifying_a_log_that_nobody_has_open_leaves_no_file_behind() {
    let dir = scratch();
    for names in [&["lowlight.db", "lowlight.db-wal"][..], &["lowlight.db"]] {
        let copy = scratch();
        crashed_copy(copy.path(), names);
        let before = files(copy.path());
        assert_eq!(verify(copy.path()).verdict, "intact");
        assert!(files(copy.path()) == before, "{names:?}");
    }
    fill(dir.path(), 3);
    let before = files(dir.path());
    assert_eq!(verify(dir.path()).verdict, "intact");
    assert!(files(dir.path()) == before);
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn refusal(dir: &Path) -> String {
    match quick(dir).open_deadline(Duration::from_secs(2)).open() {
        Err(RecorderError::Store(error @ StoreError::Unsafe { .. })) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn directories_are_0700_and_files_0600_from_the_first_moment() {
    let parent = scratch();
    let dir = parent.path().join("made/by/us");
    let recorder = quick(&dir).open().unwrap();
    assert!(matches!(tell(&recorder, "hello").wait_timeout(LONG), Outcome::Durable(_)));
    let mut seen = 0;
    for folder in [dir.clone(), dir.join("run")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for file in std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
            seen += 1;
        }
    }
    assert!(seen >= 5, "database, -wal, -shm, lock and the lock of the run, but only {seen} files");
    recorder.close(LONG).unwrap();
}

#[test]
fn a_directory_or_file_that_others_can_read_is_refused_and_repaired_when_asked() {
    for (name, open, closed) in [("", 0o755, 0o700), ("", 0o710, 0o700), ("lowlight.db", 0o644, 0o600), ("lowlight.lock", 0o660, 0o600)] {
        let dir = scratch();
        fill(dir.path(), 2);
        let path = if name.is_empty() { dir.path().to_path_buf() } else { dir.path().join(name) };
        set_mode(&path, open);
        let why = refusal(dir.path());
        assert!(why.contains("chmod") && why.contains(path.to_str().unwrap()), "{why}");
        assert_eq!(mode(&path), open, "not repaired unless asked");
        let (_, out, errors) = lowlight(&["--path", dir.path().to_str().unwrap(), "doctor", "--fix"], "");
        assert_eq!(mode(&path), closed, "{out} {errors}");
        quick(dir.path()).open().unwrap().close(LONG).unwrap();
        assert_intact(dir.path());
    }
}

#[test]
fn a_symbolic_link_in_place_of_the_database_is_refused_and_not_followed() {
    let (dir, elsewhere) = (scratch(), scratch());
    let target = elsewhere.path().join("target");
    symlink(&target, dir.path().join("lowlight.db")).unwrap();
    let why = refusal(dir.path());
    assert!(why.contains("symbolic link"), "{why}");
    assert!(!target.exists(), "the link was followed");
    std::fs::write(&target, "precious").unwrap();
    refusal(dir.path());
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
}

#[test]
fn a_symbolic_link_in_place_of_the_lock_is_refused_and_not_followed() {
    let (dir, elsewhere) = (scratch(), scratch());
    let target = elsewhere.path().join("target");
    symlink(&target, dir.path().join("lowlight.lock")).unwrap();
    let opened = quick(dir.path()).open_deadline(Duration::from_millis(300)).open();
    assert!(!target.exists(), "the link was followed");
    let Err(RecorderError::Store(error)) = opened else { panic!("not refused: {opened:?}") };
    assert!(error.to_string().contains("lowlight.lock"), "{error}");
}

#[test]
fn a_directory_that_is_a_file_is_an_error_that_names_it() {
    let dir = scratch();
    let path = dir.path().join("file");
    std::fs::write(&path, "not a directory").unwrap();
    let opened = Recorder::builder(&path).open_deadline(Duration::from_millis(300)).open();
    let Err(error) = opened else { panic!("a file cannot become a log directory, so waiting for it is no use") };
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"not a directory");
}

#[test]
fn a_log_whose_files_are_taken_away_while_it_is_written_goes_on_in_new_ones() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    assert!(matches!(tell(&recorder, "before").wait_timeout(LONG), Outcome::Durable(_)));
    let away = scratch();
    for name in ["lowlight.db", "lowlight.db-wal", "lowlight.db-shm", "lowlight.lock"] {
        std::fs::rename(dir.path().join(name), away.path().join(name)).unwrap();
    }
    assert!(matches!(tell(&recorder, "after").wait_timeout(LONG), Outcome::Durable(_)));
    recorder.close(LONG).unwrap();
    assert_eq!(prompts(dir.path()), ["after"], "not written into the files that were moved away");
    assert_eq!(entries(dir.path())[0]["kind"], "open");
    assert_intact(dir.path());
    assert_eq!(prompts(away.path()), ["before"]);
}
