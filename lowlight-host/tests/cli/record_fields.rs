//! `record`: what becomes of each field.

use super::common::Place;
use serde_json::{Value, json};

/// `record` with one line, read back.
#[track_caller]
fn recorded(line: &str) -> Value {
    Place::with(&[line]).records().remove(0)
}

#[test]
fn every_field_of_an_inference_is_kept() {
    let line = json!({
        "model": "m", "model_actual": "m-2", "model_digest": "sha256:abc", "provider": "local", "operation": "embeddings",
        "prompt": "in", "response": "out", "latency_ms": 87.3, "ttft_ms": 12.5, "status": "filtered", "error_type": "policy",
        "finish_reason": "stop", "input_tokens": 3, "output_tokens": 4, "cached_tokens": 1, "reasoning_tokens": 2,
        "tokens_source": "derived", "attempt": 2, "tier": "edge", "cost_usd": 0.00012, "rate_version": "r1", "app": "gate",
        "environment": "field", "module": "door", "severity": "warn", "trace_id": "t1", "span_id": "s1", "parent_id": "p1",
        "request_id": "q1", "session_id": "sess", "correlation_id": "corr", "resource_id": "res", "before": "b", "after": "a",
        "user": "alice", "metadata": {"k": [1, {"x": null}]}, "id": "018f0000-0000-7000-8000-000000000001",
        "occurred": "2026-01-01T00:00:00Z", "message": "note", "error": "why",
    });
    let found = recorded(&line.to_string());
    for (name, value) in line.as_object().unwrap() {
        assert_eq!(&found[name.as_str()], value, "{name}");
    }
    assert_eq!(found["kind"], "inference");
}

#[test]
fn the_other_names_of_fields_are_the_same_fields() {
    let found = recorded(r#"{"model":"m","input_text":"in","output_text":"out","actor":"bob","timestamp":"2026-01-01T00:00:00Z"}"#);
    assert_eq!(found["prompt"], "in");
    assert_eq!(found["response"], "out");
    assert_eq!(found["user"], "bob");
    assert_eq!(found["occurred"], "2026-01-01T00:00:00Z");
}

#[test]
fn unknown_keys_become_attributes() {
    let found = recorded(r#"{"model":"m","temperature":0.5,"metadata":{"a":1},"event_type":"x","level":"warn"}"#);
    assert_eq!(found["metadata"], json!({"a": 1, "temperature": 0.5, "event_type": "x", "level": "warn"}));
    let log = recorded(r#"{"kind":"log","message":"m","model":"x","cost_usd":1}"#);
    assert_eq!(log["metadata"], json!({"model": "x", "cost_usd": 1}));
}

#[test]
fn seq_and_recorded_are_accepted_and_ignored() {
    let found = recorded(r#"{"model":"m","seq":99999,"recorded":"2001-01-01T00:00:00Z"}"#);
    assert_ne!(found["seq"], 99999);
    assert!(!found["recorded"].as_str().unwrap().starts_with("2001"));
    assert!(found.get("metadata").is_none());
}

#[test]
fn an_error_without_a_status_means_status_error() {
    let found = recorded(r#"{"model":"m","error":"boom"}"#);
    assert_eq!((&found["status"], &found["error"], &found["severity"]), (&json!("error"), &json!("boom"), &json!("error")));
    let found = recorded(r#"{"model":"m","error":"boom","status":"cancelled","severity":"info"}"#);
    assert_eq!((&found["status"], &found["severity"]), (&json!("cancelled"), &json!("info")));
    let found = recorded(r#"{"model":"m","error":null}"#);
    assert_eq!(found["status"], "ok");
}

#[test]
fn an_audit_event_keeps_its_principal() {
    let line = json!({
        "kind": "audit", "event_type": "auth.login", "action": "sign in", "outcome": "ok", "resource": "door",
        "resource_id": "door-7", "principal": {"subject": "bob", "auth_method": "badge", "metadata": {"shift": 2}},
        "before": "closed", "after": "open", "cost_usd": 0.5,
    });
    let found = recorded(&line.to_string());
    for (name, value) in line.as_object().unwrap() {
        assert_eq!(&found[name.as_str()], value, "{name}");
    }
    let text = recorded(r#"{"kind":"audit","event_type":"auth.login","principal":"bob"}"#);
    assert_eq!(text["principal"]["subject"], "bob");
    let user = recorded(r#"{"kind":"audit","event_type":"auth.login","user":"bob"}"#);
    assert_eq!(user["principal"]["subject"], "bob");
}

#[test]
fn an_audit_event_needs_an_event_type_and_no_model() {
    let place = Place::new();
    let ran = place.feed(&["record"], r#"{"kind":"audit","action":"x"}"#).expect(1);
    assert!(ran.err.contains("line 1: event_type is missing"), "{}", ran.err);
    let ran = place.feed(&["record"], r#"{"kind":"audit","event_type":"Not A Token"}"#).expect(1);
    assert!(ran.err.contains("line 1: event_type"), "{}", ran.err);
}

#[test]
fn a_log_line_keeps_where_it_came_from() {
    let line = json!({
        "kind": "log", "level": "warn", "target": "app::door", "message": "stuck", "file": "src/door.rs", "line": 42, "function": "open",
    });
    let found = recorded(&line.to_string());
    for (name, value) in line.as_object().unwrap() {
        assert_eq!(&found[name.as_str()], value, "{name}");
    }
    assert_eq!(recorded(r#"{"kind":"log","message":"m"}"#)["level"], "info");
    assert_eq!(recorded(r#"{"kind":"log","message":"m","level":"WARNING"}"#)["level"], "warn");
    assert_eq!(recorded(r#"{"kind":"log","message":"m","level":"critical"}"#)["level"], "fatal");
}

#[test]
fn the_level_of_a_log_line_stays_when_it_has_an_error_too() {
    let found = recorded(r#"{"kind":"log","level":"warn","message":"m","error":"e"}"#);
    assert_eq!(found["level"], "warn");
}

#[test]
fn a_log_line_needs_a_message_and_a_known_level() {
    let place = Place::new();
    let ran = place.feed(&["record"], "{\"kind\":\"log\"}\n{\"kind\":\"log\",\"message\":\"m\",\"level\":\"loud\"}").expect(1);
    assert!(ran.err.contains("line 1: message is missing"), "{}", ran.err);
    assert!(ran.err.contains("line 2: level must be"), "{}", ran.err);
}

#[test]
fn another_kind_is_refused() {
    let place = Place::new();
    let ran = place.feed(&["record"], r#"{"kind":"gap"}"#).expect(1);
    assert!(ran.err.contains("line 1: kind must be inference, audit or log"), "{}", ran.err);
}

#[test]
fn an_unregistered_event_type_is_recorded_marked_and_warned_about_once() {
    let place = Place::new();
    let line = r#"{"kind":"audit","event_type":"my.event"}"#;
    let ran = place.feed(&["record"], [line, line, line].join("\n")).expect(0);
    assert_eq!(ran.err.matches("not registered").count(), 1, "{}", ran.err);
    let seq = place.records()[0]["seq"].to_string();
    assert_eq!(place.run(&["show", &seq, "--json"]).expect(0).object()["registered"], false);

    let ran = place.run_with(&[("LOWLIGHT_EVENT_TYPES", r#"["my.event"]"#)], &["record", "--path", "own"], line).expect(0);
    assert!(!ran.err.contains("not registered"), "{}", ran.err);
    let known = place.feed(&["record", "--path", "known"], r#"{"kind":"audit","event_type":"auth.login"}"#).expect(0);
    assert!(!known.err.contains("not registered"), "{}", known.err);
}

#[test]
fn the_warning_about_an_event_type_does_not_show_what_redaction_takes_out() {
    let place = Place::new();
    // A card number is a valid token.
    let ran = place.feed(&["record"], r#"{"kind":"audit","event_type":"4111111111111111"}"#);
    assert!(!ran.err.contains("4111111111111111"), "{}", ran.err);
}

#[test]
fn secrets_and_personal_data_reach_neither_database_nor_output() {
    let place = Place::with(&[
        r#"{"model":"m","prompt":"mail bob@example.com","user":"bob@example.com","metadata":{"k":{"mail":"bob@example.com"}}}"#,
        r#"{"kind":"log","message":"card 4111 1111 1111 1111 of bob@example.com"}"#,
    ]);
    for name in ["lowlight.db", "lowlight.db-wal"] {
        let bytes = std::fs::read(place.path("logs").join(name)).unwrap_or_default();
        for secret in [&b"bob@example.com"[..], b"4111 1111 1111 1111"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{name}");
        }
    }
    let listed = place.run(&["query", "--json"]).expect(0).out;
    assert!(!listed.contains("bob@example.com") && !listed.contains("4111 1111"), "{listed}");
}

#[test]
fn hash_only_mode_commits_to_content_and_does_not_keep_it() {
    let place = Place::new();
    let line = r#"{"model":"m","prompt":"remember nothing","user":"alice"}"#;
    place.run_with(&[("LOWLIGHT_CONTENT", "hash_only")], &["record"], line).expect(0);
    let record = &place.records()[0];
    assert!(record.get("prompt").is_none() && record.get("user").is_none(), "{record}");
    let shown = place.run(&["show", &record["seq"].to_string(), "--json"]).expect(0).object();
    assert_eq!(shown["fields"][0]["field"], "prompt");
    assert_eq!(shown["fields"][0]["state"], "hash_only");
    assert_eq!(shown["fields"][0]["commitment"].as_str().map(str::len), Some(64));
    let database = place.read("logs/lowlight.db");
    assert!(!database.windows(16).any(|window| window == b"remember nothing"));
    let text = place.run(&["show", &record["seq"].to_string()]).expect(0).out;
    assert!(text.contains("only its hash is kept"), "{text}");
    place.run(&["verify"]).expect(0);
}

#[test]
fn content_none_keeps_neither_content_nor_a_hash_of_it() {
    let place = Place::new();
    place.run_with(&[("LOWLIGHT_CONTENT", "none")], &["record"], r#"{"model":"m","prompt":"remember nothing"}"#).expect(0);
    let shown = place.run(&["show", &place.records()[0]["seq"].to_string(), "--json"]).expect(0).object();
    assert_eq!(shown["fields"], json!([]));
    place.run(&["verify"]).expect(0);
}
