//! The vectors of `docs/vectors`, which an independent implementation wrote.

use lowlight_core::entry::codec::{self, decode, encode};
use lowlight_core::entry::{Entry, EntryError, Event, FieldId, Lifecycle, MAX_BODY};
use lowlight_core::flash::{Found, Image};
use lowlight_core::frame::{HEAD, Receiver, seal, wire};
use lowlight_core::link::{Answer, Ask, Request};
use lowlight_core::verify::DeviceVerifier;
use lowlight_core::{Commitment, Digest, Frontier, LogId, Salt, chain};
use lowlight_embedded::sim::Sim;
use lowlight_embedded::{FlashLog, Options, Provisioning, Witness, WitnessError, wait};
use lowlight_host::export::{self, Line, hex, parse_line, unhex, verify_export};
use lowlight_host::store::{columns, schema};
use lowlight_host::verify::Report;
use lowlight_tests::{repository, scratch, verify};
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};
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
            check_alone(&entry, &body);
            let (mut payload, mut encoded) = ([0; MAX_BODY], [0; MAX_BODY]);
            let fields = codec::encode_slots(&entry.fields, &mut encoded).unwrap();
            let mut line = Vec::new();
            export::entry_line(&mut line, &columns::row(&entry, fields, &leaf, &mut payload), &[]).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), case["entry"]);
        }
    }
}

/// What firmware does, which has not the code for all kinds.
fn check_alone(entry: &Entry<'_>, body: &[u8]) {
    let (header, fields, mut buffer) = (&entry.header, &entry.fields, [0; MAX_BODY]);
    let encoded = match &entry.event {
        Event::Open(event) => codec::encode_payload(header, event, fields, &mut buffer),
        Event::Inference(event) => codec::encode_payload(header, event, fields, &mut buffer),
        Event::Audit(event) => codec::encode_payload(header, event, fields, &mut buffer),
        Event::Log(event) => codec::encode_payload(header, event, fields, &mut buffer),
        Event::Lifecycle(event) => codec::encode_payload(header, event, fields, &mut buffer),
        Event::Gap(event) => codec::encode_payload(header, event, fields, &mut buffer),
        _ => Ok(body),
    };
    assert_eq!(encoded, Ok(body));
    let is_stop = matches!(entry.event, Event::Lifecycle(Lifecycle::Stop { .. }));
    assert_eq!(codec::peek_run(body), Some((header.run, is_stop)));
    for length in 0..body.len() {
        // What is cut says anything, and harms nobody.
        let _ = codec::peek_run(&body[..length]);
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

fn entries_in(case: &Value) -> BTreeMap<u64, Vec<u8>> {
    case["entries"].as_array().unwrap().iter().map(|pair| (pair[0].as_u64().unwrap(), bytes(&pair[1]))).collect()
}

/// What the log of firmware makes of an image.
fn check_mounted<const W: usize, const S: usize, const MAX: usize>(case: &Value) {
    let flash = Sim::<W, S>::load(&bytes(&case["image"]), 0);
    let end = u32::try_from(flash.image().len()).unwrap();
    let mut log: FlashLog<_, MAX> = wait(FlashLog::mount(flash, 0..end, Options::default(), LogId([9; 16]))).unwrap();
    let status = log.status();
    let found = serde_json::json!({ "first": status.first, "next": status.next, "acked": status.acked, "dropped": status.dropped,
        "log_id": log.status().log_id.to_string(), "head": log.status().head.to_string(), "torn": log.status().is_torn, "run": log.status().run - 1 });
    for (key, value) in found.as_object().unwrap() {
        assert_eq!(case[key], *value, "{key}");
    }
    let (mut there, mut index, mut buffer) = (BTreeMap::new(), 0, [0; MAX]);
    while let Some(stored) = wait(log.read(index, &mut buffer)).unwrap() {
        there.insert(stored.index, buffer[..stored.length].to_vec());
        index = stored.index + 1;
    }
    assert_eq!(there, entries_in(case));
}

fn check_flash(case: &Value) {
    let image = bytes(&case["image"]);
    let read = Image::new(&image).unwrap();
    assert_eq!((read.first(), read.end()), (case["first"].as_u64().unwrap(), case["next"].as_u64().unwrap()));
    let (mut there, mut verifier) = (BTreeMap::new(), DeviceVerifier::<8>::new(read.log_id(), 0, None));
    for found in read.found() {
        match found {
            Found::Anchor { index, head, is_torn } => verifier.anchor(index, head, is_torn),
            Found::Entry { index, body } => {
                verifier.entry(index, body);
                there.insert(index, body.to_vec());
            }
        }
    }
    assert_eq!(there, entries_in(case));
    let verdict = verifier.finish();
    // The device's entry 0 should open its log, which these do not.
    let others: Vec<_> = verdict.problems.kept().iter().filter(|problem| problem.seq != Some(0)).collect();
    assert!(others.is_empty(), "{others:?}");
    let small = case["max"] == 128;
    match (case["write"].as_u64().unwrap(), case["sector"].as_u64().unwrap(), small) {
        (1, 512, true) => check_mounted::<1, 512, 128>(case),
        (2, 512, true) => check_mounted::<2, 512, 128>(case),
        (4, 512, true) => check_mounted::<4, 512, 128>(case),
        (8, 512, true) => check_mounted::<8, 512, 128>(case),
        (16, 512, true) => check_mounted::<16, 512, 128>(case),
        (32, 512, true) => check_mounted::<32, 512, 128>(case),
        (4, 1024, true) => check_mounted::<4, 1024, 128>(case),
        (4, 1024, false) => check_mounted::<4, 1024, 256>(case),
        other => panic!("no such flash: {other:?}"),
    }
}

/// A message as a vector tells it; null where it is none of those that the format has.
fn parsed(kind: u8, payload: &[u8]) -> Value {
    if let Some(request) = Request::parse(kind, payload) {
        return match request {
            Request::Status => json!({ "ask_status": true }),
            Request::Read { from, messages } => json!({ "ask_read": { "from": from, "messages": messages } }),
            Request::Acknowledge { upto } => json!({ "ask_acknowledge": upto }),
        };
    }
    if let Some(ask) = Ask::parse(kind, payload) {
        return match ask {
            Ask::Add { time, request } => json!({ "add": { "time": time, "request": hex(request) } }),
            Ask::Latest { origin } => json!({ "latest": origin }),
            Ask::Attest { nonce, origin } => json!({ "attest": { "nonce": hex(&nonce), "origin": origin } }),
            Ask::Info => json!({ "info": true }),
            Ask::Provision { seeds, name, vkey } => {
                json!({ "provision": { "seeds": seeds.map(|seeds| hex(seeds)), "name": name, "vkey": vkey } })
            }
        };
    }
    match Answer::parse(kind, payload) {
        Some(Answer::Refused) => json!({ "refused": true }),
        Some(Answer::Status(it)) => {
            json!({ "status": { "log_id": it.log_id.to_string(), "run": it.run, "first": it.first, "next": it.next, "acked": it.acked,
            "reclaimed": it.reclaimed, "dropped": it.dropped, "laps": it.laps, "head": it.head.to_string(), "torn": it.is_torn } })
        }
        Some(Answer::Entries(it)) => {
            json!({ "entries": { "asked": it.asked, "index": it.index, "before": it.before.map(|before| before.leaf.to_string()),
            "torn": it.before.is_some_and(|before| before.is_torn), "bodies": it.bodies().map(hex).collect::<Vec<_>>() } })
        }
        None => Value::Null,
    }
}

fn check_link(case: &Value) {
    let (mut receiver, mut found, mut sent) = (Receiver::<5000>::new(), Vec::new(), Vec::new());
    for byte in bytes(&case["wire"]) {
        if receiver.push(byte) {
            let message = receiver.message().unwrap();
            let (kind, payload) = (message.kind, hex(message.payload));
            found.push(json!({ "kind": kind, "request": message.request, "payload": payload, "parsed": parsed(kind, message.payload) }));
            let mut buffer = vec![0; HEAD + message.payload.len() + 4];
            buffer[HEAD..HEAD + message.payload.len()].copy_from_slice(message.payload);
            sent.extend(wire(seal(&mut buffer, kind, message.request, message.payload.len()).unwrap()));
        }
    }
    assert_eq!(Value::from(found), case["messages"]);
    // Whoever sends them sends these bytes, where the line gives nothing else.
    let name = case["name"].as_str().unwrap();
    assert!(sent == bytes(&case["wire"]) || ["link-noise", "link-later-version"].contains(&name));
}

/// What a witness remembers of its logs, when it starts with that flash.
fn check_witness(case: &Value) {
    let (flash, end) = (Sim::<4, 4096>::load(&bytes(&case["image"]), 0), 2 * u32::try_from(case["half"].as_u64().unwrap()).unwrap());
    let mut witness = wait(Witness::mount(flash, 0..end, Provisioning::default())).unwrap();
    for number in 0..4_u8 {
        let log = LogId([number; 16]);
        let seen = wait(witness.seen(log));
        if case["logs"].is_null() {
            assert_eq!(seen, Err(WitnessError::Blank));
            continue;
        }
        match &case["logs"][log.to_string()] {
            Value::Null => assert_eq!(seen.unwrap().size, 0),
            known => {
                let seen = seen.unwrap();
                assert_eq!(json!({ "size": seen.size, "root": seen.root.to_string() }), *known);
            }
        }
    }
    assert_eq!(witness.into_inner().violations, 0);
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
            "flash" => check_flash(&case),
            "link" => check_link(&case),
            "witness" => check_witness(&case),
            other => panic!("a vector of an unknown type {other}"),
        };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err() {
            failed.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
        *counts.entry(class).or_insert(0) += 1;
    }
    println!("{counts:?}");
    assert_eq!(counts.len(), 10, "a type of vector is missing: {counts:?}");
    assert!(failed.is_empty(), "{} vectors failed: {failed:#?}", failed.len());
}

#[test]
fn the_schema_in_the_format_chapter_is_the_one_the_store_creates() {
    let chapter = std::fs::read_to_string(repository().join("docs/format.md")).unwrap();
    let block = chapter.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(block, schema::SCHEMA);
}
