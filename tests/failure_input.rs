//! The failure contract: NaN, infinities, lone surrogates, NUL, 10 MB of text, 10,000 keys. The writer never dies.

use crate::seen::{LONG, assert_intact, entries, lowlight, number, prompts, quick, tell};
use lowlight_core::FieldId;
use lowlight_core::entry::MAX_FIELDS;
use lowlight_host::record::RecordError;
use lowlight_host::{Outcome, Record, Recorder};
use lowlight_tests::{db, scratch};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Records it, then something ordinary: the second proves that the writer is alive.
#[track_caller]
fn survives(recorder: &Recorder, record: Record<'_>) {
    let outcome = recorder.record(record).expect("accepted").wait_timeout(LONG);
    assert!(matches!(outcome, Outcome::Durable(_)), "{outcome:?}");
    let outcome = tell(recorder, "alive").wait_timeout(LONG);
    assert!(matches!(outcome, Outcome::Durable(_)), "the writer is dead: {outcome:?}");
}

#[track_caller]
fn refused(recorder: &Recorder, record: Record<'_>, why: RecordError) {
    let before = recorder.stats().received;
    assert_eq!(recorder.record(record).map(drop), Err(why));
    assert_eq!(recorder.stats().received, before, "a refused record is not counted");
    let outcome = tell(recorder, "alive").wait_timeout(LONG);
    assert!(matches!(outcome, Outcome::Durable(_)), "the writer is dead: {outcome:?}");
}

/// Value and original length of the prompt of the newest inference but one: what came before `alive`.
fn stored_prompt(dir: &Path) -> Vec<u8> {
    let sql = "SELECT CAST(value AS BLOB) FROM content WHERE id & 63 = 0 ORDER BY id DESC LIMIT 1 OFFSET 1";
    db(dir).query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn nul_is_kept_in_content_and_replaced_in_the_header() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let mut record = Record::inference("phi\0-3").prompt("before\0after\0");
    record.module = Some("mod\0ule");
    survives(&recorder, record);
    recorder.close(LONG).unwrap();
    assert_eq!(stored_prompt(dir.path()), b"before\0after\0");
    let first = entries(dir.path()).into_iter().find(|entry| entry["kind"] == "inference").unwrap();
    assert_eq!((first["model"].as_str(), first["module"].as_str()), (Some("phi\u{fffd}-3"), Some("mod\u{fffd}ule")));
    assert_eq!(first["prompt"], "before\0after\0");
    assert_intact(dir.path());
}

#[test]
fn ten_megabytes_of_text_are_cut_with_their_original_length() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    survives(&recorder, Record::inference("phi-3-mini").prompt("word ".repeat(2_000_000)));
    recorder.close(LONG).unwrap();
    let stored = stored_prompt(dir.path());
    assert!(stored.len() <= 1 << 20 && stored.len() > 1_000_000, "{}", stored.len());
    assert_eq!(cut_from(dir.path()), Some(10_000_000));
    assert_intact(dir.path());
}

/// Original length of the only content that was cut.
fn cut_from(dir: &Path) -> Option<u64> {
    use lowlight_core::source::{EntrySource, Item};
    let reader = lowlight_host::store::Reader::open(dir).unwrap();
    let mut source = reader.everything(true);
    let mut found = None;
    while let Some(item) = source.next().unwrap() {
        if let Item::Entry { body, .. } = item {
            let entry = lowlight_core::entry::codec::decode(body).unwrap();
            found = entry.fields.iter().find_map(|slot| slot.cut_from).or(found);
        }
    }
    found
}

#[test]
fn ten_thousand_keys_are_accepted() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    let keys: Map<String, Value> = (0..10_000).map(|number| (format!("field {number}"), json!(number))).collect();
    survives(&recorder, Record::inference("phi-3-mini").attributes(keys));
    recorder.close(LONG).unwrap();
    let first = entries(dir.path()).into_iter().find(|entry| entry["kind"] == "inference").unwrap();
    assert_eq!(first["metadata"].as_object().map(Map::len), Some(10_000));
    assert_intact(dir.path());
}

#[test]
fn the_longest_texts_and_largest_numbers_fit_into_one_entry() {
    let dir = scratch();
    let recorder = quick(dir.path()).content_cap(8 << 10).open().unwrap();
    let (long, token) = ("ä ".repeat(500), "t".repeat(32));
    let (long, token) = (long.as_str(), token.as_str());
    let mut record = Record::inference(long).with(|it| {
        (it.operation, it.status) = (token, token);
        (it.provider, it.model_actual, it.model_digest) = (Some(long), Some(long), Some(long));
        (it.error_type, it.finish_reason, it.tier, it.rate_version) = (Some(long), Some(long), Some(long), Some(long));
        let most = Some(i64::MAX.cast_unsigned());
        (it.duration_ns, it.ttft_ns, it.input_tokens, it.output_tokens) = (most, most, most, most);
        (it.cached_tokens, it.reasoning_tokens, it.cost_nano_usd, it.attempt) = (most, most, most, Some(u32::MAX));
    });
    record.occurred = Some(i64::MIN);
    (record.app, record.environment, record.module) = (Some(long), Some(long), Some(long));
    (record.trace_id, record.span_id, record.parent_id, record.request_id) = (Some(long), Some(long), Some(long), Some(long));
    for number in 0..16 {
        record = record.text(FieldId::new(40 + number).unwrap(), "x ".repeat(20_000));
    }
    survives(&recorder, record);
    recorder.close(LONG).unwrap();
    assert_intact(dir.path());
}

#[test]
fn what_breaks_the_limits_is_refused_at_the_door() {
    let dir = scratch();
    let recorder = quick(dir.path()).open().unwrap();
    refused(&recorder, Record::inference(""), RecordError::EmptyModel);
    refused(&recorder, Record::inference("m").with(|it| it.status = "Not OK"), RecordError::Token("status", 32));
    refused(&recorder, Record::inference("m").with(|it| it.operation = ""), RecordError::Token("operation", 32));
    refused(&recorder, Record::audit("NaN and so on"), RecordError::Token("event_type", 64));
    let too_large = Record::inference("m").with(|it| it.input_tokens = Some(u64::MAX));
    refused(&recorder, too_large, RecordError::Number("input_tokens"));
    let fields = u8::try_from(MAX_FIELDS).unwrap() + 1;
    let crowded = (0..fields).fold(Record::inference("m"), |record, number| record.text(FieldId::new(40 + number).unwrap(), "x"));
    refused(&recorder, crowded, RecordError::TooManyFields);
    let stats = recorder.close(LONG).unwrap();
    assert_eq!((stats.received, stats.durable), (6, 6));
    assert_intact(dir.path());
}

/// Line, what becomes of it, and a word of the reason.
fn lines() -> Vec<(String, &'static str, &'static str)> {
    let keys = (0..10_000).map(|number| format!("\"field {number}\":{number}")).collect::<Vec<_>>().join(",");
    let deep = format!("{{\"model\":\"m\",\"metadata\":{{\"a\":{}1{}}}}}", "[".repeat(500), "]".repeat(500));
    let ok = |line: &str| (line.to_owned(), "durable", "");
    let no = |line: &str, why| (line.to_owned(), "refused", why);
    vec![
        ok(r#"{"model":"m","prompt":"first"}"#),
        no(r#"{"model":"m","latency_ms":NaN}"#, "not JSON"),
        no(r#"{"model":"m","latency_ms":Infinity}"#, "not JSON"),
        no(r#"{"model":"m","latency_ms":-Infinity}"#, "not JSON"),
        no(r#"{"model":"m","latency_ms":1e999}"#, "range"),
        no(r#"{"model":"m","latency_ms":-1}"#, "latency_ms"),
        no(r#"{"model":"m","input_tokens":1180591620717411303424}"#, "input_tokens"),
        no(r#"{"model":"m","prompt":"\ud800"}"#, ""),
        no(r#"{"model":"m","metadata":{"\udc00":1}}"#, "surrogate"),
        no(r#"{"model":7}"#, "model"),
        no(r#"{"prompt":"no model"}"#, "model"),
        no("\u{1}", "not JSON"),
        no("[1,2]", "object"),
        no(&deep, "deeper"),
        no(r#"{"model":"m","a":1,"a":2}"#, "twice"),
        ok(r#"{"model":"m","prompt":"nul \u0000 kept"}"#),
        ok(r#"{"model":"m","prompt":"pair \ud83d\ude00"}"#),
        ok(r#"{"model":"m","prompt":null,"latency_ms":null}"#),
        ok(&format!("{{\"model\":\"m\",{keys}}}")),
        ok(&format!("{{\"model\":\"m\",\"prompt\":\"{}\"}}", "word ".repeat(2_000_000))),
        no(&format!("{{\"model\":\"m\",\"prompt\":\"{}\"}}", "x".repeat(17 << 20)), "16 MiB"),
        ok(r#"{"model":"m","prompt":"last"}"#),
    ]
}

#[test]
fn the_command_refuses_bad_lines_with_their_number_and_goes_on() {
    let dir = scratch();
    let lines = lines();
    let mut input: Vec<u8> = lines.iter().flat_map(|line| line.0.bytes().chain([b'\n'])).collect();
    input.extend(b"{\"model\":\"m\",\"prompt\":\"\xff\xfe\"}\n");
    let (code, out, errors) = lowlight(&["--path", dir.path().to_str().unwrap(), "record", "--ack"], input);
    assert_eq!(code, 1, "part of the input was refused");
    let receipts: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(receipts.len(), lines.len() + 1, "{out}");
    for (index, (receipt, (line, status, why))) in receipts.iter().zip(&lines).enumerate() {
        let start: String = line.chars().take(60).collect();
        assert_eq!((receipt["line"].as_u64(), receipt["status"].as_str()), (Some(index as u64 + 1), Some(*status)), "{start}: {receipt}");
        assert!(receipt["reason"].as_str().unwrap_or_default().contains(why), "{start}: {receipt}");
        assert_eq!(*status == "refused", errors.contains(&format!("line {}:", index + 1)), "{start}: {errors}");
    }
    assert_eq!(receipts[lines.len()]["status"], "refused", "not UTF-8");
    let durable = lines.iter().filter(|line| line.1 == "durable").count();
    assert_eq!(number(dir.path(), "SELECT count(*) FROM entry WHERE kind = 1"), i64::try_from(durable).unwrap());
    let prompts = prompts(dir.path());
    assert_eq!((prompts[0].as_str(), prompts[1].as_str(), prompts[2].as_str()), ("first", "nul \0 kept", "pair \u{1f600}"));
    assert_eq!(prompts.last().unwrap(), "last", "the writer was alive to the end");
    assert_eq!(cut_from(dir.path()), Some(10_000_000));
    assert_intact(dir.path());
}
