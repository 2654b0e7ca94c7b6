//! Exhaustive tampering: every bit, every entry, every pair of a small log, each reported where it is.

use lowlight_host::verify::Report;
use lowlight_tests::{db, fill, scratch, verify};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};

/// An honest log of `n` entries, in one file, and its path.
fn honest(dir: &Path, n: u64) -> PathBuf {
    // Open, start, redaction policy and stop are written by the recorder itself.
    fill(dir, n - 4);
    let path = dir.join("one.db");
    db(dir).execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    assert_eq!(verify(&path).verdict, "intact");
    path
}

fn first(report: &Report) -> (Option<u64>, &'static str) {
    report.problems.first().map_or((None, "nothing"), |problem| (problem.seq, problem.kind))
}

/// Runs `change` on the log inside a transaction that is rolled back after `judge` has seen the verdict.
struct Bench {
    path: PathBuf,
    pristine: Vec<u8>,
}

impl Bench {
    fn new(path: PathBuf) -> Self {
        let pristine = std::fs::read(&path).unwrap();
        Self { path, pristine }
    }

    fn after(&self, change: impl FnOnce(&Connection)) -> Report {
        let connection = db(&self.path);
        // Thousands of changes, none of which has to survive anything.
        connection.execute_batch("PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY").unwrap();
        change(&connection);
        drop(connection);
        let report = verify(&self.path);
        std::fs::write(&self.path, &self.pristine).unwrap();
        report
    }
}

fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let mut select = connection.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Every value of a table with its key, in order.
fn values(connection: &Connection, table: &str, key: &str) -> Vec<(i64, String, Value)> {
    let names = columns(connection, table);
    let mut select = connection.prepare(&format!("SELECT {key}, * FROM {table} ORDER BY {key}")).unwrap();
    let mut rows = select.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        for (index, name) in names.iter().enumerate() {
            found.push((row.get(0).unwrap(), name.clone(), row.get(index + 1).unwrap()));
        }
    }
    found
}

/// Every value that differs from `value` in one bit, of the same storage class.
fn flips(value: &Value) -> Vec<Value> {
    let flip = |bytes: &[u8], bit: usize| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    };
    match value {
        Value::Integer(number) => (0..64).map(|bit| Value::Integer(number ^ (1 << bit))).collect(),
        Value::Blob(bytes) => (0..bytes.len() * 8).map(|bit| Value::Blob(flip(bytes, bit))).collect(),
        Value::Text(text) => (0..text.len() * 8).map(|bit| Value::Blob(flip(text.as_bytes(), bit))).collect(),
        // NULL has no bits: anything in its place must be noticed.
        _ => vec![Value::Integer(0), Value::Text(String::new()), Value::Blob(Vec::new())],
    }
}

/// Writes a changed value; text that is no longer UTF-8 still goes in as text.
fn put(connection: &Connection, table: &str, key: &str, at: i64, name: &str, old: &Value, new: &Value) -> bool {
    let cast = if matches!(old, Value::Text(_)) { "CAST(?1 AS TEXT)" } else { "?1" };
    connection.execute(&format!("UPDATE {table} SET {name} = {cast} WHERE {key} = ?2"), params![new, at]).is_ok()
}

/// Flips every bit of every value of a table; `judge` says whether the verdict is right.
fn flip_everything(bench: &Bench, table: &str, key: &str, stride: usize, judge: impl Fn(i64, &str, &Report) -> bool) -> usize {
    let all = values(&db(&bench.path), table, key);
    let mut tried = 0;
    for (at, name, old) in &all {
        for new in flips(old).iter().step_by(stride) {
            let mut accepted = false;
            let report = bench.after(|connection| accepted = put(connection, table, key, *at, name, old, new));
            if !accepted {
                continue; // SQLite itself refuses the value in that column.
            }
            tried += 1;
            assert!(
                judge(*at, name, &report),
                "{table} {at} {name}: {old:?} -> {new:?}: {} {:?} {:?}",
                report.verdict,
                report.problems,
                report.error
            );
        }
    }
    tried
}

#[test]
fn every_bit_of_every_entry_is_reported_at_its_entry() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 20));
    let tried = flip_everything(&bench, "entry", "seq", 1, |seq, name, report| {
        let (at, kind) = first(report);
        let seq = u64::try_from(seq).unwrap();
        let allowed: &[&str] = match name {
            // The row is somewhere else now: it is missing here, or cut off if it was the last.
            "seq" => &["missing", "truncated"],
            // A leaf that was changed is a changed entry.
            "leaf" => &["modified"],
            _ => &["modified", "malformed"],
        };
        report.verdict == "broken" && at == Some(seq) && allowed.contains(&kind)
    });
    assert!(tried > 20_000, "{tried}");
}

#[test]
fn every_bit_of_every_content_is_reported_at_its_entry() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 20));
    let tried = flip_everything(&bench, "content", "id", 1, |id, name, report| {
        let (at, kind) = first(report);
        let seq = u64::try_from(id >> 6).unwrap();
        // A content row that moved is missed at its old entry and stray at its new one, whichever comes first.
        let place = at == Some(seq) || (name == "id" && at < Some(seq));
        report.verdict == "broken" && place && kind == "content_mismatch"
    });
    assert!(tried > 8_000, "{tried}");
}

#[test]
fn every_bit_of_the_log_row_is_reported() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 20));
    let tried = flip_everything(&bench, "log", "id", 1, |_, name, report| match name {
        "format" => report.verdict == "unreadable" && report.exit_code() == 2 && report.error.as_ref().unwrap().contains("version"),
        // A size that a shorter honest log would have looks like entries beyond the tip.
        _ => report.verdict == "broken" && matches!(first(report), (_, "root_mismatch" | "truncated" | "inserted")),
    });
    assert!(tried > 700, "{tried}");
}

#[test]
fn every_bit_of_every_tile_is_reported() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 600));
    let tried = flip_everything(&bench, "node", "id", 1, |_, _, report| report.verdict == "broken" && first(report).1 == "root_mismatch");
    assert!(tried >= 3 * (256 + 60), "{tried}");
}

#[test]
fn every_entry_removed_is_missed_where_it_was() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 20));
    for seq in 0..20_u64 {
        for renumber in [false, true] {
            let report = bench.after(|connection| remove(connection, seq, renumber));
            let kind = if seq == 19 { "truncated" } else { "missing" };
            // With entry 0 gone and the rest renumbered, what stands first opens no log and chains to nothing known.
            let kinds: &[&str] = if seq == 0 && renumber { &["missing", "modified", "broken"] } else { &[kind] };
            let (at, found) = first(&report);
            assert!(report.verdict == "broken" && at == Some(seq) && kinds.contains(&found), "{seq} {renumber}: {:?}", report.problems);
        }
    }
}

fn remove(connection: &Connection, seq: u64, renumber: bool) {
    let seq = seq.cast_signed();
    connection.execute("DELETE FROM entry WHERE seq = ?1", [seq]).unwrap();
    connection.execute("DELETE FROM content WHERE id >> 6 = ?1", [seq]).unwrap();
    if renumber {
        shift(connection, seq, -1);
    }
}

/// Moves all entries from `from` on, contents too, by `by`.
fn shift(connection: &Connection, from: i64, by: i64) {
    // By way of a far place, so that no two rows meet.
    for (table, key, unit) in [("entry", "seq", 1), ("content", "id", 64)] {
        let far = 1_i64 << 40;
        connection.execute(&format!("UPDATE {table} SET {key} = {key} + ?1 WHERE {key} >= ?2"), params![far, from * unit]).unwrap();
        connection.execute(&format!("UPDATE {table} SET {key} = {key} - ?1 + ?2 WHERE {key} >= ?1"), params![far, by * unit]).unwrap();
    }
}

#[test]
fn every_entry_doubled_is_seen_where_the_copy_stands() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 20));
    for seq in 0..20_i64 {
        let report = bench.after(|connection| {
            shift(connection, seq + 1, 1);
            let names = columns(connection, "entry");
            let rest = names[1..].join(",");
            connection
                .execute(&format!("INSERT INTO entry (seq, {rest}) SELECT seq + 1, {rest} FROM entry WHERE seq = ?1"), [seq])
                .unwrap();
            connection.execute("INSERT INTO content SELECT id + 64, salt, value FROM content WHERE id >> 6 = ?1", [seq]).unwrap();
        });
        assert_eq!((report.verdict, first(&report)), ("broken", (Some(seq.cast_unsigned() + 1), "inserted")), "{:?}", report.problems);
    }
}

#[test]
fn every_two_entries_swapped_are_both_named() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 20));
    for one in 0..20_i64 {
        for other in one + 1..20 {
            let report = bench.after(|connection| swap(connection, one, other));
            let named: Vec<_> =
                report.problems.iter().filter(|problem| problem.kind == "reordered").filter_map(|problem| problem.seq).collect();
            let both = [one, other].map(i64::cast_unsigned);
            assert_eq!(
                (first(&report), named.as_slice()),
                ((Some(both[0]), "reordered"), &both[..]),
                "{one} {other}: {:?}",
                report.problems
            );
        }
    }
}

fn swap(connection: &Connection, one: i64, other: i64) {
    let far = 1_i64 << 40;
    for (from, to) in [(one, far), (other, one), (far, other)] {
        connection.execute("UPDATE entry SET seq = ?2 WHERE seq = ?1", params![from, to]).unwrap();
        connection.execute("UPDATE content SET id = (id & 63) + ?2 * 64 WHERE id >> 6 = ?1", params![from, to]).unwrap();
    }
}

#[test]
fn every_tail_cut_off_is_truncated_and_with_the_tip_rewritten_it_cannot_be_known() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 20));
    for keep in 1..20_i64 {
        let cut = |connection: &Connection| {
            connection.execute("DELETE FROM entry WHERE seq >= ?1", [keep]).unwrap();
            connection.execute("DELETE FROM content WHERE id >> 6 >= ?1", [keep]).unwrap();
        };
        let report = bench.after(cut);
        assert_eq!((report.verdict, first(&report)), ("broken", (Some(keep.cast_unsigned()), "truncated")));
        let report = bench.after(|connection| {
            cut(connection);
            rewrite_tip(connection);
        });
        assert_eq!((report.verdict, report.exit_code()), ("intact", 0), "{:?}", report.problems);
        assert!(["tail", "rewrite", "rollback"].iter().all(|token| report.not_checked.contains(token)));
    }
}

/// What somebody does who knows the format: size, head and frontier as an honest log of that length has them.
fn rewrite_tip(connection: &Connection) {
    let mut head = lowlight_core::Head::genesis(&lowlight_core::LogId([0; 16]));
    let mut select = connection.prepare("SELECT leaf FROM entry ORDER BY seq").unwrap();
    for leaf in select.query_map([], |row| row.get::<_, [u8; 32]>(0)).unwrap() {
        head.push(lowlight_core::Digest(leaf.unwrap()), |_, _, _| {});
    }
    let hashes: Vec<u8> = head.frontier.hashes().flat_map(|hash| hash.0).collect();
    connection
        .execute("UPDATE log SET size = ?1, head = ?2, frontier = ?3", params![head.size().cast_signed(), head.leaf.0, hashes])
        .unwrap();
}

#[test]
fn foreign_objects_in_the_schema_are_reported() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 20));
    for sql in [
        "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM content; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE t (a)",
        "DROP VIEW entries",
        "DROP INDEX entry_recorded",
        "DROP TABLE run",
        "ALTER TABLE run ADD COLUMN more TEXT",
    ] {
        let report = bench.after(|connection| connection.execute_batch(sql).unwrap());
        assert_eq!((report.verdict, first(&report)), ("broken", (None, "schema")), "{sql}");
    }
    for sql in ["CREATE INDEX mine ON entry (model)", "ANALYZE"] {
        let report = bench.after(|connection| connection.execute_batch(sql).unwrap());
        assert_eq!(report.verdict, "intact", "{sql}: {:?}", report.problems);
        assert!(!report.notes.is_empty());
    }
}

#[test]
fn a_log_without_entries_cannot_be_judged_and_one_without_its_head_is_broken() {
    let scratch = scratch();
    let bench = Bench::new(honest(scratch.path(), 20));
    let report = bench
        .after(|connection| connection.execute_batch("DELETE FROM entry; DELETE FROM content; UPDATE log SET size = 0").map(drop).unwrap());
    assert_eq!((report.verdict, report.exit_code()), ("unreadable", 2));
    let report = bench.after(|connection| remove(connection, 0, false));
    assert_eq!((report.exit_code(), first(&report)), (1, (Some(0), "missing")));
}

#[test]
fn a_value_that_no_writer_makes_is_a_mismatch_at_its_entry_and_the_rest_is_checked() {
    let dir = scratch();
    let bench = Bench::new(honest(dir.path(), 20));
    // 18 MiB of prompt in entry 5, or an 18 MiB leaf in entry 5, and a change further on.
    for large in
        ["UPDATE content SET value = hex(zeroblob(9 << 20)) WHERE id = 5 << 6", "UPDATE entry SET leaf = zeroblob(18 << 20) WHERE seq = 5"]
    {
        let report = bench.after(|connection| {
            connection.execute(large, []).unwrap();
            connection.execute("UPDATE content SET value = 'no' WHERE id = 12 << 6", []).unwrap();
        });
        let found: Vec<_> = report.problems.iter().map(|problem| problem.seq).collect();
        assert!(found.contains(&Some(5)) && found.contains(&Some(12)), "{large}: {report:?}");
    }
}
