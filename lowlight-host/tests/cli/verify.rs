//! `verify`: verdicts, exit codes and what the JSON says.

use super::common::{Place, Ran, copy_log};
use serde_json::{Value, json};

const LINES: [&str; 3] =
    [r#"{"model":"m","prompt":"one"}"#, r#"{"model":"m","prompt":"two"}"#, r#"{"model":"n","prompt":"three","user":"alice"}"#];

fn place() -> Place {
    Place::with(&LINES)
}

#[track_caller]
fn report(place: &Place, code: i32) -> Value {
    place.run(&["verify", "--json"]).expect(code).object()
}

/// Tampers and returns seq and kind of the first problem; the verdict must be broken.
#[track_caller]
fn first_problem(sql: impl FnOnce(u64) -> String) -> (Value, Value, u64) {
    let place = place();
    let two = place.seq_of("two");
    place.tamper(&sql(two));
    let report = report(&place, 1);
    assert_eq!(report["verdict"], "broken");
    let text = place.run(&["verify"]).expect(1).out;
    assert!(text.starts_with("broken: "), "{text}");
    (report["problems"][0]["seq"].clone(), report["problems"][0]["kind"].clone(), two)
}

#[test]
fn an_intact_log_is_exit_zero() {
    let place = place();
    let text = place.run(&["verify"]).expect(0).out;
    assert!(text.starts_with("intact: ./logs: ") && text.contains("3 records"), "{text}");
    let report = report(&place, 0);
    assert_eq!(report["verdict"], "intact");
    assert_eq!(report["records"], 3);
    assert_eq!(report["first_seq"], 0);
    assert_eq!(report["entries"].as_u64(), report["last_seq"].as_u64().map(|last| last + 1));
    assert_eq!(report["root"].as_str().map(str::len), Some(64));
    assert_eq!(report["problems"], json!([]));
    assert_eq!(report["problems_total"], 0);
    assert_eq!(report["gaps"], json!([]));
    assert_eq!(report["erased"], 0);
    assert_eq!(report["level"], "chain");
}

#[test]
fn the_verdict_has_exactly_the_documented_keys() {
    let report = report(&place(), 0);
    let keys: Vec<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = [
        "entries",
        "erased",
        "first_seq",
        "gaps",
        "gaps_total",
        "last_seq",
        "level",
        "not_checked",
        "pending_erase",
        "problems",
        "problems_total",
        "records",
        "root",
        "sealed",
        "verdict",
    ];
    assert_eq!(keys, documented);
}

#[test]
fn a_problem_has_exactly_the_documented_keys() {
    let place = place();
    place.tamper("UPDATE content SET value = 'TWO' WHERE value = 'two'");
    let report = report(&place, 1);
    let keys: Vec<_> = report["problems"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["detail", "kind", "seq"]);
    assert_eq!(report["problems_total"], 1);
}

#[test]
fn a_log_without_a_checkpoint_lists_what_could_not_be_known() {
    assert_eq!(report(&place(), 0)["not_checked"], json!(["tail", "rewrite", "rollback"]));
    let text = place().run(&["verify"]).expect(0).out;
    assert!(text.contains("tail, rewrite, rollback"), "{text}");
}

#[test]
fn changed_values_are_modified() {
    let (seq, kind, two) = first_problem(|two| format!("UPDATE entry SET model = 'x' WHERE seq = {two}"));
    assert_eq!((seq, kind), (json!(two), json!("modified")));
}

#[test]
fn changed_or_absent_content_does_not_match() {
    let changes = ["UPDATE content SET value = 'TWO' WHERE id >> 6 =", "DELETE FROM content WHERE id >> 6 ="];
    for change in changes {
        let (seq, kind, two) = first_problem(|two| format!("{change} {two}"));
        assert_eq!((seq, kind), (json!(two), json!("content_mismatch")), "{change}");
    }
}

#[test]
fn an_absent_entry_is_missing() {
    let (seq, kind, two) = first_problem(|two| format!("DELETE FROM entry WHERE seq = {two}"));
    assert_eq!((seq, kind), (json!(two), json!("missing")));
}

#[test]
fn entry_zero_gone_is_missing_zero() {
    let (seq, kind, _) = first_problem(|_| "DELETE FROM entry WHERE seq = 0".to_owned());
    assert_eq!((seq, kind), (json!(0), json!("missing")));
}

#[test]
fn an_added_entry_is_inserted() {
    let (_, kind, _) = first_problem(|two| {
        format!("CREATE TEMP TABLE t AS SELECT * FROM entry WHERE seq = {two}; UPDATE t SET seq = 40; INSERT INTO entry SELECT * FROM t")
    });
    assert_eq!(kind, "inserted");
}

#[test]
fn swapped_entries_are_reordered() {
    let (seq, kind, two) = first_problem(|two| {
        let three = two + 1;
        format!(
            "UPDATE entry SET seq = -1 WHERE seq = {two}; UPDATE entry SET seq = {two} WHERE seq = {three};
             UPDATE entry SET seq = {three} WHERE seq = -1"
        )
    });
    assert_eq!((seq, kind), (json!(two), json!("reordered")));
}

#[test]
fn a_cut_tail_with_its_tip_untouched_is_truncated() {
    let (seq, kind, two) = first_problem(|two| format!("DELETE FROM entry WHERE seq > {two}; DELETE FROM content WHERE id >> 6 > {two}"));
    assert_eq!((seq, kind), (json!(two + 1), json!("truncated")));
}

#[test]
fn an_older_copy_is_intact_and_says_that_the_tail_was_not_checked() {
    let place = place();
    copy_log(&place.path("logs"), &place.path("older"));
    place.record(&[LINES[0]]);
    let older = place.run(&["verify", "older", "--json"]).expect(0).object();
    assert_eq!(older["records"], 3);
    assert!(older["not_checked"].as_array().unwrap().contains(&json!("tail")));
}

#[test]
fn a_foreign_trigger_table_or_view_is_a_schema_problem() {
    for sql in [
        "CREATE TRIGGER mine AFTER INSERT ON entry BEGIN DELETE FROM entry; END",
        "CREATE TABLE mine (a)",
        "CREATE VIEW mine AS SELECT 1",
        "DROP VIEW entries; CREATE VIEW entries AS SELECT 1 AS seq",
        "DROP INDEX entry_recorded",
    ] {
        let (seq, kind, _) = first_problem(|_| sql.to_owned());
        assert_eq!((seq, kind), (Value::Null, json!("schema")), "{sql}");
    }
}

#[test]
fn an_index_of_the_user_and_statistics_are_no_faults() {
    let place = place();
    place.tamper("CREATE INDEX mine ON entry (model); ANALYZE; DELETE FROM run");
    let text = place.run(&["verify"]).expect(0).out;
    assert!(text.contains("mine"), "{text}");
}

#[test]
fn an_altered_tip_is_a_problem_of_the_whole_log() {
    let (seq, kind, _) = first_problem(|_| "UPDATE log SET head = zeroblob(32)".to_owned());
    assert_eq!((seq, kind), (Value::Null, json!("root_mismatch")));
}

#[test]
fn problems_are_listed_in_order_and_at_most_a_hundred() {
    let place = Place::new();
    place.feed(&["record"], super::common::many_lines(150)).expect(0);
    place.tamper("UPDATE content SET value = value || '!'");
    let report = report(&place, 1);
    let seqs: Vec<_> = report["problems"].as_array().unwrap().iter().map(|problem| problem["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs.len(), 100);
    assert!(seqs.is_sorted());
    assert_eq!(report["problems_total"], 150);
    let text = place.run(&["verify"]).expect(1).out;
    assert!(text.contains("150 problems in all"), "{text}");
}

#[track_caller]
fn unreadable(place: &Place, ran: &Ran, says: &str) {
    assert!(ran.out.starts_with("could not tell: ") && ran.out.contains(says), "{ran:?}");
    assert_eq!(ran.code, 2, "{ran:?}");
    // Nothing is created where there is nothing.
    assert!(!place.path("logs").exists());
}

#[test]
fn what_is_missing_or_not_ours_is_exit_two() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty-directory")).unwrap();
    place.write("empty-file", "");
    place.write("garbage", [0xa5; 5000]);
    place.write("text", "{\"a\":1}\n");
    place.write("cut.db", b"SQLite format 3\0and no more");
    let connection = rusqlite::Connection::open(place.path("foreign.db")).unwrap();
    connection.execute_batch("CREATE TABLE a (b)").unwrap();
    drop(connection);
    let sources = [
        ("absent", "no log at absent"),
        ("empty-directory", "no log at"),
        ("empty-file", "empty"),
        ("garbage", "not a lowlight export"),
        ("text", "not a lowlight export"),
        ("cut.db", "cut.db"),
        ("foreign.db", "is not a Lowlight log"),
        ("/dev/null", "empty"),
    ];
    for (source, says) in sources {
        unreadable(&place, &place.run(&["verify", source]), says);
        let report = place.run(&["verify", source, "--json"]).expect(2).object();
        assert_eq!(report["verdict"], "unreadable", "{source}");
        assert_eq!(report["root"], Value::Null, "{source}");
    }
    unreadable(&place, &place.run(&["verify"]), "no log at ./logs");
}

#[test]
fn a_log_without_entries_is_unreadable_whatever_the_tip_says() {
    let place = place();
    place.tamper("DELETE FROM entry; DELETE FROM content");
    assert_eq!(report(&place, 2)["verdict"], "unreadable");
}

#[test]
fn a_newer_log_is_exit_two_names_both_versions_and_stays_untouched() {
    let place = place();
    place.tamper("PRAGMA user_version = 9");
    let before = place.read("logs/lowlight.db");
    let ran = place.run(&["verify"]).expect(2);
    assert!(ran.out.contains("version 9") && ran.out.contains("version 1"), "{}", ran.out);
    assert_eq!(place.read("logs/lowlight.db"), before);
}

#[test]
fn a_damaged_page_of_entries_is_unreadable() {
    let place = Place::new();
    place.feed(&["record"], super::common::many_lines(2_000)).expect(0);
    let mut bytes = place.read("logs/lowlight.db");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 8192].fill(0xa5);
    place.write("logs/lowlight.db", bytes);
    let ran = place.run(&["verify", "--json"]);
    assert!(ran.code == 1 || ran.code == 2, "{ran:?}");
    assert_ne!(ran.object()["verdict"], "intact");
}

#[test]
fn the_database_file_itself_can_be_verified() {
    let place = place();
    let report = place.run(&["verify", "logs/lowlight.db", "--json"]).expect(0).object();
    assert_eq!(report["records"], 3);
}

#[test]
fn verifying_changes_nothing_in_the_directory() {
    let place = place();
    let before = place.read("logs/lowlight.db");
    let names = || std::fs::read_dir(place.path("logs")).unwrap().count();
    let count = names();
    place.run(&["verify"]).expect(0);
    assert_eq!((place.read("logs/lowlight.db"), names()), (before, count));
}

#[test]
fn an_export_is_verified_from_a_file_and_from_stdin() {
    let place = place();
    let mut whole = report(&place, 0);
    // An export has no journal of checkpoints beside it.
    whole.as_object_mut().unwrap().remove("sealed");
    for format in ["json", "ndjson"] {
        let export = place.run(&["export", "--format", format]).expect(0).out;
        let piped = place.feed(&["verify", "-", "--json"], &export).expect(0).object();
        assert_eq!(piped, whole, "{format}");
        place.write("export", &export);
        assert_eq!(place.run(&["verify", "export", "--json"]).expect(0).object(), whole, "{format}");
    }
    assert_eq!(place.run(&["verify", "-"]).expect(2).out.lines().count(), 1);
    place.feed(&["verify", "-"], "garbage").expect(2);
}

#[test]
fn an_altered_export_is_broken() {
    let place = place();
    let export = place.run(&["export", "--format", "ndjson"]).expect(0).out;
    let lines: Vec<_> = export.lines().collect();
    let without = |index: usize| [&lines[..index], &lines[index + 1..]].concat().join("\n");
    let altered = [
        ("content", export.replace("\"two\"", "\"TWO\"")),
        ("model", export.replace("\"model\":\"n\"", "\"model\":\"o\"")),
        ("a line is gone", without(4)),
        ("the trailer is gone", without(lines.len() - 1)),
        ("cut in a line", export[..export.len() / 2].to_owned()),
        ("something added", format!("{export}{{}}\n")),
        ("trailer digest", export.replace("\"digest\":\"", "\"digest\":\"00")),
    ];
    for (what, text) in altered {
        let ran = place.feed(&["verify", "-", "--json"], &text);
        assert_eq!(ran.code, 1, "{what}: {ran:?}");
        assert_eq!(ran.object()["verdict"], "broken", "{what}");
    }
    let newer = export.replacen("\"version\":1", "\"version\":9", 1);
    place.feed(&["verify", "-"], newer).expect(2);
}
