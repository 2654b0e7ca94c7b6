//! `export`: forms, files, ranges and broken logs.

use super::common::{Place, many_lines, read_a_little};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

fn place() -> Place {
    Place::with(&[r#"{"model":"m","prompt":"one"}"#, r#"{"model":"m","prompt":"two"}"#, r#"{"model":"m","prompt":"three"}"#])
}

fn broken() -> Place {
    let place = place();
    place.tamper("UPDATE content SET value = 'TWO' WHERE value = 'two'");
    place
}

fn trailer(export: &str) -> Value {
    let line = export.lines().find(|line| line.contains("\"lowlight\":\"end\"")).unwrap();
    serde_json::from_str(line.trim_end_matches(',')).unwrap()
}

/// Seqs that an NDJSON export gives in full.
fn in_full(export: &str) -> Vec<u64> {
    let lines = export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("kind").is_some()).map(|line| line["seq"].as_u64().unwrap()).collect()
}

#[test]
fn the_export_is_json_unless_told_otherwise() {
    let place = place();
    let export = place.run(&["export"]).expect(0).out;
    assert_eq!(export, place.run(&["export", "--format", "json"]).expect(0).out);
    let parsed: Value = serde_json::from_str(&export).unwrap();
    let list = parsed.as_array().unwrap();
    assert_eq!(list[0]["lowlight"], "export");
    assert_eq!(list[list.len() - 1]["lowlight"], "end");
    assert_eq!(list[list.len() - 1]["verdict"], "intact");
    assert!(list.iter().any(|entry| entry["fields"][0]["value"] == "two"));
    place.feed(&["verify", "-"], export).expect(0);
}

#[test]
fn ndjson_has_one_object_a_line_and_verifies() {
    let place = place();
    let export = place.run(&["export", "--format", "ndjson"]).expect(0).out;
    assert!(export.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object())));
    assert!(export.ends_with('\n'));
    place.feed(&["verify", "-"], export).expect(0);
}

#[test]
fn csv_has_the_names_of_the_input_in_its_header_row() {
    let place = place();
    let export = place.run(&["export", "--format", "csv"]).expect(0).out;
    let mut reader = csv::Reader::from_reader(export.as_bytes());
    let header: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    for name in
        ["seq", "kind", "recorded", "occurred", "model", "prompt", "response", "latency_ms", "user", "metadata", "event_type", "level"]
    {
        assert!(header.iter().any(|known| known == name), "{name}");
    }
    let column = header.iter().position(|name| name == "prompt").unwrap();
    let prompts: Vec<_> = reader.records().map(|row| row.unwrap()[column].to_owned()).collect();
    assert_eq!(prompts, ["one", "two", "three"]);
    for record in place.records() {
        assert!(record.as_object().unwrap().keys().all(|name| header.contains(name)), "{record}");
    }
}

#[test]
fn another_format_is_wrong_usage() {
    place().run(&["export", "--format", "xml"]).expect(2);
}

#[test]
fn a_cell_that_a_spreadsheet_would_run_is_guarded() {
    let texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "plain"];
    let place = Place::new();
    for text in texts {
        place.record(&[&serde_json::json!({"model": text, "prompt": text, "user": text, "before": text}).to_string()]);
    }
    let export = place.run(&["export", "--format", "csv"]).expect(0).out;
    let mut reader = csv::Reader::from_reader(export.as_bytes());
    let mut rows = 0;
    for row in reader.records() {
        let row = row.unwrap();
        let dangerous = row.iter().filter(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r'])).count();
        assert_eq!(dangerous, 0, "{row:?}");
        rows += 1;
    }
    assert_eq!(rows, texts.len());
    assert!(export.contains("'=1+1"), "{export}");
}

#[test]
fn the_file_is_private_and_is_not_overwritten_without_force() {
    let place = place();
    for short in ["-o", "--out"] {
        let name = format!("export{short}");
        let ran = place.run(&["export", short, &name]).expect(0);
        assert_eq!(ran.out, "");
        assert_eq!(place.path(&name).metadata().unwrap().permissions().mode() & 0o777, 0o600);
        place.run(&["verify", &format!("./{name}")]).expect(0);
    }
    place.write("mine", "precious");
    let ran = place.run(&["export", "--out", "mine"]).expect(2);
    assert!(ran.err.contains("mine") && ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(place.read("mine"), b"precious");
    place.run(&["export", "--out", "mine", "--force"]).expect(0);
    place.run(&["verify", "mine"]).expect(0);
    assert_eq!(place.path("mine").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_in_a_directory_that_is_not_there_is_exit_two() {
    let ran = place().run(&["export", "--out", "absent/file"]).expect(2);
    assert!(ran.err.contains("absent/file"), "{}", ran.err);
}

#[test]
fn nothing_is_left_beside_the_file() {
    let place = place();
    place.run(&["export", "--out", "export"]).expect(0);
    let mut names: Vec<_> = std::fs::read_dir(place.dir()).unwrap().map(|item| item.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["export", "logs"]);
}

#[test]
fn a_broken_log_is_exported_and_both_trailer_and_stderr_say_so() {
    let place = broken();
    for format in ["json", "ndjson", "csv"] {
        let ran = place.run(&["export", "--format", format]).expect(0);
        assert!(ran.err.contains("broken"), "{}", ran.err);
        if format != "csv" {
            let trailer = trailer(&ran.out);
            assert_eq!(trailer["verdict"], "broken");
            assert_eq!(trailer["problems_total"], 1);
            place.feed(&["verify", "-"], &ran.out).expect(1);
        }
    }
}

#[test]
fn fail_on_tamper_writes_no_file_and_exits_one_and_a_pipe_fails_at_its_other_end_too() {
    let place = broken();
    for format in ["json", "ndjson", "csv"] {
        let ran = place.run(&["export", "--fail-on-tamper", "--format", format]).expect(1);
        assert!(ran.err.contains("broken"), "{}", ran.err);
        if format == "csv" {
            assert_eq!(ran.out, "");
        } else {
            place.feed(&["verify", "-"], ran.out).expect(1);
        }
        let ran = place.run(&["export", "--fail-on-tamper", "--out", "export", "--format", format]).expect(1);
        assert_eq!(ran.out, "");
        assert!(!place.path("export").exists());
    }
    place.write("mine", "precious");
    place.run(&["export", "--fail-on-tamper", "--out", "mine", "--force"]).expect(1);
    assert_eq!(place.read("mine"), b"precious");
}

#[test]
fn fail_on_tamper_exports_an_intact_log() {
    let place = place();
    place.run(&["export", "--fail-on-tamper", "--out", "export"]).expect(0);
    place.run(&["verify", "export"]).expect(0);
}

#[test]
fn a_log_of_which_half_cannot_be_read_is_exit_two_and_is_not_called_broken() {
    let place = Place::new();
    place.feed(&["record"], many_lines(2_000)).expect(0);
    let mut bytes = place.read("logs/lowlight.db");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 8192].fill(0xa5);
    place.write("logs/lowlight.db", bytes);
    let verdict = place.run(&["verify"]).code;
    let ran = place.run(&["export", "--fail-on-tamper", "--out", "export"]).expect(verdict);
    assert_eq!(ran.err.contains("the log is broken"), verdict == 1, "{}", ran.err);
    assert!(!place.path("export").exists());
}

#[test]
fn a_missing_log_is_exit_two() {
    let place = Place::new();
    let ran = place.run(&["export", "--out", "export"]).expect(2);
    assert!(ran.err.contains("no log at"), "{}", ran.err);
    assert!(!place.path("export").exists());
}

#[test]
fn since_is_inclusive_and_until_exclusive_and_the_range_verifies() {
    let place = place();
    let records = place.records();
    let seq = records[1]["seq"].as_u64().unwrap();
    let time = records[1]["recorded"].as_str().unwrap();
    let last = place.run(&["verify", "--json"]).expect(0).object()["last_seq"].as_u64().unwrap();

    let since = place.run(&["export", "--format", "ndjson", "--since", time]).expect(0).out;
    assert_eq!(in_full(&since), (seq..=last).collect::<Vec<_>>());
    let until = place.run(&["export", "--format", "ndjson", "--until", time]).expect(0).out;
    assert_eq!(in_full(&until), (0..seq).collect::<Vec<_>>());
    let after = records[2]["recorded"].as_str().unwrap();
    let both = place.run(&["export", "--format", "ndjson", "--since", time, "--until", after]).expect(0).out;
    assert_eq!(in_full(&both), [seq]);
    for export in [since, until, both] {
        place.feed(&["verify", "-"], &export).expect(0);
        place.feed(&["verify", "-"], export.replace("\"two\"", "\"TWO\"")).expect(i32::from(export.contains("\"two\"")));
    }
    let csv = place.run(&["export", "--format", "csv", "--since", time, "--until", after]).expect(0).out;
    assert_eq!(csv.lines().count(), 2);
}

#[test]
fn the_verdict_on_a_range_names_the_root_of_the_whole_log() {
    let place = place();
    let root = place.run(&["verify", "--json"]).expect(0).object()["root"].clone();
    let time = place.records()[1]["recorded"].as_str().unwrap().to_owned();
    for bound in ["--since", "--until"] {
        let export = place.run(&["export", bound, &time]).expect(0).out;
        assert_eq!(place.feed(&["verify", "-", "--json"], export).expect(0).object()["root"], root, "{bound}");
    }
}

#[test]
fn a_range_from_the_middle_of_a_long_log_verifies() {
    let place = Place::new();
    place.feed(&["record"], many_lines(1_500)).expect(0);
    let records = place.records();
    let time = |index: usize| records[index]["recorded"].as_str().unwrap().to_owned();
    for (from, to) in [(0, 1), (255, 256), (250, 600), (700, 1_499)] {
        let export = place.run(&["export", "--since", &time(from), "--until", &time(to)]).expect(0).out;
        let report = place.feed(&["verify", "-", "--json"], export).expect(0).object();
        assert_eq!(report["records"], to - from, "{from}..{to}");
    }
}

#[test]
fn an_empty_range_verifies() {
    let place = place();
    for range in [["--since", "2200-01-01"], ["--until", "2020-01-01"]] {
        for format in ["json", "ndjson"] {
            let export = place.run(&["export", "--format", format, range[0], range[1]]).expect(0).out;
            let report = place.feed(&["verify", "-", "--json"], export).expect(0).object();
            assert_eq!(report["records"], 0);
        }
        let csv = place.run(&["export", "--format", "csv", range[0], range[1]]).expect(0).out;
        assert_eq!(csv.lines().count(), 1);
    }
}

#[test]
fn a_reader_that_goes_away_is_success() {
    let place = Place::new();
    place.feed(&["record"], many_lines(4_000)).expect(0);
    for format in ["json", "ndjson", "csv"] {
        let ran = read_a_little(place.command(&["export", "--format", format]));
        assert_eq!(ran.code, 0, "{format}: {ran:?}");
        assert_eq!(ran.err, "", "{format}");
    }
    let ran = read_a_little(place.command(&["query", "--json"]));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn verifying_a_part_says_that_it_is_one() {
    let place = Place::with(&["{\"model\":\"m\"}"]);
    let part = place.run(&["export", "--since", "now"]).expect(0).out;
    let said = place.feed(&["verify", "-"], &part).expect(0).out;
    assert!(said.contains("no entry of a log of"), "{said}");
    let whole = place.run(&["export"]).expect(0).out;
    assert!(!place.feed(&["verify", "-"], &whole).expect(0).out.contains("of a log of"));
}
