//! `record`: which lines are taken, which are refused, and what is said about them.

use super::common::Place;

/// The lines around a bad one are recorded, the bad one is refused with its number and without its content.
#[track_caller]
fn refused_with_the_rest_going_on(bad: &str, reason: &str) {
    let place = Place::new();
    let input = format!("{{\"model\":\"before\"}}\n{bad}\n{{\"model\":\"after\"}}\n");
    let ran = place.feed(&["record"], input).expect(1);
    assert!(ran.err.contains(&format!("line 2: {reason}")), "{bad}: {}", ran.err);
    assert!(ran.err.contains("2 lines recorded, 1 refused, 0 lost"), "{}", ran.err);
    let models: Vec<_> = place.records().iter().map(|record| record["model"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(models, ["before", "after"]);
    place.run(&["verify"]).expect(0);
}

#[test]
fn a_good_line_is_recorded_and_the_exit_code_is_zero() {
    let place = Place::new();
    let ran = place.feed(&["record"], r#"{"model":"phi-3-mini","prompt":"hi","response":"hello","latency_ms":87.3}"#).expect(0);
    assert!(ran.err.contains("1 line recorded, 0 refused, 0 lost"), "{}", ran.err);
    assert_eq!(ran.out, "");
    let record = &place.records()[0];
    assert_eq!(record["prompt"], "hi");
    assert_eq!(record["response"], "hello");
    assert_eq!(record["latency_ms"].to_string(), "87.3");
    assert_eq!(record["status"], "ok");
    assert_eq!(record["operation"], "chat");
}

#[test]
fn an_empty_input_is_fine() {
    let place = Place::new();
    place.run(&["record"]).expect(0);
    place.run(&["verify"]).expect(0);
    assert!(place.records().is_empty());
}

#[test]
fn blank_lines_a_leading_bom_and_crlf_are_skipped() {
    let place = Place::new();
    let input = b"\xef\xbb\xbf{\"model\":\"a\"}\r\n\r\n   \t\n\n{\"model\":\"b\"}\r\n\n{\"model\":\"c\"}";
    let ran = place.feed(&["record"], input).expect(0);
    assert!(ran.err.contains("3 lines recorded, 0 refused, 0 lost"), "{}", ran.err);
    assert_eq!(place.records().len(), 3);
}

#[test]
fn a_bom_before_a_blank_first_line_is_skipped() {
    let place = Place::new();
    place.feed(&["record"], b"\xef\xbb\xbf\n{\"model\":\"b\"}\n").expect(0);
    assert_eq!(place.records().len(), 1);
}

#[test]
fn a_bom_in_the_middle_is_not_json() {
    refused_with_the_rest_going_on("\u{feff}{\"model\":\"m\"}", "not JSON");
}

#[test]
fn what_is_not_json_is_refused() {
    for bad in ["hunter2", "{\"model\":\"m\"", "{\"model\":\"m\"} trailing", "{'model':'m'}", "{\"model\":\"m\",}"] {
        refused_with_the_rest_going_on(bad, "not JSON");
    }
}

#[test]
fn json_that_is_not_an_object_is_refused() {
    for bad in ["[1]", "\"text\"", "5", "null", "true"] {
        refused_with_the_rest_going_on(bad, "not a JSON object");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    let place = Place::new();
    let ran = place.feed(&["record"], b"{\"model\":\"m\xff\"}\n{\"model\":\"after\"}\n").expect(1);
    assert!(ran.err.contains("line 1: not UTF-8"), "{}", ran.err);
    assert_eq!(place.records().len(), 1);
}

#[test]
fn an_inference_without_a_model_is_refused() {
    refused_with_the_rest_going_on(r#"{"prompt":"hi"}"#, "model is missing");
    refused_with_the_rest_going_on(r#"{"model":null,"prompt":"hi"}"#, "model is missing");
    refused_with_the_rest_going_on(r#"{"model":""}"#, "model is empty");
    refused_with_the_rest_going_on(r#"{"model":5}"#, "model is not a text");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for bad in ["NaN", "Infinity", "-Infinity"] {
        refused_with_the_rest_going_on(&format!(r#"{{"model":"m","latency_ms":{bad}}}"#), "not JSON");
        refused_with_the_rest_going_on(&format!(r#"{{"model":"m","metadata":{{"x":{bad}}}}}"#), "not JSON");
    }
    refused_with_the_rest_going_on(r#"{"model":"m","x":1e999}"#, "a number is out of range");
}

#[test]
fn negative_and_broken_counts_are_refused() {
    for field in ["latency_ms", "ttft_ms", "cost_usd", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "attempt"] {
        refused_with_the_rest_going_on(&format!(r#"{{"model":"m","{field}":-1}}"#), field);
        refused_with_the_rest_going_on(&format!(r#"{{"model":"m","{field}":"7"}}"#), field);
    }
    refused_with_the_rest_going_on(r#"{"model":"m","input_tokens":1.5}"#, "input_tokens");
    refused_with_the_rest_going_on(r#"{"kind":"log","message":"m","line":-1}"#, "line is not");
}

#[test]
fn both_names_of_one_field_are_refused() {
    let pairs = [("prompt", "input_text"), ("response", "output_text"), ("user", "actor")];
    for (one, other) in pairs {
        let bad = format!(r#"{{"model":"m","{one}":"a","{other}":"b"}}"#);
        refused_with_the_rest_going_on(&bad, &format!("{one} and {other} are the same field"));
    }
    let times = r#"{"model":"m","timestamp":"2026-01-01T00:00:00Z","occurred":"2026-01-01T00:00:00Z"}"#;
    refused_with_the_rest_going_on(times, "timestamp and occurred are the same field");
    refused_with_the_rest_going_on(r#"{"kind":"audit","event_type":"auth.login","principal":"a","user":"b"}"#, "principal and user");
}

#[test]
fn null_is_absent_even_beside_the_other_name_of_a_field() {
    let place = Place::with(&[r#"{"model":"m","prompt":null,"input_text":"a","user":null,"actor":"b","metadata":null,"latency_ms":null}"#]);
    let record = &place.records()[0];
    assert_eq!(record["prompt"], "a");
    assert_eq!(record["user"], "b");
    assert!(record.get("metadata").is_none() && record.get("latency_ms").is_none());
}

#[test]
fn duplicate_keys_are_refused_at_every_depth() {
    refused_with_the_rest_going_on(r#"{"model":"m","model":"n"}"#, "a key occurs twice");
    refused_with_the_rest_going_on(r#"{"model":"m","metadata":{"a":{"b":1,"b":2}}}"#, "a key occurs twice");
    refused_with_the_rest_going_on(r#"{"model":"m","before":[{"b":1,"b":1}]}"#, "a key occurs twice");
    refused_with_the_rest_going_on(r#"{"model":"m","a":1,"metadata":{"a":2}}"#, "an unknown key stands in metadata too");
}

#[test]
fn a_lone_surrogate_is_refused_and_a_pair_is_a_character() {
    refused_with_the_rest_going_on(r#"{"model":"m","prompt":"\ud800"}"#, "");
    refused_with_the_rest_going_on(r#"{"model":"m","prompt":"\udc00x"}"#, "");
    let place = Place::with(&[r#"{"model":"m","prompt":"\ud83d\ude00"}"#]);
    assert_eq!(place.records()[0]["prompt"], "😀");
}

#[test]
fn a_nul_character_is_recorded_as_it_is() {
    let place = Place::with(&[r#"{"model":"m","prompt":"a\u0000b"}"#]);
    assert_eq!(place.records()[0]["prompt"], "a\0b");
    place.run(&["verify"]).expect(0);
}

#[test]
fn status_and_operation_are_short_tokens() {
    let long = "a".repeat(33);
    for field in ["status", "operation"] {
        for bad in ["OK", "two words", "", &long, "ö"] {
            refused_with_the_rest_going_on(&format!(r#"{{"model":"m","{field}":"{bad}"}}"#), field);
        }
        let exact = "a".repeat(32);
        let own =
            Place::with(&[&format!(r#"{{"model":"m","{field}":"my_own-token.2"}}"#), &format!(r#"{{"model":"m","{field}":"{exact}"}}"#)]);
        assert_eq!(own.records()[0][field], "my_own-token.2");
        assert_eq!(own.records()[1][field], exact.as_str());
    }
}

#[test]
fn a_time_needs_an_offset() {
    for bad in ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z"] {
        refused_with_the_rest_going_on(&format!(r#"{{"model":"m","timestamp":"{bad}"}}"#), "the time is not RFC 3339");
    }
    let place = Place::with(&[r#"{"model":"m","occurred":"2026-01-01T13:00:00+01:00"}"#]);
    assert_eq!(place.records()[0]["occurred"], "2026-01-01T12:00:00Z");
}

#[test]
fn a_refusal_never_repeats_what_was_given() {
    let place = Place::new();
    let lines = [
        r#"{"model":"m","latency_ms":"hunter2"}"#,
        r#"{"model":"m","hunter2":1,"hunter2":2}"#,
        r#"{"model":{"hunter2":1}}"#,
        r#"{"model":"m","status":"HUNTER2 hunter2"}"#,
        r#"{"model":"m","id":"hunter2"}"#,
        r#"{"model":"m","timestamp":"hunter2"}"#,
        r#"{"model":"m","severity":"hunter2"}"#,
        r#"{"model":"m","tokens_source":"hunter2"}"#,
        r#"{"model":"m","metadata":"hunter2"}"#,
        r#"{"model":"m","hunter2":1,"metadata":{"hunter2":2}}"#,
        r#"{"model":"m","prompt":"hunter2\ud800"}"#,
        r#"{"kind":"hunter2"}"#,
        r#"{"kind":"audit","event_type":"HUNTER2 hunter2"}"#,
        r#"{"kind":"audit","event_type":"auth.login","principal":{"hunter2":1}}"#,
        r#"{"kind":"log","level":"hunter2","message":"m"}"#,
        "hunter2",
        r#"{"model":"hunter2"#,
    ];
    let ran = place.feed(&["record", "--ack"], lines.join("\n")).expect(1);
    assert_eq!(ran.json().len(), lines.len());
    assert!(ran.json().iter().all(|receipt| receipt["status"] == "refused"), "{}", ran.out);
    for said in [&ran.out, &ran.err] {
        assert!(!said.to_lowercase().contains("hunter2"), "{said}");
    }
}

#[test]
fn a_line_over_sixteen_mebibytes_is_refused_and_the_rest_goes_on() {
    let place = Place::new();
    let overhead = r#"{"model":"m","prompt":""}"#.len();
    let line = |length: usize| format!(r#"{{"model":"m","prompt":"{}"}}"#, "a".repeat(length - overhead));
    let limit = 16 << 20;
    let input = format!("{}\n{}\n{{\"model\":\"after\"}}\n", line(limit + 1), line(limit));
    let ran = place.feed(&["record"], input).expect(1);
    assert!(ran.err.contains("line 1: longer than 16 MiB"), "{}", ran.err);
    assert!(ran.err.contains("2 lines recorded, 1 refused, 0 lost"), "{}", ran.err);
    place.run(&["verify"]).expect(0);
}

#[test]
fn a_line_over_the_limit_at_the_end_of_the_input_is_refused() {
    let place = Place::new();
    let input = format!("{{\"model\":\"m\"}}\n{}", "x".repeat((16 << 20) + 1));
    let ran = place.feed(&["record"], input).expect(1);
    assert!(ran.err.contains("line 2: longer than 16 MiB"), "{}", ran.err);
    assert_eq!(place.records().len(), 1);
}

#[test]
fn a_hundred_thousand_keys_are_recorded() {
    let keys: Vec<_> = (0..100_000).map(|number| format!("\"{number}\":1")).collect();
    let keys = keys.join(",");
    let place = Place::with(&[&format!("{{\"model\":\"m\",{keys}}}"), &format!("{{\"model\":\"m\",\"metadata\":{{{keys}}}}}")]);
    for record in place.records() {
        assert_eq!(record["metadata"].as_object().map(serde_json::Map::len), Some(100_000));
    }
    place.run(&["verify"]).expect(0);
}

#[test]
fn nesting_without_end_is_refused_and_deep_nesting_is_recorded() {
    let nested = |depth: usize| format!(r#"{{"model":"m","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    refused_with_the_rest_going_on(&nested(100_000), "nested deeper than 128 levels");
    let objects = format!(r#"{{"model":"m","x":{}1{}}}"#, "{\"a\":".repeat(100_000), "}".repeat(100_000));
    refused_with_the_rest_going_on(&objects, "nested deeper than 128 levels");
    let place = Place::with(&[&nested(100)]);
    assert_eq!(place.records().len(), 1);
}

#[test]
fn a_text_over_the_cap_is_cut_with_a_mark_and_its_length_is_kept() {
    let text = "word ".repeat(400_000);
    let place = Place::with(&[&format!(r#"{{"model":"m","prompt":"{text}"}}"#)]);
    let seq = place.records()[0]["seq"].to_string();
    let shown = place.run(&["show", &seq, "--json"]).expect(0).object();
    assert_eq!(shown["fields"][0]["cut_from"], text.len());
    assert!(shown["fields"][0]["value"].as_str().is_some_and(|kept| kept.len() <= 1 << 20));
    place.run(&["verify"]).expect(0);
}
