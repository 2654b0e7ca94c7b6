//! `checkpoint`, `keys`, and `verify --checkpoint`.

use super::common::{Place, copy_log};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;

const LINE: &str = r#"{"model":"phi","prompt":"hello"}"#;

/// A log of two records, in `logs`.
fn place() -> Place {
    Place::with(&[LINE, LINE])
}

/// Keeps the newest checkpoint in a file.
fn keep(place: &Place, file: &str) {
    let kept = place.run(&["checkpoint"]).expect(0).out;
    place.write(file, &kept);
}

/// Verifies `log` and gives the kinds of the problems.
#[track_caller]
fn kinds(place: &Place, log: &str, more: &[&str], code: i32) -> Vec<String> {
    let report = report(place, log, more, code);
    report["problems"].as_array().unwrap().iter().map(|problem| problem["kind"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn report(place: &Place, log: &str, more: &[&str], code: i32) -> Value {
    place.run(&[&["verify", log, "--json"], more].concat()).expect(code).json().remove(0)
}

fn notes(report: &Value) -> String {
    report["notes"].to_string()
}

#[test]
fn checkpoints_are_written_at_start_and_stop_and_agree_with_the_log() {
    let place = place();
    let sealed = place.run(&["checkpoint", "--json"]).expect(0).json().remove(0);
    let report = report(&place, "logs", &[], 0);
    assert_eq!([&sealed["size"], &sealed["root"], &sealed["cause"]], [&report["entries"], &report["root"], &"stop".into()]);
    assert_eq!([&report["sealed"], &sealed["open"]], [&report["entries"], &0.into()]);
    let journal = std::fs::read_to_string(place.path("logs/checkpoints")).unwrap();
    let causes: Vec<_> = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["cause"].clone()).collect();
    assert_eq!(causes, ["start", "stop"]);
    let note = place.run(&["checkpoint"]).expect(0).out;
    assert_eq!(note.lines().nth(1), Some(sealed["size"].to_string().as_str()));
    assert!(note.starts_with("lowlight/") && note.lines().count() == 3, "without a key there is the text alone: {note}");
}

#[test]
fn a_key_signs_checkpoints_and_the_log_names_it() {
    let place = place();
    place.run(&["keys", "show"]).expect(2);
    let vkey = place.run(&["keys", "init", "--name", "gate-7"]).expect(0).out.trim().to_owned();
    assert_eq!(place.run(&["keys", "show"]).expect(0).out.trim(), vkey);
    let again = place.run(&["keys", "init"]).expect(2).err;
    assert!(again.contains("is there already"), "{again}");
    place.record(&[LINE]);
    keep(&place, "kept");
    let report = report(&place, "logs", &["--checkpoint", "kept", "--key", &vkey], 0);
    assert_eq!((&report["level"], &report["not_checked"]), (&"checkpoint".into(), &serde_json::json!(["tail"])));
    assert!(notes(&report).contains(&vkey));
    let all = place.run(&["query", "--all", "--json"]).expect(0).json();
    let named: Vec<_> = all.iter().filter(|entry| entry["kind"] == "key_change").collect();
    assert_eq!(named.len(), 1);
    assert!(named[0].to_string().contains(&vkey), "{}", named[0]);
    place.record(&[LINE]);
    let all = place.run(&["query", "--all", "--json"]).expect(0).json();
    assert_eq!(all.iter().filter(|entry| entry["kind"] == "key_change").count(), 1, "once for each key");

    let fresh = Place::new();
    let vkey = fresh.run(&["keys", "init"]).expect(0).out.trim().to_owned();
    fresh.record(&[LINE]);
    let all = fresh.run(&["query", "--all", "--json"]).expect(0).json();
    assert!(all[0].to_string().contains(&vkey), "a new log names it in its first entry: {}", all[0]);
    assert!(all.iter().all(|entry| entry["kind"] != "key_change"));
}

#[test]
fn another_history_is_named_rewritten_and_a_shorter_one_rolled_back() {
    let place = place();
    copy_log(&place.path("logs"), &place.path("other"));
    copy_log(&place.path("logs"), &place.path("older"));
    place.record(&[LINE]);
    keep(&place, "kept");
    place.run_with(&[], &["record", "--path", "other"], format!("{}\n{LINE}\n", LINE.replace("hello", "forged"))).expect(0);
    assert!(kinds(&place, "other", &[], 0).is_empty(), "alone it looks like any log");
    assert_eq!(report(&place, "other", &[], 0)["not_checked"], serde_json::json!(["tail", "rewrite", "rollback"]));
    assert_eq!(kinds(&place, "other", &["--checkpoint", "kept"], 1), ["rewritten"]);
    assert!(kinds(&place, "older", &[], 0).is_empty(), "an older copy, too");
    assert_eq!(kinds(&place, "older", &["--checkpoint", "kept"], 1), ["rolled_back"]);
    assert!(kinds(&place, "logs", &["--checkpoint", "kept"], 0).is_empty());
    place.record(&[LINE]);
    assert!(kinds(&place, "logs", &["--checkpoint", "kept"], 0).is_empty(), "the log goes on");
    for threads in ["", "--parallel"] {
        let more: Vec<_> = ["--checkpoint", "kept", threads].into_iter().filter(|it| !it.is_empty()).collect();
        assert_eq!(kinds(&place, "other/lowlight.db", &more, 1), ["rewritten"]);
    }
}

#[test]
fn two_signed_checkpoints_of_one_size_are_a_fork() {
    let place = Place::new();
    let vkey = place.run(&["keys", "init"]).expect(0).out.trim().to_owned();
    place.record(&[LINE]);
    copy_log(&place.path("logs"), &place.path("other"));
    place.record(&[LINE]);
    keep(&place, "kept");
    place.run_with(&[], &["record", "--path", "other"], LINE.replace("hello", "forged")).expect(0);
    let key = ["--checkpoint", "kept", "--key", &vkey];
    assert_eq!(kinds(&place, "other", &key, 1), ["forked", "rewritten"]);
    assert_eq!(kinds(&place, "other", &key[..2], 1), ["rewritten"], "without the key nobody knows who signed");
    let theirs = place.run(&["checkpoint", "--path", "other"]).expect(0).out;
    place.write("theirs", &theirs);
    let both = [&key[..], &["--checkpoint", "theirs"]].concat();
    assert_eq!(kinds(&place, "logs", &both, 1)[..1], ["forked"]);
}

#[test]
fn the_logs_own_journal_is_held_against_it() {
    let place = place();
    copy_log(&place.path("logs"), &place.path("other"));
    place.record(&[LINE]);
    place.run_with(&[], &["record", "--path", "other"], LINE.replace("hello", "forged")).expect(0);
    std::fs::copy(place.path("logs/checkpoints"), place.path("other/checkpoints")).unwrap();
    assert_eq!(kinds(&place, "other", &[], 1), ["rewritten"]);
    // A journal that is ahead of a copy is no fault of the copy.
    let ahead = Place::with(&[LINE]);
    copy_log(&ahead.path("logs"), &ahead.path("copy"));
    ahead.record(&[LINE]);
    std::fs::copy(ahead.path("logs/checkpoints"), ahead.path("copy/checkpoints")).unwrap();
    let report = report(&ahead, "copy", &[], 0);
    assert!(notes(&report).contains("go on to"), "{report}");
}

#[test]
fn what_is_no_checkpoint_or_not_signed_as_asked_is_exit_two() {
    let place = place();
    keep(&place, "unsigned");
    let stranger = Place::new().run(&["keys", "init", "--path", "k"]).expect(0).out.trim().to_owned();
    place.write("garbage", "not a checkpoint\n");
    place.write("note", "hello\n\n\u{2014} a AAAAAAA=\n");
    for (arguments, why) in [
        (&["--checkpoint", "garbage"][..], "not a checkpoint"),
        (&["--checkpoint", "note"], "not a checkpoint"),
        (&["--checkpoint", "absent"], "No such file"),
        (&["--checkpoint", "unsigned", "--key", &stranger], "not signed"),
        (&["--checkpoint", "unsigned", "--key", "x"], "not a verifier key"),
        (&["--key", &stranger], "--checkpoint"),
    ] {
        let ran = place.run(&[&["verify"], arguments].concat()).expect(2);
        assert!(ran.err.contains(why), "{arguments:?}: {}", ran.err);
    }
    place.run(&["keys", "init"]).expect(0);
    place.record(&[LINE]);
    keep(&place, "signed");
    let ran = place.run(&["verify", "--checkpoint", "signed", "--key", &stranger]).expect(2);
    assert!(ran.err.contains("no signature of a trusted key"), "{}", ran.err);
    // Another size under the signature.
    let own = place.run(&["keys", "show"]).expect(0).out.trim().to_owned();
    let text = std::fs::read_to_string(place.path("signed")).unwrap();
    let size = text.lines().nth(1).unwrap();
    place.write("bent", text.replacen(&format!("\n{size}\n"), "\n999\n", 1));
    let ran = place.run(&["verify", "--checkpoint", "bent", "--key", &own]).expect(2);
    assert!(ran.err.contains("does not verify"), "{}", ran.err);
    let other = Place::with(&[LINE]);
    let kept = other.run(&["checkpoint"]).expect(0).out;
    place.write("other", &kept);
    assert_eq!(kinds(&place, "logs", &["--checkpoint", "other"], 1), ["rewritten"]);
}

#[test]
fn a_checkpoint_comes_through_a_pipe_and_holds_for_exports() {
    let place = place();
    let kept = place.run(&["checkpoint"]).expect(0).out;
    let through = place.run_with(&[], &["verify", "--checkpoint", "-", "--json"], &kept).expect(0).json();
    assert_eq!(through[0]["level"], "checkpoint");
    place.write("kept", &kept);
    place.record(&[LINE]);
    place.run(&["export", "--out", "all.ndjson", "--format", "ndjson"]).expect(0);
    assert_eq!(report(&place, "all.ndjson", &["--checkpoint", "kept"], 0)["level"], "checkpoint");
    let ran = place.run_with(&[], &["verify", "-", "--checkpoint", "-"], &kept).expect(2);
    assert!(ran.err.contains("stdin"), "{}", ran.err);
    keep(&place, "newer");
    std::fs::remove_dir_all(place.path("logs")).unwrap();
    let part = report(&place, "all.ndjson", &["--checkpoint", "newer"], 0);
    assert_eq!(part["level"], "checkpoint");
}

#[test]
fn follow_prints_each_new_checkpoint() {
    let place = place();
    let mut follower = place.start(&["checkpoint", "--follow", "--json"]);
    assert!(follower.line().contains("\"cause\":\"stop\""));
    place.record(&[LINE]);
    let causes = [follower.line(), follower.line()].map(|line| serde_json::from_str::<Value>(&line).unwrap()["cause"].clone());
    assert_eq!(causes, ["start", "stop"]);
}

#[test]
fn a_log_without_checkpoints_says_so() {
    let place = place();
    std::fs::remove_file(place.path("logs/checkpoints")).unwrap();
    let ran = place.run(&["checkpoint"]).expect(2);
    assert!(ran.err.contains("no checkpoint of this log yet"), "{}", ran.err);
    assert!(report(&place, "logs", &[], 0).get("sealed").is_none());
    Place::new().run(&["checkpoint"]).expect(2);
}

#[test]
fn a_file_of_several_checkpoints_is_held_against_all_of_them() {
    let place = place();
    let mut all = place.run(&["checkpoint"]).expect(0).out;
    place.run(&["keys", "init"]).expect(0);
    place.record(&[LINE]);
    copy_log(&place.path("logs"), &place.path("other"));
    all += &place.run(&["checkpoint"]).expect(0).out;
    place.record(&[LINE]);
    all += &place.run(&["checkpoint"]).expect(0).out;
    place.write("all", &all);
    let good = report(&place, "logs", &["--checkpoint", "all"], 0);
    assert_eq!(good["notes"].as_array().unwrap().len(), 3, "{good}");
    place.run_with(&[], &["record", "--path", "other"], LINE.replace("hello", "forged")).expect(0);
    assert_eq!(kinds(&place, "other", &["--checkpoint", "all"], 1), ["rewritten"], "the newest counts as much as the first");
    place.write("garbage", all + "x\n");
    place.run(&["verify", "--checkpoint", "garbage"]).expect(2);
}

#[test]
fn an_export_that_does_not_show_the_checkpoint_is_no_match() {
    let place = place();
    place.write("first", place.run(&["checkpoint"]).expect(0).out);
    place.run(&["export", "--format", "ndjson", "--out", "early"]).expect(0);
    place.record(&[LINE]);
    place.write("later", place.run(&["checkpoint"]).expect(0).out);
    assert_eq!(kinds(&place, "early", &["--checkpoint", "later"], 1), ["rolled_back"]);
    assert_eq!(kinds(&place, "early", &["--checkpoint", "first", "--checkpoint", "later"], 1), ["rolled_back"]);
    place.record(&[LINE]);
    place.run(&["export", "--since", "2200-01-01", "--format", "ndjson", "--out", "none"]).expect(0);
    let none = report(&place, "none", &["--checkpoint", "first"], 2);
    assert!(none["error"].to_string().contains("could not be held"), "{none}");
}

#[test]
fn lines_of_the_journal_are_what_they_say_or_count_for_nothing() {
    let place = place();
    let path = place.path("logs/checkpoints");
    let honest = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = honest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut swapped = lines[1].clone();
    swapped["note"] = lines[0]["note"].clone();
    let escape = {
        let mut line = lines[1].clone();
        line["note"] = "\u{1b}[2Jhello\n".into();
        line
    };
    for line in [swapped.to_string(), escape.to_string(), "{}".to_owned(), "x".repeat(30_000)] {
        std::fs::write(&path, format!("{}\n{line}\n", lines[0])).unwrap();
        let newest = place.run(&["checkpoint", "--json"]).expect(0).json().remove(0);
        assert_eq!(newest["size"], lines[0]["size"]);
        assert!(notes(&report(&place, "logs", &[], 0)).contains("damaged"));
    }
    // What does not end in a newline is no place to go on.
    std::fs::write(&path, "x".repeat(40_000)).unwrap();
    place.record(&[LINE]);
    let newest = place.run(&["checkpoint", "--json"]).expect(0).json().remove(0);
    assert_eq!(newest["open"], 0, "{newest}");
}

#[test]
fn a_journal_that_goes_on_beyond_the_log_is_set_aside_by_the_next_run() {
    let place = place();
    copy_log(&place.path("logs"), &place.path("older"));
    place.record(&[LINE, LINE]);
    std::fs::copy(place.path("older/lowlight.db"), place.path("logs/lowlight.db")).unwrap();
    place.run(&["prove", "0"]).expect(0);
    place.record(&[LINE]);
    let newest = place.run(&["checkpoint", "--json"]).expect(0).json().remove(0);
    assert_eq!(newest["open"], 0, "{newest}");
    let all = place.run(&["query", "--all", "--json"]).expect(0).json();
    assert!(all.iter().any(|entry| entry.to_string().contains("journal_ahead")), "{all:?}");
    assert_eq!(std::fs::read_dir(place.path("logs/quarantine")).unwrap().count(), 1, "nothing is deleted");
    place.run(&["verify"]).expect(0);
}

#[test]
fn a_journal_that_is_no_file_does_not_hang_anybody() {
    let place = place();
    let path = place.path("logs/checkpoints");
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR, 0).unwrap();
    place.run(&["verify"]).expect(0);
    place.run(&["checkpoint"]).expect(2);
    place.run(&["prove", "0"]).expect(2);
    place.run_with(&[("LOWLIGHT_VERIFY_AT_START", "full")], &["record"], LINE).expect(0);
}

#[test]
fn a_key_is_read_anew_and_kept_private() {
    let place = Place::new();
    place.run(&["keys", "init", "--name", "one"]).expect(0);
    let mut recorder = place.start(&["record", "--ack"]);
    recorder.say(&format!("{LINE}\n"));
    recorder.line();
    std::fs::remove_file(place.path("logs/keys/log.key")).unwrap();
    place.run(&["keys", "init", "--name", "two"]).expect(0);
    assert_eq!(recorder.end(), 0);
    let kept = place.run(&["checkpoint"]).expect(0).out;
    assert!(kept.contains("\u{2014} two "), "{kept}");
    let key = place.path("logs/keys/log.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(place.run(&["doctor"]).expect(1).out.contains("log.key"));
    let ran = place.run_with(&[], &["record"], LINE).expect(0);
    assert!(ran.err.contains("checkpoints: "), "{}", ran.err);
    place.run(&["doctor", "--fix"]).expect(0);
    place.run(&["keys", "show"]).expect(0);
}

#[test]
fn a_key_is_replaced_and_the_log_says_so_signed_by_the_old_one() {
    let (place, key) = (Place::new(), |place: &Place| place.run(&["keys", "show"]).expect(0).out.trim().to_owned());
    place.run(&["keys", "rotate"]).expect(2);
    place.run(&["keys", "init", "--name", "gate"]).expect(0);
    place.record(&[LINE]);
    let old = key(&place);
    place.write("before", place.run(&["checkpoint"]).expect(0).out);
    let new = place.run(&["keys", "rotate"]).expect(0).out.trim().to_owned();
    assert!(new != old && new.starts_with("gate+") && key(&place) == new);
    place.record(&[LINE]);
    place.write("after", place.run(&["checkpoint"]).expect(0).out);
    report(&place, "logs", &["--checkpoint", "before", "--key", &old], 0);
    report(&place, "logs", &["--checkpoint", "after", "--key", &new], 0);
    place.run(&["verify", "--checkpoint", "after", "--key", &old]).expect(2);
    report(&place, "logs", &["--checkpoint", "before", "--checkpoint", "after", "--key", &old, "--key", &new], 0);
    let all = place.run(&["query", "--all", "--json"]).expect(0).json();
    let changes: Vec<_> = all.iter().filter(|entry| entry["kind"] == "key_change").map(ToString::to_string).collect();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].contains(&old) && changes[0].contains(&new), "{changes:?}");
    assert!(!all.iter().any(|entry| entry.to_string().contains("key_unannounced")));
    assert!(!place.path("logs/keys/next.key").exists());
}

#[test]
fn a_rotation_that_was_interrupted_is_finished_by_the_next_run() {
    let place = Place::new();
    place.run(&["keys", "init"]).expect(0);
    place.record(&[LINE]);
    let key = place.path("logs/keys/log.key");
    let old = std::fs::read(&key).unwrap();
    // Before the log says so: only the next key is there.
    let new = place.run(&["keys", "rotate"]).expect(0).out.trim().to_owned();
    copy_log(&place.path("logs"), &place.path("done"));
    std::fs::rename(&key, place.path("logs/keys/next.key")).unwrap();
    std::fs::write(&key, &old).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    // After the log said so and before the file took its place.
    place.record(&[LINE]);
    assert_eq!(place.run(&["keys", "show"]).expect(0).out.trim(), new);
    let all = place.run(&["query", "--all", "--json"]).expect(0).json();
    assert_eq!(all.iter().filter(|entry| entry["kind"] == "key_change").count(), 1, "said once");
    // A next key of which the log knows nothing is announced by the next run.
    let place = Place::new();
    place.run(&["keys", "init"]).expect(0);
    place.record(&[LINE]);
    place.run(&["keys", "init", "--path", "spare"]).expect(0);
    std::fs::rename(place.path("spare/keys/log.key"), place.path("logs/keys/next.key")).unwrap();
    place.record(&[LINE]);
    let all = place.run(&["query", "--all", "--json"]).expect(0).json();
    assert_eq!(all.iter().filter(|entry| entry["kind"] == "key_change").count(), 1);
    assert!(!place.path("logs/keys/next.key").exists());
    place.run(&["verify"]).expect(0);
}

#[test]
fn a_key_that_was_lost_or_exchanged_is_said_everywhere() {
    let place = Place::new();
    place.run(&["keys", "init"]).expect(0);
    place.record(&[LINE]);
    let key = place.path("logs/keys/log.key");
    let old = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let ran = place.run_with(&[], &["record"], LINE).expect(0);
    assert!(ran.err.contains("is not there, so checkpoints are not signed"), "{}", ran.err);
    let ran = place.run(&["keys", "init"]).expect(0);
    assert!(ran.err.contains("names another key already"), "{}", ran.err);
    let ran = place.run_with(&[], &["record"], LINE).expect(0);
    assert!(ran.err.contains("is not the key that this log names"), "{}", ran.err);
    let ran = place.run(&["keys", "rotate"]).expect(2);
    assert!(ran.err.contains("put that one back") && !place.path("logs/keys/next.key").exists(), "{}", ran.err);
    std::fs::write(&key, &old).unwrap();
    place.run(&["keys", "rotate"]).expect(0);
    assert!(!place.run_with(&[], &["record"], LINE).expect(0).err.contains("checkpoints:"));
}
