//! A witness and a copy, as an operator sees them: recording, `doctor`, `stats`, `inspect`, policies.

use super::common::{Place, copy_log};
use serde_json::Value;

const LINE: &str = r#"{"model":"phi","prompt":"hidden"}"#;
const BIN: &str = env!("CARGO_BIN_EXE_lowlight");

/// A log with a key, a copy and a witness, whose command is the binary itself; its two keys.
fn place() -> (Place, String, String) {
    let place = Place::new();
    let vkey = place.run(&["keys", "init"]).expect(0).out.trim().to_owned();
    let keys = place.run(&["witness", "--state", "w", "init", "--name", "w.example"]).expect(0).out;
    place.run(&["witness", "--state", "w", "trust", &vkey]).expect(0);
    std::fs::create_dir(place.path("copy")).unwrap();
    let (copy, state) = (place.path("copy").display().to_string(), place.path("w").display().to_string());
    let witness = format!("[witness]\n{keys}command = [\"{BIN}\", \"witness\", \"--state\", \"{state}\", \"serve\"]\n");
    place.write("lowlight.toml", format!("[copy]\npath = \"{copy}\"\n{witness}"));
    place.record(&[LINE, LINE]);
    (place, vkey, keys)
}

fn check(place: &Place, what: &str) -> (String, String) {
    let found = place.run(&["doctor", "--json"]).json();
    let found = found.iter().find(|finding| finding["check"] == what).unwrap_or_else(|| panic!("no {what}"));
    (found["level"].as_str().unwrap().to_owned(), found["says"].as_str().unwrap().to_owned())
}

#[test]
fn doctor_and_stats_tell_how_far_copy_and_witness_are() {
    let (place, _, _) = place();
    let size = place.run(&["stats", "--json"]).expect(0).object()["entries"].to_string();
    assert_eq!(check(&place, "copy").0, "ok");
    let (level, says) = check(&place, "witness");
    assert!(level == "ok" && says.contains(&format!("{size} of {size}")), "{says}");
    std::fs::rename(place.path("copy"), place.path("away")).unwrap();
    std::fs::rename(place.path("w"), place.path("w-away")).unwrap();
    let said = place.feed(&["record"], format!("{LINE}\n")).expect(0).err;
    assert!(said.contains("copy: ") && said.contains("witness: "), "{said}");
    assert_eq!((check(&place, "copy").0, check(&place, "witness").0), ("wrong".into(), "wrong".into()));
    // A run may end before the first attempt at the copy has failed; a later one says it then.
    let codes = || place.run(&["stats", "--json"]).expect(0).object()["alarms"]["codes"].clone();
    for _ in 0..20 {
        if codes()["copy_behind"].is_u64() {
            break;
        }
        place.feed(&["record"], format!("{LINE}\n")).expect(0);
    }
    let codes = codes();
    assert!(codes["copy_behind"].is_u64() && codes["witness_silent"].is_u64(), "{codes}");
    let text = place.run(&["stats"]).expect(0).out;
    let told = format!("alarms: {} copy_behind, {} witness_silent\nnewest alarm: ", codes["copy_behind"], codes["witness_silent"]);
    assert!(text.contains(&told), "{text}");
    // Both are there again: nothing is left to say.
    std::fs::rename(place.path("away"), place.path("copy")).unwrap();
    std::fs::rename(place.path("w-away"), place.path("w")).unwrap();
    assert_eq!(check(&place, "copy").0, "warning", "what was recorded meanwhile is not there yet");
    place.record(&[LINE]);
    assert_eq!((check(&place, "copy").0, check(&place, "witness").0), ("ok".into(), "ok".into()));
}

#[test]
fn a_witness_that_listens_on_a_socket_cosigns_for_its_group() {
    use std::os::unix::fs::PermissionsExt as _;
    let (place, _, keys) = place();
    let socket = place.path("socket");
    let serving = place.start(&["witness", "--state", "w", "serve", "--socket", socket.to_str().unwrap()]);
    let begun = std::time::Instant::now();
    let is_open = || std::fs::symlink_metadata(&socket).is_ok_and(|meta| meta.permissions().mode() & 0o777 == 0o660);
    while !is_open() {
        assert!(begun.elapsed().as_secs() < 20, "it does not listen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    place.write("lowlight.toml", format!("[witness]\n{keys}socket = \"{}\"\n", socket.display()));
    let said = place.feed(&["record"], format!("{LINE}\n")).expect(0).err;
    assert!(!said.contains("witness"), "{said}");
    let stats = place.run(&["stats", "--json"]).expect(0).object();
    assert_eq!(stats["chain"]["witnessed"], stats["chain"]["size"], "{stats}");
    // What it left when it was killed is not in the way of the next.
    drop(serving);
    let next = place.start(&["witness", "--state", "w", "serve", "--socket", socket.to_str().unwrap()]);
    place.feed(&["record"], format!("{LINE}\n")).expect(0);
    drop(next);
}

#[test]
fn inspect_reads_what_is_about_a_log_and_is_none() {
    let (place, _, _) = place();
    place.run(&["prove", "3", "-o", "one.proof"]).expect(0);
    let proof = place.run(&["inspect", "one.proof"]).expect(0).out;
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex 3\n") && proof.contains("\"model\":\"phi\""), "{proof}");
    let text = place.run(&["checkpoint"]).expect(0).out;
    place.write("kept", &text);
    for (file, count) in [("kept", 1), ("logs/checkpoints", 2), ("logs/witnessed", 2)] {
        let lines = place.run(&["inspect", "--json", file]).expect(0).json();
        assert_eq!(lines.last(), Some(&serde_json::json!({ "checkpoints": count })), "{file}");
        assert!(lines[0]["size"].is_u64() && lines[0]["signatures"].as_array().is_some_and(|names| !names.is_empty()), "{file}");
    }
    let copy = std::fs::read_dir(place.path("copy")).unwrap().flatten().next().unwrap().path();
    let copy = place.run(&["inspect", "--json", copy.to_str().unwrap()]).expect(0).json();
    assert_eq!(copy.last(), Some(&serde_json::json!({ "copy": true })));
    place.write("junk", "neither\n");
    place.run(&["inspect", "junk"]).expect(2);
}

#[test]
fn a_proof_is_verified_from_a_pipe() {
    let (place, vkey, _) = place();
    let proof = place.run(&["prove", "3"]).expect(0).out;
    let report = place.feed(&["verify", "--json", "-", "--key", &vkey], &proof).expect(0).object();
    assert_eq!((&report["verdict"], &report["level"]), (&Value::from("intact"), &Value::from("checkpoint")));
    let export = place.run(&["export"]).expect(0).out;
    let report = place.feed(&["verify", "--json", "-"], &export).expect(0).object();
    assert_eq!(report["first_seq"], 0);
}

#[test]
fn a_policy_is_about_the_checkpoint_that_a_proof_of_growth_shows() {
    let (place, vkey, keys) = place();
    let old = place.run(&["checkpoint"]).expect(0).out;
    place.write("old", &old);
    let (origin, size) = (old.lines().next().unwrap(), old.lines().nth(1).unwrap());
    let witness = keys.lines().next().unwrap();
    place.write("policy", format!("origins = [\"{origin}\"]\nkeys = [\"{vkey}\"]\n[[witness]]\n{witness}\n"));
    place.record(&[LINE]);
    let growth = place.run(&["prove", "--consistency", size]).expect(0).out;
    let demand = ["verify", "--json", "-", "--policy", "policy", "--checkpoint", "old"];
    let report = place.feed(&demand, &growth).expect(0).object();
    assert_eq!((&report["level"], &report["not_checked"]), (&"witnessed".into(), &serde_json::json!(["rollback"])));
    // The old end alone is cosigned.
    let cut = growth.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    let report = place.feed(&demand, &cut).expect(2).object();
    assert!(report["error"].as_str().unwrap().contains("policy is not met"), "{report}");
    // Of several checkpoints in one file each counts, also from a pipe.
    let newest = place.run(&["checkpoint"]).expect(0).out;
    let report = place.feed(&["verify", "--json", "--policy", "policy", "--checkpoint", "-"], format!("{old}{newest}")).expect(0).object();
    assert_eq!(
        (&report["level"], &report["witnessed"]),
        (&"witnessed".into(), &newest.lines().nth(1).unwrap().parse::<u64>().unwrap().into())
    );
}

#[test]
fn a_policy_whose_witness_is_silent_hides_no_fault() {
    let (place, vkey, keys) = place();
    let origin = place.run(&["checkpoint"]).expect(0).out.lines().next().unwrap().to_owned();
    let command = format!("command = [\"{BIN}\", \"witness\", \"--state\", \"nowhere\", \"serve\"]");
    place.write("policy", format!("origins = [\"{origin}\"]\nkeys = [\"{vkey}\"]\n[[witness]]\n{keys}{command}\n"));
    let report = place.run(&["verify", "--json", "--policy", "policy"]).expect(2).object();
    assert!(report["error"].as_str().unwrap().contains("policy is not met: witness") && report["root"].is_string(), "{report}");
    rusqlite::Connection::open(place.path("logs/lowlight.db")).unwrap().execute("UPDATE entry SET model = 'x' WHERE seq = 3", []).unwrap();
    let report = place.run(&["verify", "--json", "--policy", "policy"]).expect(1).object();
    assert_eq!(report["verdict"], "broken");
}

#[test]
fn a_log_that_was_taken_away_is_named_by_the_next() {
    let place = Place::new();
    place.record(&[LINE, LINE]);
    let log = place.run(&["stats", "--json"]).expect(0).object()["log_id"].as_str().unwrap().to_owned();
    std::fs::remove_file(place.path("logs/lowlight.db")).unwrap();
    place.record(&[LINE]);
    let open = place.run(&["show", "0"]).expect(0).out;
    assert!(open.contains(&format!("\"predecessor\":{{\"log_id\":\"{log}\"")) && open.contains("\"size\":6"), "{open}");
    let stats = place.run(&["stats", "--json"]).expect(0).object();
    assert_eq!(stats["alarms"]["codes"], serde_json::json!({ "log_missing": 1 }));
    // It is said once.
    place.record(&[LINE]);
    let stats = place.run(&["stats", "--json"]).expect(0).object();
    assert_eq!(stats["alarms"]["codes"], serde_json::json!({ "log_missing": 1 }));
}

#[test]
fn a_line_of_the_journal_that_cannot_be_harms_no_new_log() {
    let place = Place::new();
    place.record(&[LINE]);
    std::fs::remove_file(place.path("logs/lowlight.db")).unwrap();
    let mut journal = std::fs::read_to_string(place.path("logs/checkpoints")).unwrap();
    let last = journal.lines().last().unwrap().to_owned();
    let mut line: Value = serde_json::from_str(&last).unwrap();
    line["size"] = u64::MAX.into();
    line["note"] = Value::Null;
    journal += &line.to_string();
    journal.push('\n');
    place.write("logs/checkpoints", journal);
    place.record(&[LINE]);
    place.run(&["verify"]).expect(0);
    assert!(place.run(&["show", "0"]).expect(0).out.contains("\"size\":5"));
}

#[test]
fn doctor_sees_a_log_that_ends_before_its_checkpoints() {
    let place = Place::new();
    place.record(&[LINE, LINE]);
    copy_log(&place.path("logs"), &place.path("old"));
    place.record(&[LINE, LINE]);
    std::fs::copy(place.path("old/lowlight.db"), place.path("logs/lowlight.db")).unwrap();
    assert_eq!(check(&place, "checkpoints").0, "wrong");
}

#[test]
fn a_witness_that_was_not_asked_leaves_rollback_open() {
    let (place, vkey, keys) = place();
    let kept = place.run(&["checkpoint"]).expect(0).out;
    place.write("kept", &kept);
    place.run(&["export", "-o", "old.ndjson"]).expect(0);
    place.record(&[LINE]);
    let command = format!("command = [\"{BIN}\", \"witness\", \"--state\", \"{}\", \"serve\"]", place.path("w").display());
    let policy = format!("origins = [\"{}\"]\nkeys = [\"{vkey}\"]\n[[witness]]\n{keys}{command}\n", kept.lines().next().unwrap());
    place.write("policy", policy);
    let log = place.run(&["verify", "--json", "--policy", "policy"]).expect(0).object();
    assert!(!log["not_checked"].as_array().unwrap().contains(&"rollback".into()), "{log}");
    place.write("witnessed", std::fs::read_to_string(place.path("logs/witnessed")).unwrap());
    let cosigned: Value = serde_json::from_slice(place.read("witnessed").split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    place.write("kept", cosigned["note"].as_str().unwrap());
    let export = place.run(&["verify", "--json", "old.ndjson", "--policy", "policy", "--checkpoint", "kept"]).expect(0).object();
    assert!(export["not_checked"].as_array().unwrap().contains(&"rollback".into()), "{export}");
    place.run(&["verify", "old.ndjson", "--against", "copy"]).expect(2);
}

#[test]
fn a_witness_is_asked_about_every_name_a_log_had() {
    let (place, vkey, keys) = place();
    let first = place.run(&["checkpoint"]).expect(0).out;
    copy_log(&place.path("logs"), &place.path("old"));
    let next = place.run(&["keys", "rotate", "--name", "renamed"]).expect(0).out.trim().to_owned();
    place.run(&["witness", "--state", "w", "trust", &next]).expect(0);
    place.record(&[LINE]);
    let second = place.run(&["checkpoint"]).expect(0).out;
    let origins: Vec<_> = [&first, &second].iter().map(|note| format!("\"{}\"", note.lines().next().unwrap())).collect();
    let command = format!("command = [\"{BIN}\", \"witness\", \"--state\", \"{}\", \"serve\"]", place.path("w").display());
    let policy = format!("origins = [{}]\nkeys = [\"{vkey}\", \"{next}\"]\n[[witness]]\n{keys}{command}\n", origins.join(", "));
    place.write("policy", policy);
    place.run(&["verify", "--policy", "policy"]).expect(0);
    let old = place.run(&["verify", "--json", "old", "--policy", "policy"]).expect(1).object();
    assert_eq!(old["problems"][0]["kind"], "rolled_back", "{old}");
}
