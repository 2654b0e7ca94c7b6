//! `query --sql`: reads, and nothing else.

use super::common::Place;

fn place() -> Place {
    Place::with(&[r#"{"model":"phi","prompt":"one","latency_ms":12.5}"#, r#"{"model":"llama","prompt":"two"}"#])
}

#[test]
fn the_documented_views_can_be_read() {
    let place = place();
    let text = place.run(&["query", "--sql", "SELECT model, latency_ms, cost_usd FROM entries WHERE kind = 'inference'"]).expect(0).out;
    assert_eq!(text, "model\tlatency_ms\tcost_usd\nphi\t12.5\t\nllama\t\t\n");
    let rows = place.run(&["query", "--json", "--sql", "SELECT field, value FROM contents ORDER BY seq"]).expect(0).json();
    assert_eq!(rows, [serde_json::json!({"field": "prompt", "value": "one"}), serde_json::json!({"field": "prompt", "value": "two"})]);
}

#[test]
fn what_a_query_needs_is_allowed() {
    let place = place();
    let recursive = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3) SELECT sum(x) AS total FROM c";
    assert_eq!(place.run(&["query", "--sql", recursive]).expect(0).out, "total\n6\n");
    let functions = "SELECT upper(model) AS m, count(*) AS n FROM entries WHERE kind = 'inference' GROUP BY model ORDER BY m";
    assert_eq!(place.run(&["query", "--sql", functions]).expect(0).out, "m\tn\nLLAMA\t1\nPHI\t1\n");
    assert_eq!(place.run(&["query", "--json", "--sql", "SELECT x'00ff' AS b, NULL AS n, 1.5 AS r"]).expect(0).object()["b"], "00ff");
    place.run(&["query", "--sql", "SELECT 1;"]).expect(0);
}

#[test]
fn everything_that_is_not_reading_is_refused() {
    let place = place();
    let before = place.read("logs/lowlight.db");
    let statements = [
        "INSERT INTO cursor VALUES ('a', 1)",
        "UPDATE entry SET model = 'x'",
        "DELETE FROM entry",
        "REPLACE INTO cursor VALUES ('a', 1)",
        "INSERT INTO cursor VALUES ('a', 1) RETURNING name",
        "CREATE TABLE a (b)",
        "CREATE TEMP TABLE a (b)",
        "CREATE VIEW mine AS SELECT 1",
        "DROP TABLE entry",
        "ALTER TABLE entry RENAME TO gone",
        "ATTACH 'other.db' AS other",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "PRAGMA user_version",
        "PRAGMA user_version = 5",
        "PRAGMA writable_schema = 1",
        "PRAGMA query_only = 0",
        "PRAGMA journal_mode = delete",
        "SELECT * FROM pragma_table_info('entry')",
        "VACUUM",
        "VACUUM INTO 'other.db'",
        "REINDEX",
        "ANALYZE",
        "BEGIN IMMEDIATE",
        "SAVEPOINT a",
        "SELECT load_extension('other')",
        "SELECT LOAD_EXTENSION('other', 'entry')",
        "SELECT writefile('other.db', 'x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT edit('x')",
        "EXPLAIN DELETE FROM entry",
        "SELECT 1; DROP TABLE entry",
        "WITH x AS (SELECT 1) DELETE FROM entry",
    ];
    for statement in statements {
        for extra in [&[] as &[&str], &["--json"]] {
            let ran = place.run(&[&["query", "--sql", statement][..], extra].concat());
            assert_eq!(ran.code, 2, "{statement}: {ran:?}");
            assert!(ran.err.contains("--sql"), "{statement}: {}", ran.err);
        }
    }
    assert_eq!(place.read("logs/lowlight.db"), before);
    assert!(!place.path("other.db").exists());
    for suffix in ["-wal", "-shm", "-journal"] {
        assert!(!place.path(&format!("logs/lowlight.db{suffix}")).exists(), "{suffix}");
    }
    place.run(&["verify"]).expect(0);
}

#[test]
fn a_statement_that_is_none_is_exit_two() {
    let place = place();
    for statement in ["", "   ", "/* nothing */", "SELECT", "SELECT nothing FROM nowhere", "tell me"] {
        let ran = place.run(&["query", "--sql", statement]).expect(2);
        assert_eq!(ran.out.trim(), "", "{statement}");
    }
}

#[test]
fn sql_and_filters_do_not_mix() {
    let place = place();
    for filter in [["--model", "m"], ["--limit", "1"], ["--since", "yesterday"], ["--user", "a"]] {
        place.run(&["query", "--sql", "SELECT 1", filter[0], filter[1]]).expect(2);
    }
}

#[test]
fn a_view_smuggled_into_the_log_cannot_write_a_file() {
    let place = place();
    place.tamper("DROP VIEW entries; CREATE VIEW entries AS SELECT load_extension('other') AS seq");
    place.run(&["query", "--sql", "SELECT * FROM entries"]).expect(2);
}
