//! `prove`, and `verify` of what it makes.

use super::common::{Place, copy_log};
use serde_json::Value;

const LINE: &str = r#"{"model":"phi","prompt":"what is in bay 2?","response":"the hidden answer","user":"alice"}"#;

/// A signed log of two records, and the vkey.
fn signed() -> (Place, String) {
    let place = Place::new();
    let vkey = place.run(&["keys", "init", "--name", "gate-7"]).expect(0).out.trim().to_owned();
    place.record(&[LINE, LINE]);
    (place, vkey)
}

/// Seq of the first record.
fn seq(place: &Place) -> String {
    place.records()[0]["seq"].to_string()
}

/// A place where nothing is known but a file.
fn elsewhere(place: &Place, file: &str) -> Place {
    let there = Place::new();
    std::fs::copy(place.path(file), there.path(file)).unwrap();
    there
}

#[track_caller]
fn report(place: &Place, arguments: &[&str], code: i32) -> Value {
    place.run(&[&["verify", "--json"], arguments].concat()).expect(code).json().remove(0)
}

#[test]
fn one_entry_is_proved_to_somebody_who_has_nothing_but_the_file_and_the_vkey() {
    let (place, vkey) = signed();
    let seq = seq(&place);
    place.run(&["prove", &seq, "--field", "prompt", "-o", "one.proof"]).expect(0);
    let there = elsewhere(&place, "one.proof");
    let found = report(&there, &["one.proof", "--key", &vkey], 0);
    assert_eq!((&found["verdict"], &found["level"], &found["records"]), (&"intact".into(), &"checkpoint".into(), &1.into()));
    let entry = &found["entry"];
    assert_eq!((entry["seq"].to_string(), &entry["model"]), (seq.clone(), &"phi".into()));
    let values: Vec<_> = entry["fields"].as_array().unwrap().iter().map(|field| field["value"].clone()).collect();
    assert_eq!(values, [Value::from("what is in bay 2?"), Value::Null, Value::Null], "what was not opened stays hidden");
    assert!(found["notes"].to_string().contains("opened: prompt; hidden: response, actor"), "{found}");
    // Without the key it is only consistent in itself, and says so.
    let alone = report(&there, &["one.proof"], 0);
    assert_eq!((&alone["level"], &alone["not_checked"]), (&"chain".into(), &serde_json::json!(["rewrite"])));
    let text = there.run(&["verify", "one.proof", "--key", &vkey]).expect(0).out;
    assert!(text.starts_with("intact: one.proof: 1 entry, 1 record") && text.contains("what is in bay 2?"), "{text}");

    for (fields, opened) in [(&[][..], 0), (&["--field", "all"], 3), (&["--field", "actor", "--field", "response"], 2)] {
        let proof = place.run(&[&["prove", &seq], fields].concat()).expect(0).out;
        there.write("other.proof", &proof);
        let found = report(&there, &["other.proof", "--key", &vkey], 0);
        let open = found["entry"]["fields"].as_array().unwrap().iter().filter(|field| field.get("value").is_some()).count();
        assert_eq!(open, opened, "{fields:?}");
    }
}

#[test]
fn a_proof_needs_a_key_or_a_checkpoint_that_agrees() {
    let (place, _) = signed();
    place.run(&["prove", &seq(&place), "-o", "one.proof"]).expect(0);
    let kept = place.run(&["checkpoint"]).expect(0).out;
    let there = elsewhere(&place, "one.proof");
    there.write("kept", &kept);
    assert_eq!(report(&there, &["one.proof", "--checkpoint", "kept"], 0)["level"], "checkpoint");
    let stranger = Place::new().run(&["keys", "init"]).expect(0).out.trim().to_owned();
    let ran = there.run(&["verify", "one.proof", "--key", &stranger]).expect(2);
    assert!(ran.out.contains("no signature of a trusted key"), "{}", ran.out);
    let (other, _) = signed();
    there.write("kept", other.run(&["checkpoint"]).expect(0).out);
    assert_eq!(report(&there, &["one.proof", "--checkpoint", "kept"], 1)["problems"][0]["kind"], "rewritten");
    place.record(&[LINE]);
    there.write("kept", place.run(&["checkpoint"]).expect(0).out);
    let later = report(&there, &["one.proof", "--checkpoint", "kept"], 2);
    assert!(later["error"].to_string().contains("different sizes") && later.get("entry").is_none(), "{later}");
}

#[test]
fn growth_is_proved_and_another_past_is_not() {
    let (place, vkey) = signed();
    let first = place.run(&["checkpoint"]).expect(0).out;
    let old = first.lines().nth(1).unwrap().to_owned();
    copy_log(&place.path("logs"), &place.path("other"));
    place.record(&[LINE]);
    place.run(&["prove", "--consistency", &old, "-o", "growth"]).expect(0);
    let there = elsewhere(&place, "growth");
    there.write("first", &first);
    let found = report(&there, &["growth", "--checkpoint", "first", "--key", &vkey], 0);
    assert!(found["notes"].to_string().contains(&format!("grew from {old} to ")), "{found}");
    let alone = report(&there, &["growth", "--key", &vkey], 2);
    assert!(alone["error"].to_string().contains("give --checkpoint"), "{alone}");
    // Another history of the same log, the same key, one entry longer.
    place.run_with(&[], &["record", "--path", "other"], format!("{LINE}\n{LINE}\n")).expect(0);
    let forged = place.run(&["checkpoint", "--path", "other"]).expect(0).out;
    let proof = std::fs::read_to_string(place.path("growth")).unwrap();
    let hashes = proof.split("\n\n").next().unwrap();
    there.write("growth", format!("{hashes}\n\n{forged}"));
    let found = report(&there, &["growth", "--checkpoint", "first", "--key", &vkey], 1);
    assert_eq!(found["problems"][0]["kind"], "rewritten");
    let newer = place.run(&["checkpoint", "--json"]).expect(0).json()[0]["size"].to_string();
    place.run(&["prove", "--consistency", &old, &newer]).expect(0);
    for arguments in [&["0"][..], &["999999"], &[&old, "999998"]] {
        place.run(&[&["prove", "--consistency"], arguments].concat()).expect(2);
    }
}

#[test]
fn what_cannot_be_proved_is_said() {
    let (place, _) = signed();
    for (arguments, code, why) in [
        (&["prove"][..], 2, "give the seq"),
        (&["prove", "999"], 2, "no entry 999"),
        (&["prove", "18446744073709551615"], 2, "no entry"),
        (&["prove", "3", "--field", "prmpt"], 2, "is no content field"),
        (&["prove", "3", "--consistency", "2"], 2, "cannot be used with"),
        (&["prove", "3", "-o", "lowlight-absent/x"], 2, "choose another --out"),
    ] {
        let ran = place.run(arguments).expect(code);
        assert!(ran.err.contains(why), "{arguments:?}: {}", ran.err);
    }
    let seq = seq(&place);
    place.tamper("UPDATE entry SET model = 'other' WHERE kind = 1");
    let ran = place.run(&["prove", &seq]).expect(1);
    assert!(ran.err.contains("does not fit the log's own checkpoint") && ran.out.is_empty(), "{}", ran.err);
    std::fs::remove_file(place.path("logs/checkpoints")).unwrap();
    let ran = place.run(&["prove", "0"]).expect(2);
    assert!(ran.err.contains("no checkpoint of this log covers it yet"), "{}", ran.err);
    place.write("p", "c2sp.org/tlog-proof@v1\nindex 1\n\nx\n");
    place.run(&["verify", "p"]).expect(2);
    place.write("p", "old 1\n\nx\n");
    place.run(&["verify", "p"]).expect(2);
}

#[test]
fn a_key_that_came_later_changes_the_name_and_not_the_log() {
    let place = Place::with(&[LINE]);
    place.write("first", place.run(&["checkpoint"]).expect(0).out);
    let old = std::fs::read_to_string(place.path("first")).unwrap().lines().nth(1).unwrap().to_owned();
    let vkey = place.run(&["keys", "init", "--name", "later"]).expect(0).out.trim().to_owned();
    place.record(&[LINE]);
    place.run(&["prove", "--consistency", &old, "-o", "growth"]).expect(0);
    report(&place, &["growth", "--checkpoint", "first"], 0);
    let ran = place.run(&["verify", "growth", "--checkpoint", "first", "--key", &vkey]).expect(2);
    assert!(ran.err.contains("not signed"), "the first was not signed: {}", ran.err);
}

#[test]
fn growth_into_what_nobody_vouches_for_is_told_and_a_contradiction_found() {
    let (place, _) = signed();
    place.write("old", place.run(&["checkpoint"]).expect(0).out);
    let old = std::fs::read_to_string(place.path("old")).unwrap().lines().nth(1).unwrap().to_owned();
    copy_log(&place.path("logs"), &place.path("other"));
    place.record(&[LINE]);
    place.run_with(&[], &["record", "--path", "other"], LINE.replace("bay 2", "bay 3")).expect(0);
    place.run(&["prove", "--path", "other", "--consistency", &old, "-o", "growth"]).expect(0);
    let alone = report(&place, &["growth", "--checkpoint", "old"], 0);
    assert_eq!((&alone["level"], &alone["not_checked"]), (&"chain".into(), &serde_json::json!(["rewrite"])));
    place.write("new", place.run(&["checkpoint"]).expect(0).out);
    let both = report(&place, &["growth", "--checkpoint", "old", "--checkpoint", "new"], 1);
    assert_eq!(both["problems"][0]["kind"], "rewritten");
    // What a checkpoint that was kept contradicts is not shown.
    let last = place.run(&["query", "--path", "other", "--json"]).expect(0).json().pop().unwrap()["seq"].to_string();
    place.run(&["prove", "--path", "other", &last, "--field", "all", "-o", "one"]).expect(0);
    let forged = report(&place, &["one", "--checkpoint", "new"], 1);
    assert!(forged["problems"][0]["kind"] == "rewritten" && forged.get("entry").is_none(), "{forged}");
}

#[test]
fn growth_from_a_size_between_checkpoints_is_not_proved_where_entries_were_removed() {
    let place = Place::new();
    place.feed(&["record"], format!("{LINE}\n").repeat(1000)).expect(0);
    place.write("lowlight.toml", "[retention]\nmax_entries = 300\n");
    place.run(&["prune"]).expect(0);
    let said = place.run(&["prove", "--consistency", "300"]).expect(2).err;
    assert!(said.contains("were removed") && !said.contains("verify"), "{said}");
    place.run(&["prove", "--consistency", "512"]).expect(0);
    place.run(&["verify"]).expect(0);
    let said = place.run(&["erase", "--seq", "99999", "--yes"]).expect(2).err;
    assert!(said.contains("no entry 99999"), "{said}");
}

#[test]
fn an_entry_is_proved_against_the_checkpoint_that_somebody_kept() {
    let (place, vkey) = signed();
    let kept = place.run(&["checkpoint"]).expect(0).out;
    place.write("kept", &kept);
    place.record(&[LINE]);
    let (first, size) = (seq(&place), kept.lines().nth(1).unwrap());
    let newest = place.run(&["prove", &first]).expect(0).out;
    place.feed(&["verify", "-", "--checkpoint", "kept"], newest).expect(2);
    let old = place.run(&["prove", &first, "--at", size]).expect(0).out;
    place.feed(&["verify", "-", "--checkpoint", "kept", "--key", &vkey], old).expect(0);
    for at in ["1", "99", "0"] {
        place.run(&["prove", &first, "--at", at]).expect(2);
    }
}
