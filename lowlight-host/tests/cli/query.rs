//! `query`: filters, limits, and the way back into `record`.

use super::common::{Place, many_lines};
use serde_json::{Value, json};

fn place() -> Place {
    Place::with(&[
        r#"{"model":"phi","prompt":"one","user":"alice","operation":"embeddings"}"#,
        r#"{"model":"phi","prompt":"two","user":"bob","error":"door stuck"}"#,
        r#"{"model":"llama","prompt":"three","user":"alice","response":"the DOOR is open","status":"filtered"}"#,
        r#"{"kind":"audit","event_type":"auth.login","action":"four","outcome":"denied","principal":"alice"}"#,
        r#"{"kind":"log","level":"warn","message":"five","session_id":"shift-7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}"#,
    ])
}

/// Names the records that a query lists by their first content.
#[track_caller]
fn listed(place: &Place, arguments: &[&str]) -> Vec<String> {
    let all = [&["query", "--json"][..], arguments].concat();
    let records = place.run(&all).expect(0).json();
    let name = |record: &Value| ["prompt", "action", "message"].iter().find_map(|key| record[*key].as_str()).unwrap_or("?").to_owned();
    records.iter().map(name).collect()
}

#[test]
fn without_a_filter_all_that_users_wrote_is_listed_in_order() {
    let place = place();
    assert_eq!(listed(&place, &[]), ["one", "two", "three", "four", "five"]);
    let seqs: Vec<_> = place.records().iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted());
}

#[test]
fn every_filter_selects_what_it_names() {
    let place = place();
    assert_eq!(listed(&place, &["--user", "alice"]), ["one", "three", "four"]);
    assert_eq!(listed(&place, &["--model", "phi"]), ["one", "two"]);
    assert_eq!(listed(&place, &["--status", "error"]), ["two"]);
    assert_eq!(listed(&place, &["--status", "denied"]), ["four"]);
    assert_eq!(listed(&place, &["--operation", "embeddings"]), ["one"]);
    assert_eq!(listed(&place, &["--session", "shift-7"]), ["five"]);
    assert_eq!(listed(&place, &["--trace", "4bf92f3577b34da6a3ce929d0e0e4736"]), ["five"]);
    assert!(listed(&place, &["--session", "alice"]).is_empty(), "one field is not another");
    assert_eq!(listed(&place, &["--contains", "door"]), ["two"]);
    assert_eq!(listed(&place, &["--contains", "DOOR is"]), ["three"]);
    assert_eq!(listed(&place, &["--user", "alice", "--model", "llama"]), ["three"]);
    assert!(listed(&place, &["--user", "alice", "--model", "none"]).is_empty());
}

#[test]
fn times_bound_the_list_inclusive_and_exclusive() {
    let place = place();
    let time = place.records()[1]["recorded"].as_str().unwrap().to_owned();
    assert_eq!(listed(&place, &["--since", &time]), ["two", "three", "four", "five"]);
    assert_eq!(listed(&place, &["--until", &time]), ["one"]);
    assert_eq!(listed(&place, &["--since", "2h ago"]).len(), 5);
    assert_eq!(listed(&place, &["--since", "yesterday"]).len(), 5);
    assert_eq!(listed(&place, &["--since", "2026-01-01", "--until", "2200-01-01"]).len(), 5);
    assert!(listed(&place, &["--until", "2h ago"]).is_empty());
}

#[test]
fn the_limit_keeps_the_newest_oldest_first() {
    let place = place();
    assert_eq!(listed(&place, &["--limit", "2"]), ["four", "five"]);
    assert_eq!(listed(&place, &["--limit", "1", "--model", "phi"]), ["two"]);
    assert!(listed(&place, &["--limit", "0"]).is_empty());
    assert_eq!(listed(&place, &["--limit", "99"]).len(), 5);
}

#[test]
fn all_adds_the_entries_of_the_recorder_itself() {
    let place = place();
    let entries = place.run(&["verify", "--json"]).expect(0).object()["entries"].as_u64().unwrap();
    let all = place.run(&["query", "--json", "--all"]).expect(0).json();
    assert_eq!(all.len() as u64, entries);
    assert_eq!(all[0]["kind"], "open");
    assert!(all.iter().any(|entry| entry["event"]["what"] == "stop"));
}

#[test]
fn text_shows_fifty_by_default_and_says_so_and_json_shows_all() {
    let place = Place::new();
    place.feed(&["record"], many_lines(60)).expect(0);
    let text = place.run(&["query"]).expect(0).out;
    assert_eq!(text.lines().filter(|line| line.contains("prompt: ")).count(), 50);
    assert!(text.contains("number 59") && !text.contains("number 9\n"), "{text}");
    assert!(text.contains("the newest 50 are shown"), "{text}");
    assert_eq!(place.records().len(), 60);
    let more = place.run(&["query", "--limit", "60"]).expect(0).out;
    assert_eq!(more.lines().count(), 60);
}

#[test]
fn nothing_found_is_said_and_exit_zero() {
    let place = place();
    assert_eq!(place.run(&["query", "--model", "none"]).expect(0).out, "no records match\n");
    assert_eq!(place.run(&["query", "--model", "none", "--json"]).expect(0).out, "");
}

#[test]
fn what_is_listed_can_be_recorded_again_and_gives_the_same_fields() {
    let place = place();
    place.record(&[
        &json!({
            "model": "m", "prompt": "a\u{0}b \"quoted\" \u{1f600}\n=1", "before": {"a": [1, 2]}, "after": "text", "latency_ms": 0.000_001,
            "cost_usd": 0.123_456_789, "metadata": {"deep": {"er": [null, true, 1.5]}}, "own": [1], "occurred": "2026-01-01T00:00:00.5Z",
            "input_tokens": 9_007_199_254_740_993_u64, "error": "boom", "status": "cancelled", "severity": "fatal",
        })
        .to_string(),
        r#"{"kind":"audit","event_type":"own.type","principal":{"subject":"bob","auth_method":"badge","metadata":{"a":1}},"cost_usd":2}"#,
        r#"{"kind":"audit","event_type":"auth.login","principal":{"metadata":{"a":1}},"auth_method":"badge"}"#,
        r#"{"model":"m","user":"bob","actor_metadata":{"team":"x"}}"#,
        r#"{"kind":"log","message":"m","level":"debug","line":1,"function":"f","prompt":"with a prompt"}"#,
    ]);
    let first = place.run(&["query", "--json"]).expect(0).out;
    place.feed(&["record", "--path", "again"], &first).expect(0);
    let second = place.run(&["query", "--json", "--path", "again"]).expect(0).json();
    let plain = |mut record: Value| {
        let object = record.as_object_mut().unwrap();
        object.remove("seq");
        object.remove("recorded");
        record
    };
    let first: Vec<_> = place.records().into_iter().map(plain).collect();
    let second: Vec<_> = second.into_iter().map(plain).collect();
    assert_eq!(first.len(), 10);
    assert_eq!(first, second);
}

#[test]
fn a_filter_that_redaction_would_change_is_exit_two_and_says_so() {
    let place = place();
    for filter in ["user", "model", "status", "operation", "contains"] {
        let ran = place.run(&["query", &format!("--{filter}=bob@example.com")]);
        assert_eq!(ran.code, 2, "{filter}: {ran:?}");
        assert!(ran.err.contains("redacted") && ran.err.contains(filter), "{filter}: {}", ran.err);
        assert!(!ran.err.contains("bob@example.com"), "{}", ran.err);
    }
}

#[test]
fn sql_in_a_filter_finds_nothing_and_harms_nothing() {
    let place = place();
    let before = place.read("logs/lowlight.db");
    let attacks = [
        "x' OR '1'='1",
        "x\" OR \"1\"=\"1",
        "'; DROP TABLE entry; --",
        "') OR 1=1 --",
        "x' UNION SELECT * FROM entry --",
        "%",
        "_",
        "*",
        "?1",
        "\\",
        "NULL",
    ];
    for filter in ["user", "model", "status", "operation", "session", "trace", "contains"] {
        for attack in attacks {
            let ran = place.run(&["query", &format!("--{filter}={attack}")]).expect(0);
            assert_eq!(ran.out, "no records match\n", "{filter}: {attack}");
        }
    }
    for filter in ["user", "session", "correlation-id", "contains"] {
        for attack in attacks {
            let ran = place.run(&["erase", "--yes", &format!("--{filter}={attack}")]).expect(0);
            assert!(ran.err.contains("nothing to erase"), "{filter}: {attack}: {ran:?}");
        }
    }
    for attack in attacks {
        place.run(&["query", &format!("--since={attack}")]).expect(2);
        place.run(&["query", &format!("--until={attack}")]).expect(2);
        place.run(&["query", &format!("--limit={attack}")]).expect(2);
    }
    assert_eq!(place.read("logs/lowlight.db"), before);
    assert_eq!(place.records().len(), 5);
}

#[test]
fn a_missing_log_is_exit_two() {
    let ran = Place::new().run(&["query"]).expect(2);
    assert!(ran.err.contains("no log at"), "{}", ran.err);
    assert_eq!(ran.out, "");
}

#[test]
fn a_broken_log_can_still_be_queried() {
    let place = place();
    place.tamper("UPDATE entry SET model = 'x' WHERE model = 'llama'");
    assert_eq!(listed(&place, &["--model", "x"]), ["three"]);
}
