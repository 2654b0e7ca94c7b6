//! `stats`, `tail` and `show`.

use super::common::{Place, many_lines};
use serde_json::{Value, json};

const LINES: [&str; 5] = [
    r#"{"model":"phi","prompt":"one","latency_ms":10,"ttft_ms":2,"input_tokens":3,"output_tokens":4,"cost_usd":0.25}"#,
    r#"{"model":"phi","prompt":"two","latency_ms":30,"input_tokens":5,"cost_usd":0.5}"#,
    r#"{"model":"llama","prompt":"three","error":"boom"}"#,
    r#"{"kind":"audit","event_type":"auth.login"}"#,
    r#"{"kind":"log","message":"five"}"#,
];

#[test]
fn stats_count_kinds_models_tokens_and_cost() {
    let place = Place::with(&LINES);
    let stats = place.run(&["stats", "--json"]).expect(0).object();
    assert_eq!(stats["kinds"]["inference"], 3);
    assert_eq!(stats["kinds"]["audit"], 1);
    assert_eq!(stats["kinds"]["log"], 1);
    assert_eq!(stats["lost_total"], 0);
    let phi = &stats["models"]["phi"];
    assert_eq!((phi["count"].as_u64(), phi["not_ok"].as_u64()), (Some(2), Some(0)));
    assert_eq!((phi["input_tokens"].as_u64(), phi["output_tokens"].as_u64()), (Some(8), Some(4)));
    assert_eq!(phi["cost_usd"], 0.75);
    let near = |value: &Value, exact: f64| value.as_f64().is_some_and(|found| (found - exact).abs() <= exact * 0.02);
    assert!(near(&phi["latency"]["p50_ms"], 10.0) && near(&phi["latency"]["p99_ms"], 30.0), "{phi}");
    assert!(near(&phi["ttft"]["p50_ms"], 2.0), "{phi}");
    assert_eq!(stats["models"]["llama"]["not_ok"], 1);
    assert!(stats["bytes"]["database"].as_u64().is_some_and(|bytes| bytes > 0));
    assert_eq!(stats["chain"]["head"].as_str().map(str::len), Some(64));
}

#[test]
fn what_nobody_knows_is_null_in_stats_and_never_zero() {
    let place = Place::with(&LINES);
    let stats = place.run(&["stats", "--json"]).expect(0).object();
    let llama = &stats["models"]["llama"];
    for pointer in ["/cost_usd", "/latency/p50_ms", "/ttft/p50_ms", "/input_tokens", "/output_tokens"] {
        assert_eq!(llama.pointer(pointer), Some(&Value::Null), "{pointer}: {llama}");
    }
}

#[test]
fn stats_as_text_name_the_models_and_the_losses() {
    let text = Place::with(&LINES).run(&["stats"]).expect(0).out;
    for part in ["phi", "llama", "lost: nothing", "3 inference", "1 run, 0 not stopped", "head "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn stats_of_a_missing_log_are_exit_two() {
    let ran = Place::new().run(&["stats"]).expect(2);
    assert!(ran.err.contains("no log at"), "{}", ran.err);
}

#[test]
fn tail_shows_the_newest_ten_or_as_many_as_asked_for() {
    let place = Place::new();
    place.feed(&["record"], many_lines(15)).expect(0);
    let shown = |arguments: &[&str]| place.run(&[&["tail", "--json"][..], arguments].concat()).expect(0).json();
    assert_eq!(shown(&[]).len(), 10);
    assert_eq!(shown(&["-n", "3"]).len(), 3);
    assert!(shown(&["-n", "0"]).is_empty());
    assert_eq!(shown(&["--lines", "99"]).len(), 15);
    assert!(shown(&["-n", "1"])[0]["prompt"].as_str().unwrap().ends_with("number 14"));
    let text = place.run(&["tail", "-n", "2"]).expect(0).out;
    assert_eq!(text.lines().count(), 2);
    Place::new().run(&["tail"]).expect(2);
    Place::new().run(&["tail", "-f"]).expect(2);
}

#[test]
fn tail_follows_new_records_as_they_come() {
    let place = Place::with(&[r#"{"model":"m","prompt":"before"}"#]);
    let mut tail = place.start(&["tail", "-f", "-n", "1"]);
    assert!(tail.line().contains("before"));
    for prompt in ["first", "second"] {
        place.record(&[&format!(r#"{{"model":"m","prompt":"{prompt}"}}"#)]);
        assert!(tail.line().contains(prompt));
    }
}

#[test]
fn tail_follows_a_damaged_log_into_its_successor() {
    let place = Place::with(&[r#"{"model":"m","prompt":"before"}"#]);
    let mut tail = place.start(&["tail", "-f", "-n", "1", "--json"]);
    assert!(tail.line().contains("before"));
    place.write("logs/lowlight.db", "junk, junk, junk and no database");
    place.record(&[r#"{"model":"m","prompt":"after"}"#]);
    assert!(tail.line().contains("after"));
}

#[test]
fn show_gives_one_entry_whole() {
    let place = Place::with(&LINES);
    let seq = place.seq_of("one");
    let shown = place.run(&["show", &seq.to_string(), "--json"]).expect(0).object();
    assert_eq!(shown["seq"], seq);
    assert_eq!(shown["kind"], "inference");
    assert_eq!(shown["model"], "phi");
    assert_eq!(shown["duration_ns"], 10_000_000);
    assert_eq!(shown["fields"][0]["value"], "one");
    assert_eq!(shown["leaf"].as_str().map(str::len), Some(64));
    let text = place.run(&["show", &seq.to_string()]).expect(0).out;
    for part in ["phi", "one", "commitment", "leaf"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(place.run(&["show", "0", "--json"]).expect(0).object()["kind"], "open");
}

#[test]
fn show_of_an_absent_seq_is_exit_two() {
    let place = Place::with(&LINES);
    for seq in ["9999", "18446744073709551615"] {
        let ran = place.run(&["show", seq]).expect(2);
        assert!(ran.err.contains("no entry") && ran.out.is_empty(), "{ran:?}");
    }
    for seq in ["-1", "x", "1.5", ""] {
        place.run(&["show", seq]).expect(2);
    }
    place.run(&["show"]).expect(2);
    Place::new().run(&["show", "1"]).expect(2);
}

#[test]
fn show_of_an_entry_deleted_from_the_middle_is_exit_two() {
    let place = Place::with(&LINES);
    let seq = place.seq_of("two");
    place.tamper(&format!("DELETE FROM entry WHERE seq = {seq}"));
    place.run(&["show", &seq.to_string()]).expect(2);
}

#[test]
fn a_duration_is_not_rounded() {
    let place = Place::with(&[r#"{"model":"m","latency_ms":0.000001}"#]);
    assert_eq!(place.records()[0]["latency_ms"], json!(0.000_001));
}

#[test]
fn show_holds_a_value_against_what_the_entry_commits_to() {
    let place = Place::new();
    let hash_only = [("LOWLIGHT_CONTENT", "hash_only")];
    place.run_with(&hash_only, &["record"], r#"{"model":"phi","prompt":"one","response":"two"}"#).expect(0);
    place.write("one", "one");
    place.write("line", "one\n");
    let hold = |holds: &str, more: &[&str]| place.run(&[&["show", "3", "--holds", holds], more].concat());
    let named = |name: &str, file: &str| format!("{name}={}", place.path(file).display());
    assert!(hold(&named("prompt", "one"), &[]).expect(0).out.contains("this is the value"));
    assert_eq!(hold(&named("prompt", "one"), &["--json"]).expect(0).object()["holds"], true);
    // Neither with a newline, nor as another field, nor under another salt.
    assert!(hold(&named("prompt", "line"), &[]).expect(1).out.contains("is not the value"));
    assert_eq!(hold(&named("response", "one"), &["--json"]).expect(1).object()["holds"], false);
    hold(&named("prompt", "one"), &["--salt", &"00".repeat(16)]).expect(1);
    place.feed(&["show", "3", "--holds", "prompt=-"], "one").expect(0);
    for (holds, why) in [
        (named("actor", "one"), "no such field"),
        (named("thought", "one"), "no content field thought"),
        (named("prompt", "none"), "No such file"),
        ("prompt".to_owned(), "a file"),
    ] {
        let ran = hold(&holds, &[]).expect(2);
        assert!(ran.err.contains(why), "{holds}: {}", ran.err);
    }
    place.run(&["show", "3", "--salt", &"00".repeat(16)]).expect(2);
}
