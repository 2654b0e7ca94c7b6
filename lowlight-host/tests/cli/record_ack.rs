//! `record --ack`: receipts, and ids that occur twice.

use super::common::Place;
use serde_json::{Value, json};

const ID: &str = "018f0000-0000-7000-8000-000000000001";

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_receipt_comes_as_soon_as_its_line_is_durable_while_stdin_stays_open() {
    let place = Place::new();
    let mut recorder = place.start(&["record", "--ack"]);
    for (number, prompt) in [(1, "first"), (2, "second"), (3, "third")] {
        recorder.say(&format!("{{\"model\":\"m\",\"prompt\":\"{prompt}\"}}\n"));
        let receipt = parsed(&recorder.line());
        assert_eq!(receipt["line"], number);
        assert_eq!(receipt["status"], "durable");
        // Durable means that another process can read it now.
        assert_eq!(receipt["seq"], place.seq_of(prompt));
    }
    assert_eq!(recorder.end(), 0);
}

#[test]
fn a_refused_line_gets_its_receipt_while_stdin_stays_open() {
    let place = Place::new();
    let mut recorder = place.start(&["record", "--ack"]);
    recorder.say("{\"prompt\":\"no model\"}\n");
    assert_eq!(parsed(&recorder.line()), json!({"line": 1, "status": "refused", "reason": "model is missing"}));
    recorder.say("{\"model\":\"m\"}\n");
    assert_eq!(parsed(&recorder.line())["status"], "durable");
    assert_eq!(recorder.end(), 1);
}

#[test]
fn receipts_come_in_the_order_of_the_lines_and_blank_lines_get_none() {
    let place = Place::new();
    let input = "{\"model\":\"a\"}\n\nbad\n{\"model\":\"b\"}\n   \n{\"model\":\"c\"}\n";
    let receipts = place.feed(&["record", "--ack"], input).expect(1).json();
    let found: Vec<_> = receipts.iter().map(|receipt| (receipt["line"].as_u64().unwrap(), receipt["status"].as_str().unwrap())).collect();
    assert_eq!(found, [(1, "durable"), (3, "refused"), (4, "durable"), (6, "durable")]);
    let seqs: Vec<_> = receipts.iter().filter_map(|receipt| receipt["seq"].as_u64()).collect();
    let listed: Vec<_> = place.records().iter().filter_map(|record| record["seq"].as_u64()).collect();
    assert_eq!(seqs, listed);
}

#[test]
fn a_receipt_has_the_documented_keys_and_no_others() {
    let place = Place::new();
    let ran = place.feed(&["record", "--ack"], "{\"model\":\"m\"}\nbad\n").expect(1);
    let receipts = ran.json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&receipts[0]), ["line", "seq", "status"]);
    assert_eq!(keys(&receipts[1]), ["line", "reason", "status"]);
}

#[test]
fn without_ack_nothing_is_printed_on_stdout() {
    let place = Place::new();
    let ran = place.feed(&["record"], "{\"model\":\"m\"}\nbad\n").expect(1);
    assert_eq!(ran.out, "");
}

#[test]
fn the_summary_is_json_when_asked_for() {
    let place = Place::new();
    let ran = place.feed(&["record", "--json"], "{\"model\":\"m\"}\nbad\n").expect(1);
    assert_eq!(parsed(ran.err.lines().last().unwrap()), json!({"recorded": 1, "refused": 1, "lost": 0}));
}

#[test]
fn a_reader_of_receipts_that_goes_away_does_not_stop_the_recording() {
    let place = Place::new();
    place.write("input", super::common::many_lines(5_000));
    let ran = super::common::read_a_little(place.command(&["record", "--ack", "--file", "input"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(place.records().len(), 5_000);
}

#[test]
fn a_repeated_id_is_refused_as_a_duplicate() {
    let place = Place::new();
    let line = format!("{{\"model\":\"m\",\"id\":\"{ID}\"}}");
    let loud = line.to_uppercase().replace("MODEL", "model").replace("\"ID\"", "\"id\"");
    let receipts = place.feed(&["record", "--ack"], [line.as_str(), &line, &loud].join("\n")).expect(1).json();
    let states: Vec<_> = receipts.iter().map(|receipt| receipt["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["durable", "refused", "refused"]);
    assert!(receipts[1]["reason"].as_str().unwrap().contains("already"), "{receipts:?}");
    assert_eq!(place.records().len(), 1);
    assert_eq!(place.records()[0]["id"], ID);
}

#[test]
fn an_id_may_come_again_in_another_run() {
    let place = Place::new();
    let line = format!("{{\"model\":\"m\",\"id\":\"{ID}\"}}");
    place.record(&[&line]);
    place.record(&[&line]);
    assert_eq!(place.records().len(), 2);
}

#[test]
fn the_id_of_a_refused_line_may_be_used_by_its_correction() {
    let place = Place::new();
    let input = format!("{{\"id\":\"{ID}\"}}\n{{\"id\":\"{ID}\",\"model\":\"m\"}}\n");
    let receipts = place.feed(&["record", "--ack"], input).expect(1).json();
    assert_eq!(receipts[0]["status"], "refused");
    assert_eq!(receipts[1]["status"], "durable", "{receipts:?}");
}

#[test]
fn an_id_must_be_a_uuid_and_not_nil() {
    let place = Place::new();
    let input =
        "{\"model\":\"m\",\"id\":\"7\"}\n{\"model\":\"m\",\"id\":\"00000000-0000-0000-0000-000000000000\"}\n{\"model\":\"m\",\"id\":7}\n";
    let ran = place.feed(&["record", "--ack"], input).expect(1);
    assert!(ran.json().iter().all(|receipt| receipt["status"] == "refused"), "{}", ran.out);
}
