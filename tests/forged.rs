//! Databases forged so that different readers see different rows, or that a reader never ends.

use lowlight_tests::{db, fill, scratch, verify};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn honest(dir: &Path, n: u64) -> PathBuf {
    fill(dir, n - 4);
    let path = dir.join("one.db");
    db(dir).execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    path
}

/// Adds a row to `sqlite_schema` by hand.
fn smuggle(connection: &Connection, class: &str, name: &str, table: &str, sql: &str) {
    connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
    connection.execute("INSERT INTO sqlite_schema VALUES (?1, ?2, ?3, 0, ?4)", [class, name, table, sql]).unwrap();
    connection.execute_batch("PRAGMA writable_schema = RESET").unwrap();
}

const SIZE: usize = 4096;

/// A page of a table's tree: its kind and its cells, each with the bytes that it has.
struct Page {
    cells: Vec<(u64, Vec<u8>)>,
}

fn varint(bytes: &[u8]) -> (u64, usize) {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return (value, index + 1);
        }
    }
    panic!("no number")
}

fn two(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

impl Page {
    /// Cells of a leaf (key, bytes) or of an interior page (key, four bytes of the child and the key).
    fn read(page: &[u8]) -> Self {
        let (leaf, head) = (page[0] == 13, if page[0] == 13 { 8 } else { 12 });
        let cell = |index: usize| {
            let at = two(&page[head + 2 * index..]);
            let (first, width) = if leaf { varint(&page[at..]) } else { (0, 4) };
            let (key, more) = varint(&page[at + width..]);
            (key, page[at..at + width + more + first as usize].to_vec())
        };
        Self { cells: (0..two(&page[3..])).map(cell).collect() }
    }

    fn write(&self, page: &mut [u8]) {
        let head = if page[0] == 13 { 8 } else { 12 };
        let right = page[8..12].to_vec();
        let kind = page[0];
        page.fill(0);
        page[0] = kind;
        if head == 12 {
            page[8..12].copy_from_slice(&right);
        }
        let mut end = page.len();
        for (index, (_, cell)) in self.cells.iter().enumerate() {
            end -= cell.len();
            page[end..end + cell.len()].copy_from_slice(cell);
            page[head + 2 * index..][..2].copy_from_slice(&(end as u16).to_be_bytes());
        }
        page[3..5].copy_from_slice(&(self.cells.len() as u16).to_be_bytes());
        page[5..7].copy_from_slice(&(end as u16).to_be_bytes());
    }
}

/// Puts a second, altered row of `seq` behind the real one, where looking for `seq` finds the altered one.
fn hide(path: &Path, seq: u64) {
    forge(path, seq, 1, |_| {});
}

/// Puts `count` altered rows behind that of `seq`, after `alter` has changed their cell.
fn forge(path: &Path, seq: u64, count: usize, alter: impl Fn(&mut Vec<u8>)) {
    let root: usize = Connection::open(path)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'entry'", [], |row| row.get::<_, i64>(0))
        .unwrap() as usize;
    let mut file = std::fs::read(path).unwrap();
    let fresh = file.len() / SIZE + 1;
    let interior = Page::read(&file[(root - 1) * SIZE..root * SIZE]);
    let place = interior.cells.iter().position(|(key, _)| *key >= seq).unwrap();
    let (last, cell) = &interior.cells[place];
    let child = u32::from_be_bytes(cell[..4].try_into().unwrap()) as usize;
    let leaf = Page::read(&file[(child - 1) * SIZE..child * SIZE]);
    let (left, mut right): (Vec<_>, Vec<_>) = leaf.cells.into_iter().partition(|(key, _)| *key <= seq);
    let mut forged = left.last().unwrap().clone();
    let at = forged.1.windows(10).position(|part| part == b"phi-3-mini").unwrap();
    forged.1[at..at + 10].copy_from_slice(b"EVIL-MODEL");
    alter(&mut forged.1);
    right.splice(0..0, vec![forged; count]);
    let key = |page: usize, key: u64| {
        let number = u32::try_from(page).unwrap().to_be_bytes();
        (key, [&number[..], &[(key >> 7) as u8 | 0x80, (key & 0x7f) as u8]].concat())
    };
    let mut cells = interior.cells.clone();
    cells.splice(place..=place, [key(child, seq - 1), key(fresh, *last)]);
    file.extend_from_slice(&[0; SIZE]);
    file[(fresh - 1) * SIZE] = 13;
    Page { cells: left }.write(&mut file[(child - 1) * SIZE..child * SIZE]);
    Page { cells: right }.write(&mut file[(fresh - 1) * SIZE..fresh * SIZE]);
    Page { cells }.write(&mut file[(root - 1) * SIZE..root * SIZE]);
    file[28..32].copy_from_slice(&u32::try_from(fresh).unwrap().to_be_bytes());
    std::fs::write(path, file).unwrap();
}

#[test]
fn a_row_hidden_in_the_order_of_pages_is_found_wherever_it_stands() {
    let dir = scratch();
    // 255 and 511 are where a reader that works in pieces would look away.
    for seq in [200, 254, 255, 256, 300, 511] {
        let path = honest(&dir.path().join(seq.to_string()), 700);
        hide(&path, seq);
        let model: String = db(&path).query_row("SELECT model FROM entry WHERE seq = ?1", [seq as i64], |row| row.get(0)).unwrap();
        assert_eq!(model, "EVIL-MODEL", "the forgery works");
        let report = verify(&path);
        assert_eq!(report.verdict, "broken", "seq {seq}: {report:?}");
        assert!(report.problems.iter().any(|problem| problem.seq == Some(seq)), "seq {seq}: {report:?}");
    }
}

/// Pages with the rows of the entries of a file, left to right.
fn leaves(file: &[u8], root: usize) -> Vec<usize> {
    let page = &file[(root - 1) * SIZE..root * SIZE];
    if page[0] == 13 {
        return vec![root];
    }
    let child = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    let mut found: Vec<_> = Page::read(page).cells.iter().map(|(_, cell)| child(cell)).collect();
    found.push(child(&page[8..]));
    found
}

/// The file of the log whose rows a pass sees, with the rows of another that looking for a seq finds: between them a row of
/// seq `junk`, behind the end.
fn graft(passed: &[u8], sought: &[u8], root: usize, junk: u64) -> Vec<u8> {
    let mut file = passed.to_vec();
    let mut add = |page: &[u8]| {
        file.extend_from_slice(page);
        u32::try_from(file.len() / SIZE).unwrap()
    };
    let two_bytes = |key: u64| vec![(key >> 7) as u8 | 0x80, (key & 0x7f) as u8];
    // A pass begins at 0, which is in the first; what looks for another than 0 and 1 goes past all of these.
    let mut children: Vec<(u32, u64)> = leaves(passed, root)
        .into_iter()
        .enumerate()
        .map(|(place, leaf)| (add(&passed[(leaf - 1) * SIZE..leaf * SIZE]), place.min(1) as u64))
        .collect();
    let mut page = vec![0; SIZE];
    page[0] = 13;
    // A payload of a header alone with one NULL.
    Page { cells: vec![(junk, [vec![2], two_bytes(junk), vec![2, 0]].concat())] }.write(&mut page);
    children.push((add(&page), 1));
    for leaf in leaves(sought, root) {
        let page = &sought[(leaf - 1) * SIZE..leaf * SIZE];
        let last = Page::read(page).cells.last().unwrap().0;
        children.push((add(page), last));
    }
    let (right, rest) = children.split_last().unwrap();
    let cells = rest.iter().map(|(child, key)| (*key, [&child.to_be_bytes()[..], &two_bytes(*key)].concat())).collect();
    let mut page = vec![0; SIZE];
    page[0] = 5;
    page[8..12].copy_from_slice(&right.0.to_be_bytes());
    Page { cells }.write(&mut page);
    file[(root - 1) * SIZE..root * SIZE].copy_from_slice(&page);
    let pages = u32::try_from(file.len() / SIZE).unwrap();
    file[28..32].copy_from_slice(&pages.to_be_bytes());
    file
}

#[test]
fn rows_behind_one_that_is_beyond_the_end_are_seen_by_a_pass() {
    let dir = scratch();
    for size in [20, 300] {
        let path = honest(&dir.path().join(size.to_string()), size);
        let whole = std::fs::read(&path).unwrap();
        db(&path).execute_batch("UPDATE entry SET model = 'EVIL' WHERE seq = 7").unwrap();
        let edited = std::fs::read(&path).unwrap();
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'entry'";
        let root: i64 = db(&path).query_row(sql, [], |row| row.get(0)).unwrap();
        for (passed, sought, model) in [(&whole, &edited, "EVIL"), (&edited, &whole, "phi-3-mini")] {
            std::fs::write(&path, graft(passed, sought, root as usize, size + 5)).unwrap();
            let found: String = db(&path).query_row("SELECT model FROM entry WHERE seq = 7", [], |row| row.get(0)).unwrap();
            assert_eq!(found, model, "the forgery works");
            let report = verify(&path);
            assert_eq!(report.verdict, "broken", "{report:?}");
        }
        std::fs::write(&path, whole).unwrap();
        assert_eq!(verify(&path).verdict, "intact");
    }
}

#[test]
fn rows_out_of_order_never_send_a_reader_of_a_live_log_back() {
    let dir = scratch();
    let path = honest(dir.path(), 700);
    // Two rows of key 0 behind 254: a piece of 256 rows would end at the second, and the next begin at 1 again.
    forge(&path, 254, 2, |cell| {
        let (_, width) = varint(cell);
        cell[width..width + 2].copy_from_slice(&[0x80, 0]);
    });
    // A reader takes a log with a -shm beside it for one that somebody writes to.
    std::fs::write(path.with_extension("db-shm"), "").unwrap();
    let (send, verdict) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(verify(&path).verdict));
    assert_eq!(verdict.recv_timeout(Duration::from_secs(60)), Ok("broken"));
}

#[test]
fn a_trigger_or_a_view_under_the_name_of_a_statistics_table_is_a_fault_and_never_runs() {
    let dir = scratch();
    fill(dir.path(), 3);
    let path = dir.path().join("lowlight.db");
    smuggle(
        &db(&path),
        "trigger",
        "sqlite_stat1",
        "entry",
        "CREATE TRIGGER sqlite_stat1 BEFORE INSERT ON entry BEGIN SELECT RAISE(IGNORE); END",
    );
    let report = verify(&path);
    assert_eq!((report.verdict, report.problems[0].kind), ("broken", "schema"), "{report:?}");
    // The writer does not go on in it.
    fill(dir.path(), 3);
    assert_eq!(verify(dir.path()).verdict, "intact");
    assert!(dir.path().join("quarantine/damaged-1/lowlight.db").exists());

    let path = honest(&dir.path().join("other"), 20);
    db(&path).execute_batch("ANALYZE").unwrap();
    let report = verify(&path);
    assert_eq!((report.verdict, report.notes.len()), ("intact", 2), "honest statistics are noted: {report:?}");
}

#[test]
fn an_added_index_is_noted_and_one_that_can_refuse_rows_is_a_fault() {
    let dir = scratch();
    for (sql, verdict) in [
        ("CREATE INDEX plain ON entry (model, status)", "intact"),
        ("CREATE UNIQUE INDEX one ON entry (id)", "broken"),
        ("CREATE INDEX part ON entry (model) WHERE kind = 1", "broken"),
        ("CREATE INDEX computed ON content (length(salt))", "broken"),
    ] {
        let path = honest(&dir.path().join(sql.split(' ').nth(2).unwrap()), 20);
        db(&path).execute_batch(sql).unwrap();
        assert_eq!(verify(&path).verdict, verdict, "{sql}");
    }
}

#[test]
fn content_of_another_type_is_a_mismatch_though_its_bytes_are_right() {
    let dir = scratch();
    let path = honest(dir.path(), 20);
    let connection = db(&path);
    connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
    let strict = |from: &str, to: &str| {
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ?1, ?2) WHERE name = 'content'", [from, to]).unwrap();
        connection.execute_batch("PRAGMA writable_schema = RESET; PRAGMA writable_schema = ON").unwrap();
    };
    strict(") STRICT", ")");
    connection.execute("UPDATE content SET value = CAST(value AS BLOB) WHERE id = (7 << 6) + 4", []).unwrap();
    strict("value TEXT\n)", "value TEXT\n) STRICT");
    drop(connection);
    let report = verify(&path);
    assert_eq!((report.problems[0].seq, report.problems[0].kind), (Some(7), "content_mismatch"), "{report:?}");
}

#[test]
fn a_view_without_end_in_place_of_a_table_ends_at_once() {
    let dir = scratch();
    for (table, sql) in [
        ("entry", "CREATE VIEW entry AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x seq FROM c"),
        (
            "log",
            "CREATE VIEW log AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) \
             SELECT 1 id, x log_id, 1 format, x size, x head, x frontier FROM c WHERE x < 0",
        ),
    ] {
        let path = honest(&dir.path().join(table), 20);
        let connection = db(&path);
        connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
        connection.execute("DELETE FROM sqlite_schema WHERE name = ?1", [table]).unwrap();
        smuggle(&connection, "view", table, table, sql);
        drop(connection);
        let started = Instant::now();
        assert_eq!(verify(&path).verdict, "unreadable", "{table}");
        assert!(started.elapsed() < Duration::from_secs(20), "{table}");
    }
}
