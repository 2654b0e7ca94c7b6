//! `record`: where from, where to, and what is left alone.

use super::common::Place;
use std::os::unix::fs::PermissionsExt;

const LINE: &str = r#"{"model":"m","prompt":"hi"}"#;

/// An SQLite database that is not ours.
fn foreign(place: &Place, name: &str) {
    let connection = rusqlite::Connection::open(place.path(name)).unwrap();
    connection.execute_batch("CREATE TABLE a (b); INSERT INTO a VALUES (1)").unwrap();
}

fn private_dir(place: &Place, name: &str) {
    std::fs::create_dir(place.path(name)).unwrap();
    std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_file_can_be_read_instead_of_stdin() {
    let place = Place::new();
    place.write("input", format!("{LINE}\nbad\n{LINE}"));
    let ran = place.run(&["record", "--file", "input"]).expect(1);
    assert!(ran.err.contains("line 2: not JSON"), "{}", ran.err);
    assert_eq!(place.records().len(), 2);
}

#[test]
fn a_file_that_is_not_there_is_named_and_nothing_is_created() {
    let place = Place::new();
    let ran = place.run(&["record", "--file", "absent"]).expect(2);
    assert!(ran.err.contains("absent"), "{}", ran.err);
    assert!(!place.path("logs").exists());
}

#[test]
fn a_directory_given_as_file_could_not_run() {
    let place = Place::new();
    let ran = place.run(&["record", "--file", "."]).expect(2);
    assert!(ran.err.contains("directory"), "{}", ran.err);
}

#[test]
fn the_directory_comes_from_the_option_then_the_variable_then_the_default() {
    let place = Place::new();
    place.feed(&["record"], LINE).expect(0);
    place.run_with(&[("LOWLIGHT_PATH", "by-variable")], &["record"], LINE).expect(0);
    place.run_with(&[("LOWLIGHT_PATH", "by-variable")], &["record", "--path", "by-option"], LINE).expect(0);
    place.run_with(&[("LOWLIGHT_PATH", "by-variable")], &["--path", "by-option-first", "record"], LINE).expect(0);
    for name in ["logs", "by-variable", "by-option", "by-option-first"] {
        let report = place.run(&["verify", name, "--json"]).expect(0).object();
        assert_eq!(report["records"], 1, "{name}");
    }
}

#[test]
fn directory_and_files_are_private() {
    let place = Place::with(&[LINE]);
    let mode = |name: &str| place.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("logs"), 0o700);
    assert_eq!(mode("logs/run"), 0o700);
    assert_eq!(mode("logs/lowlight.db"), 0o600);
    assert_eq!(mode("logs/lowlight.lock"), 0o600);
}

#[test]
fn the_master_switch_discards_the_input_and_says_so_in_one_line() {
    let place = Place::new();
    for value in ["0", "false"] {
        let ran = place.run_with(&[("LOWLIGHT_ENABLED", value)], &["record"], format!("{LINE}\nbad\n")).expect(0);
        assert_eq!(ran.out, "");
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        assert!(ran.err.contains("LOWLIGHT_ENABLED=0"), "{}", ran.err);
        assert!(!place.path("logs").exists());
    }
}

#[test]
fn a_database_of_another_application_is_left_alone() {
    let place = Place::new();
    private_dir(&place, "logs");
    foreign(&place, "logs/lowlight.db");
    std::fs::set_permissions(place.path("logs/lowlight.db"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let before = place.read("logs/lowlight.db");
    let ran = place.feed(&["record"], LINE).expect(2);
    assert!(ran.err.contains("is not a Lowlight log"), "{}", ran.err);
    assert_eq!(place.read("logs/lowlight.db"), before);
    assert!(!place.path("logs/quarantine").exists());
}

#[test]
fn a_newer_log_is_left_alone_and_both_versions_are_named() {
    let place = Place::with(&[LINE]);
    place.tamper("PRAGMA user_version = 9");
    let before = place.read("logs/lowlight.db");
    let ran = place.feed(&["record"], LINE).expect(2);
    assert!(ran.err.contains("version 9") && ran.err.contains("version 1"), "{}", ran.err);
    assert_eq!(place.read("logs/lowlight.db"), before);
}

#[test]
fn a_damaged_log_is_moved_aside_and_recording_goes_on_with_a_warning() {
    let place = Place::with(&[LINE]);
    place.write("logs/lowlight.db", "junk, junk, junk and no database");
    let ran = place.feed(&["record"], LINE).expect(0);
    assert!(ran.err.contains("damaged") && ran.err.contains("quarantine"), "{}", ran.err);
    assert_eq!(place.read("logs/quarantine/damaged-1/lowlight.db"), b"junk, junk, junk and no database");
    let all = place.run(&["query", "--all", "--json"]).expect(0).json();
    assert!(all.iter().any(|entry| entry["event"]["what"] == "alarm"), "{all:?}");
    assert_eq!(place.records().len(), 1);
    place.run(&["verify"]).expect(0);
}

#[test]
fn a_directory_that_others_can_read_is_refused_with_the_way_out() {
    let place = Place::with(&[LINE]);
    std::fs::set_permissions(place.path("logs"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = place.feed(&["record"], LINE).expect(2);
    assert!(ran.err.contains("doctor --fix"), "{}", ran.err);
    place.run(&["doctor", "--fix"]).expect(0);
    place.feed(&["record"], LINE).expect(0);
}

#[test]
fn a_symbolic_link_in_place_of_the_database_is_not_followed() {
    let place = Place::new();
    private_dir(&place, "logs");
    std::os::unix::fs::symlink(place.path("elsewhere.db"), place.path("logs/lowlight.db")).unwrap();
    place.feed(&["record"], LINE).expect(2);
    assert!(!place.path("elsewhere.db").exists());
}

#[test]
fn runs_follow_each_other_in_one_chain() {
    let place = Place::new();
    for _ in 0..3 {
        place.record(&[LINE]);
    }
    let report = place.run(&["verify", "--json"]).expect(0).object();
    assert_eq!(report["records"], 3);
    let stats = place.run(&["stats", "--json"]).expect(0).object();
    assert_eq!(stats["runs"]["known"], 3);
    assert_eq!(stats["runs"]["not_stopped"], 0);
    assert_eq!(stats["runs"]["unclean_stops"], 0);
}
