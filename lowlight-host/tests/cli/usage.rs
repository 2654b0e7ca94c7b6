//! Help, and what is wrong usage.

use super::common::Place;

pub const COMMANDS: [&str; 12] =
    ["record", "verify", "export", "query", "stats", "tail", "show", "inspect", "doctor", "config", "completions", "man"];

/// What the help says first: the name of the thing, not of its parts.
const ABOUT: &str = "local-first flight recorder";

#[test]
fn help_of_every_command_is_exit_zero_and_says_what_it_does() {
    let place = Place::new();
    for command in COMMANDS {
        for arguments in [[command, "--help"], [command, "-h"], ["help", command]] {
            let ran = place.run(&arguments).expect(0);
            let first = ran.out.lines().next().unwrap_or_default();
            assert!(first.len() > 10 && !first.starts_with("Usage"), "{arguments:?}: {}", ran.out);
            assert!(ran.out.contains("Usage: lowlight"), "{arguments:?}: {}", ran.out);
            assert_eq!(ran.err, "");
        }
    }
}

#[test]
fn help_of_the_evidence_commands_shows_an_example() {
    let place = Place::new();
    for command in ["record", "verify", "export", "query"] {
        let help = place.run(&[command, "--help"]).expect(0).out;
        assert!(help.contains("Example: "), "{command}: {help}");
    }
}

#[test]
fn help_of_time_ranges_says_inclusive_exclusive_and_utc() {
    let place = Place::new();
    for command in ["export", "query"] {
        let help = place.run(&[command, "--help"]).expect(0).out;
        for word in ["inclusive", "exclusive", "00:00 UTC"] {
            assert!(help.contains(word), "{command}: {help}");
        }
    }
}

#[test]
fn the_general_help_lists_every_command_and_the_exit_codes() {
    let place = Place::new();
    let help = place.run(&["--help"]).expect(0).out;
    for command in COMMANDS {
        assert!(help.contains(&format!("  {command} ")), "{command}: {help}");
    }
    assert!(help.contains("Exit codes"), "{help}");
    assert!(place.run(&["--version"]).expect(0).out.starts_with("lowlight "));
}

#[test]
fn the_general_help_and_the_manual_begin_with_what_the_program_is() {
    let place = Place::new();
    let help = place.run(&["--help"]).expect(0).out;
    assert!(help.lines().next().unwrap().contains(ABOUT), "{help}");
    assert!(place.run(&["man"]).expect(0).out.replace("\\-", "-").contains(ABOUT));
}

#[test]
fn wrong_usage_is_exit_two_and_creates_nothing() {
    let place = Place::new();
    let wrong: [&[&str]; 17] = [
        &[],
        &["frobnicate"],
        &["--frobnicate"],
        &["record", "--frobnicate"],
        &["record", "file"],
        &["record", "--file"],
        &["verify", "a", "b"],
        &["export", "--format"],
        &["export", "--format", "yaml"],
        &["query", "--limit", "-1"],
        &["query", "--limit", "many"],
        &["query", "--sql"],
        &["tail", "-n", "-1"],
        &["show"],
        &["inspect"],
        &["config"],
        &["config", "change"],
    ];
    for arguments in wrong {
        let ran = place.run(arguments).expect(2);
        assert_eq!(ran.out, "", "{arguments:?}");
        assert_ne!(ran.err, "", "{arguments:?}");
    }
    assert!(!place.path("logs").exists());
}

#[test]
fn a_bad_time_is_exit_two_and_the_forms_are_named() {
    let place = Place::with(&[r#"{"model":"m"}"#]);
    let bad = [
        "",
        "tomorrowish",
        "2h",
        "ago",
        "2 bananas ago",
        "2026-13-01",
        "2026-02-30",
        "2026-1-1",
        "2026-01-01T12:00:00",
        "2026-01-01T25:00:00Z",
        "1767225600",
        "1e9",
    ];
    for time in bad {
        for command in ["query", "export"] {
            for bound in ["since", "until"] {
                let ran = place.run(&[command, &format!("--{bound}={time}")]).expect(2);
                assert!(ran.err.contains(bound) && ran.err.contains("yesterday"), "{time}: {}", ran.err);
                assert_eq!(ran.out, "", "{time}");
            }
        }
    }
}

#[test]
fn the_documented_times_are_accepted() {
    let place = Place::with(&[r#"{"model":"m"}"#]);
    for time in ["2026-01-01", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00.5+02:00", "2h ago", "3 days ago", "yesterday", "now", "today"] {
        place.run(&["query", "--since", time]).expect(0);
        place.run(&["export", "--since", time]).expect(0);
    }
}

#[test]
fn json_can_be_asked_for_before_or_after_the_command() {
    let place = Place::with(&[r#"{"model":"m"}"#]);
    assert_eq!(place.run(&["--json", "verify"]).expect(0).out, place.run(&["verify", "--json"]).expect(0).out);
}

#[test]
fn a_path_with_newlines_and_escapes_works_and_is_shown_without_them() {
    let place = Place::new();
    let path = "a\nb\x1b[31m\tc";
    let missing = place.run(&["--path", path, "query"]).expect(2);
    assert!(missing.err.lines().count() == 1 && !missing.err.contains('\x1b'), "{}", missing.err);
    place.feed(&["--path", path, "record"], "{\"model\":\"m\"}\n").expect(0);
    for arguments in [["verify"].as_slice(), &["query"], &["stats"], &["doctor"], &["checkpoint"], &["export"]] {
        let ran = place.run(&[&["--path", path], arguments].concat()).expect(0);
        for shown in [&ran.out, &ran.err] {
            assert!(!shown.contains('\x1b') && !shown.contains("a\nb"), "{arguments:?}: {shown}");
        }
    }
}
