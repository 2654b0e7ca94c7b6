//! `inspect`: as much as can be shown of any file, with the first fault marked.

use super::common::Place;

const MARK: &str = ">>> ";

fn place() -> Place {
    Place::with(&[r#"{"model":"m","prompt":"one"}"#, r#"{"model":"m","prompt":"two"}"#, r#"{"model":"m","prompt":"three"}"#])
}

/// The line after the first mark, and how many marks there are.
#[track_caller]
fn marked(text: &str) -> (String, usize) {
    let mut after = text.lines().skip_while(|line| !line.starts_with(MARK)).skip(1);
    (after.next().unwrap_or_default().trim().to_owned(), text.lines().filter(|line| line.starts_with(MARK)).count())
}

#[test]
fn an_intact_log_database_and_export_have_no_mark() {
    let place = place();
    place.run(&["export", "--out", "export.json"]).expect(0);
    place.run(&["export", "--out", "export.ndjson", "--format", "ndjson"]).expect(0);
    for file in ["logs", "logs/lowlight.db", "export.json", "export.ndjson"] {
        let text = place.run(&["inspect", file]).expect(0).out;
        assert_eq!(marked(&text).1, 0, "{file}: {text}");
        assert_eq!(text.lines().filter(|line| line.contains(" inference ")).count(), 3, "{file}: {text}");
        assert!(text.ends_with("intact: 0 problems\n"), "{file}: {text}");
    }
}

#[test]
fn the_first_fault_is_marked_before_its_entry() {
    let place = place();
    let seq = place.seq_of("two");
    place.tamper(&format!("UPDATE entry SET model = 'x' WHERE seq >= {seq} AND kind = 1"));
    let text = place.run(&["inspect", "logs"]).expect(1).out;
    let (line, marks) = marked(&text);
    assert_eq!(marks, 1, "{text}");
    assert!(line.starts_with(&format!("{seq} ")), "{text}");
    assert!(text.contains("broken: "), "{text}");
}

#[test]
fn a_fault_of_an_export_is_marked() {
    let place = place();
    let seq = place.seq_of("two");
    let export = place.run(&["export", "--format", "ndjson"]).expect(0).out;
    place.write("export", export.replace("\"two\"", "\"TWO\""));
    let text = place.run(&["inspect", "export"]).expect(1).out;
    let (line, marks) = marked(&text);
    assert!(marks == 1 && line.starts_with(&format!("{seq} ")), "{text}");
}

#[test]
fn an_entry_that_is_not_there_is_marked_where_it_should_be() {
    let place = place();
    let seq = place.seq_of("two");
    place.tamper(&format!("DELETE FROM entry WHERE seq = {seq}"));
    let text = place.run(&["inspect", "logs"]).expect(1).out;
    let (line, marks) = marked(&text);
    assert!(marks == 1 && text.contains("missing"), "{text}");
    assert!(line.starts_with(&format!("{} ", seq + 1)), "{text}");
}

#[test]
fn a_cut_tail_is_marked_at_the_end() {
    let place = place();
    let seq = place.seq_of("two");
    place.tamper(&format!("DELETE FROM entry WHERE seq > {seq}; DELETE FROM content WHERE id >> 6 > {seq}"));
    let text = place.run(&["inspect", "logs"]).expect(1).out;
    assert!(marked(&text).1 == 1 && text.contains("truncated"), "{text}");
}

#[test]
fn a_fault_of_the_whole_log_is_marked() {
    let place = place();
    place.tamper("CREATE TABLE mine (a)");
    let text = place.run(&["inspect", "logs"]).expect(1).out;
    assert!(marked(&text).1 == 1 && text.contains("schema"), "{text}");
}

#[test]
fn a_malformed_entry_is_shown_and_reading_goes_on() {
    let place = place();
    let seq = place.seq_of("two");
    place.tamper(&format!("UPDATE entry SET kind = 77 WHERE seq = {seq}"));
    let text = place.run(&["inspect", "logs"]).expect(1).out;
    assert!(text.contains(&format!("{seq}  malformed")), "{text}");
    assert!(text.contains(" lifecycle "), "{text}");
    assert_eq!(marked(&text).1, 1, "{text}");
}

#[test]
fn what_is_not_ours_is_exit_two() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty-directory")).unwrap();
    place.write("empty-file", "");
    place.write("garbage", [0xa5; 5000]);
    place.write("cut.db", b"SQLite format 3\0and no more");
    for file in ["empty-directory", "empty-file", "garbage", "cut.db", "absent", "/dev/null"] {
        let ran = place.run(&["inspect", file]).expect(2);
        assert!(!ran.out.is_empty() || !ran.err.is_empty(), "{file}");
    }
    place.run(&["inspect"]).expect(2);
}

#[test]
fn a_log_without_entries_is_exit_two() {
    let place = place();
    place.tamper("DELETE FROM entry; DELETE FROM content");
    place.run(&["inspect", "logs"]).expect(2);
}

#[test]
fn with_json_every_line_is_json() {
    let place = place();
    place.run(&["export", "--out", "export"]).expect(0);
    for file in ["logs", "export"] {
        let ran = place.run(&["inspect", file, "--json"]).expect(0);
        let lines: Result<Vec<serde_json::Value>, _> = ran.out.lines().map(serde_json::from_str).collect();
        assert!(lines.is_ok_and(|lines| !lines.is_empty()), "{}", ran.out);
    }
}
