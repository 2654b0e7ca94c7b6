//! A copy elsewhere: what is written to it, whom it accuses, and what altering it hides: nothing.

use crate::elsewhere::{LONG, copy_tree};
use lowlight_core::tree;
use lowlight_host::copy::{Copier, CopyError, compare};
use lowlight_host::recorder::CopyOptions;
use lowlight_host::removal::{RetentionPolicy, Rule};
use lowlight_host::store::{Layout, Reader};
use lowlight_host::verify::{self, Report};
use lowlight_host::{Record, Recorder};
use lowlight_tests::{db, fill, scratch};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);

/// A log of 23 entries with a checkpoint, and its copy.
fn copied(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let (logs, copy) = (dir.join("logs"), dir.join("copy"));
    fill(&logs, 20);
    std::fs::create_dir(&copy).unwrap();
    let size = Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap();
    assert_eq!(size, Reader::open(&logs).unwrap().tip().size);
    let file = std::fs::read_dir(&copy).unwrap().flatten().next().unwrap().path();
    (logs, copy, file)
}

fn held(logs: &Path, copy: &Path) -> Report {
    let mut report = verify::log(logs).unwrap();
    compare(logs, copy, &mut report).unwrap();
    report
}

#[test]
fn a_copy_that_does_not_hold_by_itself_vouches_for_nothing() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    assert_eq!((held(&logs, &copy).verdict, held(&logs, &copy).level), ("intact", "checkpoint"));
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let seal = lines.iter().rposition(|line| line.starts_with("{\"checkpoint\"")).unwrap();
    let root = lines[seal].split_once("\"root\":\"").unwrap().1.split_at(64).0;
    let without = |place: usize| lines.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, line)| *line).collect::<Vec<_>>();
    let cases = [
        ("a line is missing", without(7)),
        ("the first line is missing", without(0)),
        ("two lines have changed places", [&lines[..5], &[lines[6], lines[5]], &lines[7..]].concat()),
        ("a line is none", [&lines[..5], &["{}"], &lines[5..]].concat()),
    ];
    let other = lines[seal].replace(root, &"11".repeat(32));
    let forged = [&lines[..seal], &[other.as_str()], &lines[seal + 1..]].concat();
    for (name, lines) in cases.into_iter().chain([("a checkpoint is another", forged)]) {
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let report = held(&logs, &copy);
        assert_eq!((report.verdict, report.level), ("unreadable", "chain"), "{name}: {report:?}");
        assert!(report.error.unwrap().contains("altered"), "{name}");
    }
    // A shorter one is an older one: it says so.
    std::fs::write(&file, lines[..6].join("\n") + "\n").unwrap();
    let report = held(&logs, &copy);
    assert!(report.verdict == "intact" && report.notes.iter().any(|note| note.contains("not in the copy")), "{report:?}");
}

#[test]
fn a_copy_that_has_more_than_the_log_is_left_as_it_is() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    let last = std::fs::read_to_string(&file).unwrap().lines().rev().find(|line| line.starts_with("{\"seq\"")).unwrap().to_owned();
    let size = Reader::open(&logs).unwrap().tip().size;
    let more = last.replacen(&format!("\"seq\":{}", size - 1), &format!("\"seq\":{}", 1_u64 << 40), 1) + "\n";
    let text = std::fs::read_to_string(&file).unwrap() + &more;
    std::fs::write(&file, &text).unwrap();
    fill(&logs, 5);
    let done = Copier::new(&copy, false).catch_up(&Layout::new(&logs));
    assert!(matches!(done, Err(CopyError::Ahead(..))), "{done:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let report = held(&logs, &copy);
    // Lines are missing before it: on the word of such a copy nobody was rolled back.
    assert!(report.verdict == "unreadable" && report.error.as_ref().is_some_and(|why| why.contains("are missing")), "{report:?}");
}

#[test]
fn a_copy_is_written_and_read_through_nothing_but_files() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "mine\n").unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().replace("00000.ndjson", "99999.ndjson");
    let planted = copy.join(name);
    std::os::unix::fs::symlink(&victim, &planted).unwrap();
    fill(&logs, 5);
    let refused = Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap_err().to_string();
    assert!(refused.contains("a link"), "{refused}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine\n");
    std::fs::remove_file(&planted).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&planted).status().unwrap().success());
    let begun = Instant::now();
    Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap_err();
    compare(&logs, &copy, &mut verify::log(&logs).unwrap()).unwrap_err();
    assert!(begun.elapsed() < LONG);
    // And not where the log is.
    let inside = logs.join("copy");
    std::fs::create_dir(&inside).unwrap();
    assert!(Copier::new(&inside, false).catch_up(&Layout::new(&logs)).unwrap_err().to_string().contains("own folder"));
}

#[test]
fn several_recorders_write_one_copy_without_a_line_twice() {
    let dir = scratch();
    let (logs, copy) = (dir.path().join("logs"), dir.path().join("copy"));
    std::fs::create_dir(&copy).unwrap();
    let options = || CopyOptions { dir: copy.clone(), content: false };
    let recorders: Vec<_> = (0..3).map(|_| Recorder::builder(&logs).copy(options()).open().unwrap()).collect();
    for number in 0..300 {
        let _ticket = recorders[number % 3].record(Record::inference("m").prompt("p")).unwrap();
        if number % 50 == 0 {
            std::thread::sleep(SHORT);
        }
    }
    for recorder in recorders {
        recorder.close(LONG).unwrap();
    }
    let file = std::fs::read_dir(&copy).unwrap().flatten().next().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    let seqs: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("{\"seq\":")?.split_once(',')?.0.parse().ok()).collect();
    assert_eq!(seqs, (0..Reader::open(&logs).unwrap().tip().size).collect::<Vec<_>>());
    assert_eq!(held(&logs, &copy).level, "checkpoint");
}

#[test]
fn a_copy_speaks_of_entries_that_the_log_no_longer_has() {
    let dir = scratch();
    let (logs, copy) = (dir.path().join("logs"), dir.path().join("copy"));
    fill(&logs, 600);
    std::fs::create_dir(&copy).unwrap();
    Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap();
    let policy = RetentionPolicy { number: 1, max_entries: 300, ..Default::default() };
    let recorder = Recorder::builder(&logs).retention(policy).upkeep().open().unwrap();
    recorder.prune(LONG).unwrap();
    recorder.close(LONG).unwrap();
    assert_eq!(held(&logs, &copy).level, "checkpoint");
    // Somebody puts another node in the place of removed entries and computes anew all that depends on it.
    let removed = "SELECT id FROM node WHERE id >= 1 << 56 AND id < 8 << 56 ORDER BY id LIMIT 1";
    let id: i64 = db(&logs).query_row(removed, [], |row| row.get(0)).unwrap();
    let block = (id & ((1 << 56) - 1)) >> (8 - (id >> 56));
    db(&logs).execute("UPDATE node SET hash = zeroblob(32) WHERE id = ?1", [id]).unwrap();
    let subtree = |level: u8, index: u64| Reader::open(&logs).unwrap().subtree(level, index).unwrap().unwrap();
    let above = |level: u8, index: u64| tree::node(&subtree(level - 1, index << 1), &subtree(level - 1, index << 1 | 1));
    for (level, index) in [(8, block), (9, 0)] {
        let hash = above(level, index.cast_unsigned());
        let place = i64::from(level) << 56 | index;
        db(&logs).execute("UPDATE node SET hash = ?2 WHERE id = ?1", rusqlite::params![place, &hash.0[..]]).unwrap();
    }
    let mut frontier: Vec<u8> = db(&logs).query_row("SELECT frontier FROM log", [], |row| row.get(0)).unwrap();
    frontier[..32].copy_from_slice(&subtree(9, 0).0);
    db(&logs).execute("UPDATE log SET frontier = ?1", [frontier]).unwrap();
    std::fs::remove_file(logs.join("checkpoints")).unwrap();
    let alone = verify::log(&logs).unwrap();
    assert_eq!((alone.verdict, alone.level), ("intact", "chain"), "alone it does not show: {alone:?}");
    let report = held(&logs, &copy);
    assert_eq!((report.verdict, report.problems[0].kind), ("broken", "rewritten"), "{report:?}");
}

#[test]
fn a_log_may_be_held_against_its_copy_while_both_grow() {
    let dir = scratch();
    let (logs, copy, _) = copied(dir.path());
    let options = CopyOptions { dir: copy.clone(), content: false };
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let recorder = Recorder::builder(&logs).copy(options).open().unwrap();
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                let _ticket = recorder.record(Record::inference("m").prompt("p")).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            recorder.close(LONG).unwrap();
            is_over.store(true, std::sync::atomic::Ordering::Release);
        });
        while !is_over.load(std::sync::atomic::Ordering::Acquire) {
            let report = held(&logs, &copy);
            assert_eq!((report.verdict, report.problems_total), ("intact", 0), "{report:?}");
        }
    });
    let report = held(&logs, &copy);
    assert!(report.level == "checkpoint" && report.entries > 500, "{report:?}");
}

#[test]
fn a_copy_that_was_out_of_reach_while_retention_removed_catches_up_and_holds() {
    let dir = scratch();
    let (logs, copy, _) = copied(dir.path());
    let prune = |max_entries, number| {
        let policy = RetentionPolicy { number, max_entries, ..Default::default() };
        let recorder = Recorder::builder(&logs).retention(policy).upkeep().open().unwrap();
        recorder.prune(LONG).unwrap();
        recorder.close(LONG).unwrap();
    };
    // Once it has the first part of the block that goes, and once nothing of those that go.
    for (count, number) in [(900, 1), (1500, 2)] {
        fill(&logs, count);
        prune(400, number);
        let size = Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap();
        assert_eq!(size, Reader::open(&logs).unwrap().tip().size);
        let report = held(&logs, &copy);
        assert_eq!((report.verdict, report.level), ("intact", "checkpoint"), "{report:?}");
        assert!(!report.notes.iter().any(|note| note.contains("lacks")), "{:?}", report.notes);
    }
    // Pieces of it say nothing against the log, however they were cut.
    let mut files: Vec<_> = std::fs::read_dir(&copy).unwrap().flatten().map(|file| file.path()).collect();
    files.sort();
    let text = std::fs::read(&files[0]).unwrap();
    for part in 1..40 {
        std::fs::write(&files[0], &text[..text.len() * part / 40]).unwrap();
        let mut report = verify::log(&logs).unwrap();
        if compare(&logs, &copy, &mut report).is_ok() {
            assert!(report.verdict != "broken" && report.problems_total == 0, "{part}: {report:?}");
        }
    }
}

/// Changes the digit behind each `mark` of a file in turn: the log is not broken for it, and the copy no proof. How many there are.
#[track_caller]
fn accuse_nobody(logs: &Path, copy: &Path, file: &Path, mark: &str) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    let digits: Vec<_> = text.match_indices(mark).map(|(at, found)| at + found.len()).collect();
    for at in &digits {
        let mut bytes = text.clone().into_bytes();
        bytes[*at] = if bytes[*at] == b'0' { b'1' } else { b'0' };
        std::fs::write(file, &bytes).unwrap();
        let report = held(logs, copy);
        assert!(report.verdict == "unreadable" && report.problems_total == 0, "{report:?}");
    }
    std::fs::write(file, text).unwrap();
    digits.len()
}

#[test]
fn a_bit_of_a_copy_accuses_nobody_and_hides_nothing() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    assert!(accuse_nobody(&logs, &copy, &file, "\"leaf\":\"") > 20);
    assert_eq!(held(&logs, &copy).verdict, "intact");
}

/// Appends to the newest file of a copy.
fn append(file: &Path, text: &str) {
    let mut all = std::fs::read_to_string(file).unwrap();
    all.push_str(text);
    std::fs::write(file, all).unwrap();
}

#[test]
fn a_copy_of_another_history_is_not_gone_on_with() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    let (old, good) = (dir.path().join("old"), dir.path().join("good"));
    copy_tree(&logs, &old);
    fill(&logs, 30);
    Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    // The log is put back, and goes on until it is longer than the copy.
    std::fs::rename(&logs, &good).unwrap();
    std::fs::rename(&old, &logs).unwrap();
    fill(&logs, 60);
    let done = Copier::new(&copy, false).catch_up(&Layout::new(&logs));
    assert!(matches!(done, Err(CopyError::Another(_))), "{done:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(held(&good, &copy).level, "checkpoint");
    assert_eq!(held(&logs, &copy).verdict, "broken");
    // A recorder says so in the log.
    let recorder = Recorder::builder(&logs).copy(CopyOptions { dir: copy.clone(), content: false }).open().unwrap();
    std::thread::sleep(SHORT);
    let stats = recorder.close(LONG).unwrap();
    assert!(stats.copy_problem.is_some_and(|why| why.contains("another than the copy")));
}

#[test]
fn a_block_that_is_removed_when_a_part_of_it_was_copied_is_copied_on() {
    for copied in [1, 130, 300] {
        let dir = scratch();
        let (logs, copy) = (dir.path().join("logs"), dir.path().join("copy"));
        std::fs::create_dir(&copy).unwrap();
        // Some of each block stay, and no checkpoint cuts it where the copy ends.
        let keep = Rule { kind: Some(2), min_age_s: lowlight_core::entry::MAX_INTEGER, ..Rule::default() };
        let policy = RetentionPolicy { number: 1, max_entries: 256, rules: vec![keep], ..RetentionPolicy::default() };
        let recorder = Recorder::builder(&logs).retention(policy).upkeep().open().unwrap();
        let record = |count: u64| {
            for number in 0..count {
                let audit = Record::audit("door.open").actor("alice");
                let _ticket = recorder.record(if number % 60 == 7 { audit } else { Record::inference("m").prompt("p") }).unwrap();
            }
            recorder.flush(LONG).unwrap();
        };
        record(copied);
        let mut copier = Copier::new(&copy, false);
        copier.catch_up(&Layout::new(&logs)).unwrap();
        record(900);
        recorder.prune(LONG).unwrap();
        // Nothing vouches yet for what comes now: a bit of it accuses nobody.
        copier.catch_up(&Layout::new(&logs)).unwrap();
        let file = std::fs::read_dir(&copy).unwrap().flatten().next().unwrap().path();
        assert!(accuse_nobody(&logs, &copy, &file, "\"node\":\"") > 2);
        recorder.close(LONG).unwrap();
        copier.catch_up(&Layout::new(&logs)).unwrap();
        let report = held(&logs, &copy);
        assert_eq!((report.verdict, report.level), ("intact", "checkpoint"), "{copied}: {report:?}");
        assert!(report.gaps_total > 0);
    }
}

#[test]
fn lines_that_prove_nothing_accuse_nobody_and_are_not_passed_over() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    let (text, size) = (std::fs::read_to_string(&file).unwrap(), Reader::open(&logs).unwrap().tip().size);
    let zero = "0".repeat(64);
    for line in [
        format!("{{\"seq\":{size},\"leaf\":\"{zero}\"}}\n"),
        format!("{{\"seq\":{size},\"kind\":\"unreadable\",\"leaf\":\"{zero}\"}}\n"),
        format!("{{\"seq\":{size},\"removed\":0,\"node\":\"{zero}\"}}\n"),
        format!("{{\"seq\":{},\"leaf\":\"{zero}\"}}\n", size - 1),
        format!("{}\n", text.lines().nth(3).unwrap()),
    ] {
        append(&file, &line);
        let report = held(&logs, &copy);
        assert!(report.verdict == "unreadable" && report.problems_total == 0, "{line}: {report:?}");
        std::fs::write(&file, &text).unwrap();
    }
    // The last entry as its leaf alone, or as removed: that it is another is not proven either.
    let last = text.lines().enumerate().filter(|(_, line)| line.starts_with("{\"seq\"")).last().unwrap().0;
    let lines: Vec<_> = text.lines().take(last).collect();
    for line in
        [format!("{{\"seq\":{},\"leaf\":\"{zero}\"}}\n", size - 1), format!("{{\"seq\":{},\"removed\":0,\"node\":\"{zero}\"}}\n", size - 1)]
    {
        std::fs::write(&file, format!("{}\n{line}", lines.join("\n"))).unwrap();
        let report = held(&logs, &copy);
        assert!(report.verdict == "unreadable" && report.problems_total == 0, "{report:?}");
    }
}

#[test]
fn a_file_that_somebody_adds_to_a_copy_takes_no_precedence() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    let log = Reader::open(&logs).unwrap().log_id();
    // The same log with other entries, as whoever has the whole box can make it.
    let forged = dir.path().join("forged");
    copy_tree(&logs, &forged);
    db(&forged).execute_batch("UPDATE entry SET model = 'another' WHERE seq = 7").unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let head = text.lines().next().unwrap();
    for name in ["0", "+0", "00000000000000000000000"] {
        let added = copy.join(format!("{log}-{name}.ndjson"));
        std::fs::write(&added, format!("{head}\n{{\"seq\":0,\"leaf\":\"{}\"}}\n", "0".repeat(64))).unwrap();
        assert_eq!(held(&logs, &copy).level, "checkpoint", "{name}");
        std::fs::remove_file(added).unwrap();
    }
    let added = copy.join(format!("{log}-{:020}.ndjson", 5));
    std::fs::write(&added, text.replace("\"first\":0", "\"first\":5")).unwrap();
    assert_eq!(held(&logs, &copy).verdict, "unreadable");
    assert_ne!(held(&forged, &copy).verdict, "intact");
}

#[test]
fn a_log_that_is_exchanged_between_verification_and_comparison_is_not_taken_for_the_other() {
    let dir = scratch();
    let (logs, copy, _) = copied(dir.path());
    let other = dir.path().join("other");
    copy_tree(&logs, &other);
    fill(&other, 3);
    let mut report = verify::log(&other).unwrap();
    compare(&logs, &copy, &mut report).unwrap();
    assert_eq!(report.verdict, "unreadable", "{report:?}");
}
