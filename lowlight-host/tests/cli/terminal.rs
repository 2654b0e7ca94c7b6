//! Nothing that was recorded reaches a terminal raw.

use super::common::{Place, Ran};

/// Escape sequences, C1 controls, bidirectional overrides, invisible characters, carriage returns and bells.
const HOSTILE: &str = "x\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}2J\u{202e}rtl\u{2066}iso\u{200b}\u{feff}\r\u{8}\nnew line\u{7f}";

#[track_caller]
fn tame(ran: &Ran) {
    for text in [&ran.out, &ran.err] {
        let is_raw = |c: &char| (c.is_control() && !matches!(c, '\n' | '\t')) || ('\u{200b}'..='\u{200f}').contains(c);
        let is_override = |c: &char| ('\u{2028}'..='\u{202e}').contains(c) || ('\u{2060}'..='\u{206f}').contains(c) || *c == '\u{feff}';
        let raw: Vec<_> = text.chars().filter(|c| is_raw(c) || is_override(c)).map(|c| c.escape_unicode().to_string()).collect();
        assert!(raw.is_empty(), "{raw:?} in {text}");
        assert!(!text.lines().any(|line| line.starts_with("new line")), "{text}");
    }
}

fn place() -> Place {
    let attributes = serde_json::json!({ HOSTILE: HOSTILE });
    let inference = serde_json::json!({
        "model": HOSTILE, "prompt": HOSTILE, "response": HOSTILE, "user": HOSTILE, "app": HOSTILE, "module": HOSTILE,
        "provider": HOSTILE, "error": HOSTILE, "metadata": attributes, "before": attributes, "finish_reason": HOSTILE,
        "trace_id": HOSTILE, "session_id": HOSTILE,
    });
    let audit = serde_json::json!({
        "kind": "audit", "event_type": "own.event", "action": HOSTILE, "resource": HOSTILE, "resource_id": HOSTILE,
        "principal": {"subject": HOSTILE, "auth_method": HOSTILE, "metadata": attributes},
    });
    let log = serde_json::json!({
        "kind": "log", "level": "error", "message": HOSTILE, "target": HOSTILE, "file": HOSTILE, "function": HOSTILE,
    });
    Place::with(&[&inference.to_string(), &audit.to_string(), &log.to_string()])
}

/// Every command that shows a log as text.
#[track_caller]
fn look(place: &Place) {
    let size = place.run(&["query", "--json", "--all"]).json().len();
    let shows: Vec<_> = (0..=size).map(|seq| seq.to_string()).collect();
    for seq in &shows {
        tame(&place.run(&["show", seq]));
    }
    for arguments in [
        &["query"] as &[&str],
        &["query", "--all"],
        &["query", "--sql", "SELECT * FROM entries"],
        &["query", "--sql", "SELECT * FROM contents"],
        &["query", "--sql", "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"],
        &["tail"],
        &["stats"],
        &["verify"],
        &["inspect", "logs"],
        &["doctor"],
    ] {
        tame(&place.run(arguments));
    }
}

#[test]
fn recorded_text_is_escaped_in_every_text_output() {
    let place = place();
    let listed = place.run(&["query"]).expect(0).out;
    assert!(listed.contains("\\u{1b}[31m"), "{listed}");
    look(&place);
}

#[test]
fn values_put_into_the_database_directly_are_escaped_too() {
    let place = place();
    let connection = rusqlite::Connection::open(place.path("logs/lowlight.db")).unwrap();
    connection.execute("UPDATE entry SET model = ?1, status = ?1 WHERE kind = 1", [HOSTILE]).unwrap();
    connection.execute("UPDATE entry SET event_type = ?1, outcome = ?1 WHERE kind = 2", [HOSTILE]).unwrap();
    connection.execute("UPDATE content SET value = ?1", [HOSTILE]).unwrap();
    let name = HOSTILE.replace('"', "");
    connection.execute_batch(&format!("CREATE TABLE \"{name}\" (a); CREATE INDEX \"i{name}\" ON entry (model)")).unwrap();
    connection.execute_batch(&format!("CREATE TRIGGER \"t{name}\" AFTER INSERT ON entry BEGIN SELECT 1; END")).unwrap();
    drop(connection);
    look(&place);
}

#[test]
fn exports_made_by_an_attacker_are_escaped() {
    let place = place();
    let export = place.run(&["export", "--format", "ndjson"]).expect(0).out;
    let first = export.lines().next().unwrap().to_owned();
    place.write("preamble", export.replacen("\"asked\":{}", &format!("\"asked\":{{}},\"x\":\"{HOSTILE}\""), 1));
    place.write("lines", format!("{first}\n{HOSTILE}\n{{\"lowlight\":\"{HOSTILE}\n"));
    place.write("only", format!("{{\"lowlight\":\"export\",\"version\":\"{HOSTILE}\"}}"));
    for name in ["preamble", "lines", "only"] {
        tame(&place.run(&["verify", name]));
        tame(&place.run(&["inspect", name]));
    }
}

#[test]
fn names_of_files_and_arguments_are_escaped() {
    let place = place();
    let name = HOSTILE.replace('\n', "");
    place.write(&name, "garbage");
    tame(&place.run(&["verify", &name]));
    tame(&place.run(&["inspect", &name]));
    tame(&place.run(&["inspect", &format!("{name}-absent")]));
    tame(&place.run(&["record", "--file", &format!("{name}-absent")]));
    tame(&place.run(&["query", "--path", &format!("{name}-absent")]));
    tame(&place.run(&["--config", &format!("{name}-absent"), "config", "show"]));
    tame(&place.run(&["query", "--since", &name]));
    tame(&place.run_with(&[("LOWLIGHT_APP", name.as_str())], &["config", "show"], ""));
}

#[test]
fn what_record_says_about_hostile_input_is_escaped() {
    let place = Place::new();
    let hostile = serde_json::Value::from(HOSTILE);
    let lines = [
        format!("{{\"model\":\"m\",\"status\":{hostile}}}"),
        format!("{{\"kind\":\"audit\",\"event_type\":{hostile}}}"),
        format!("{{{hostile}:1,{hostile}:2}}"),
        HOSTILE.replace('\n', ""),
    ];
    tame(&place.feed(&["record"], lines.join("\n")));
    tame(&place.feed(&["record", "--ack"], lines.join("\n")));
}
