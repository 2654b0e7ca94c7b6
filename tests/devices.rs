//! Logs of devices: from flash over a line into the host's log, and what verification says of them.

use crate::devices_line::{Board, Cable, record};
use lowlight_core::link::Request;
use lowlight_host::Recorder;
use lowlight_host::import::{Import, ImportError, Source, Taken, devices, open_image, verify_image};
use lowlight_host::line::LineError;
use lowlight_host::verify::{self, Against, Threads};
use lowlight_tests::scratch;
use std::path::Path;
use std::time::Duration;

/// Imports over the line.
fn import(dir: &Path, cable: Cable<'_>) -> Result<Taken, ImportError> {
    import_within(dir, cable, Duration::from_secs(2))
}

fn import_within(dir: &Path, cable: Cable<'_>, patience: Duration) -> Result<Taken, ImportError> {
    let recorder = Recorder::builder(dir).upkeep().open().unwrap();
    let taken = Import::new(dir, &recorder).run(Source::Line(cable, patience), &mut |_, _| {});
    recorder.close(Duration::from_secs(30)).unwrap();
    taken
}

/// What verification says of the log and its devices.
fn whole(dir: &Path) -> verify::Report {
    verify::log_and_devices(dir, Threads::One, Against::default(), &mut |_, _| {}).unwrap()
}

/// What verification says of the only device.
fn verdict(dir: &Path) -> lowlight_host::import::DeviceReport {
    let report = whole(dir);
    assert_eq!(report.devices.len(), 1);
    report.devices[0].clone()
}

/// All bodies that were taken in, in order, each once.
fn bodies(dir: &Path, board: &Board) -> Vec<(u64, Vec<u8>)> {
    let home = devices(dir).join(board.log_id().to_string());
    let store = lowlight_host::import::DeviceStore::read(&home).unwrap();
    let mut found = Vec::new();
    for stretch in store.stretches().unwrap() {
        assert!(stretch.seq.is_some(), "an import entry is missing");
        store.bodies(stretch.id, |index, body| found.push((index, body.to_vec()))).unwrap();
    }
    found
}

/// Alarms in the host's log that a device has another history.
fn alarms(dir: &Path) -> i64 {
    let log = rusqlite::Connection::open(dir.join("lowlight.db")).unwrap();
    let sql = "SELECT count(*) FROM entry WHERE instr(event, CAST('device_forked' AS BLOB)) > 0";
    log.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn what_a_device_recorded_is_taken_in_once_and_verified_with_the_log() {
    let (dir, mut board) = (scratch(), Board::new(64));
    record(&mut board, 200);
    let taken = import(dir.path(), board.cable()).unwrap();
    let all = board.entries();
    assert_eq!((taken.entries, taken.known, taken.is_forked), (all.len() as u64, 0, false));
    assert_eq!(bodies(dir.path(), &board), all);
    assert_eq!(board.status().acked, all.len() as u64, "the device may forget them");
    // Again, with nothing new, and then with something new.
    let taken = import(dir.path(), board.cable()).unwrap();
    assert_eq!((taken.entries, taken.known, taken.before), (0, 0, all.len() as u64));
    record(&mut board, 30);
    board.restart();
    record(&mut board, 5);
    import(dir.path(), board.cable()).unwrap();
    assert_eq!(bodies(dir.path(), &board), board.entries());
    let report = verdict(dir.path());
    assert_eq!((report.verdict, report.end, report.boots, report.gaps_total), ("intact", board.entries().len() as u64, 2, 0));
}

#[test]
fn a_line_that_loses_and_changes_bytes_costs_time_and_nothing_else() {
    let mut noise = 0;
    for seed in 0..12 {
        let (dir, mut board) = (scratch(), Board::new(16));
        record(&mut board, 60);
        let mut tries = 0;
        while bodies_so_far(dir.path(), &board) < board.entries().len() {
            tries += 1;
            assert!(tries < 200, "seed {seed}: it never ends");
            match import_within(dir.path(), board.cable().lossy(seed * 1000 + tries, 900), Duration::from_millis(15)) {
                Ok(taken) => noise += taken.noise,
                Err(ImportError::Line(LineError::Silent | LineError::Noise(_) | LineError::Refused)) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        assert_eq!(bodies(dir.path(), &board), board.entries(), "seed {seed}");
        assert_eq!(verdict(dir.path()).verdict, "intact", "seed {seed}");
    }
    assert!(noise > 0, "the line was not noisy");
}

fn bodies_so_far(dir: &Path, board: &Board) -> usize {
    let home = devices(dir).join(board.log_id().to_string());
    if home.join("device.db").exists() { bodies(dir, board).len() } else { 0 }
}

#[test]
fn an_import_that_breaks_off_anywhere_goes_on_where_it_was() {
    let mut board = Board::new(16);
    record(&mut board, 40);
    let all = board.entries();
    for after in (0..7_000).step_by(241) {
        let dir = scratch();
        let broken = import(dir.path(), board.cable().closed_after(after));
        assert!(broken.is_err() || after > 5_000, "{after}");
        import(dir.path(), board.cable()).unwrap();
        assert_eq!(bodies(dir.path(), &board), all, "after {after} bytes");
        assert_eq!(verdict(dir.path()).verdict, "intact");
    }
}

#[test]
fn entries_that_the_device_overwrote_are_a_gap_that_is_said_and_counted() {
    let (dir, mut board) = (scratch(), Board::new(4));
    record(&mut board, 20);
    import(dir.path(), board.cable()).unwrap();
    record(&mut board, 400);
    let taken = import(dir.path(), board.cable()).unwrap();
    let (first, before) = (board.status().first, taken.verdict.gaps[0]);
    assert_eq!((before.end, before.is_anchored), (first, true));
    let report = verdict(dir.path());
    assert_eq!((report.verdict, report.gaps_total, report.lost), ("intact", 1, before.end - before.first));
    assert_eq!((report.gaps[0].first, report.gaps[0].last), (before.first, first - 1));
    // In all, nothing is unaccounted for.
    assert_eq!(report.entries + report.lost, board.status().next);
}

#[test]
fn an_image_of_flash_is_verified_and_taken_in_as_the_line_is() {
    let (dir, mut board) = (scratch(), Board::new(8));
    record(&mut board, 60);
    board.restart();
    record(&mut board, 100);
    let image = board.image();
    let report = verify_image(&open_image(&image).unwrap());
    assert_eq!((report.verdict, report.end, report.first), ("intact", board.status().next, Some(board.status().first)));
    let recorder = Recorder::builder(dir.path()).upkeep().open().unwrap();
    let import_image = || {
        let source: Source<Cable<'_>> = Source::Image(image.clone());
        Import::new(dir.path(), &recorder).run(source, &mut |_, _| {}).unwrap()
    };
    let taken = import_image();
    assert_eq!((taken.entries, taken.known), (board.entries().len() as u64, 0));
    let again = import_image();
    assert_eq!((again.entries, again.known, again.is_forked), (0, taken.entries, false));
    recorder.close(Duration::from_secs(30)).unwrap();
    assert_eq!(bodies(dir.path(), &board), board.entries());
    record(&mut board, 10);
    let taken = import(dir.path(), board.cable()).unwrap();
    assert_eq!((taken.entries, taken.is_forked), (10, false));
    assert_eq!(verdict(dir.path()).verdict, "intact");
}

#[test]
fn a_capture_of_the_line_is_taken_in_later() {
    let (dir, mut board) = (scratch(), Board::new(8));
    record(&mut board, 50);
    let mut capture = b"boot: hello\r\n".to_vec();
    for request in [Request::Status, Request::Read { from: 0, messages: 20 }, Request::Read { from: 3, messages: 200 }] {
        capture.extend(board.ask(&request));
    }
    let recorder = Recorder::builder(dir.path()).upkeep().open().unwrap();
    let import = |bytes: Vec<u8>| {
        let source: Source<Cable<'_>> = Source::Capture(bytes);
        Import::new(dir.path(), &recorder).run(source, &mut |_, _| {})
    };
    let taken = import(capture.clone()).unwrap();
    assert_eq!((taken.entries, taken.is_forked), (board.entries().len() as u64, false));
    assert!(matches!(import(capture[..20].to_vec()), Err(ImportError::Capture)));
    recorder.close(Duration::from_secs(30)).unwrap();
    assert_eq!(bodies(dir.path(), &board), board.entries());
    assert_eq!(verdict(dir.path()).verdict, "intact");
}

#[test]
fn a_device_that_went_back_is_told_and_both_histories_are_kept() {
    let (dir, mut board) = (scratch(), Board::new(20));
    record(&mut board, 20);
    let old = board.image();
    record(&mut board, 20);
    import(dir.path(), board.cable()).unwrap();
    let before = bodies(dir.path(), &board);
    // Somebody puts the flash of an earlier day back.
    board.restore(&old);
    record(&mut board, 7);
    let taken = import(dir.path(), board.cable()).unwrap();
    assert!(taken.is_forked && taken.fewer == Some(board.status().next) && taken.entries > 7, "{taken:?}");
    let after = bodies(dir.path(), &board);
    assert!(before.iter().all(|entry| after.contains(entry)) && board.entries().iter().all(|entry| after.contains(entry)));
    let report = verdict(dir.path());
    assert_eq!(report.verdict, "broken");
    assert!(report.problems.iter().any(|problem| problem.kind == "reordered"), "{:?}", report.problems);
    assert_eq!(alarms(dir.path()), 1);
    // The same once more is nothing new.
    assert_eq!(import(dir.path(), board.cable()).unwrap().entries, 0);
    assert_eq!(alarms(dir.path()), 1);
    // And when it has passed where it was.
    record(&mut board, 60);
    assert!(import(dir.path(), board.cable()).unwrap().entries >= 60);
}

#[test]
fn what_newer_firmware_says_is_kept_raw_and_hashed() {
    let (dir, mut board) = (scratch(), Board::new(8));
    record(&mut board, 3);
    board.append(&[2, 9, 9, 9]);
    record(&mut board, 3);
    import(dir.path(), board.cable()).unwrap();
    assert_eq!(bodies(dir.path(), &board), board.entries());
    let report = verdict(dir.path());
    assert_eq!((report.verdict, report.not_understood), ("intact", 1));
}

#[test]
fn whoever_changes_what_was_taken_in_is_found_by_the_hosts_log() {
    let (dir, mut board) = (scratch(), Board::new(8));
    record(&mut board, 30);
    import(dir.path(), board.cable()).unwrap();
    record(&mut board, 30);
    import(dir.path(), board.cable()).unwrap();
    let path = devices(dir.path()).join(board.log_id().to_string()).join("device.db");
    let keep = std::fs::read(&path).unwrap();
    let attacks = [
        ("UPDATE entry SET body = zeroblob(40) WHERE idx = 12", "modified"),
        ("DELETE FROM entry WHERE idx = 12", "modified"),
        ("DELETE FROM entry WHERE stretch = 2; DELETE FROM stretch WHERE id = 2", "missing"),
        (
            "UPDATE entry SET idx = idx + 100 WHERE stretch = 2; UPDATE stretch SET first = first + 100, end = end + 100 WHERE id = 2",
            "missing",
        ),
        ("INSERT INTO stretch SELECT 9, 90, 91, before, after, digest, torn, 3 FROM stretch WHERE id = 2", "inserted"),
    ];
    for (sql, kind) in attacks {
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let report = verdict(dir.path());
        assert_eq!(report.verdict, "broken", "{sql}");
        assert!(report.problems.iter().any(|problem| problem.kind == kind), "{sql}: {:?}", report.problems);
        std::fs::write(&path, &keep).unwrap();
    }
    assert_eq!(verdict(dir.path()).verdict, "intact");
    std::fs::remove_dir_all(devices(dir.path())).unwrap();
    let report = whole(dir.path());
    assert_ne!(report.verdict, "intact", "all that was taken in is gone");
}

#[test]
fn hostile_bytes_hurt_neither_side() {
    let (dir, mut board) = (scratch(), Board::new(4));
    record(&mut board, 30);
    let (status, all) = (board.status(), board.entries());
    for seed in 0..40 {
        board.noise(seed);
    }
    let after = board.status();
    assert_eq!((after.first, after.next, after.head, after.dropped), (status.first, status.next, status.head, status.dropped));
    assert!(after.acked <= status.next);
    assert_eq!(board.entries(), all);
    for seed in 0..25 {
        // Whatever comes of it: no panic, and nothing that was there is lost.
        let _ = import_within(dir.path(), Cable::hostile(seed), Duration::from_millis(15));
    }
    import(dir.path(), board.cable()).unwrap();
    let report = whole(dir.path());
    let own = report.devices.iter().find(|device| device.log_id == board.log_id().to_string()).unwrap();
    assert_eq!((own.verdict, own.entries), ("intact", all.len() as u64));
}

#[test]
fn what_a_capture_lacks_is_taken_from_the_line_before_the_device_may_forget_it() {
    let (dir, mut board) = (scratch(), Board::new(16));
    record(&mut board, 60);
    // Of what was on the line a part in the middle was not captured.
    let mut capture = board.ask(&Request::Status);
    let answers = board.ask(&Request::Read { from: 0, messages: 255 });
    let frames: Vec<&[u8]> = answers.split(|byte| *byte == 0).filter(|frame| !frame.is_empty()).collect();
    for (_, frame) in frames.iter().enumerate().filter(|(number, _)| !(2..4).contains(number)) {
        capture.extend_from_slice(frame);
        capture.push(0);
    }
    let recorder = Recorder::builder(dir.path()).upkeep().open().unwrap();
    let source: Source<Cable<'_>> = Source::Capture(capture);
    let taken = Import::new(dir.path(), &recorder).run(source, &mut |_, _| {}).unwrap();
    assert_eq!(taken.verdict.gaps_total, 1);
    recorder.close(Duration::from_secs(30)).unwrap();
    import(dir.path(), board.cable()).unwrap();
    let mut there = bodies(dir.path(), &board);
    there.sort();
    assert_eq!(there, board.entries());
    let report = verdict(dir.path());
    assert_eq!((report.verdict, report.gaps_total, board.status().acked), ("intact", 0, board.status().next));
}

#[test]
fn a_device_that_lost_entries_says_so_and_is_no_forger() {
    let mut torn = 0;
    for count in 6..14 {
        let (dir, mut board) = (scratch(), Board::new(16));
        record(&mut board, count);
        import(dir.path(), board.cable()).unwrap();
        record(&mut board, 1);
        record(&mut board, 1);
        // The newest entry that this host has rots, and others behind it are still there.
        board.rot(board.status().next - 3);
        let is_torn = board.status().is_torn;
        board.restart();
        for _ in 0..2 {
            record(&mut board, 5);
            let taken = import(dir.path(), board.cable()).unwrap();
            assert!(!taken.is_forked, "{taken:?}");
        }
        let report = verdict(dir.path());
        assert_eq!((report.verdict, report.gaps_total, report.end), ("intact", 0, board.status().next), "{report:?}");
        // Where it stood in an older sector, the anchor of the newer one is enough.
        assert_eq!(report.torn, u64::from(is_torn), "{count}: {report:?}");
        torn += report.torn;
    }
    assert!(torn > 0);
}

#[test]
fn entries_that_could_be_read_at_one_start_and_not_at_another_are_no_forgery() {
    let mut torn = 0;
    for wrong in 2..8 {
        let (dir, mut board) = (scratch(), Board::new(16));
        record(&mut board, 6);
        let bit = board.rot(wrong);
        // This start misses an entry, and says so; the next one reads it.
        board.restart();
        record(&mut board, 2);
        board.flip(bit);
        board.restart();
        record(&mut board, 5);
        import(dir.path(), board.cable()).unwrap();
        let (line, image) = (verdict(dir.path()), verify_image(&open_image(&board.image()).unwrap()));
        assert_eq!((line.verdict, line.entries, line.torn), ("intact", image.entries, image.torn), "{wrong}: {line:?}, {image:?}");
        torn += line.torn;
    }
    assert!(torn > 0);
}

#[test]
fn an_import_that_is_stopped_keeps_what_came_and_goes_on_later() {
    let (dir, mut board) = (scratch(), Board::new(40));
    record(&mut board, 200);
    let all = board.entries().len() as u64;
    let came = std::cell::Cell::new(0);
    let is_stopped = || came.get() == 77;
    let recorder = Recorder::builder(dir.path()).upkeep().open().unwrap();
    let source = Source::Line(board.cable(), Duration::from_secs(2));
    let stopped = Import::new(dir.path(), &recorder).until(&is_stopped).run(source, &mut |count, _| came.set(count));
    assert!(matches!(stopped, Err(ImportError::Stopped(77))), "{stopped:?}");
    recorder.close(Duration::from_secs(30)).unwrap();
    assert_eq!((verdict(dir.path()).entries, verdict(dir.path()).untold), (77, 0));
    assert_eq!(import(dir.path(), board.cable()).unwrap().entries, all - 77);
    assert_eq!((verdict(dir.path()).entries, verdict(dir.path()).verdict), (all, "intact"));
}

/// A device of which so many entries were taken in; then older flash was put back, and it went past that with others.
fn put_back(dir: &Path) -> (Board, u64) {
    let mut board = Board::new(8);
    record(&mut board, 4);
    let older = board.image();
    record(&mut board, 3);
    let there = import(dir, board.cable()).unwrap().entries;
    board.restore(&older);
    record(&mut board, 3);
    assert!(board.status().next > there, "{:?}", board.status());
    (board, there)
}

#[test]
fn another_history_is_told_by_the_last_entry_where_the_device_does_not_know_its_chain() {
    let dir = scratch();
    let (mut board, there) = put_back(dir.path());
    board.rot(there - 2);
    assert_eq!(board.leaf_before(there), None);
    assert!(import(dir.path(), board.cable()).unwrap().is_forked);
    assert_eq!((alarms(dir.path()), verdict(dir.path()).verdict), (1, "broken"));
}

#[test]
fn what_a_device_does_not_know_of_its_chain_is_not_taken_for_what_is_here() {
    let mut unknown = 0;
    for count in 4..12 {
        for back in 1..4 {
            let (dir, mut board) = (scratch(), Board::new(8));
            record(&mut board, count);
            let there = import(dir.path(), board.cable()).unwrap().entries;
            record(&mut board, 3);
            // A frame before where it goes on has rotten since.
            board.rot(there - back);
            if board.leaf_before(there).is_some() {
                continue;
            }
            let taken = import(dir.path(), board.cable()).unwrap();
            let verdict = verdict(dir.path());
            assert!(!taken.is_forked && verdict.verdict == "intact", "{count}, {back}: {taken:?}, {verdict:?}");
            for stretch in taken.stretches.iter().filter(|stretch| stretch.import.first == there) {
                assert_eq!(stretch.import.head_before.0, [0; 32], "{count}, {back}");
                unknown += 1;
            }
        }
    }
    assert!(unknown > 0);
}

#[test]
fn what_a_device_lost_before_it_was_stored_is_told() {
    let (dir, mut board) = (scratch(), Board::new(8));
    let lost = board.overflow();
    import(dir.path(), board.cable()).unwrap();
    assert!(lost > 0);
    assert_eq!((verdict(dir.path()).dropped, verdict(dir.path()).verdict), (lost, "intact"));
}

#[test]
fn a_second_history_is_told_in_one_line() {
    let (dir, mut board) = (scratch(), Board::new(20));
    let old = board.image();
    record(&mut board, 40);
    import(dir.path(), board.cable()).unwrap();
    board.restore(&old);
    record(&mut board, 30);
    assert!(import(dir.path(), board.cable()).unwrap().is_forked);
    let report = verdict(dir.path());
    assert!(report.verdict == "broken" && report.problems_total <= 3, "{:?}", report.problems);
    assert!(report.problems.iter().any(|problem| problem.detail.contains("entries)")), "{:?}", report.problems);
}
