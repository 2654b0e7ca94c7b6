//! What is kept elsewhere, under attack: copies that were altered, witnesses that hang, notes made to confuse.

use crate::elsewhere::{LONG, key, run, witness};
use lowlight_core::note::{Algorithm, Key, Note};
use lowlight_core::tree;
use lowlight_host::Recorder;
use lowlight_host::checkpoints::Checkpoints;
use lowlight_host::copy::{Copier, CopyError, compare};
use lowlight_host::keys::LogKey;
use lowlight_host::store::{Layout, Reader};
use lowlight_host::verify::{self, Place, Report, VerifyPolicy};
use lowlight_host::witness::{Client, Endpoint, Witness};
use lowlight_tests::{db, fill, scratch};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);

/// A log of 23 entries with a checkpoint, and its copy.
fn copied(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let (logs, copy) = (dir.join("logs"), dir.join("copy"));
    fill(&logs, 20);
    std::fs::create_dir(&copy).unwrap();
    let size = Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap();
    assert_eq!(size, Reader::open(&logs).unwrap().tip().size);
    let file = std::fs::read_dir(&copy).unwrap().flatten().next().unwrap().path();
    (logs, copy, file)
}

fn held(logs: &Path, copy: &Path) -> Report {
    let mut report = verify::log(logs).unwrap();
    compare(logs, copy, &mut report).unwrap();
    report
}

#[test]
fn a_copy_that_does_not_hold_by_itself_vouches_for_nothing() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    assert_eq!((held(&logs, &copy).verdict, held(&logs, &copy).level), ("intact", "checkpoint"));
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let seal = lines.iter().rposition(|line| line.starts_with("{\"checkpoint\"")).unwrap();
    let root = lines[seal].split_once("\"root\":\"").unwrap().1.split_at(64).0;
    let without = |place: usize| lines.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, line)| *line).collect::<Vec<_>>();
    let cases = [
        ("a line is missing", without(7)),
        ("the first line is missing", without(0)),
        ("two lines have changed places", [&lines[..5], &[lines[6], lines[5]], &lines[7..]].concat()),
        ("a line is none", [&lines[..5], &["{}"], &lines[5..]].concat()),
    ];
    let other = lines[seal].replace(root, &"11".repeat(32));
    let forged = [&lines[..seal], &[other.as_str()], &lines[seal + 1..]].concat();
    for (name, lines) in cases.into_iter().chain([("a checkpoint is another", forged)]) {
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let report = held(&logs, &copy);
        assert_eq!((report.verdict, report.level), ("unreadable", "chain"), "{name}: {report:?}");
        assert!(report.error.unwrap().contains("altered"), "{name}");
    }
    // A shorter one is an older one: it says so.
    std::fs::write(&file, lines[..6].join("\n") + "\n").unwrap();
    let report = held(&logs, &copy);
    assert!(report.verdict == "intact" && report.notes.iter().any(|note| note.contains("not in the copy")), "{report:?}");
}

#[test]
fn a_copy_that_has_more_than_the_log_is_left_as_it_is() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    let last = std::fs::read_to_string(&file).unwrap().lines().rev().find(|line| line.starts_with("{\"seq\"")).unwrap().to_owned();
    let size = Reader::open(&logs).unwrap().tip().size;
    let more = last.replacen(&format!("\"seq\":{}", size - 1), &format!("\"seq\":{}", 1_u64 << 40), 1) + "\n";
    let text = std::fs::read_to_string(&file).unwrap() + &more;
    std::fs::write(&file, &text).unwrap();
    fill(&logs, 5);
    let done = Copier::new(&copy, false).catch_up(&Layout::new(&logs));
    assert!(matches!(done, Err(CopyError::Ahead(..))), "{done:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let report = held(&logs, &copy);
    // Lines are missing before it: on the word of such a copy nobody was rolled back.
    assert!(report.verdict == "unreadable" && report.error.as_ref().is_some_and(|why| why.contains("are missing")), "{report:?}");
}

#[test]
fn a_copy_is_written_and_read_through_nothing_but_files() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "mine\n").unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().replace("00000.ndjson", "99999.ndjson");
    let planted = copy.join(name);
    std::os::unix::fs::symlink(&victim, &planted).unwrap();
    fill(&logs, 5);
    let refused = Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap_err().to_string();
    assert!(refused.contains("a link"), "{refused}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine\n");
    std::fs::remove_file(&planted).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&planted).status().unwrap().success());
    let begun = Instant::now();
    Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap_err();
    compare(&logs, &copy, &mut verify::log(&logs).unwrap()).unwrap_err();
    assert!(begun.elapsed() < LONG);
    // And not where the log is.
    let inside = logs.join("copy");
    std::fs::create_dir(&inside).unwrap();
    assert!(Copier::new(&inside, false).catch_up(&Layout::new(&logs)).unwrap_err().to_string().contains("own folder"));
}

#[test]
fn several_recorders_write_one_copy_without_a_line_twice() {
    let dir = scratch();
    let (logs, copy) = (dir.path().join("logs"), dir.path().join("copy"));
    std::fs::create_dir(&copy).unwrap();
    let options = || lowlight_host::recorder::CopyOptions { dir: copy.clone(), content: false };
    let recorders: Vec<_> = (0..3).map(|_| Recorder::builder(&logs).copy(options()).open().unwrap()).collect();
    for number in 0..300 {
        let _ticket = recorders[number % 3].record(lowlight_host::Record::inference("m").prompt("p")).unwrap();
        if number % 50 == 0 {
            std::thread::sleep(SHORT);
        }
    }
    for recorder in recorders {
        recorder.close(LONG).unwrap();
    }
    let file = std::fs::read_dir(&copy).unwrap().flatten().next().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    let seqs: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("{\"seq\":")?.split_once(',')?.0.parse().ok()).collect();
    assert_eq!(seqs, (0..Reader::open(&logs).unwrap().tip().size).collect::<Vec<_>>());
    assert_eq!(held(&logs, &copy).level, "checkpoint");
}

#[test]
fn a_witness_that_does_not_answer_is_left_in_time_and_with_all_it_started() {
    let dir = scratch();
    let mark = dir.path().join("mark").display().to_string();
    // The shell waits for a child that keeps its output open.
    let script = format!("bash -c 'exec -a {mark} sleep 3600'; true");
    let commands = [vec!["bash", "-c", &script], vec!["sh", "-c", "while :; do printf 2; sleep 0.1; done"], vec!["sh", "-c", "yes 1>&2"]];
    for command in commands {
        let begun = Instant::now();
        let endpoint = Endpoint::Command(command.iter().map(|word| (*word).to_owned()).collect());
        let mut client = Client::connect(&endpoint, SHORT).unwrap();
        assert!(client.latest("lowlight/x").is_err());
        assert!(begun.elapsed() < Duration::from_secs(10), "{command:?}");
    }
    let begins =
        |process: std::fs::DirEntry| std::fs::read(process.path().join("cmdline")).is_ok_and(|line| line.starts_with(mark.as_bytes()));
    let begun = Instant::now();
    while std::fs::read_dir("/proc").unwrap().flatten().any(begins) {
        assert!(begun.elapsed() < LONG, "a process was left behind");
    }
    // A socket that nobody serves, with a full queue.
    let socket = dir.path().join("full");
    let _listener = UnixListener::bind(&socket).unwrap();
    let waiting: Vec<_> = (0..5_000).map_while(|_| rustix_connect(&socket)).collect();
    assert!(waiting.len() < 5_000, "the queue is not full");
    let begun = Instant::now();
    assert!(Client::connect(&Endpoint::Socket(socket), SHORT).is_err());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// A connection, unless it would have to wait.
fn rustix_connect(path: &Path) -> Option<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).ok()?;
    Some(UnixStream::from(socket))
}

#[test]
fn a_witness_keeps_what_it_checked_and_can_always_hand_it_out() {
    let dir = scratch();
    let (options, witness) = witness(dir.path());
    let logs = dir.path().join("logs");
    let vkey = key(&logs);
    witness.lock().unwrap().trust(&vkey).unwrap();
    run(&logs, &options, 5);
    let reader = Reader::open(&logs).unwrap();
    let own = format!("lowlight/{}", reader.log_id());
    let sealed = Checkpoints::open(&logs).unwrap().of(reader.log_id()).newest(reader.tip().size).unwrap().unwrap();
    // Who holds the log's key sends it again, with as many strange signatures as a note may have.
    let junk: String = (0..99).map(|number| format!("\u{2014} x{number} YWJjZAAAAAAAAAAA\n")).collect();
    let again = format!("old {}\n\n{}{junk}", sealed.size, sealed.note.clone().unwrap());
    assert_eq!(witness.lock().unwrap().add(again.as_bytes()).unwrap().status, 200);
    let signatures = |note: &str| Note::parse(note.as_bytes()).map(|note| note.signatures().count());
    assert_eq!(signatures(&witness.lock().unwrap().latest(&own).body), Ok(2));
    // And with a line more in its text.
    let mut signed = String::new();
    let text = Note::parse(sealed.note.as_ref().unwrap().as_bytes()).unwrap().text.to_owned() + "extension\n";
    LogKey::load(&Layout::new(&logs)).unwrap().unwrap().sign(&text, &mut signed);
    let extended = format!("old {}\n\n{text}\n{signed}", sealed.size);
    assert_eq!(witness.lock().unwrap().add(extended.as_bytes()).unwrap().status, 200);
    let latest = witness.lock().unwrap().latest(&own).body;
    assert_eq!(signatures(&latest), Ok(2), "{latest}");
    let policy = format!("origins = [\"{own}\"]\nkeys = [\"{vkey}\"]\n[[witness]]\nvkey = \"{}\"\n", options.vkey);
    let vetted = VerifyPolicy::parse(&policy).unwrap().vet(&latest, Place::Beside).unwrap();
    assert_eq!((vetted.kept.size(), vetted.times.len()), (sealed.size, 1));
}

#[test]
fn a_witness_whose_state_another_changed_signs_nothing_more() {
    let dir = scratch();
    let mut witness = Witness::init(dir.path().join("w"), "w.example").unwrap();
    let state = dir.path().join("w/witness.json");
    let before = std::fs::read_to_string(&state).unwrap();
    witness.trust("lowlight+517a553a+AZ4BnWXbaXdiuHO5OboLRnP4F8tlZbDUwcYvIg9Th3Fy").unwrap();
    std::fs::write(&state, before).unwrap();
    let key = Key { name: "other", ..Key::parse("lowlight+517a553a+AZ4BnWXbaXdiuHO5OboLRnP4F8tlZbDUwcYvIg9Th3Fy").unwrap() };
    let refused = witness.trust(&key.to_string()).unwrap_err().to_string();
    assert!(refused.contains("somebody else"), "{refused}");
}

#[test]
fn a_witness_counts_once_and_only_with_signatures_that_are_right() {
    let dir = scratch();
    let layout = Layout::new(dir.path().join("logs"));
    let mut log = LogKey::create(&layout, "lowlight").unwrap();
    let mut witness = LogKey::create_next(&layout, "w.example").unwrap();
    let id = "0".repeat(32);
    let text = format!("lowlight/{id}\n5\n{}\n", lowlight_core::note::base64::Base64(&[7; 32]));
    let mut note = format!("{text}\n");
    log.sign(&text, &mut note);
    let plain = note.clone();
    witness.sign_as(Algorithm::CosignatureV1, &text, 1_000, &mut note);
    let (log_key, cosigner) = (log.key().to_string(), witness.cosigner().to_string());
    let alias = Key { name: "alias", ..witness.cosigner() }.to_string();
    let own = Key { algorithm: Algorithm::CosignatureV1, ..log.key() }.to_string();
    let policy = |origin: &str, keys: &[&String]| {
        let witnesses: String = keys.iter().map(|vkey| format!("[[witness]]\nvkey = \"{vkey}\"\n")).collect();
        VerifyPolicy::parse(&format!("origins = [\"{origin}/{id}\"]\nkeys = [\"{log_key}\"]\nquorum = 1\n{witnesses}"))
    };
    let time = |note: &str| {
        policy("lowlight", &[&cosigner]).unwrap().vet(note, Place::Elsewhere).map(|vetted| vetted.times.first().map(|(_, time)| *time))
    };
    assert_eq!((time(&note), time(&plain)), (Some(Some(1_000)), Some(None)));
    assert!(policy("lowlight", &[&cosigner, &alias]).unwrap_err().contains("twice"));
    assert!(policy("lowlight", &[&own]).unwrap_err().contains("twice"));
    assert!(policy("evil", &[&cosigner]).unwrap().vet(&note, Place::Elsewhere).is_none(), "another origin with the same id");
    // A second line of the same witness, over another text.
    witness.sign_as(Algorithm::CosignatureV1, "another text\n", 2_000, &mut note);
    assert_eq!(time(&note), None);
}

#[test]
fn a_copy_speaks_of_entries_that_the_log_no_longer_has() {
    let dir = scratch();
    let (logs, copy) = (dir.path().join("logs"), dir.path().join("copy"));
    fill(&logs, 600);
    std::fs::create_dir(&copy).unwrap();
    Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap();
    let policy = lowlight_host::removal::RetentionPolicy { number: 1, max_entries: 300, ..Default::default() };
    let recorder = Recorder::builder(&logs).retention(policy).upkeep().open().unwrap();
    recorder.prune(LONG).unwrap();
    recorder.close(LONG).unwrap();
    assert_eq!(held(&logs, &copy).level, "checkpoint");
    // Somebody puts another node in the place of removed entries and computes anew all that depends on it.
    let removed = "SELECT id FROM node WHERE id >= 1 << 56 AND id < 8 << 56 ORDER BY id LIMIT 1";
    let id: i64 = db(&logs).query_row(removed, [], |row| row.get(0)).unwrap();
    let block = (id & ((1 << 56) - 1)) >> (8 - (id >> 56));
    db(&logs).execute("UPDATE node SET hash = zeroblob(32) WHERE id = ?1", [id]).unwrap();
    let subtree = |level: u8, index: u64| Reader::open(&logs).unwrap().subtree(level, index).unwrap().unwrap();
    let above = |level: u8, index: u64| tree::node(&subtree(level - 1, index << 1), &subtree(level - 1, index << 1 | 1));
    for (level, index) in [(8, block), (9, 0)] {
        let hash = above(level, index.cast_unsigned());
        let place = i64::from(level) << 56 | index;
        db(&logs).execute("UPDATE node SET hash = ?2 WHERE id = ?1", rusqlite::params![place, &hash.0[..]]).unwrap();
    }
    let mut frontier: Vec<u8> = db(&logs).query_row("SELECT frontier FROM log", [], |row| row.get(0)).unwrap();
    frontier[..32].copy_from_slice(&subtree(9, 0).0);
    db(&logs).execute("UPDATE log SET frontier = ?1", [frontier]).unwrap();
    std::fs::remove_file(logs.join("checkpoints")).unwrap();
    let alone = verify::log(&logs).unwrap();
    assert_eq!((alone.verdict, alone.level), ("intact", "chain"), "alone it does not show: {alone:?}");
    let report = held(&logs, &copy);
    assert_eq!((report.verdict, report.problems[0].kind), ("broken", "rewritten"), "{report:?}");
}

#[test]
fn a_log_may_be_held_against_its_copy_while_both_grow() {
    let dir = scratch();
    let (logs, copy, _) = copied(dir.path());
    let options = lowlight_host::recorder::CopyOptions { dir: copy.clone(), content: false };
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let recorder = Recorder::builder(&logs).copy(options).open().unwrap();
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                let _ticket = recorder.record(lowlight_host::Record::inference("m").prompt("p")).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            recorder.close(LONG).unwrap();
            is_over.store(true, std::sync::atomic::Ordering::Release);
        });
        while !is_over.load(std::sync::atomic::Ordering::Acquire) {
            let report = held(&logs, &copy);
            assert_eq!((report.verdict, report.problems_total), ("intact", 0), "{report:?}");
        }
    });
    let report = held(&logs, &copy);
    assert!(report.level == "checkpoint" && report.entries > 500, "{report:?}");
}

#[test]
fn a_copy_that_was_out_of_reach_while_retention_removed_catches_up_and_holds() {
    let dir = scratch();
    let (logs, copy, _) = copied(dir.path());
    let prune = |max_entries, number| {
        let policy = lowlight_host::removal::RetentionPolicy { number, max_entries, ..Default::default() };
        let recorder = Recorder::builder(&logs).retention(policy).upkeep().open().unwrap();
        recorder.prune(LONG).unwrap();
        recorder.close(LONG).unwrap();
    };
    // Once it has the first part of the block that goes, and once nothing of those that go.
    for (count, number) in [(900, 1), (1500, 2)] {
        fill(&logs, count);
        prune(400, number);
        let size = Copier::new(&copy, false).catch_up(&Layout::new(&logs)).unwrap();
        assert_eq!(size, Reader::open(&logs).unwrap().tip().size);
        let report = held(&logs, &copy);
        assert_eq!((report.verdict, report.level), ("intact", "checkpoint"), "{report:?}");
        assert!(!report.notes.iter().any(|note| note.contains("lacks")), "{:?}", report.notes);
    }
    // Pieces of it say nothing against the log, however they were cut.
    let mut files: Vec<_> = std::fs::read_dir(&copy).unwrap().flatten().map(|file| file.path()).collect();
    files.sort();
    let text = std::fs::read(&files[0]).unwrap();
    for part in 1..40 {
        std::fs::write(&files[0], &text[..text.len() * part / 40]).unwrap();
        let mut report = verify::log(&logs).unwrap();
        if compare(&logs, &copy, &mut report).is_ok() {
            assert!(report.verdict != "broken" && report.problems_total == 0, "{part}: {report:?}");
        }
    }
}

#[test]
fn a_bit_of_a_copy_accuses_nobody_and_hides_nothing() {
    let dir = scratch();
    let (logs, copy, file) = copied(dir.path());
    let text = std::fs::read_to_string(&file).unwrap();
    let leaves: Vec<_> = text.match_indices("\"leaf\":\"").map(|(at, found)| at + found.len()).collect();
    assert!(leaves.len() > 20);
    for at in leaves {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        std::fs::write(&file, &bytes).unwrap();
        let report = held(&logs, &copy);
        assert!(report.verdict == "unreadable" && report.problems_total == 0, "{report:?}");
    }
    std::fs::write(&file, text).unwrap();
    assert_eq!(held(&logs, &copy).verdict, "intact");
}
