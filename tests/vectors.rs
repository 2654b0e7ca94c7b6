//! The vectors of `docs/vectors`, which an independent implementation wrote.

use lowlight_core::entry::codec::{self, decode, encode};
use lowlight_core::entry::{EntryError, FieldId, MAX_BODY};
use lowlight_core::{Commitment, Digest, Frontier, LogId, Salt, chain};
use lowlight_host::export::{self, Line, parse_line, unhex, verify_export};
use lowlight_host::store::{columns, schema};
use lowlight_host::verify::Report;
use lowlight_tests::{repository, scratch, verify};
use rusqlite::types::Value as Sql;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn bytes(value: &Value) -> Vec<u8> {
    unhex(value.as_str().unwrap()).unwrap()
}

fn digest(value: &Value) -> Digest {
    Digest::from_slice(&bytes(value)).unwrap()
}

fn check_body(case: &Value) {
    let (body, prev, leaf) = (bytes(&case["body"]), digest(&case["prev"]), digest(&case["leaf"]));
    assert_eq!(chain::leaf(&prev, &body), leaf);
    let Line::Entry { body: parsed, leaf: stated, .. } = parse_line(case["entry"].to_string().as_bytes()) else {
        panic!("the entry's line is refused: {:?}", parse_line(case["entry"].to_string().as_bytes()))
    };
    assert_eq!((parsed, stated), (body.clone(), leaf));
    match decode(&body) {
        Err(EntryError::NotUnderstood) => assert_eq!(case["entry"]["kind"], "unknown"),
        Err(error) => panic!("refused: {error}"),
        Ok(entry) => {
            let mut buffer = [0; MAX_BODY];
            assert_eq!(encode(&entry, &mut buffer).unwrap(), body);
            let (mut payload, mut encoded) = ([0; MAX_BODY], [0; MAX_BODY]);
            let fields = codec::encode_slots(&entry.fields, &mut encoded).unwrap();
            let mut line = Vec::new();
            export::entry_line(&mut line, &columns::row(&entry, fields, &leaf, &mut payload), &[]).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), case["entry"]);
        }
    }
}

fn check_refused(case: &Value) {
    let body = bytes(&case["body"]);
    let found = decode(&body);
    assert!(!matches!(found, Ok(_) | Err(EntryError::NotUnderstood)), "accepted: {found:?}");
}

fn check_tree(case: &Value) {
    let mut tree = Frontier::new();
    let roots: Vec<_> = case["roots"].as_array().unwrap().iter().map(digest).collect();
    for (leaf, root) in case["leaves"].as_array().unwrap().iter().zip(&roots) {
        assert_eq!(tree.root(), *root);
        tree.push(digest(leaf), |_, _, _| {});
    }
    assert_eq!(tree.root(), *roots.last().unwrap());
    assert!(tree.hashes().copied().eq(case["frontier"].as_array().unwrap().iter().map(digest)));
}

fn check_commitment(case: &Value) {
    let field = FieldId::new(u8::try_from(case["field"].as_u64().unwrap()).unwrap()).unwrap();
    let salt = Salt(bytes(&case["salt"]).try_into().unwrap());
    assert_eq!(Commitment::new(&salt, field, case["value"].as_str().unwrap().as_bytes()).0, digest(&case["commitment"]));
}

fn check_report(case: &Value, report: &Report) {
    let problems: Vec<Value> = report.problems.iter().map(|problem| serde_json::json!([problem.seq, problem.kind])).collect();
    let found = serde_json::json!({ "verdict": report.verdict, "problems": problems });
    let wanted = serde_json::json!({ "verdict": case["verdict"], "problems": case["problems"] });
    assert_eq!(found, wanted, "{:?}", report.error);
    // What vectors about removal say besides.
    let report = serde_json::to_value(report).unwrap();
    for key in ["gaps", "gaps_total", "erased", "pending_erase", "not_checked"] {
        if let Some(wanted) = case.get(key) {
            assert_eq!(report[key], *wanted, "{key}");
        }
    }
}

fn build_database(case: &Value, path: &Path) {
    let database = rusqlite::Connection::open(path).unwrap();
    schema::create(&database).unwrap();
    for table in ["log", "entry", "content", "node"] {
        for row in case["rows"][table].as_array().unwrap() {
            let row = row.as_object().unwrap();
            let names = row.keys().cloned().collect::<Vec<_>>().join(",");
            let marks = vec!["?"; row.len()].join(",");
            let values = row.values().map(|value| match value {
                Value::Null => Sql::Null,
                Value::Number(number) => Sql::Integer(number.as_i64().unwrap()),
                Value::String(text) => Sql::Text(text.clone()),
                other => Sql::Blob(bytes(&other["hex"])),
            });
            database.execute(&format!("INSERT INTO {table} ({names}) VALUES ({marks})"), rusqlite::params_from_iter(values)).unwrap();
        }
    }
    for sql in case["extra_sql"].as_array().unwrap() {
        database.execute_batch(sql.as_str().unwrap()).unwrap();
    }
}

fn check_database(case: &Value) {
    let scratch = scratch();
    let path = scratch.path().join("lowlight.db");
    build_database(case, &path);
    check_report(case, &verify(&path));
}

#[test]
fn every_vector_is_read_as_the_second_implementation_reads_it() {
    let mut counts = BTreeMap::new();
    let mut failed = Vec::new();
    for file in std::fs::read_dir(repository().join("docs/vectors")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let class = case["type"].as_str().unwrap().to_owned();
        let check = || match class.as_str() {
            "body" => check_body(&case),
            "body-refused" => check_refused(&case),
            "tree" => check_tree(&case),
            "commitment" => check_commitment(&case),
            "genesis" => assert_eq!(LogId(bytes(&case["log_id"]).try_into().unwrap()).genesis(), digest(&case["genesis"])),
            "export" => check_report(&case, &verify_export(case["text"].as_str().unwrap().as_bytes())),
            "database" => check_database(&case),
            other => panic!("a vector of an unknown type {other}"),
        };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err() {
            failed.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
        *counts.entry(class).or_insert(0) += 1;
    }
    println!("{counts:?}");
    assert_eq!(counts.len(), 7, "a type of vector is missing: {counts:?}");
    assert!(failed.is_empty(), "{} vectors failed: {failed:#?}", failed.len());
}

#[test]
fn the_schema_in_the_format_chapter_is_the_one_the_store_creates() {
    let chapter = std::fs::read_to_string(repository().join("docs/format.md")).unwrap();
    let block = chapter.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(block, schema::SCHEMA);
}
