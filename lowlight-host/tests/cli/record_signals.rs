//! `record` and signals: the first ends the input in order, the second kills.

use super::common::{Place, Running};
use rustix::process::Signal;
use std::time::Duration;

/// Starts the command with the signals as they are by default: whoever runs the tests may ignore some (`nohup`, `&`).
fn start(place: &Place, arguments: &[&str]) -> Running {
    let mut command = std::process::Command::new("env");
    place.clean(&mut command);
    command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_lowlight")]).args(arguments);
    Running::new(command)
}

/// Time enough for a command to read what it was told.
fn rest() {
    std::thread::sleep(Duration::from_millis(500));
}

#[test]
fn a_signal_ends_record_in_order_though_its_input_stays_open() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let place = Place::new();
        let mut recorder = start(&place, &["record", "--ack"]);
        recorder.say("{\"model\":\"m\",\"prompt\":\"before the signal\"}\n");
        assert!(recorder.line().contains("durable"));
        recorder.signal(signal);
        assert_eq!(recorder.status(), Some(0), "{signal:?}");
        let all = place.run(&["query", "--all", "--json"]).expect(0).json();
        let kinds: Vec<_> = all.iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds, ["open", "lifecycle", "lifecycle", "inference", "lifecycle"], "the stop entry is there");
        place.run(&["verify"]).expect(0);
    }
}

#[test]
fn a_line_that_the_signal_cuts_off_is_refused_and_says_so() {
    let place = Place::new();
    let mut recorder = start(&place, &["record", "--ack"]);
    recorder.say("{\"model\":\"m\"}\n");
    assert!(recorder.line().contains("durable"));
    recorder.say("{\"model\":\"m\",\"prompt\":\"half a li");
    rest();
    recorder.signal(Signal::TERM);
    let receipt = recorder.line();
    assert!(receipt.contains("\"line\":2") && receipt.contains("cut off"), "{receipt}");
    assert_eq!(recorder.status(), Some(1));
    assert_eq!(place.records().len(), 1);
}

#[test]
fn a_second_signal_kills_a_record_that_waits_for_storage() {
    let place = Place::new();
    let mut recorder = start(&place, &["record", "--ack"]);
    recorder.say("{\"model\":\"m\"}\n");
    assert!(recorder.line().contains("durable"));
    let lock = std::fs::File::open(place.path("logs/lowlight.lock")).unwrap();
    lock.lock().unwrap();
    recorder.say("{\"model\":\"m\",\"prompt\":\"waits\"}\n");
    rest();
    recorder.signal(Signal::TERM);
    rest();
    assert!(recorder.is_running(), "it waits for the lock");
    recorder.signal(Signal::TERM);
    assert_eq!(recorder.status(), None, "killed");
    drop(lock);
    place.run(&["verify"]).expect(0);
    // Long enough for the next start to find the run that did not stop.
    std::thread::sleep(Duration::from_millis(10));
    place.record(&["{\"model\":\"m\",\"prompt\":\"after\"}"]);
    let stats = place.run(&["stats", "--json"]).expect(0).object();
    assert_eq!((&stats["runs"]["not_stopped"], &stats["runs"]["unclean_stops"]), (&0.into(), &1.into()), "{stats}");
    let text = place.run(&["stats"]).expect(0).out;
    assert!(text.contains("2 runs, 0 not stopped, 1 unclean stop on record"), "{text}");
    let all = place.run(&["query", "--all", "--json"]).expect(0).json();
    assert!(all.iter().any(|entry| entry["event"]["what"] == "unclean_stop"), "{all:?}");
}

#[test]
fn a_signal_that_the_starter_has_it_ignore_stays_ignored() {
    let place = Place::new();
    let recorder = "trap '' HUP; exec \"$0\" record --ack";
    let mut command = std::process::Command::new("sh");
    place.clean(&mut command);
    command.args(["-c", recorder, env!("CARGO_BIN_EXE_lowlight")]);
    let mut running = Running::new(command);
    running.say("{\"model\":\"m\"}\n");
    assert!(running.line().contains("durable"));
    running.signal(Signal::HUP);
    rest();
    running.say("{\"model\":\"m\"}\n");
    assert!(running.line().contains("durable"), "it went on");
    assert_eq!(running.end(), 0);
}

#[test]
fn a_signal_ends_a_record_with_thousands_of_lines_open() {
    let place = Place::new();
    let mut recorder = start(&place, &["record"]);
    recorder.say("{\"model\":\"m\"}\n");
    while !place.path("logs/lowlight.lock").exists() {
        rest();
    }
    rest();
    let lock = std::fs::File::open(place.path("logs/lowlight.lock")).unwrap();
    lock.lock().unwrap();
    // Less than the pipe and the queue take, so that nobody here waits.
    recorder.say(&"{\"model\":\"m\"}\n".repeat(3_000));
    rest();
    let started = std::time::Instant::now();
    recorder.signal(Signal::TERM);
    assert_eq!(recorder.status(), Some(1));
    // It gives storage its thirty seconds, and not some time for each line on top.
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
}
