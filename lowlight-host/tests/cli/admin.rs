//! `doctor`, `config show`, `completions` and `man`.

use super::common::Place;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

const LINE: &str = r#"{"model":"m"}"#;

fn set_mode(place: &Place, name: &str, mode: u32) {
    std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(place: &Place, name: &str) -> u32 {
    place.path(name).metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn doctor_finds_nothing_wrong_with_a_good_log() {
    let place = Place::with(&[LINE]);
    let text = place.run(&["doctor"]).expect(0).out;
    for check in ["configuration", "redaction", "clock", "permissions", "file system", "space", "log", "journal"] {
        assert!(text.contains(check), "{check}: {text}");
    }
    let findings = place.run(&["doctor", "--json"]).expect(0).json();
    assert!(findings.iter().all(|finding| finding["level"] != "wrong" && finding["check"].is_string() && finding["says"].is_string()));
}

#[test]
fn doctor_finds_wide_permissions_and_repairs_them_when_asked() {
    let place = Place::with(&[LINE]);
    for (name, wide, right) in [("logs", 0o755, 0o700), ("logs/lowlight.db", 0o644, 0o600), ("logs/lowlight.lock", 0o660, 0o600)] {
        set_mode(&place, name, wide);
        let text = place.run(&["doctor"]).expect(1).out;
        assert!(text.contains("wrong") && text.contains("--fix"), "{name}: {text}");
        assert_eq!(mode(&place, name), wide, "{name}");
        let text = place.run(&["doctor", "--fix"]).expect(0).out;
        assert!(text.contains(name), "{name}: {text}");
        assert_eq!(mode(&place, name), right, "{name}");
        place.run(&["doctor"]).expect(0);
    }
}

#[test]
fn doctor_finds_a_symbolic_link() {
    let place = Place::with(&[LINE]);
    std::fs::rename(place.path("logs/lowlight.db"), place.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(place.path("elsewhere"), place.path("logs/lowlight.db")).unwrap();
    let text = place.run(&["doctor", "--fix"]).expect(1).out;
    assert!(text.contains("symbolic link"), "{text}");
}

#[test]
fn doctor_finds_a_foreign_object_a_foreign_database_and_a_bad_configuration() {
    let place = Place::with(&[LINE]);
    place.tamper("CREATE TABLE mine (a)");
    let text = place.run(&["doctor"]).expect(1).out;
    assert!(text.contains("schema") && text.contains("mine"), "{text}");

    let place = Place::with(&[LINE]);
    place.write("lowlight.toml", "nope = 1\n");
    let text = place.run(&["doctor"]).expect(1).out;
    assert!(text.contains("nope"), "{text}");

    let place = Place::with(&[LINE]);
    place.write("logs/lowlight.db", "junk, junk, junk and no database");
    place.run(&["doctor"]).expect(1);
}

#[test]
fn doctor_names_what_is_in_quarantine() {
    let place = Place::with(&[LINE]);
    place.write("logs/lowlight.db", "junk, junk, junk and no database");
    place.record(&[LINE]);
    let text = place.run(&["doctor"]).expect(0).out;
    assert!(text.contains("quarantine"), "{text}");
}

#[test]
fn doctor_creates_nothing() {
    let place = Place::new();
    let text = place.run(&["doctor", "--fix"]).expect(0).out;
    assert!(text.contains("not there yet"), "{text}");
    assert!(!place.path("logs").exists());
}

/// Value and source of a key.
#[track_caller]
fn shown(place: &Place, variables: &[(&str, &str)], options: &[&str], key: &str) -> (String, String) {
    let arguments = [options, &["config", "show", "--json"]].concat();
    let lines = place.run_with(variables, &arguments, "").expect(0).json();
    let line = lines.iter().find(|line| line["key"] == key).unwrap();
    let text = |name: &str| line[name].as_str().map_or_else(|| line[name].to_string(), str::to_owned);
    (text("value"), text("source"))
}

#[test]
fn config_show_gives_every_key_its_value_and_its_source() {
    let place = Place::new();
    assert_eq!(shown(&place, &[], &[], "content"), ("full".to_owned(), "default".to_owned()));

    let lines = place.run(&["config", "show", "--json"]).expect(0).json();
    let value = |key: &str| lines.iter().find(|line| line["key"] == key).unwrap()["value"].clone();
    let (none, empty) = (serde_json::Value::Null, serde_json::json!({}));
    assert_eq!([value("app"), value("block_ms"), value("overflow"), value("redact")], [none, 100.into(), "drop_newest".into(), empty]);

    let of_record = |key: &str| lines.iter().find(|line| line["key"] == key).unwrap()["record"].clone();
    assert_eq!(
        [of_record("overflow"), of_record("block_ms"), of_record("content")],
        ["block".into(), 60_000.into(), serde_json::Value::Null]
    );

    place.write("lowlight.toml", "app = \"gate\"\nqueue_entries = 7\n");
    let (value, source) = shown(&place, &[], &[], "app");
    assert!(value.contains("gate") && source.contains("lowlight.toml"), "{value} {source}");
    assert_eq!(shown(&place, &[], &[], "queue_entries").0, "7");

    let (value, source) = shown(&place, &[("LOWLIGHT_APP", "door")], &[], "app");
    assert!(value.contains("door") && source.contains("LOWLIGHT_APP"), "{value} {source}");
    assert_eq!(shown(&place, &[("LOWLIGHT_ENABLED", "0")], &[], "enabled").0, "false");

    place.write("other.toml", "app = \"other\"\n");
    let (value, source) = shown(&place, &[], &["--config", "other.toml"], "app");
    assert!(value.contains("other") && source.contains("other.toml"), "{value} {source}");
    assert_eq!(shown(&place, &[], &["--config", "other.toml"], "queue_entries").1, "default");
    let (value, _) = shown(&place, &[("LOWLIGHT_CONFIG", "other.toml")], &[], "app");
    assert!(value.contains("other"), "{value}");

    let text = place.run(&["config", "show"]).expect(0).out;
    assert!(text.lines().any(|line| line.starts_with("queue_entries") && line.contains('7') && line.ends_with("lowlight.toml")), "{text}");
}

#[test]
fn the_configuration_of_the_user_is_found_when_there_is_none_here() {
    let place = Place::new();
    std::fs::create_dir_all(place.path(".config/lowlight")).unwrap();
    place.write(".config/lowlight/lowlight.toml", "app = \"mine\"\n");
    let (value, source) = shown(&place, &[], &[], "app");
    assert!(value.contains("mine") && source.contains(".config"), "{value} {source}");
}

#[test]
fn the_configuration_applies_to_what_is_recorded() {
    let place = Place::new();
    place.write("lowlight.toml", "app = \"gate\"\nenvironment = \"field\"\nevent_types = [\"own.type\"]\n");
    let ran = place.feed(&["record"], "{\"kind\":\"audit\",\"event_type\":\"own.type\"}\n{\"model\":\"m\",\"app\":\"named\"}").expect(0);
    assert!(!ran.err.contains("not registered"), "{}", ran.err);
    let records = place.records();
    assert_eq!((&records[0]["app"], &records[0]["environment"]), (&Value::from("gate"), &Value::from("field")));
    assert_eq!(records[1]["app"], "named");
}

#[test]
fn an_unknown_key_is_exit_two_and_named() {
    let place = Place::with(&[LINE]);
    let ran = place.run_with(&[("LOWLIGHT_NOPE", "1")], &["config", "show"], "").expect(2);
    assert!(ran.err.contains("LOWLIGHT_NOPE"), "{}", ran.err);
    place.write("lowlight.toml", "app = \"x\"\nnope = 1\n");
    for arguments in [&["config", "show"] as &[&str], &["record"], &["query"]] {
        let ran = place.run(arguments).expect(2);
        assert!(ran.err.contains("nope") && ran.err.contains("lowlight.toml"), "{}", ran.err);
        assert!(!ran.err.contains("\\n"), "a message for people has no escaped newlines: {}", ran.err);
    }
}

#[test]
fn a_value_of_the_wrong_type_and_an_absent_file_are_exit_two() {
    let place = Place::new();
    let ran = place.run_with(&[("LOWLIGHT_QUEUE_ENTRIES", "many")], &["record"], LINE).expect(2);
    assert!(ran.err.contains("LOWLIGHT_QUEUE_ENTRIES"), "{}", ran.err);
    let ran = place.run_with(&[("LOWLIGHT_CONTENT", "some")], &["record"], LINE).expect(2);
    assert!(ran.err.contains("LOWLIGHT_CONTENT"), "{}", ran.err);
    let ran = place.run(&["--config", "absent.toml", "config", "show"]).expect(2);
    assert!(ran.err.contains("absent.toml"), "{}", ran.err);
    place.write("lowlight.toml", "this is not toml");
    place.run(&["config", "show"]).expect(2);
    assert!(!place.path("logs").exists());
}

#[test]
fn a_redaction_rule_that_is_not_valid_stops_record_at_the_start() {
    let place = Place::new();
    place.write("lowlight.toml", "[redact]\nno_such_key = 1\n");
    let ran = place.feed(&["record"], LINE).expect(2);
    assert!(ran.err.contains("no_such_key"), "{}", ran.err);
    assert!(!place.path("logs").exists());
}

#[test]
fn completions_are_printed_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell]).expect(0).out;
        assert!(script.contains("lowlight") && script.contains("verify"), "{shell}");
    }
    place.run(&["completions", "tcsh"]).expect(2);
    place.run(&["completions"]).expect(2);
}

#[test]
fn the_completions_for_bash_are_valid() {
    let place = Place::new();
    place.write("script", place.run(&["completions", "bash"]).expect(0).out);
    let Ok(status) = std::process::Command::new("bash").arg("-n").arg(place.path("script")).status() else { return };
    assert!(status.success());
}

#[test]
fn the_manual_names_every_command() {
    let manual = Place::new().run(&["man"]).expect(0).out;
    assert!(manual.contains(".TH"), "{manual}");
    for command in super::usage::COMMANDS {
        assert!(manual.contains(command), "{command}");
    }
}

#[test]
fn a_value_outside_its_range_is_an_error_that_names_key_range_and_source() {
    let place = Place::with(&[LINE]);
    for (key, value) in [
        ("queue_entries", "0"),
        ("queue_entries", "20000"),
        ("queue_bytes", "0"),
        ("content_cap", "100"),
        ("sample_one_in", "0"),
        ("event_types", "[\"Foo Bar\"]"),
    ] {
        place.write("lowlight.toml", format!("{key} = {value}\n"));
        let said = place.feed(&["record"], "{\"model\":\"m\"}\n").expect(2).err;
        assert!(said.contains(key) && said.contains("must be") && said.contains("lowlight.toml"), "{said}");
    }
}

#[test]
fn recording_that_is_switched_off_gives_receipts_that_say_so() {
    let place = Place::new();
    let ran = place.run_with(&[("LOWLIGHT_ENABLED", "0")], &["record", "--ack"], "{\"model\":\"m\"}\n\nnot json\n").expect(0);
    let lines: Vec<_> = ran.json().iter().map(|receipt| (receipt["line"].as_u64(), receipt["status"].clone())).collect();
    assert_eq!(lines, [(Some(1), "disabled".into()), (Some(3), "disabled".into())]);
    assert!(!place.path("logs").exists());
}

#[test]
fn receipts_that_cannot_be_printed_are_a_failure_and_the_lines_are_recorded() {
    let place = Place::new();
    let mut command = place.command(&["record", "--ack", "--file", "lines.ndjson"]);
    place.write("lines.ndjson", "{\"model\":\"m\"}\n");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = command.stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(1) && said.contains("receipt"), "{said}");
    assert_eq!(place.records().len(), 1);
}
