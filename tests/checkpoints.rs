//! When the recorder writes checkpoints, and what happens when it cannot.

use crate::seen::{LONG, assert_intact, lifecycle, quick, tell, wait_until};
use lowlight_host::keys::LogKey;
use lowlight_host::store::Layout;
use lowlight_host::{Record, Recorder, checkpoints};
use lowlight_tests::scratch;
use std::path::Path;
use std::time::Duration;

/// Size and cause of each checkpoint.
fn sealed(dir: &Path) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(checkpoints::file(&Layout::new(dir))).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<checkpoints::Sealed>(line).unwrap());
    lines.map(|sealed| (sealed.size, sealed.cause)).collect()
}

fn causes(dir: &Path) -> Vec<String> {
    sealed(dir).into_iter().map(|(_, cause)| cause).collect()
}

#[test]
fn a_checkpoint_is_written_after_so_many_entries() {
    let dir = scratch();
    let recorder = quick(dir.path()).checkpoints(10, LONG).batch(5, 1 << 20).open().unwrap();
    for number in 0..50 {
        tell(&recorder, &number.to_string()).wait();
    }
    recorder.close(LONG).unwrap();
    let sealed = sealed(dir.path());
    assert!(sealed.iter().filter(|(_, cause)| cause == "entries").count() >= 4, "{sealed:?}");
    assert!(sealed.is_sorted_by(|a, b| a.0 < b.0), "{sealed:?}");
    assert_intact(dir.path());
}

#[test]
fn a_checkpoint_is_written_after_so_much_time_when_there_is_something_new() {
    let dir = scratch();
    let recorder = quick(dir.path()).checkpoints(u64::MAX, Duration::from_millis(50)).open().unwrap();
    tell(&recorder, "one").wait();
    wait_until("a checkpoint is there", || causes(dir.path()).contains(&"time".to_owned()));
    let before = sealed(dir.path()).len();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sealed(dir.path()).len(), before, "nothing new, no checkpoint");
    tell(&recorder, "two").wait();
    wait_until("a checkpoint is there", || sealed(dir.path()).len() > before);
    recorder.close(LONG).unwrap();
}

#[test]
fn a_checkpoint_is_written_soon_after_an_error_but_not_after_each() {
    let dir = scratch();
    let recorder = quick(dir.path()).checkpoints(u64::MAX, LONG).open().unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    for _ in 0..20 {
        recorder.record(Record::inference("m").error("it failed")).unwrap().wait();
    }
    wait_until("a checkpoint is there", || causes(dir.path()).contains(&"error".to_owned()));
    recorder.close(LONG).unwrap();
    let errors = causes(dir.path()).iter().filter(|cause| *cause == "error").count();
    assert!((1..5).contains(&errors), "{errors}");
}

#[test]
fn several_recorders_write_one_ascending_journal() {
    let dir = scratch();
    let recorders: Vec<Recorder> = (0..3).map(|_| quick(dir.path()).checkpoints(7, LONG).open().unwrap()).collect();
    std::thread::scope(|scope| {
        for recorder in &recorders {
            scope.spawn(move || (0..60).for_each(|number| _ = tell(recorder, &number.to_string()).wait()));
        }
    });
    recorders.iter().for_each(|recorder| drop(recorder.close(LONG).unwrap()));
    assert!(sealed(dir.path()).is_sorted_by(|a, b| a.0 < b.0), "{:?}", sealed(dir.path()));
    assert_intact(dir.path());
}

#[test]
fn a_journal_that_cannot_be_written_stops_nothing_and_is_said_once() {
    let dir = scratch();
    let path = checkpoints::file(&Layout::new(dir.path()));
    std::fs::create_dir(&path).unwrap();
    let recorder = quick(dir.path()).checkpoints(1, LONG).open().unwrap();
    (0..5).for_each(|number| _ = tell(&recorder, &number.to_string()).wait());
    recorder.close(LONG).unwrap();
    let alarms = lifecycle(dir.path(), "alarm");
    assert_eq!(alarms.iter().filter(|alarm| alarm.to_string().contains("checkpoint_failed")).count(), 1, "{alarms:?}");
    std::fs::remove_dir(&path).unwrap();
    let recorder = quick(dir.path()).open().unwrap();
    recorder.close(LONG).unwrap();
    assert_eq!(causes(dir.path()), ["start", "stop"]);
    assert_intact(dir.path());
}

#[test]
fn a_line_that_was_cut_off_is_overwritten_by_the_next() {
    let dir = scratch();
    quick(dir.path()).open().unwrap().close(LONG).unwrap();
    let path = checkpoints::file(&Layout::new(dir.path()));
    let whole = std::fs::read(&path).unwrap();
    for cut in [1, 20, whole.len() / 2 - 1] {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        assert_intact(dir.path());
        quick(dir.path()).open().unwrap().close(LONG).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().all(|line| serde_json::from_str::<checkpoints::Sealed>(line).is_ok()), "{text}");
        assert!(sealed(dir.path()).is_sorted_by(|a, b| a.0 < b.0));
        assert_intact(dir.path());
    }
}

#[test]
fn a_large_journal_loses_old_notes_and_nothing_else() {
    const DAY: i64 = 86_400_000_000_000;
    let dir = scratch();
    LogKey::create(&Layout::new(dir.path()), "k").unwrap();
    quick(dir.path()).open().unwrap().close(LONG).unwrap();
    let path = checkpoints::file(&Layout::new(dir.path()));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<checkpoints::Sealed> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Thousands of checkpoints, ten a day, of another log: what counts here is that they are many.
    let others = (0..3_000_u64).map(|number| checkpoints::Sealed {
        log: "0".repeat(32),
        size: number,
        recorded: lines[0].recorded - (3_000 - i64::try_from(number).unwrap()) * DAY / 10,
        ..lines[0].clone()
    });
    let whole: Vec<_> = others.chain(lines.iter().cloned()).collect();
    let mut out = String::new();
    for sealed in &whole {
        out += &(serde_json::to_string(sealed).unwrap() + "\n");
    }
    std::fs::write(&path, &out).unwrap();
    assert!(out.len() > 1 << 20);
    quick(dir.path()).open().unwrap().close(LONG).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let thin: Vec<checkpoints::Sealed> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(thin.len(), whole.len() + 2, "every line is there");
    let notes = thin.iter().filter(|sealed| sealed.note.is_some()).count();
    assert!((1_150..1_400).contains(&notes), "{notes}: the newest thousand, and one a day before");
    assert!(thin.iter().rev().take(1_000).all(|sealed| sealed.note.is_some()));
    for (before, after) in whole.iter().zip(&thin) {
        let with_note = checkpoints::Sealed { note: before.note.clone(), ..after.clone() };
        assert_eq!(&with_note, before, "nothing but notes is taken out");
    }
    assert_intact(dir.path());
    let names = std::fs::read_dir(dir.path()).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.starts_with(".checkpoints")), "nothing is left beside it");
}
